"""Transports over the same connections, of which none can have a server left alone for another."""

import json
import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokenward import _jose
from tokenward._http import transport as transport_module
from tokenward.errors import AuthServiceUnavailable
from tokenward.jwks import JWKSVerifier
from tokenward.protocols import Request

# Whoever waits for the end of a pause moves the clock.
pytestmark = pytest.mark.usefixtures("pauses")

PATIENCE = 120  # seconds
BODY = b'{"active": true}'
KEY = _jose.generate_key("ES256")


def test_a_breaker_is_its_own(serve, make_transport, ask):
    """Where one sees a server fail, the other asks on (RULES 25)."""
    server = serve(lambda peer: peer.serve(peer.answer(status="500 Internal Server Error")))
    transport = make_transport(breaker_failures=2)
    one, other = transport.apart(), transport.apart()
    for _ in range(2):
        assert 500 == ask(one, server.url).response.status
    assert "circuit_open" == ask(one, server.url).reason
    assert (True, False, False) == tuple(
        t.circuit_open(server.url) for t in (one, other, transport)
    )

    assert (500, 500) == (
        ask(other, server.url).response.status,
        ask(transport, server.url).response.status,
    )


def test_connections_are_shared(serve, make_transport, ask):
    """One after the other, they use the same one; closing one of them closes it."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport()
    for one in (transport, transport.apart(), transport.apart().apart()):
        assert BODY == ask(one, server.url).response.body
    assert 1 == server.connections
    transport.close()
    assert BODY == ask(transport.apart(), server.url).response.body

    assert 2 == server.connections


def test_places_are_its_own(serve, make_transport, ask, caplog):
    """One whose call hangs takes no place of another's; nobody warns of connections too many."""
    came, go = threading.Semaphore(0), threading.Event()

    def script(peer):
        while peer.read():
            came.release()
            go.wait(PATIENCE)
            peer.send(peer.answer())

    server = serve(script)
    transport = make_transport(pool_size=1)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(ask, transport.apart(), server.url) for _ in range(3)]
        try:
            assert [True] * 3 == [came.acquire(timeout=PATIENCE) for _ in range(3)]
        finally:
            go.set()
        assert [BODY] * 3 == [call.result(PATIENCE).response.body for call in calls]
    assert [] == caplog.messages
    assert BODY == ask(transport, server.url).response.body

    assert 3 == server.connections


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_makes_connections_anew_for_both(serve, make_transport, ask):
    """Parent and child share none, and a lock that was held stays with the parent."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport()
    made = transport.apart()
    ask(made, server.url)
    with made._lock, next(iter(made._servers.values())).breaker._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(2 * PATIENCE)
            same = made._connections.adapter is transport._connections.adapter
            bodies = [ask(one, server.url) for one in (made, transport)]
            fine = same and all(one.error is None for one in bodies)
            os._exit(0 if fine else 1)
        _, status = os.waitpid(child, 0)
    assert 0 == os.waitstatus_to_exitcode(status)
    assert BODY == ask(made, server.url).response.body

    assert 2 == server.connections


def test_servers_that_are_remembered_are_few(make_transport, monkeypatch):
    """Whoever names one after the other makes us remember no more of them."""
    monkeypatch.setattr(transport_module, "_MAX_ORIGINS_APART", 4)
    made = make_transport().apart()
    for port in range(1, 20):
        with pytest.raises(AuthServiceUnavailable, match="deadline"):
            made.send(Request("GET", f"http://127.0.0.1:{port}/"), deadline=time.monotonic())

    assert len(made._servers) <= 4


class Host:
    """An issuer with a start page; and, elsewhere, issuers that name that page for their keys."""

    def __init__(self, serve):
        self.issuer = serve(self.play).url.removesuffix("/introspect")
        self.elsewhere = serve(self.play).url.removesuffix("/introspect")

    def play(self, peer):
        while request := peer.read():
            path = request[0].split()[1].decode()
            tenant = path.removeprefix("/.well-known/oauth-authorization-server")
            if path == "/":
                peer.send(peer.answer(b"<h1>Sign in</h1>"))
                continue
            if path == "/jwks":
                page = {"keys": [_jose.public_jwk(KEY)]}
            elif tenant:
                page = {"issuer": self.elsewhere + tenant, "jwks_uri": f"{self.issuer}/"}
            else:
                page = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks"}
            peer.send(peer.answer(json.dumps(page).encode()))


def token(issuer):
    """Return a token in the name of an issuer."""
    claims = {"iss": issuer, "sub": "u1", "aud": "orders", "exp": time.time() + 300}
    return _jose.sign(claims, KEY)


@pytest.mark.parametrize("victim", ["maker", "sibling"])
def test_an_issuer_that_names_anothers_server_harms_itself_only(serve, victim):
    """Unsigned tokens of tenants that do so shut nobody out (RULES 11, 25)."""
    host = Host(serve)
    first = host.issuer if victim == "maker" else "https://as.example"
    verifier = JWKSVerifier(first, audience="orders", timeout=PATIENCE)
    try:
        for number in range(5):
            tenant = f"{host.elsewhere}/t{number}"
            with pytest.raises(AuthServiceUnavailable) as caught:
                verifier.for_issuer(tenant).verify(token(tenant))
            assert "bad_response" == caught.value.reason

        assert "u1" == verifier.for_issuer(host.issuer).verify(token(host.issuer)).subject
    finally:
        verifier.close()
