"""Introspection, as verdicts and as caching: over a stub transport and over a real socket.

RULES 19 to 24 case by case, each with the two ways in. `Stub` hands answers out in the process;
`Socket` is the public fake authorization server on a loopback port.
"""

import copy
import json
import logging
import pickle
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tokenward.claims import ClaimsPolicy
from tokenward.client_auth import BearerAuth, ClientSecretBasic
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidClaim,
    InvalidToken,
    TokenExpired,
)
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier, _replies
from tokenward.principal import Principal
from tokenward.protocols import CachingVerifier, Request, Response, TokenVerifier
from tokenward.testing import FakeAuthorizationServer, FakeClock

NOW = 1_700_000_000
TOKEN = "opaque-SECRET-token"
JSON = {"content-type": "application/json"}
INACTIVE = {"active": False}


def active(**claims):
    """Return what a server says of a good token."""
    known = {"active": True, "sub": "u1", "aud": "orders", "exp": NOW + 600}
    return {k: v for k, v in (known | claims).items() if v is not ...}


class Stub:
    """A transport in the process; unless told otherwise it says inactive."""

    endpoint = "https://as.example/introspect"

    def __init__(self):
        self.queue = []
        self.sent = []
        self.unreadable = []

    def send(self, request, *, deadline):
        self.sent.append(request)
        answer = self.queue.pop(0) if self.queue else _answer(INACTIVE)
        if isinstance(answer, AuthServiceUnavailable):
            raise answer
        status, headers, body = answer
        return Response(status, headers, body)

    def close(self):
        self.sent.append("closed")

    def report_unreadable(self, url):
        self.unreadable.append(url)

    def say(self, content=b"", *, status=200, headers=JSON, times=1):
        """Answer the next calls with `content`."""
        self.queue += [_answer(content, status, headers)] * times

    def go_down(self, times=1):
        """Let the next calls fail."""
        self.queue += [AuthServiceUnavailable("down", reason="connect_failed")] * times

    @property
    def calls(self):
        """The forms that came."""
        return [r.form for r in self.sent if isinstance(r, Request)]

    def client(self, **options):
        """Return a client of this server."""
        known = {"client_auth": ClientSecretBasic("orders", "secret"), "transport": self}
        return IntrospectionClient(self.endpoint, **known | options)


class Socket:
    """The fake authorization server; a token that it did not issue is inactive."""

    def __init__(self, server):
        self.server = server
        self.endpoint = server.introspection_endpoint

    def say(self, content=b"", *, status=200, headers=JSON, times=1):
        """Answer the next calls with `content`."""
        status, headers, body = _answer(content, status, headers)
        self.server.fail(self.endpoint, status=status, times=times, headers=headers, body=body)

    def go_down(self, times=1):
        """Let the next calls fail."""
        self.server.fail(self.endpoint, status=503, times=times)

    @property
    def calls(self):
        """The forms that came."""
        return [r.form for r in self.server.requests(self.endpoint)]

    def client(self, **options):
        """Return a client of this server."""
        known = {
            "client_auth": ClientSecretBasic(self.server.client_id, self.server.client_secret),
            "breaker_failures": 1_000,
            "timeout": 120,
        }
        return IntrospectionClient(self.endpoint, **known | options)


def _answer(content, status=200, headers=JSON):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return status, headers, body


@pytest.fixture(params=["stub", "socket"])
def server(request):
    """Return a server that says what the test tells it to."""
    if request.param == "stub":
        yield Stub()
        return
    with FakeAuthorizationServer(audience="orders") as fake:
        yield Socket(fake)


@pytest.fixture
def stub():
    """Return a server in the process, for what does not depend on HTTP."""
    return Stub()


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def make(clock):
    """Return a function that makes a verifier of a server; each is closed at the end."""
    made = []

    def make(server, *, client=None, **options):
        known = {"audience": "orders", "clock": clock}
        made.append(IntrospectionVerifier(client or server.client(), **known | options))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


@pytest.fixture(autouse=True)
def _every_line_is_logged(monkeypatch):
    """Start each test with a log that has said nothing this minute."""
    monkeypatch.setattr(_replies._seldom, "_last", {})


def refused(verifier, token=TOKEN, **options):
    """Return the error with which a token is refused."""
    with pytest.raises(AuthError) as caught:
        verifier.verify(token, **options)
    assert token not in _everything(caught.value)
    return caught.value


def _everything(error):
    """Return all that can be seen of an error and of what led to it."""
    seen, texts = error, []
    while seen is not None:
        texts += [str(seen), repr(seen), str(vars(seen))]
        seen = seen.__cause__ or seen.__context__
    return "\n".join([*texts, *traceback.format_exception(error)])


def outage(verifier, reason=None, **options):
    """Assert that a token cannot be judged; return the error."""
    error = refused(verifier, **options)
    assert AuthServiceUnavailable is type(error)
    assert reason in (None, error.reason)
    return error


# --- the three outcomes (RULES 20)


def test_active(server, make):
    """JSON true, and claims that fit: a principal with what the server said."""
    said = active(scope="a b", client_id="web", username="ada", iss="https://as.example")
    server.say(said)

    expected = Principal(
        "u1",
        issuer="https://as.example",
        scopes=["a", "b"],
        client_id="web",
        username="ada",
        expires_at=NOW + 600,
        claims=said,
    )
    assert expected == make(server).verify(TOKEN)


