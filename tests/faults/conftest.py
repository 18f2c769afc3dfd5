"""A server that misbehaves as a test wants it to, and a certificate authority."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass

import pytest
from authority import Authority
from fault_server import FaultServer

from tokenward._http import RequestsTransport
from tokenward.protocols import Request


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
        transports.append(RequestsTransport(**options))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


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

    def post(transport, url, *, seconds=0.4, cert=None):
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
