"""What a server can do wrong while it publishes metadata and keys (RULES 15, 16, 22).

Each fault meets both documents over a real socket, first with nothing to serve, then with a good
document: the outcome, the time, the bytes, and that nothing wrong was kept.
"""

import gzip
import json
import time

import pytest

from tokenward import _jose
from tokenward._http import RequestsTransport
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable
from tokenward.introspection import IntrospectionClient
from tokenward.jwkset import FetchedKeySet
from tokenward.metadata import MAX_DOCUMENT_BYTES, IssuerMetadata
from tokenward.testing import FakeClock

KEY = _jose.generate_key("ES256")
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b" " * 20_000_000)
SECONDS = 1.0
SLACK = 55.0  # seconds for which a machine may stand still
PATIENCE = 120  # seconds for what is answered at once
BUFFERED = 1_000_000  # what the two ends of a loopback connection take without anybody reading


def never_answer(peer):
    peer.hold()


def drip_the_headers(peer):
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.drip(b"X-Padding: 1\r\n" * 1_000)


def drip_the_body(peer):
    peer.send(peer.answer(b"", length=1_000))
    peer.drip(b" " * 1_000)


def close_at_once(peer):
    pass


def reset(peer):
    peer.reset()


def endless_body(peer):
    peer.send(CHUNKED)
    peer.flood(b"ffff\r\n" + b" " * 0xFFFF + b"\r\n")


def too_large(peer):
    peer.send(peer.answer(b" " * (MAX_DOCUMENT_BYTES + 1)))


def lying_length(peer):
    peer.send(peer.answer(b" ", length=10**12))
    peer.flood(b" " * 65_536)


def bomb(peer):
    peer.send(peer.answer(BOMB, "Content-Encoding: gzip"))


def truncated(peer):
    peer.send(peer.answer(b'{"keys": [', length=1_000))


def not_http(peer):
    peer.send(b"220 mail.example ESMTP\r\n\r\n")


def not_json(peer):
    peer.send(peer.answer(b"<html>"))


def not_an_object(peer):
    peer.send(peer.answer(b"[]"))


def nothing_in_it(peer):
    peer.send(peer.answer(b"{}"))


def deep(peer):
    peer.send(peer.answer(b'{"a":' * 100_000))


def redirect(peer):
    elsewhere = f"Location: http://127.0.0.1:{peer.server.port}/elsewhere"
    peer.send(peer.answer(b"", elsewhere, status="302 Found"))


def server_error(peer):
    peer.send(peer.answer(b"{}", status="500 Internal Server Error"))


FAULTS = [
    *(never_answer, drip_the_headers, drip_the_body, close_at_once, reset, endless_body),
    *(too_large, lying_length, bomb, truncated, not_http, not_json, not_an_object),
    *(nothing_in_it, deep, redirect, server_error),
]


SLOW = [never_answer, drip_the_headers, drip_the_body]


class Publisher:
    """Publishes good documents, until a fault is put in their place."""

    def __init__(self, serve):
        self.fault = None
        self.server = serve(self.play)
        self.issuer = f"http://127.0.0.1:{self.server.port}"
        self.transport = RequestsTransport(
            max_response_bytes=MAX_DOCUMENT_BYTES, connect_timeout=PATIENCE
        )
        self.clock = FakeClock()

    def play(self, peer):
        while request := peer.read():
            if self.fault is not None:
                self.fault(peer)
                return
            path = request[0].split()[1].decode()
            peer.send(peer.answer(json.dumps(self.document(path)).encode()))

    def document(self, path):
        """Return what stands at a path."""
        if path == "/jwks":
            return {"keys": [_jose.public_jwk(KEY)]}
        if path == "/introspect":
            return {"active": False}
        return {
            "issuer": self.issuer,
            "introspection_endpoint": f"{self.issuer}/introspect",
            "jwks_uri": f"{self.issuer}/jwks",
        }

    def use(self, what, fault=None):
        """Return a function that needs one of the two documents, and what it then returns.

        Only a fault that lasts until the deadline needs one that is near.
        """
        timeout = SECONDS if fault in SLOW else PATIENCE
        options = {"transport": self.transport, "clock": self.clock, "timeout": timeout}
        if what == "metadata":
            metadata = IssuerMetadata(self.issuer, **options)
            return metadata.jwks_uri, f"{self.issuer}/jwks"
        keys = FetchedKeySet(f"{self.issuer}/jwks", **options)
        token = _jose.parse(_jose.sign({"sub": "u1"}, KEY))
        return lambda: keys.verify(token, frozenset({"ES256"})).generation, 1


@pytest.fixture
def publisher(serve):
    """Return a publisher on a port of its own."""
    made = Publisher(serve)
    yield made
    made.transport.close()