@pytest.mark.parametrize("more", [{}, {"sub": "u1", "exp": NOW + 600, "aud": "orders"}])
def test_inactive(server, make, more):
    """JSON false is a refusal, whatever else the server says."""
    server.say(INACTIVE | more)
    error = refused(make(server))

    assert (InvalidToken, "inactive") == (type(error), error.reason)


@pytest.mark.parametrize(
    "body",
    [
        {"sub": "u1"},
        active(active="true"),
        active(active="false"),
        active(active=1),
        active(active=0),
        active(active=None),
        active(active=[True]),
        {},
        [],
        True,
        "active",
        b"",
        b"true",
        b"<html>active</html>",
        b'{"active":true,"active":true,"sub":"u1","aud":"orders"}',
        b'{"active":true,"sub":"u1","aud":"orders","exp":NaN}',
        b'\xef\xbb\xbf{"active":true,"sub":"u1","aud":"orders"}',
        b'{"active":true,"sub":"\\ud800","aud":"orders"}',
        b'{"active":false',
        json.dumps(INACTIVE).encode("utf-16"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("earlier", [False, True], ids=["cold", "expired-entry"])
def test_what_is_no_answer_is_an_outage(server, make, clock, body, earlier):
    """It never means inactive, and it is never cached: the next answer counts."""
    verifier = make(server, ttl=10)
    if earlier:
        server.say(active())
        verifier.verify(TOKEN)
        clock.advance(10)
    server.say(body)
    outage(verifier, "bad_response")
    server.say(active())

    assert "u1" == verifier.verify(TOKEN).subject
    assert 2 + earlier == len(server.calls)


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "text/plain", "", "application/jwt", "application/jsonp", "text/json", "json"],
)
def test_other_content_types_are_an_outage(server, make, content_type):
    """A proxy's page that happens to parse is no verdict."""
    verifier = make(server)
    server.say(active(), headers={"content-type": content_type} if content_type else {})
    outage(verifier, "bad_response")
    server.say(active())

    assert "u1" == verifier.verify(TOKEN).subject


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_parameters_of_the_content_type(server, make, content_type):
    """A charset and another case are the same type (RFC 9110, section 8.3.1)."""
    server.say(active(), headers={"content-type": content_type})

    assert "u1" == make(server).verify(TOKEN).subject


@pytest.mark.parametrize(
    "status", [201, 202, 204, 300, 301, 302, 303, 307, 308, 400, 402, 404, 405, 406, 410, 429]
)
@pytest.mark.parametrize("body", [active(), INACTIVE], ids=["active", "inactive"])
def test_other_statuses_are_an_outage(server, make, status, body):
    """Only a 200 carries a verdict, whatever the body of another says."""
    verifier = make(server)
    headers = JSON | {"location": server.endpoint}
    server.say(b"" if status == 204 else body, status=status, headers=headers)
    outage(verifier, "bad_response")
    assert 1 == len(server.calls)
    server.say(active())

    assert "u1" == verifier.verify(TOKEN).subject


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
def test_server_errors_are_an_outage(server, make, status):
    """A 5xx is nobody's verdict, and is asked about again at once."""
    verifier = make(server)
    server.say(INACTIVE, status=status)
    outage(verifier)
    server.say(active())

    assert "u1" == verifier.verify(TOKEN).subject


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_passed_on(stub, make, status):
    """What the server asks for, our caller is asked for."""
    stub.say(status=status, headers={"retry-after": "17"})

    assert 17 == outage(make(stub)).retry_after


def test_transport_failures_are_an_outage(server, make):
    """A server that cannot be reached is never cached as anything."""
    verifier = make(server)
    server.go_down(times=3)
    for _ in range(3):
        outage(verifier)
    server.say(active())

    assert ("u1", 4) == (verifier.verify(TOKEN).subject, len(server.calls))


def test_nobody_listens(make):
    """A server that is down stops no start; its tokens are an outage (RULES 50)."""
    with FakeAuthorizationServer(audience="orders") as fake:
        client = Socket(fake).client(retries=0)
        token = fake.token(opaque=True)
    verifier = make(None, client=client, clock=time.time)

    assert "connect_failed" == outage(verifier, token=token).reason


@pytest.mark.parametrize("body", [b"", b"<html>", json.dumps({"error": "x"}).encode()])
@pytest.mark.parametrize("status", [401, 403])
def test_our_credentials_are_refused(server, make, caplog, status, body):
    """401 and 403 are about us, whatever the body: 503, one ERROR, and a pause."""
    verifier = make(server)
    server.say(active())
    verifier.verify("cached-token")
    server.say(body, status=status, headers={}, times=1 if status == 401 else 2)
    with caplog.at_level(logging.DEBUG, "tokenward"):
        first = outage(verifier, "client_refused")
        again = [outage(verifier, "client_refused", token=t) for t in (TOKEN, f"{TOKEN}-2")]

    assert [5.0] * 3 == [e.retry_after for e in (first, *again)]
    # After a 403, one question about a token that nobody has: do they still take us?
    assert (2 if status == 401 else 3) == len(server.calls)
    assert 1 == len([r for r in caplog.records if r.levelno == logging.ERROR])
    assert TOKEN not in caplog.text
    assert "u1" == verifier.verify("cached-token").subject


def test_a_token_that_is_forbidden_stops_no_other(server, make):
    """A firewall may answer 403 to what a token looks like: that is about this token alone."""
    verifier = make(server)
    server.say(active())
    verifier.verify("good")
    for number in range(3):
        server.say(b"<html>", status=403, headers={})
        server.say(INACTIVE)
        error = outage(verifier, "client_refused", token=f"../../etc/passwd-{number}")
        assert "takes our credentials" in error.hint
    server.say(active())

    assert "u1" == verifier.verify("another").subject
    # "good", "another", and three that were made up.
    assert 5 == len({form["token"] for form in server.calls if "etc" not in form["token"]})


def test_credentials_are_tried_again_after_the_pause(stub, make, monkeypatch):
    """Five seconds later the server is asked again: somebody may have mended it."""
    verifier, start = make(stub), time.monotonic()
    stub.say(status=401, headers={})
    monkeypatch.setattr(time, "monotonic", lambda: start)
    outage(verifier, "client_refused")
    monkeypatch.setattr(time, "monotonic", lambda: start + 4.9)
    outage(verifier, "client_refused")
    monkeypatch.setattr(time, "monotonic", lambda: start + 5.0)
    stub.say(active())

    assert ("u1", 2) == (verifier.verify(TOKEN).subject, len(stub.calls))


def test_an_unsupported_type_of_token_is_refused(server, make, clock):
    """400 ``unsupported_token_type`` is about this token: refused, and remembered so."""
    verifier = make(server)
    server.say({"error": "unsupported_token_type"}, status=400)
    for _ in range(2):
        error = refused(verifier)
        assert (InvalidToken, "unsupported_token_type") == (type(error), error.reason)
    assert 1 == len(server.calls)
    clock.advance(15)
    server.say(active())

    assert "u1" == verifier.verify(TOKEN).subject


@pytest.mark.parametrize(
    "body",
    [
        {"error": "invalid_request"},
        {"error": ["unsupported_token_type"]},
        ["unsupported_token_type"],
        b"unsupported_token_type",
        b"",
    ],
    ids=repr,
)
def test_any_other_400_is_an_outage_for_this_call(server, make, body):
    """Nothing else in a 400 is a verdict, and nothing of it lasts."""
    verifier = make(server)
    server.say(body, status=400)
    outage(verifier, "bad_response")
    server.say(active())

    assert "u1" == verifier.verify(TOKEN).subject


def test_a_400_may_be_about_our_credentials(server, make, caplog):
    """RFC 6749, section 5.2, allows it: the advice of a 401, and the next call is made."""
    verifier = make(server)
    server.say({"error": "invalid_client"}, status=400)
    error = outage(verifier, "client_refused")
    server.say(active())

    assert "answered 400 invalid_client: check client_id, client_secret" in error.hint
    assert [logging.ERROR] == [record.levelno for record in caplog.records]
    assert "u1" == verifier.verify(TOKEN).subject


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("invalid_request", "400 invalid_request"),
        *((f"bad token {TOKEN}", "400"), (TOKEN, "400"), ("a_token_all_in_small_letters", "400")),
    ],
)
def test_the_code_of_an_error_is_in_the_hint(stub, make, said, shown):
    """And nothing that is no code: servers repeat the token there (RULES 14)."""
    stub.say({"error": said}, status=400)

    assert outage(make(stub), "bad_response").hint.endswith(f" answered {shown}")


