"""A server that misbehaves as a test wants it to, and a certificate authority."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass

import pytest
from authority import Authority
from benchmarks.ports import HOST, free_port
from fault_server import FaultServer

from tokenward._http import RequestsTransport
from tokenward._http import transport as transport_module
from tokenward.protocols import Request
from tokenward.testing import FakeClock

PATIENCE = 120  # seconds for what is answered at once, on a machine that may stand still meanwhile


@pytest.fixture
def serve():
    """Start a `FaultServer` with a script; it stops with the test."""
    servers = []

    def start(script, *, context=None):
        servers.append(FaultServer(script, context=context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def make_transport():
    """Make a transport whose idle connections are closed with the test."""
    transports = []

    def make(**options):
        transports.append(RequestsTransport(**{"connect_timeout": PATIENCE} | options))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


@pytest.fixture
def pauses(monkeypatch):
    """The clock of every breaker: no pause ends before it is moved."""
    clock = FakeClock(0)
    breaker = transport_module.Breaker
    monkeypatch.setattr(
        transport_module, "Breaker", lambda name, **o: breaker(name, **o | {"clock": clock})
    )
    return clock


@pytest.fixture
def nowhere():
    """A URL of a port that nobody listens on, now or in the course of the test."""
    return f"http://{HOST}:{free_port()}/introspect"


@pytest.fixture
def connections():
    """A function: how many connections came to a server, once there are as many as are known of.

    The system takes a connection before the server does.
    """

    def connections(server, known):
        end = time.monotonic() + PATIENCE
        while server.connections < known and time.monotonic() < end:
            server.stopping.wait(0.005)
        return server.connections

    return connections


@dataclass
class Outcome:
    """How a call ended and how many seconds it took."""

    seconds: float
    response: object = None
    error: BaseException | None = None

    @property
    def reason(self):
        return getattr(self.error, "reason", None)


@pytest.fixture
def ask():
    """Post a token to ``url`` and tell how that ended."""

    def post(transport, url, *, seconds=PATIENCE, cert=None):
        request = Request("POST", url, form={"token": "a-token"}, cert=cert)
        begin = time.monotonic()
        try:
            response = transport.send(request, deadline=begin + seconds)
        except Exception as error:  # noqa: BLE001 - the tests say which one it must be
            return Outcome(time.monotonic() - begin, error=error)
        return Outcome(time.monotonic() - begin, response=response)

    return post


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority that only these tests trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def loopback_cert(authority):
    """A certificate and key for 127.0.0.1."""
    return authority.issue("localhost", addresses=["127.0.0.1"])


@pytest.fixture
def serve_tls(serve, authority, loopback_cert):
    """Start a `FaultServer` on TLS; ``mutual`` demands a certificate of the authority's."""

    def start(script, *, mutual=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*loopback_cert)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(authority.path)
        return serve(script, context=context)

    return start
