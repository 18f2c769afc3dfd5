"""What a server can do wrong, and what then becomes of a token: one table (RULES 20 to 25).

Each row is met by an `IntrospectionVerifier` through the real transport: for the first time, with
an earlier acceptance that is due, with one that has ended, and with nothing but the question how
the server is treated afterwards.
"""

import gzip
import json
import socket
import threading
import time
from dataclasses import dataclass

import pytest

from tokenward._http.transport import MAX_HEADER_BYTES
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    InvalidClaim,
    InvalidToken,
    TokenExpired,
)
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.testing import FakeClock

NOW = 1_700_000_000
TOKEN = "opaque-token"
TTL = 60
CAP = 65_536  # the client's default
BUFFERED = 1_000_000  # what the two ends of a loopback connection take without anybody reading
SLACK = 55.0  # seconds for which a machine may stand still
PATIENCE = 120  # seconds for what is answered at once
CLAIMS = {"active": True, "sub": "u1", "aud": "orders", "exp": NOW + 3_600}
GOOD = json.dumps(CLAIMS).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b" " * 50_000_000)


@dataclass(frozen=True)
class Fault:
    """What the server does, and what comes of it.

    Attributes:
        name: Of the row.
        commit: Plays the server's part of one exchange, on the `Peer` it is given; ``None``: the
            TLS handshake is never finished.
        reason: Of the outage, or of the refusal if it is a verdict.
        counts: Whether it counts for the breaker.
        slow: Whether it lasts until the deadline.
        retry_after: What the caller is told.
        verdict: The refusal, where the server's answer is one and no fault.
        remembered: Whether a verdict is cached.
    """

    name: str
    commit: object
    reason: str = "bad_response"
    counts: bool = True
    slow: bool = False
    retry_after: float = 1
    verdict: type[AuthError] | None = None
    remembered: bool = True


# --- how faults are committed


def saying(body=GOOD, *headers, status="200 OK", content_type="application/json"):
    """Return a part that says this, with the right length, on a connection that is kept."""

    def commit(peer):
        peer.read()
        answer = peer.answer(body, *headers, status=status)
        peer.send(answer.replace(b"application/json", content_type.encode(), 1))

    return commit


def sending(*pieces):
    """Return a part that sends these bytes as they are, and closes."""

    def commit(peer):
        peer.read()
        for piece in pieces:
            peer.send(piece)

    return commit


def dripping(start, drops):
    """Return a part that sends the start at once and the rest one byte at a time."""

    def commit(peer):
        peer.read()
        peer.send(start)
        peer.drip(drops * 1_000)

    return commit


def flooding(start, chunk):
    """Return a part that sends the start once and the chunk for ever."""

    def commit(peer):
        peer.read()
        peer.send(start)
        peer.flood(chunk)

    return commit


def holding(peer):
    peer.read()
    peer.hold()


def resetting(peer):
    peer.read()
    peer.reset()


def resetting_in_the_body(peer):
    peer.read()
    peer.send(peer.answer(GOOD[:10], length=len(GOOD)))
    peer.drip(b"  ")
    peer.reset()


def truncating(peer):
    peer.read()
    peer.send(peer.answer(GOOD[:-1], length=len(GOOD)))


def redirecting(status):
    """Return a part that redirects to the same server, with an answer that would be accepted."""
    return saying(GOOD, "Location: /introspect/", status=f"{status} Moved")


def redirecting_elsewhere(peer):
    peer.read()
    location = f"Location: {peer.server.elsewhere.url}"
    peer.send(peer.answer(GOOD, location, status="307 Temporary Redirect"))


def but(**claims):
    """Return the good answer with other claims; without those that are ``...``."""
    return json.dumps({k: v for k, v in (CLAIMS | claims).items() if v is not ...}).encode()


def holding_also(value):
    """Return the good answer with one more claim, of this JSON text."""
    return GOOD[:-1] + b',"nickname":' + value + b"}"


# --- the table