def test_unreadable_answers_count_as_failures(stub, make):
    """A 200 that cannot be read is reported to the breaker; a refusal is not (RULES 25)."""
    verifier = make(stub)
    stub.say(b"<html>")
    outage(verifier)
    stub.say(INACTIVE)
    refused(verifier)
    stub.say({"error": "unsupported_token_type"}, status=400)
    refused(verifier, f"{TOKEN}-2")

    assert [stub.endpoint] == stub.unreadable


class _BareTransport:
    """The protocol's two methods and nothing more."""

    def send(self, request, *, deadline):
        return Response(200, JSON, b"{}")

    def close(self):
        """Nothing is open."""


def test_a_transport_needs_two_methods(make):
    """What ours can do beyond the protocol is not asked of yours."""
    verifier = make(None, client=Stub().client(transport=_BareTransport()))

    outage(verifier, "bad_response")


# --- what real servers say (RULES 24)


@pytest.mark.parametrize(
    ("said", "subject"),
    [
        (active(sub=None, client_id="job"), "client:job"),
        (active(sub=..., client_id="job"), "client:job"),
        (active(sub=..., username="ada"), "username:ada"),
        (active(token_type=...), "u1"),
        (active(token_type=None), "u1"),
        (active(token_type="bearer"), "u1"),
        (active(token_type="BEARER"), "u1"),
        (active(typ="Bearer"), "u1"),
        (active(token_use="access_token"), "u1"),
        (active(exp=...), "u1"),
        (active(exp=NOW + 600.5), "u1"),
        (active(nbf=0, iat=0), "u1"),
        (active(aud=["x", "orders"]), "u1"),
        (active(cnf=None, scope=None), "u1"),
    ],
    ids=lambda v: json.dumps(v)[:60],
)
def test_what_real_servers_leave_out(server, make, said, subject):
    """Null or absent members, and types in any case, are no reason to refuse."""
    server.say(said)

    assert subject == make(server).verify(TOKEN).subject


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (active(sub=...), "no_subject"),
        (active(sub=None), "no_subject"),
        (active(aud=...), "audience_mismatch"),
        (active(aud=None), "audience_mismatch"),
        (active(aud="other"), "audience_mismatch"),
        (active(exp=NOW - 30), "expired"),
        (active(exp="1"), "invalid_time"),
        (active(exp=True), "invalid_time"),
        (active(nbf=NOW + 31), "not_yet_valid"),
        (active(iat=NOW + 31), "issued_in_future"),
        (active(iss="https://other.example"), "unknown_issuer"),
        (active(iss=...), "unknown_issuer"),
        (active(cnf={"jkt": "x"}), "sender_constrained"),
        (active(token_type="DPoP"), "wrong_type"),
        (active(token_type="refresh_token"), "wrong_type"),
        (active(token_type=["Bearer"]), "wrong_type"),
        (active(token_type=""), "wrong_type"),
        (active(typ="Refresh"), "wrong_type"),
        (active(typ="Offline"), "wrong_type"),
        (active(typ="ID"), "wrong_type"),
        (active(token_use="refresh_token"), "wrong_type"),
        (active(token_use="id"), "wrong_type"),
        (active(token_use="id_token"), "wrong_type"),
        (active(type="refresh"), "wrong_type"),
        (active(events={}), "wrong_type"),
        (active(at_hash="z"), "wrong_type"),
    ],
    ids=lambda v: json.dumps(v)[:60],
)
def test_active_answers_that_are_refused(server, make, said, reason):
    """Active is not enough: it must be for us, now, and an access token (RULES 12, 21)."""
    said = {"iss": "https://as.example"} | said if reason != "unknown_issuer" else said
    server.say(said)
    error = refused(make(server, issuer="https://as.example"))

    assert isinstance(error, InvalidToken)
    assert reason == error.reason