@pytest.mark.parametrize("what", ["metadata", "keys"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_with_nothing_to_serve(publisher, what, fault):
    """503 in time, few bytes, nothing kept; right again after the cooldown."""
    use, expected = publisher.use(what, fault)
    publisher.fault = fault
    started = time.monotonic()
    with pytest.raises(AuthServiceUnavailable) as caught:
        use()
    assert time.monotonic() - started < SECONDS + SLACK
    assert publisher.server.sent < MAX_DOCUMENT_BYTES + BUFFERED
    requests = len(publisher.server.requests)
    with pytest.raises(AuthServiceUnavailable) as again:
        use()
    assert (caught.value.reason, requests) == (again.value.reason, len(publisher.server.requests))
    assert not [head for head, _ in publisher.server.requests if b"elsewhere" in head]
    publisher.fault = None
    publisher.clock.advance(30)

    assert expected == use()


@pytest.mark.parametrize("what", ["metadata", "keys"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_with_a_good_document(publisher, what, fault):
    """The good one serves on, within half the time there is; then the server is right again."""
    use, expected = publisher.use(what, fault)
    assert expected == use()
    publisher.fault = fault
    publisher.server.hang_up()
    publisher.clock.advance(4_000)
    started = time.monotonic()
    assert expected == use()
    assert time.monotonic() - started < SECONDS / 2 + SLACK
    publisher.fault = None
    publisher.clock.advance(60)

    assert expected == use()


def chunked(peer, body):
    half = len(body) // 2
    peer.send(CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:half], body[half:])))
    peer.send(b"0\r\n\r\n")


def zipped(peer, body):
    peer.send(peer.answer(gzip.compress(body), "Content-Encoding: gzip"))


def until_closed(peer, body):
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n\r\n" + body)
    peer.sock.close()


@pytest.mark.parametrize("what", ["metadata", "keys"])
@pytest.mark.parametrize("form", [chunked, zipped, until_closed], ids=lambda f: f.__name__)
def test_an_odd_form_is_no_fault(publisher, what, form):
    """Chunked, compressed unasked, or ended by closing: real servers do each (RULES 24)."""
    use, expected = publisher.use(what)

    def play(peer):
        path = publisher.server.requests[-1][0].split()[1].decode()
        form(peer, json.dumps(publisher.document(path)).encode())

    publisher.fault = play

    assert expected == use()


@pytest.mark.parametrize("fault", [never_answer, drip_the_body], ids=lambda f: f.__name__)
def test_discovery_and_question_end_at_one_deadline(publisher, fault):
    """Metadata that drips leaves no second helping of time for the question (RULES 22)."""
    publisher.fault = fault

    def seconds():
        client = IntrospectionClient.from_issuer(
            publisher.issuer, client_auth=ClientSecretBasic("a", "b"), timeout=SECONDS
        )
        started = time.monotonic()
        with pytest.raises(AuthServiceUnavailable) as caught:
            client.introspect("token")
        assert "deadline" == caught.value.reason
        client.close()
        return time.monotonic() - started

    # Twice, as the machine may stand still once.
    assert SECONDS - 0.05 < min(seconds(), seconds()) < 1.8 * SECONDS


def test_metadata_that_hangs_leaves_time_for_the_question(publisher):
    """A refresh of what is known takes half of it at most, and the question is answered."""
    client = IntrospectionClient.from_issuer(
        publisher.issuer,
        client_auth=ClientSecretBasic("a", "b"),
        timeout=3 * SECONDS,
        clock=publisher.clock,
    )
    client.introspect("token")
    publisher.clock.advance(4_000)

    def hang_at_metadata(peer):
        if b"/.well-known/" in publisher.server.requests[-1][0]:
            peer.hold()
        else:
            peer.send(peer.answer(b'{"active": false}'))

    publisher.fault = hang_at_metadata
    publisher.server.hang_up()
    assert {"active": False} == client.introspect("token")
    client.close()


class Assertion:
    """A client that signs an assertion of its own for each attempt."""

    client_id = "orders"
    methods = ("private_key_jwt",)
    algorithm = "ES256"

    def __init__(self):
        self.made = 0

    def apply(self, request):
        self.made += 1
        form = {**request.form, "client_assertion": f"number-{self.made}"}
        return type(request)(request.method, request.url, headers=request.headers, form=form)


def test_each_attempt_has_an_assertion_of_its_own(serve):
    """A server takes one once (RFC 7523, 3): an attempt that failed may have used it up."""

    def script(peer):
        peer.read()
        if peer.number > 1:
            peer.send(peer.answer(b'{"active": false}'))

    server = serve(script)
    client = IntrospectionClient(server.url, client_auth=Assertion(), retries=1, timeout=PATIENCE)
    assert {"active": False} == client.introspect("token")
    client.close()

    assert [b"number-1", b"number-2"] == [
        body.partition(b"client_assertion=")[2] for _, body in server.requests
    ]


@pytest.mark.parametrize("retries", [0, 2])
def test_attempts_with_assertions_are_bounded(serve, retries):
    """As many as without, and the outage is that of the last."""
    server = serve(lambda peer: peer.read())
    auth = Assertion()
    client = IntrospectionClient(server.url, client_auth=auth, retries=retries, timeout=PATIENCE)
    with pytest.raises(AuthServiceUnavailable) as caught:
        client.introspect("token")
    client.close()

    assert (retries + 1, retries + 1) == (auth.made, len(server.requests))
    assert "connect_failed" == caught.value.reason


def test_nothing_is_tried_again_with_an_assertion_after_an_answer(serve):
    """A status is an answer, whatever it says."""
    server = serve(lambda peer: peer.serve(peer.answer(b"{}", status="503 Busy")))
    auth = Assertion()
    client = IntrospectionClient(server.url, client_auth=auth, retries=2, timeout=PATIENCE)
    with pytest.raises(AuthServiceUnavailable):
        client.introspect("token")
    client.close()

    assert 1 == auth.made