BROKEN_HTTP = [
    Fault("malformed status line", sending(b"HTTP/1.1 two hundred\r\n\r\n")),
    Fault("no HTTP", sending(b"SSH-2.0-OpenSSH_9.6\r\n")),
    Fault("HTTP/2 preface", sending(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")),
    Fault("NUL bytes", sending(b"\x00" * 100)),
    Fault("malformed chunk size", sending(CHUNKED, b"zz\r\n", GOOD), "truncated"),
    Fault("switching protocols", sending(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")),
    Fault("one endless header", flooding(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65_536)),
    Fault("truncated body", truncating, "truncated"),
    Fault("no last chunk", sending(CHUNKED, b"10\r\n"), "truncated"),
    Fault("reset before the answer", resetting, "connect_failed"),
    Fault("closed before the answer", sending(), "connect_failed"),
    Fault("reset in the body", resetting_in_the_body, "truncated"),
    Fault("unknown encoding", saying(GOOD, "Content-Encoding: br"), "bad_encoding"),
    Fault("false encoding", saying(GOOD, "Content-Encoding: gzip"), "bad_encoding"),
]
SLOW = [
    Fault("says nothing", holding, "deadline", slow=True),
    Fault("status line drip", dripping(b"", b"HTTP/1.1 200 OK\r\n"), "deadline", slow=True),
    Fault("header drip", dripping(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"), "deadline", slow=True),
    Fault(
        "body drip",
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
        "deadline",
        slow=True,
    ),
    Fault("chunk drip", dripping(CHUNKED, b"1\r\n \r\n"), "deadline", slow=True),
    Fault("TLS stall", None, "deadline", slow=True),
]
# What a server says of a token is its sender's to lengthen: that says nothing of the server.
HUGE = [
    Fault(
        "huge body",
        flooding(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", b" " * 65_536),
        "too_large",
        counts=False,
    ),
    Fault(
        "endless body",
        flooding(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65_536),
        "too_large",
        counts=False,
    ),
    Fault("endless chunks", flooding(CHUNKED, b"1\r\n \r\n" * 5_000), "too_large", counts=False),
    Fault(
        "endless headers",
        flooding(b"HTTP/1.1 200 OK\r\n", b"X-Padding: " + b"x" * 8_000 + b"\r\n"),
        "too_large",
        counts=False,
    ),
    Fault(
        "endless interim answers",
        flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
        "too_large",
        counts=False,
    ),
    Fault("gzip bomb", saying(BOMB, "Content-Encoding: gzip"), "too_large", counts=False),
    Fault("one byte too many", saying(GOOD.ljust(CAP + 1)), "too_large", counts=False),
]
OTHER_STATUS = [
    *(Fault(f"{status}", saying(GOOD, status=f"{status} Oops")) for status in (500, 502, 503, 504)),
    Fault("503, later", saying(b"", "Retry-After: 7", status="503 Busy"), retry_after=7),
    Fault("429", saying(b"", status="429 Slow down")),
    Fault("429, later", saying(b"", "Retry-After: 7", status="429 Slow down"), retry_after=7),
    *(
        Fault(f"{status} redirect", redirecting(status), counts=False)
        for status in (301, 302, 303, 307, 308)
    ),
    Fault("redirect elsewhere", redirecting_elsewhere, counts=False),
    *(
        Fault(f"{status}", saying(GOOD, status=f"{status} Odd"), counts=False)
        for status in (204, 206, 400, 402, 404, 405, 410, 413, 415, 418, 422)
    ),
    Fault(
        "400 invalid_request",
        saying(b'{"error":"invalid_request"}', status="400 Bad Request"),
        counts=False,
    ),
    Fault("400 empty", saying(b"", status="400 Bad Request"), counts=False),
    *(
        Fault(
            f"{status} {what}",
            saying(body, status=f"{status} No"),
            "client_refused",
            counts=False,
            retry_after=5,
        )
        for status in (401, 403)
        for what, body in {"empty": b"", "with an answer": GOOD}.items()
    ),
]
NO_ANSWER = [
    Fault("no body", saying(b"")),
    Fault("HTML", saying(b"<html>active</html>")),
    Fault("malformed JSON", saying(GOOD[:-1])),
    Fault("two answers", saying(GOOD + GOOD)),
    Fault("content type HTML", saying(GOOD, content_type="text/html")),
    Fault("content type JWT", saying(GOOD, content_type="application/token-introspection+jwt")),
    Fault("content type empty", saying(GOOD, content_type="")),
    Fault("active missing", saying(but(active=...))),
    *(
        Fault(f"active {value!r}", saying(but(active=value)))
        for value in ("true", "false", 1, 0, None, [True], {})
    ),
    Fault("array", saying(b"[" + GOOD + b"]")),
    Fault("true", saying(b"true")),
    Fault("invalid UTF-8", saying(GOOD.replace(b"u1", b"\xff\xfe"))),
    Fault("UTF-16", saying(GOOD.decode().encode("utf-16"))),
    Fault("byte order mark", saying(b"\xef\xbb\xbf" + GOOD)),
    Fault("array, deep", saying(b"[" * 20_000 + b"]" * 20_000)),
    Fault("lone surrogate, array", saying(b"[" + holding_also(rb'"\ud800"') + b"]")),
    Fault("lone surrogate, malformed", saying(holding_also(rb'"\ud800"')[:-1])),
    Fault("lone surrogate, HTML", saying(holding_also(rb'"\ud800"'), content_type="text/html")),
    Fault("lone surrogate, invalid UTF-8", saying(holding_also(b'"\\ud800\xff"'))),
]
# JSON objects that the strict reader refuses. A claim may be its owner's to choose: that says
# nothing of the server.
ODD_CLAIMS = [
    Fault(name, saying(body), counts=False)
    for name, body in {
        "duplicate members": b'{"active":false,' + GOOD[1:],
        "duplicate members inside": holding_also(b'{"a":1,"a":2}'),
        "NaN": GOOD.replace(str(NOW + 3_600).encode(), b"NaN"),
        "Infinity": GOOD.replace(str(NOW + 3_600).encode(), b"Infinity"),
        "large float": holding_also(b"1e999"),
        "long number": holding_also(b"9" * 100),
        "very long number": holding_also(b"9" * 10_000),
        "nesting": holding_also(b"[" * 40 + b"]" * 40),
        "deep nesting": holding_also(b"[" * 20_000 + b"]" * 20_000),
        "deep nesting, white space": b" \r\n\t" + holding_also(b"[" * 20_000 + b"]" * 20_000),
        "lone surrogate": holding_also(rb'"\ud800"'),
        "lone surrogate as the subject": GOOD.replace(b"u1", rb"\ud800"),
        "control character": holding_also(b'"\x01"'),
    }.items()
]
OUTAGES = [*BROKEN_HTTP, *SLOW, *HUGE, *OTHER_STATUS, *NO_ANSWER, *ODD_CLAIMS]


def refusing(name, reason, commit, kind=InvalidToken, **more):
    return Fault(name, commit, reason, counts=False, verdict=kind, **more)


VERDICTS = [
    refusing("inactive", "inactive", saying(b'{"active":false}')),
    refusing("inactive with claims", "inactive", saying(but(active=False))),
    refusing(
        "unsupported token type",
        "unsupported_token_type",
        saying(b'{"error":"unsupported_token_type"}', status="400 Bad Request"),
    ),
    refusing("token_type MAC", "wrong_type", saying(but(token_type="mac"))),
    refusing("token_type list", "wrong_type", saying(but(token_type=["Bearer"]))),
    refusing("refresh token", "wrong_type", saying(but(token_use="refresh"))),
    refusing("bound to a key", "sender_constrained", saying(but(cnf={"jkt": "x"})), InvalidClaim),
    refusing("no audience", "audience_mismatch", saying(but(aud=...)), InvalidClaim),
    refusing("audience of another", "audience_mismatch", saying(but(aud="billing")), InvalidClaim),
    refusing("exp in the past", "expired", saying(but(exp=NOW - 3_600)), TokenExpired),
    refusing("exp a string", "invalid_time", saying(but(exp="9999999999")), InvalidClaim),
    refusing("sub a number", "no_subject", saying(but(sub=1))),
    refusing(
        "inactive, not to be stored",
        "inactive",
        saying(b'{"active":false}', "Cache-Control: no-store"),
        remembered=False,
    ),
    refusing(
        "not yet valid", "not_yet_valid", saying(but(nbf=NOW + 900)), InvalidClaim, remembered=False
    ),
]
ROWS = [*OUTAGES, *VERDICTS]


def rows(faults):
    return pytest.mark.parametrize("fault", faults, ids=lambda fault: fault.name)


def test_rows_have_names():
    """Each row is told by its name."""
    assert len(ROWS) == len({row.name for row in ROWS})


# --- the server, and what is asked of it


class Moody:
    """A script that answers well, on connections that are kept, but for the fault it is given."""

    fault = None

    def __call__(self, peer):
        while peer.is_asked():
            if self.fault is not None:
                self.fault.commit(peer)
                return
            peer.read()
            peer.send(peer.answer(GOOD))


class Store:
    """A shared cache in the process."""

    secrets = ("a secret of more than 16 bytes",)

    def __init__(self):
        self.kept = {}

    def get_many(self, keys):
        return [self.kept.get(key) for key in keys]

    def set(self, key, value, *, ttl):
        self.kept[key] = value

    def delete(self, key):
        self.kept.pop(key, None)


class Scene:
    """A server, a verifier of it, and what one verification came to."""

    def __init__(self, serve, serve_tls, authority, fault, **options):
        self.fault = fault
        self.moody = Moody()
        stalls = fault.commit is None
        self.server = (serve_tls if stalls else serve)(self.moody)
        self.server.elsewhere = serve(Moody()) if fault.commit is redirecting_elsewhere else None
        self.client = IntrospectionClient(
            self.server.url,
            client_auth=ClientSecretBasic("orders", "secret"),
            timeout=PATIENCE,
            connect_timeout=PATIENCE,
            verify_tls=authority.path if stalls else True,
            breaker_failures=options.pop("breaker_failures", 1_000),
        )
        self.clock = FakeClock(NOW)
        self.store = Store()
        self.verifier = IntrospectionVerifier(
            self.client,
            audience="orders",
            ttl=TTL,
            clock=self.clock,
            shared_cache=self.store,
            **options,
        )

    def commit(self):
        """Let the server commit the fault from now on."""
        if self.fault.slow:
            self.client.timeout = 0.3
        if self.fault.commit is None:
            self.server.stalls = True
            self.server.hang_up()  # a connection that is kept has its handshake behind it
        else:
            self.moody.fault = self.fault

    def behave(self):
        """Let the server answer well from now on."""
        self.client.timeout = PATIENCE
        self.moody.fault = None
        self.server.stalls = False

    @property
    def asked(self):
        return len(self.server.requests)

    def verify(self, token=TOKEN, **options):
        """Return the principal or the error, within the bounds of time and bytes."""
        began, sent = time.monotonic(), self.server.sent
        try:
            outcome = self.verifier.verify(token, **options)
        except AuthError as error:
            outcome = error
        seconds = time.monotonic() - began
        assert seconds < 1 + SLACK
        assert self.server.sent - sent < CAP + MAX_HEADER_BYTES + BUFFERED
        return outcome


@pytest.fixture
def scene(serve, serve_tls, authority, pauses, request):
    """Return a function that sets the scene of a fault."""

    def make(fault, **options):
        scene = Scene(serve, serve_tls, authority, fault, **options)
        request.addfinalizer(scene.verifier.close)
        return scene

    return make


def assert_is(fault, error):
    """Assert that a verification came to what the row says."""
    kind = fault.verdict or AuthServiceUnavailable
    assert (kind, fault.reason) == (type(error), error.reason)
    assert TOKEN not in f"{error!r} {error.hint}"
    if fault.verdict is None:
        assert fault.retry_after == error.retry_after


# --- what comes of each row


@rows(ROWS)
def test_outcome(scene, fault):
    """The right one of the three outcomes, in time, with nothing wrong kept on any level."""
    scene = scene(fault)
    scene.commit()
    assert_is(fault, scene.verify())
    assert scene.asked <= 2  # a failed connection is retried once; an answer is an answer
    assert {} == scene.store.kept
    assert (fault.verdict is not None and fault.remembered) == scene.verifier.stats().entries
    if scene.server.elsewhere is not None:
        assert 0 == scene.server.elsewhere.connections

    scene.behave()
    asked, outcome = scene.asked, scene.verify()
    if fault.reason == "client_refused" or (fault.verdict and fault.remembered):
        assert_is(fault, outcome)
        assert asked == scene.asked
    else:
        assert "u1" == outcome.subject
        assert asked + 1 == scene.asked
        assert 1 == scene.verifier.stats().entries == len(scene.store.kept)


@rows(ROWS)
def test_what_counts(scene, fault):
    """What is the server's failure counts against it; what a caller can bring about does not."""
    scene = scene(fault, breaker_failures=1)
    scene.commit()
    assert_is(fault, scene.verify())
    scene.behave()
    asked, outcome = scene.asked, scene.verify("another-token")

    assert fault.counts == scene.verifier.client.circuit_open
    if fault.counts:
        assert ("circuit_open", asked) == (outcome.reason, scene.asked)
        assert outcome.retry_after > max(1.5, fault.retry_after - 1)
    elif fault.reason == "client_refused":
        assert_is(fault, outcome)
    else:
        assert "u1" == outcome.subject


@rows(ROWS)
def test_an_acceptance_that_is_due(scene, fault):
    """A fault ahead of the end is seen by nobody, and one question finds it; a verdict counts."""
    scene = scene(fault)
    scene.verify()
    scene.verify()
    scene.clock.advance(TTL * 0.95)
    scene.commit()
    asked, outcome = scene.asked, scene.verify()

    if fault.verdict:
        assert_is(fault, outcome)
        return
    assert "u1" == outcome.subject
    asked_now = scene.asked
    assert asked < asked_now or fault.commit is None
    assert {"u1"} == {scene.verify().subject for _ in range(5)}
    assert asked_now == scene.asked
    scene.clock.advance(TTL * 0.05)
    assert_is(fault, scene.verify())


@rows(ROWS)
def test_an_acceptance_that_has_ended(scene, fault):
    """stale_if_error serves it through every fault; never for live, never against a verdict."""
    scene = scene(fault, stale_if_error=600)
    principal = scene.verify()
    kept = dict(scene.store.kept)
    scene.clock.advance(TTL)
    scene.commit()
    outcome = scene.verify()

    if fault.verdict:
        assert_is(fault, outcome)
        assert {} == scene.store.kept
        return
    assert principal == outcome
    assert 1 == scene.verifier.stats().stale_served
    assert kept == scene.store.kept
    assert_is(fault, scene.verify(live=True))
    assert principal == scene.verify()
    scene.clock.advance(600)
    assert_is(fault, scene.verify())


@rows(SLOW)
def test_those_who_wait_for_the_same_token_wait_no_longer(scene, fault):
    """Whoever joins a question under way has the deadline as well, and the same outcome."""
    scene = scene(fault)
    scene.commit()
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(scene.verify())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4 == len(outcomes)
    for outcome in outcomes:
        assert_is(fault, outcome)


def test_an_answer_that_may_not_be_stored(scene):
    """It is an answer, for those who asked, on no level, and the one before ends with it."""
    fault = Fault("no-store", saying(GOOD, "Cache-Control: no-store"))
    scene = scene(fault, stale_if_error=600)
    scene.verify()
    scene.clock.advance(TTL)
    scene.commit()
    assert "u1" == scene.verify().subject
    assert {} == scene.store.kept
    assert 0 == scene.verifier.stats().entries
    scene.moody.fault = Fault("down", resetting)

    assert "connect_failed" == scene.verify().reason


def test_the_server_counts_what_it_sent(serve):
    """In whole chunks, until the client closes: the bound on bytes means something."""
    server = serve(lambda peer: peer.flood(b"x" * 1_000))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        while server.sent < 50_000:
            connection.recv(65_536)
    server.drain()

    assert 0 == server.sent % 1_000