def test_required_and_check_apply(server, make):
    """The policy's other keywords arrive."""

    def check(claims):
        if claims.get("tenant") != "acme":
            raise InvalidClaim("tenant", "acme", None, reason="wrong_tenant")

    verifier = make(server, required=["scope"], check=check, roles_claim="groups")
    server.say(active())
    assert "claim_missing" == refused(verifier, f"{TOKEN}-1").reason
    server.say(active(scope="a"))
    assert "wrong_tenant" == refused(verifier, f"{TOKEN}-2").reason
    server.say(active(scope="a", tenant="acme", groups=["r"]))

    assert frozenset("r") == verifier.verify("three").roles


def test_issuer_without_iss(server, make):
    """Where the answer carries none, the endpoint stands for the issuer."""
    server.say(active())
    verifier = make(server)

    assert server.endpoint == verifier.verify(TOKEN).issuer == verifier.issuer
    assert "https://as.example" == make(server, issuer="https://as.example").issuer


@pytest.mark.parametrize("opaque", [True, False], ids=["opaque", "jwt"])
def test_a_token_through_the_fake_server(make, opaque):
    """From issue to revocation, as an application's test would have it."""
    with FakeAuthorizationServer(audience="orders") as fake:
        verifier = make(Socket(fake), clock=time.time)
        token = fake.token(sub="ada", scope="orders:read", opaque=opaque)
        who = verifier.verify(token)
        fake.revoke(token)
        cached = verifier.verify(token)
        live = refused(verifier, token, live=True)

    assert ("ada", fake.audience, who) == (who.subject, who.claims["aud"], cached)
    assert "inactive" == live.reason


# --- what is sent (RULES 19, 22)


def test_the_request(stub, make):
    """A POST form; the token in it, in the body and nowhere else."""
    stub.say(active())
    make(stub).verify(TOKEN)
    (request,) = stub.sent

    assert ("POST", stub.endpoint) == (request.method, request.url)
    assert {"token": TOKEN, "token_type_hint": "access_token"} == request.form
    assert {"Accept": "application/json"}.items() <= request.headers.items()
    assert TOKEN not in f"{request.url} {request.headers} {request!r}"


@pytest.mark.parametrize(
    ("hint", "form"),
    [(None, {"token": TOKEN}), ("custom", {"token": TOKEN, "token_type_hint": "custom"})],
)
def test_the_hint(server, make, hint, form):
    """The hint is optional (RFC 7662, section 2.1)."""
    server.say(active())
    make(server, client=server.client(token_type_hint=hint)).verify(TOKEN)

    assert [form] == server.calls


BAD_TOKENS = [
    "",
    " ",
    "a b",
    "a\tb",
    "a\r\nb",
    "a\x00b",
    "a\x7fb",
    "é",
    "\ud800",
    "a\u200b",
    "a" * 16_385,
    b"bytes",
    None,
    5,
    ["a"],
]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=lambda t: ascii(t)[:20])
@pytest.mark.parametrize("live", [False, True])
def test_what_cannot_be_a_token_is_sent_nowhere(stub, make, token, live):
    """1 to 16,384 visible ASCII characters, or InvalidToken without any I/O (RULES 19)."""
    verifier = make(stub)
    for ask in (
        lambda: verifier.verify(token, live=live),
        lambda: verifier.cached(token),
        lambda: verifier.client.introspect(token),
    ):
        with pytest.raises(InvalidToken) as caught:
            ask()
        assert "malformed" == caught.value.reason

    assert ([], 0) == (stub.sent, verifier.stats().entries)


@pytest.mark.parametrize("token", ["a", "a" * 16_384, "!~#$%&'()*+,-./:;<=>?@[]^_`{|}\"\\"])
def test_whatever_may_be_a_token_is_sent(server, make, token):
    """Opaque tokens may hold any visible character, and arrive as they are."""
    server.say(active())
    make(server).verify(token)

    assert token == server.calls[0]["token"]


def test_a_smaller_bound(stub, make):
    """``max_token_bytes`` may be lowered."""
    verifier = make(stub, max_token_bytes=4)

    assert "malformed" == refused(verifier, "abcde").reason
    assert [] == stub.sent


@pytest.mark.parametrize("bound", [16_385, 0, -1, 1.5, "9", None])
def test_a_bound_that_cannot_be_meant(stub, make, bound):
    """No token over 16,384 bytes is sent anywhere, so none is said to be (RULES 19)."""
    with pytest.raises(ConfigurationError, match="max_token_bytes"):
        make(stub, max_token_bytes=bound)


@pytest.mark.parametrize("client", ["https://as.example/introspect", None])
def test_a_verifier_asks_through_a_client(client):
    """A URL alone says nothing of how we authenticate."""
    with pytest.raises(ConfigurationError, match="IntrospectionClient"):
        IntrospectionVerifier(client, audience="orders")


def test_redirects_are_not_followed(make):
    """A token is sent to the configured URL and to no other."""
    with FakeAuthorizationServer() as fake:
        server = Socket(fake)
        server.say(status=307, headers={"Location": fake.issuer + "/elsewhere"})
        error = outage(make(server))

    assert ["/introspect"] == [r.path for r in fake.requests()]
    assert "redirects are not followed" in error.hint


def test_chunked_answers_are_read(make):
    """A server that does not know the length beforehand is read to the end."""
    body = json.dumps(active()).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:7], body[7:])) + b"0\r\n\r\n"

    class Chunked(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(chunks)

        def log_message(self, *_args):
            """Say nothing."""

    Chunked.protocol_version = "HTTP/1.1"
    with HTTPServer(("127.0.0.1", 0), Chunked) as server, ThreadPoolExecutor(1) as threads:
        served = threads.submit(server.handle_request)
        client = IntrospectionClient(
            f"http://127.0.0.1:{server.server_port}/introspect",
            client_auth=ClientSecretBasic("orders", "secret"),
            timeout=120,
        )
        verifier = make(None, client=client)
        assert "u1" == verifier.verify(TOKEN).subject
        verifier.close()
        served.result(120)


# --- caching (RULES 21, 23)


def test_asked_once_per_ttl(server, make, clock):
    """Within ``ttl`` a good token costs nothing; after it, one question."""
    verifier = make(server, ttl=60)
    server.say(active(), times=2)
    first = verifier.verify(TOKEN)
    clock.advance(53.9)
    assert first is verifier.cached(TOKEN) is verifier.verify(TOKEN)
    assert 1 == len(server.calls)
    clock.advance(6.1)
    assert verifier.cached(TOKEN) is None
    verifier.verify(TOKEN)

    assert 2 == len(server.calls)


def test_refusals_are_remembered_shortly(server, make, clock):
    """Within ``negative_ttl`` a bad token costs nothing."""
    verifier = make(server, negative_ttl=15)
    refused(verifier)
    clock.advance(14.9)
    assert "inactive" == refused(verifier).reason
    with pytest.raises(InvalidToken):
        verifier.cached(TOKEN)
    assert 1 == len(server.calls)
    clock.advance(0.1)
    server.say(active())

    assert "u1" == verifier.verify(TOKEN).subject


def test_our_own_refusals_are_remembered_too(server, make):
    """A token for somebody else is not asked about at every request."""
    verifier = make(server)
    server.say(active(aud="other"))
    assert ["audience_mismatch"] * 2 == [refused(verifier).reason for _ in range(2)]

    assert 1 == len(server.calls)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_an_early_token_is_not_remembered(server, make, clock, name):
    """A token that is refused because a clock is a little off is good in a moment."""
    verifier = make(server)
    server.say(active(**{name: NOW + 31}), times=2)
    refused(verifier)
    clock.advance(1)

    assert "u1" == verifier.verify(TOKEN).subject


def test_expiry_ends_an_entry(server, make, clock):
    """An entry ends at ``exp`` if that is before the ttl."""
    verifier = make(server, ttl=60, leeway=0)
    server.say(active(exp=NOW + 10), times=2)
    verifier.verify(TOKEN)
    clock.advance(9.9)
    verifier.verify(TOKEN)
    assert 1 == len(server.calls)
    clock.advance(0.1)
    assert verifier.cached(TOKEN) is None
    error = refused(verifier)

    assert (TokenExpired, 2) == (type(error), len(server.calls))


@pytest.mark.parametrize("exp", [NOW + 10, NOW + 10.7])
def test_within_the_leeway_it_is_answered_and_not_stored(server, make, clock, exp):
    """After ``exp``, a server that still says yes is believed for the leeway, call by call."""
    verifier = make(server, leeway=30)
    server.say(active(exp=exp), times=4)
    verifier.verify(TOKEN)
    clock.advance(11)
    assert ["u1"] * 2 == [verifier.verify(TOKEN).subject for _ in range(2)]
    assert (3, 0) == (len(server.calls), verifier.stats().entries)
    clock.advance(30)

    assert "expired" == refused(verifier).reason


def test_no_store_is_honoured(server, make):
    """An answer that may not be stored is not, good or bad (RFC 9111, section 5.2.2.5)."""
    verifier = make(server)
    for said in (active(), INACTIVE, active(aud="other"), active()):
        server.say(said, headers=JSON | {"cache-control": "private, No-Store"})
        try:
            verifier.verify(TOKEN)
        except InvalidToken:
            assert said != active()

    assert (4, 0) == (len(server.calls), verifier.stats().entries)


def test_an_answer_that_may_not_be_stored_ends_the_one_before(server, make, clock):
    """What was stored earlier is not served beside a newer answer."""
    verifier = make(server)
    server.say(active())
    verifier.verify(TOKEN)
    server.say(INACTIVE, headers=JSON | {"cache-control": "no-store"})
    refused(verifier, live=True)

    assert verifier.cached(TOKEN) is None


def test_no_ttl_asks_every_time(server, make):
    """``ttl=0`` really asks."""
    verifier = make(server, ttl=0)
    server.say(active(), times=3)
    for _ in range(3):
        verifier.verify(TOKEN)

    assert (3, 0) == (len(server.calls), verifier.stats().entries)


def test_live_asks(server, make):
    """``live`` takes no cached decision, good or bad, and its answer is the newest."""
    verifier = make(server)
    server.say(active())
    verifier.verify(TOKEN)
    server.say(INACTIVE)
    refused(verifier, live=True)
    assert "inactive" == refused(verifier).reason
    assert 2 == len(server.calls)
    server.say(active())

    assert "u1" == verifier.verify(TOKEN, live=True).subject
    assert "u1" == verifier.verify(TOKEN).subject
    assert 3 == len(server.calls)


def test_live_during_an_outage(server, make):
    """``live`` is never answered from a cache, even while nobody can be asked."""
    verifier = make(server, stale_if_error=1_000)
    server.say(active())
    verifier.verify(TOKEN)
    server.go_down()
    outage(verifier, live=True)

    assert "u1" == verifier.verify(TOKEN).subject


@pytest.mark.parametrize("jump", [-1, -86_400, 3_600])
def test_a_clock_that_jumps_asks_again(server, make, clock, jump):
    """An entry is valid from when it was stored until it ends, and at no other time."""
    verifier = make(server, ttl=60)
    server.say(active(exp=NOW + 10**6), times=2)
    verifier.verify(TOKEN)
    clock.advance(jump)
    assert verifier.cached(TOKEN) is None
    verifier.verify(TOKEN)

    assert 2 == len(server.calls)


def test_a_clock_that_jumps_back_during_the_call(stub, make, clock):
    """What was stored in a future that never was is not served."""

    class Jumping(Stub):
        def send(self, request, *, deadline):
            clock.advance(-100)
            return super().send(request, deadline=deadline)

    server = Jumping()
    server.say(active(), times=2)
    verifier = make(server)
    verifier.verify(TOKEN)

    assert verifier.cached(TOKEN) is None


def test_the_life_of_an_answer_counts_from_the_question(stub, make, clock):
    """A revocation while a slow answer travels is noticed within ``ttl`` all the same."""

    class Slow(Stub):
        def send(self, request, *, deadline):
            clock.advance(4)
            return super().send(request, deadline=deadline)

    server = Slow()
    server.say(active(), times=2)
    verifier = make(server, ttl=10)
    verifier.verify(TOKEN)
    clock.advance(6)

    assert verifier.cached(TOKEN) is None


def test_tokens_do_not_meet(server, make):
    """Each token has an entry of its own, under a digest of it."""
    verifier = make(server)
    server.say(active(sub="u1"))
    server.say(active(sub="u2"))

    assert ["u1", "u2", "u1", "u2"] == [verifier.verify(t).subject for t in ("a", "b", "a", "b")]
    keys = [*verifier._cache.entries]
    assert [32, 32] == [len(key) for key in keys]
    assert b"a" not in keys


@pytest.mark.parametrize("forget", [lambda v: v.invalidate(TOKEN), lambda v: v.clear()])
def test_forgetting(server, make, forget):
    """`invalidate` and `clear` have the next request ask, after good and bad answers."""
    verifier = make(server)
    server.say(active())
    verifier.verify(TOKEN)
    forget(verifier)
    refused(verifier)
    forget(verifier)
    server.say(active())

    assert ("u1", 3) == (verifier.verify(TOKEN).subject, len(server.calls))


def test_bounds_of_both_caches(stub, make):
    """Refused tokens have a cache of their own and cannot push out good ones."""
    verifier = make(stub, max_entries=5)
    stub.say(active())
    verifier.verify(TOKEN)
    for number in range(50):
        refused(verifier, f"made-up-{number}")

    assert verifier.cached(TOKEN)
    assert (6, 45) == (verifier.stats().entries, verifier.stats().evictions)


# --- stale_if_error (RULES 23)


def test_stale_is_served_during_an_outage(server, make, clock):
    """After ``ttl`` a good answer serves while the server fails, for so long and no longer."""
    verifier = make(server, ttl=60, stale_if_error=100)
    server.say(active())
    verifier.verify(TOKEN)
    clock.advance(60)
    server.go_down(times=9)
    assert ["u1"] * 3 == [verifier.verify(TOKEN).subject for _ in range(3)]
    assert (2, 3) == (len(server.calls), verifier.stats().stale_served)
    clock.advance(99.9)
    assert "u1" == verifier.verify(TOKEN).subject
    clock.advance(0.1)

    outage(verifier)


def test_stale_is_off_by_default(server, make, clock):
    """Without it, an outage is an outage."""
    verifier = make(server, ttl=60)
    server.say(active())
    verifier.verify(TOKEN)
    clock.advance(60)
    server.go_down()

    outage(verifier)


def test_stale_never_outlives_the_token(server, make, clock):
    """Never beyond ``exp``, and the leeway adds nothing."""
    verifier = make(server, ttl=60, stale_if_error=1_000, leeway=30)
    server.say(active(exp=NOW + 70))
    verifier.verify(TOKEN)
    server.go_down(times=2)
    clock.advance(69)
    assert "u1" == verifier.verify(TOKEN).subject
    clock.advance(1)

    outage(verifier)


@pytest.mark.parametrize("said", [INACTIVE, active(aud="other")], ids=["revoked", "refused"])
def test_stale_is_never_negative(server, make, clock, said):
    """A refusal is not stretched, and after one nothing good from before comes back."""
    verifier = make(server, ttl=60, negative_ttl=15, stale_if_error=1_000)
    server.say(active())
    verifier.verify(TOKEN)
    clock.advance(60)
    server.say(said)
    refused(verifier)
    clock.advance(15)
    server.go_down(times=2)

    outage(verifier)
    verifier.invalidate(TOKEN)
    outage(verifier)


def test_stale_is_not_served_after_invalidation(server, make, clock):
    """A token known to be revoked is gone, outage or not."""
    verifier = make(server, ttl=60, stale_if_error=1_000)
    server.say(active())
    verifier.verify(TOKEN)
    clock.advance(60)
    verifier.invalidate(TOKEN)
    server.go_down()

    outage(verifier)


def test_an_answer_that_may_not_be_stored_is_never_stale(server, make, clock):
    """``no-store`` leaves nothing to serve."""
    verifier = make(server, ttl=60, stale_if_error=1_000)
    server.say(active(), headers=JSON | {"cache-control": "no-store"})
    verifier.verify(TOKEN)
    server.go_down()

    outage(verifier)


# --- counting, silence, construction


def test_stats(server, make):
    """What the caches did is counted, and failures upstream beside calls."""
    verifier = make(server)
    server.say(active())
    verifier.verify(TOKEN)
    verifier.verify(TOKEN)
    server.go_down()
    outage(verifier, token=f"{TOKEN}-2")
    refused(verifier, f"{TOKEN}-3")
    refused(verifier, f"{TOKEN}-3")
    stats = verifier.stats()

    assert (1, 1, 3, 3, 1, 2) == (
        stats.hits,
        stats.negative_hits,
        stats.misses,
        stats.upstream_calls,
        stats.upstream_errors,
        stats.entries,
    )


@pytest.mark.parametrize(
    "said",
    [
        {"status": 401},
        {"status": 403},
        {"status": 500},
        {"status": 400},
        {"content": b"<html>"},
        {"content": INACTIVE},
        {"content": active(aud="other")},
        {"content": active(exp=1)},
    ],
    ids=str,
)
def test_no_token_in_logs_or_errors(server, make, caplog, said):
    """At DEBUG, in every failure: neither the token nor our secret (RULES 14, 44)."""
    secret = "S3CRET-of-ours"
    client = server.client(client_auth=BearerAuth(secret))
    verifier = make(server, client=client)
    server.say(said.pop("content", b""), **said)
    with caplog.at_level(logging.DEBUG):
        error = refused(verifier)

    for seen in (caplog.text, _everything(error), repr(client), repr(vars(verifier))):
        assert secret not in seen
        assert TOKEN not in seen


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_neither_is_pickled_or_copied(stub, make, copied):
    """They hold secrets and sockets; a copy would share or leak them (RULES 47)."""
    verifier = make(stub)
    for thing in (verifier, verifier.client):
        with pytest.raises(TypeError, match="make one in each process"):
            copied(thing)


def test_they_are_verifiers(stub, make):
    """The public protocols hold."""
    assert isinstance(make(stub), TokenVerifier)
    assert isinstance(make(stub), CachingVerifier)


def test_close_closes_the_transport(stub, make):
    """Closing reaches the sockets; what is cached serves on."""
    verifier = make(stub)
    stub.say(active())
    verifier.verify(TOKEN)
    verifier.close()

    assert ("closed", "u1") == (stub.sent[-1], verifier.verify(TOKEN).subject)


@pytest.mark.parametrize("said", [None, ["active"], "active", True], ids=str)
def test_a_client_of_your_own_may_return_anything(stub, make, said):
    """What is no mapping is no answer, and nobody is refused for it."""

    class Odd(IntrospectionClient):
        def introspect(self, token):
            return said

    client = Odd(stub.endpoint, client_auth=ClientSecretBasic("orders", "secret"))
    verifier = make(stub, client=client)

    assert f"Odd.introspect returned {type(said).__name__}" in outage(verifier, "bad_response").hint
    assert 0 == verifier.stats().entries


@dataclass
class Record:
    """A transport that compares by what it holds, and so has no hash."""

    closed: int = 0

    def send(self, request, *, deadline):
        raise AuthServiceUnavailable("nobody is asked")

    def close(self):
        self.closed += 1


def test_a_transport_is_closed_once():
    """Also where documents come over it, and whatever makes it equal to others."""
    transport = Record()
    auth = ClientSecretBasic("orders", "secret")
    options = {"client_auth": auth, "transport": transport}
    IntrospectionClient.from_issuer("https://as.example", **options).close()

    assert 1 == transport.closed


def test_client_returns_answers_as_they_are(server):
    """`introspect` has no opinion: inactive is an answer, and nothing is cached."""
    client = server.client()
    for said in (INACTIVE, active(aud="other"), active(token_type="DPoP")):
        server.say(said)
        assert said == dict(client.introspect(TOKEN))
    client.close()

    assert 3 == len(server.calls)


@pytest.mark.parametrize(
    "options",
    [
        {"introspection_endpoint": "http://as.example/introspect"},
        {"introspection_endpoint": "http://127.0.0.1.example/introspect"},
        {"introspection_endpoint": "https://u:p@as.example/introspect"},
        {"introspection_endpoint": "ftp://as.example/introspect"},
        {"introspection_endpoint": "/introspect"},
        {"introspection_endpoint": ""},
        {"verify_tls": False},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": "5"},
        {"timeout": None},
        {"connect_timeout": 0},
        {"retries": -1},
        {"pool_size": 0},
        {"max_response_bytes": 0},
        {"breaker_failures": 0},
        {"breaker_seconds": 0},
    ],
    ids=str,
)
def test_a_client_that_cannot_be_meant(options):
    """What would fail at every request, or send tokens in the clear, fails at the start."""
    known = {
        "introspection_endpoint": "https://as.example/introspect",
        "client_auth": ClientSecretBasic("orders", "secret"),
    } | options
    with pytest.raises(ConfigurationError):
        IntrospectionClient(known.pop("introspection_endpoint"), **known)


@pytest.mark.parametrize("name", ["ttl", "negative_ttl", "max_entries", "stale_if_error", "leeway"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_verifier_that_cannot_be_meant(stub, make, name, value):
    """Numbers that turn a comparison off are refused."""
    with pytest.raises(ConfigurationError):
        make(stub, **{name: value})


def test_audience_must_be_written(stub):
    """No check is turned off by omission."""
    with pytest.raises(TypeError, match="audience"):
        IntrospectionVerifier(stub.client())


def test_defaults_are_the_contract():
    """The documented defaults, kept by name."""
    client = IntrospectionClient.__init__.__kwdefaults__
    verifier = IntrospectionVerifier.__init__.__kwdefaults__
    policy = ClaimsPolicy.__init__.__kwdefaults__

    assert {
        "token_type_hint": "access_token",
        "issuer": None,
        "signed_response_alg": None,
        "jwks_uri": None,
        "timeout": 5.0,
        "connect_timeout": 2.0,
        "retries": 1,
        "verify_tls": True,
        "proxies": None,
        "max_response_bytes": 65_536,
        "pool_size": 10,
        "breaker_failures": 5,
        "breaker_seconds": 2.0,
        "transport": None,
        "clock": time.time,
    } == client
    assert {
        "ttl": 60,
        "negative_ttl": 15,
        "max_entries": 10_000,
        "stale_if_error": 0,
        "max_token_bytes": 16_384,
        "shared_cache": None,
        "revocation_bus": None,
        "clock": time.time,
        "on_event": None,
    } == {k: v for k, v in verifier.items() if k not in policy}
    assert policy.items() >= {k: v for k, v in verifier.items() if k in policy}.items()


def test_no_ttl_asks_after_a_refusal_too(server, make):
    """``ttl=0`` asks every time, whatever was said before."""
    server.say(INACTIVE, times=2)
    server.say(active())
    verifier = make(server, ttl=0)
    refused(verifier)
    refused(verifier)

    assert "u1" == verifier.verify(TOKEN).subject
    assert 3 == len(server.calls)


def test_a_check_that_crashed_is_not_remembered(server, make):
    """It refuses, and the next request asks again: what it needs may be back."""
    down = [ConnectionError("a database"), None]

    def check(_claims):
        error = down.pop(0)
        if error is not None:
            raise error

    server.say(active(), times=2)
    verifier = make(server, check=check)

    assert "check_failed" == refused(verifier).reason
    assert "u1" == verifier.verify(TOKEN).subject


def test_a_query_of_the_endpoint_is_not_shown(stub, make, caplog):
    """It may hold a key; hints, logs and principals do not."""
    stub.endpoint += "?api_key=SECRETKEY"
    stub.say(active())
    stub.say(b"", status=401)
    verifier = make(stub)
    principal = verifier.verify(TOKEN)
    error = outage(verifier, token=TOKEN + "2")

    assert "https://as.example/introspect" == principal.issuer
    assert "SECRETKEY" not in error.hint + caplog.text


@pytest.mark.parametrize("raised", [KeyError, TokenExpired])
def test_a_client_auth_that_fails_is_an_outage(make, raised):
    """A way to authenticate of one's own may raise anything; its text goes nowhere.

    A refusal of a token of ours is none of the caller's, and nothing of it is kept.
    """

    class Broken:
        def apply(self, request, /):
            raise raised("secret-abc")

    stub = Stub()
    verifier = IntrospectionVerifier(stub.client(client_auth=Broken()), audience="orders")
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(TOKEN)

    assert "client_auth" == caught.value.reason
    assert "secret-abc" not in caught.value.hint
    assert caught.value.__context__ is None
    assert ([], 0) == (stub.calls, verifier.stats().entries)


@pytest.mark.parametrize(
    "options", [{"ttl": None}, {"ttl": "60"}, {"negative_ttl": True}, {"max_entries": "x"}]
)
def test_what_is_no_number_stops_the_program(stub, make, options):
    """A configuration error, not a TypeError in the middle."""
    with pytest.raises(ConfigurationError):
        make(stub, **options)
