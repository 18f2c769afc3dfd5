"""A source of tokens in our own name (RFC 6749, section 4.4; RULES 19, 22, 44, 45)."""

import copy
import itertools
import json
import logging
import pickle
import time
import traceback

import pytest

from tokenward.client_auth import (
    BearerAuth,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    MutualTLS,
    PrivateKeyJWT,
)
from tokenward.client_auth.client_credentials import RENEW_AFTER
from tokenward.client_auth.token_endpoint import Grant
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.protocols import Request, Response
from tokenward.testing import FakeAuthorizationServer, FakeClock

# What is logged once a minute is logged once for each endpoint.
NUMBERS = itertools.count()
NOW = 1_700_000_000.0
ENDPOINT = "https://auth.example.com/token"
AUTH = ClientSecretBasic("orders", "hunter2")
JSON = {"content-type": "application/json"}


def granted(token="a-token", **members):
    """Return an answer with a token."""
    said = {"access_token": token, "token_type": "Bearer", "expires_in": 300} | members
    said = {name: value for name, value in said.items() if value is not ...}
    return Response(200, JSON, json.dumps(said).encode())


def refusal(code, status=400):
    """Return an answer by RFC 6749, section 5.2."""
    return Response(status, JSON, json.dumps({"error": code, "error_description": "no"}).encode())


def outage(reason="deadline"):
    return AuthServiceUnavailable("down", reason=reason)


class Wire:
    """A transport that answers with what it was given, the last of it for ever."""

    def __init__(self, *answers):
        self.url = f"https://auth-{next(NUMBERS)}.example.com/token"
        self.answers = list(answers)
        self.requests = []
        self.deadlines = []
        self.unreadable = []
        self.closed = 0

    def send(self, request, *, deadline):
        self.requests.append(request)
        self.deadlines.append(deadline)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, AuthServiceUnavailable):
            raise copy.copy(answer)
        return answer

    def report_unreadable(self, url):
        self.unreadable.append(url)

    def close(self):
        self.closed += 1


@pytest.fixture
def clock():
    """A clock that stands until it is moved."""
    return FakeClock(NOW)


@pytest.fixture
def make(clock):
    """Return a source and the wire under it."""

    def make(*answers, **options):
        wire = Wire(*(answers or [granted()]))
        known = {"client_auth": AUTH, "transport": wire, "clock": clock} | options
        return ClientCredentials(wire.url, **known), wire

    return make


def down(source):
    """Return the outage that asking for a token ends in."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        source()
    return caught.value


# --- what is asked --------------------------------------------------------------------------------


def test_a_token_is_asked_for_by_its_grant(make):
    """A form POST with the grant type, authenticated, and nothing that was not configured."""
    source, wire = make()

    assert "a-token" == source()
    (request,) = wire.requests
    assert ("POST", wire.url) == (request.method, request.url)
    assert {"grant_type": "client_credentials"} == request.form
    assert "application/json" == request.headers["Accept"]
    assert request.headers["Authorization"].startswith("Basic ")


def test_what_the_token_is_for_is_sent_along(make):
    """Scope, audience and resource are one parameter each (RFC 6749, 4.4.2; RFC 8707, 2)."""
    asked = {"scope": "read write", "audience": "api", "resource": "https://api.example/v1?a=b"}
    source, wire = make(**asked)
    source()

    assert {"grant_type": "client_credentials"} | asked == wire.requests[0].form


@pytest.mark.parametrize("resource", ["urn:example:api", "https://api.example", "api:x"])
def test_a_resource_is_any_absolute_uri(make, resource):
    """RFC 8707 asks for a URI, not for a URL."""
    source, wire = make(resource=resource)
    source()

    assert resource == wire.requests[0].form["resource"]


def test_the_deadline_is_the_timeout(make):
    """It is on the monotonic scale."""
    source, wire = make(timeout=7)
    before = time.monotonic()
    source()

    assert before + 7 <= wire.deadlines[0] <= time.monotonic() + 7


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scope": ""}, "scope"),
        ({"scope": ["read"]}, "scope"),
        ({"scope": "read  write"}, "scope"),
        ({"scope": 'read"'}, "scope"),
        ({"scope": "read "}, "scope"),
        ({"scope": "lire\u00e9"}, "scope"),
        ({"audience": ""}, "audience"),
        ({"audience": ["api"]}, "audience"),
        ({"audience": "a\n"}, "audience"),
        ({"resource": ["https://a.example", "https://b.example"]}, "resource"),
        ({"resource": "api.example/v1"}, "resource"),
        ({"resource": "/v1"}, "resource"),
        ({"resource": "https:"}, "resource"),
        ({"resource": "https://["}, "resource"),
        ({"resource": "https://api.example/#part"}, "resource"),
        ({"resource": "https://api.example/#"}, "resource"),
        ({"early": -1}, "early"),
        ({"early": float("nan")}, "early"),
        ({"early": float("inf")}, "early"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"issuer": "https://auth.example.com"}, "one of token_endpoint and issuer"),
    ],
)
def test_what_makes_no_sense_stops_start_up(make, options, says):
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=says):
        make(**options)


@pytest.mark.parametrize("url", ["http://auth.example.com/token", "auth.example.com", "", 7])
def test_a_url_that_must_not_be_called_stops_start_up(url):
    """Tokens and credentials travel over https, or within this machine."""
    with pytest.raises(ConfigurationError, match="token_endpoint"):
        ClientCredentials(url, client_auth=AUTH)
    with pytest.raises(ConfigurationError, match="issuer"):
        ClientCredentials(issuer=url, client_auth=AUTH)


def test_one_of_endpoint_and_issuer_is_needed():
    """Neither is a mistake as much as both."""
    with pytest.raises(ConfigurationError, match="one of token_endpoint and issuer"):
        ClientCredentials(client_auth=AUTH)


def test_no_verification_is_for_this_machine():
    """`verify_tls=False` with a server elsewhere is refused, endpoint or issuer."""
    for options in ({"token_endpoint": ENDPOINT}, {"issuer": "https://auth.example.com"}):
        with pytest.raises(ConfigurationError, match="verify_tls"):
            ClientCredentials(client_auth=AUTH, verify_tls=False, **options)


# --- how long it is used --------------------------------------------------------------------------


def test_a_token_is_kept_until_it_is_due(make, clock):
    """It is renewed `early` seconds before its end, counted from when it was asked for."""
    source, wire = make(granted("one"), granted("two"))
    said = []
    for _ in range(2):
        said.append(source())
        clock.advance(269.9)
        said.append(source())
        clock.advance(0.1)

    assert ["one", "one", "two", "two"] == said
    assert 2 == len(wire.requests)


def test_the_time_the_answer_took_is_not_added(make, clock):
    """The server counts from when it made the token, which is after it was asked."""
    source, wire = make()
    send = wire.send

    def slowly(request, *, deadline):
        clock.advance(100)
        return send(request, deadline=deadline)

    wire.send = slowly
    source()
    clock.advance(169)
    source()
    assert 1 == len(wire.requests)
    clock.advance(2)
    source()
    assert 2 == len(wire.requests)


@pytest.mark.parametrize(
    ("expires_in", "early", "kept"),
    [
        (300, 30, 270),
        (300, 0, 300),
        (300, 280, 150),
        (60, 30, 30),
        (20, 30, 10),
        (1, 30, 0.5),
        (0.5, 30, 0.25),
        (90.5, 30, 60.5),
        (..., 30, 30),
        (None, 0, 60),
    ],
)
def test_a_short_life_is_used_by_half_at_least(make, clock, expires_in, early, kept):
    """Of a lifetime shorter than twice `early` the first half is used; unsaid, it is a minute."""
    source, wire = make(granted(expires_in=expires_in), early=early)
    source()
    clock.advance(kept - 0.01)
    source()
    assert 1 == len(wire.requests)
    clock.advance(0.02)
    source()
    assert 2 == len(wire.requests)


def test_a_clock_that_jumps_back_renews(make, clock):
    """A token from the future is one whose end nobody knows."""
    source, _ = make(granted("one"), granted("two"))
    source()
    clock.advance(-1)

    assert "two" == source()


def test_invalidate_forgets_the_token(make):
    """The next one who asks gets a new one."""
    source, _ = make(granted("one"), granted("two"))

    assert "one" == source()
    source.invalidate()
    assert "two" == source() == source()


def test_a_token_that_was_forgotten_is_not_served_in_an_outage(make, clock):
    """By hand it is gone, however young it is, and not merely old."""
    source, _ = make(granted(), outage())
    source()
    source.invalidate()

    assert "deadline" == down(source).reason


def test_a_refused_token_is_renewed(make, clock):
    """One that has been renewed meanwhile is left alone."""
    source, wire = make(granted("one"), granted("two"))
    source.invalidate("one")
    source()
    clock.advance(RENEW_AFTER)
    source.invalidate("another")
    assert "one" == source()
    source.invalidate("one")
    source.invalidate("one")
    assert "two" == source()
    clock.advance(RENEW_AFTER)
    source.invalidate("one")
    assert "two" == source()
    assert 2 == len(wire.requests)


def test_a_token_that_was_just_renewed_is_not_renewed_again(make, clock):
    """From ten seconds on; the refusal before has left no trace."""
    source, wire = make(granted("one"), granted("two"), granted("three"))
    source.invalidate(source())
    source()
    clock.advance(9.9)
    source.invalidate("two")
    assert "two" == source()
    clock.advance(0.2)
    assert "two" == source()
    source.invalidate("two")

    assert "three" == source()
    assert 3 == len(wire.requests)


def test_a_clock_that_jumps_back_does_not_put_off_a_renewal(make, clock):
    """Nobody knows how long ago the last one was."""
    source, _ = make(granted("one"), granted("two"), granted("three"), granted("four"))
    source.invalidate(source())
    source()
    clock.advance(-3600)
    source.invalidate(source())

    assert "four" == source()


def test_a_service_that_refuses_every_token_costs_one_in_ten_seconds(make, clock):
    """However often it is asked: fifty times within a second, and then for a minute."""
    source, wire = make(*(granted(f"token-{number}") for number in range(60)))
    for _ in range(50):
        source.invalidate(source())
        clock.advance(0.01)
    assert 2 == len(wire.requests)
    for _ in range(600):
        source.invalidate(source())
        clock.advance(0.1)

    assert 7 <= len(wire.requests) <= 8


@pytest.mark.parametrize("broken", [outage(), Response(429, {}, b""), refusal("invalid_client")])
def test_a_refused_token_is_served_while_it_cannot_be_renewed(make, clock, broken):
    """To its real end: one service may refuse what all the others take."""
    source, wire = make(granted(expires_in=3600), broken)
    source()
    clock.advance(60)
    source.invalidate("a-token")

    assert "a-token" == source()
    assert 2 == len(wire.requests)
    clock.advance(3539.9)
    assert "a-token" == source()
    clock.advance(0.1)
    down(source)


def test_further_refusals_bring_no_further_attempts(make, clock):
    """A renewal that failed is put off, longer each time, whoever is refused meanwhile."""
    source, wire = make(granted(expires_in=3600), Response(429, {}, b""))
    source()
    clock.advance(60)
    for _ in range(50):
        source.invalidate("a-token")
        assert "a-token" == source()
    assert 2 == len(wire.requests)
    for _ in range(600):
        clock.advance(0.1)
        source.invalidate("a-token")
        source()

    # Put off by half to a whole of 1, 2, 4, 8, 16 and 30 seconds.
    assert 6 <= len(wire.requests) <= 9


def test_a_refused_token_is_renewed_when_the_server_is_back(make, clock):
    """Without another refusal."""
    source, _ = make(granted("one"), outage(), granted("two"))
    source()
    clock.advance(60)
    source.invalidate("one")
    assert "one" == source()
    clock.advance(1)

    assert "two" == source()


def test_a_refusal_does_not_prolong_a_token(make, clock):
    """Past the middle of its last seconds it is to be renewed anyway."""
    source, _ = make(granted("one"), outage(), granted("two"))
    source()
    clock.advance(290)
    source()
    source.invalidate("one")
    clock.advance(5)

    assert "two" == source()


@pytest.mark.parametrize("broken", [outage(), Response(503, {}, b""), refusal("invalid_client")])
def test_in_an_outage_a_token_is_served_to_its_end(make, clock, broken):
    """It is still good; when it ends, the outage shows."""
    source, wire = make(granted(), broken)
    source()
    for second in (270, 285.5, 299.9):
        clock.advance(NOW + second - clock())
        assert "a-token" == source()
    asked = len(wire.requests)
    clock.advance(0.1)
    down(source)

    assert 4 == asked


def test_after_an_outage_the_server_is_asked_again(make, clock):
    """Not at once: a failed renewal is put off for about a second, and then a little longer."""
    source, wire = make(granted("one"), outage(), granted("two"))
    source()
    clock.advance(270)
    assert ["one", "one", "one"] == [source() for _ in range(3)]
    assert 2 == len(wire.requests)
    clock.advance(1)
    assert "two" == source()


# --- what is answered -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_the_token_type_is_bearer_in_any_case(make, kind):
    """RFC 6749, section 5.1: the value is case insensitive."""
    assert "a-token" == make(granted(token_type=kind))[0]()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (granted(token_type="DPoP"), "the token_type DPoP, not Bearer"),
        (granted(token_type="mac"), "the token_type mac, not Bearer"),
        (granted(token_type=...), "the token_type None, not Bearer"),
        (granted(token_type=7), "the token_type 7, not Bearer"),
        (granted(token_type=["Bearer"]), "token_type"),
        (granted(...), "no access_token"),
        (granted(None), "no access_token"),
        (granted(""), "no access_token"),
        (granted(7), "no access_token"),
        (granted("two words"), "no access_token"),
        (granted("a\r\nb"), "no access_token"),
        (granted("\u00e9"), "no access_token"),
        (granted("a" * 16_385), "no access_token"),
        (granted(expires_in="300"), "expires_in"),
        (granted(expires_in=True), "expires_in"),
        (granted(expires_in=0), "expires_in"),
        (granted(expires_in=-1), "expires_in"),
        (granted(expires_in=[300]), "expires_in"),
        (Response(200, JSON, b'{"access_token": "a", "access_token": "b"}'), "repeated"),
        (Response(200, JSON, b'{"expires_in": NaN}'), "NaN"),
        (Response(200, JSON, b"[]"), "not a JSON object"),
        (Response(200, JSON, b""), "not valid JSON"),
        (Response(200, {"content-type": "text/html"}, granted().body), "text/html"),
        (Response(200, {}, granted().body), "content type"),
    ],
)
def test_an_answer_that_is_none_is_an_outage(make, caplog, answer, says):
    """The answer is read strictly; a bad one is logged, and counted by the transport."""
    source, wire = make(answer)
    error = down(source)

    assert "bad_response" == error.reason
    assert says in error.hint
    assert error.hint.startswith(f"{wire.url} answered 200 with ")
    assert [wire.url] == wire.unreadable
    assert [error.hint] == caplog.messages
    assert ["ERROR"] == [record.levelname for record in caplog.records]


def test_a_token_may_be_as_long_as_any(make):
    """Up to what a verifier takes."""
    assert "a" * 16_384 == make(granted("a" * 16_384))[0]()


def test_a_bad_answer_is_not_kept(make):
    """The next one who asks asks the server."""
    source, _ = make(granted(token_type="mac"), granted())
    down(source)

    assert "a-token" == source()


@pytest.mark.parametrize(
    "answer",
    [
        refusal("invalid_client", 401),
        refusal("invalid_client", 400),
        refusal("access_denied", 403),
        Response(401, {}, b""),
        Response(403, {"content-type": "text/html"}, b"<p>no"),
    ],
)
def test_credentials_that_are_refused_are_not_tried_again_at_once(make, clock, caplog, answer):
    """It is `client_refused`, for five seconds without a call, and one line a minute."""
    source, wire = make(answer, granted())
    first = down(source)
    clock.advance(4.9)
    second = down(source)

    assert ("client_refused", 5.0) == (first.reason, first.retry_after)
    assert ("client_refused", 5.0) == (second.reason, second.retry_after)
    assert "client_id" in first.hint
    assert 1 == len(wire.requests)
    assert [first.hint] == caplog.messages
    assert ["ERROR"] == [record.levelname for record in caplog.records]
    clock.advance(0.1)
    assert "a-token" == source()


def test_a_clock_that_jumps_back_does_not_prolong_the_pause(make, clock):
    """Who knows how long ago it was."""
    source, _ = make(refusal("invalid_client", 401), granted())
    down(source)
    clock.advance(-3600)

    assert "a-token" == source()


def test_a_refusal_is_told_once_a_minute(make, clock, caplog):
    """However often it comes, and again when it is of another kind."""
    source, wire = make(
        refusal("invalid_client", 401), refusal("invalid_client", 401), refusal("invalid_scope")
    )
    for _ in range(3):
        down(source)
        clock.advance(5)

    assert 3 == len(wire.requests)
    assert 2 == len(caplog.messages)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("invalid_request", "check scope"),
        ("invalid_scope", "check scope"),
        ("invalid_target", "check resource"),
        ("unauthorized_client", "client_credentials"),
        ("unsupported_grant_type", "client_credentials"),
        ("invalid_grant", "registration"),
    ],
)
def test_a_mistake_of_the_configuration_is_named(make, clock, caplog, code, says):
    """The RFC's code is the reason, the hint says where to look, and the server gets a pause."""
    source, wire = make(refusal(code), granted())
    first, second = down(source), down(source)

    assert code == first.reason == second.reason
    assert says in first.hint
    assert 1 == len(wire.requests)
    assert [first.hint] == caplog.messages
    clock.advance(5)
    assert "a-token" == source()


@pytest.mark.parametrize(
    ("answer", "says", "told"),
    [
        (refusal("use_dpop_nonce"), "answered 400 use_dpop_nonce", True),
        (refusal("x" * 300), "…", True),
        (refusal("a\nb"), "a\\x0ab", True),
        (refusal(7), "answered 400", True),
        (Response(400, JSON, b"{"), "answered 400", True),
        (Response(404, {}, b""), "answered 404", True),
        (Response(201, JSON, granted().body), "answered 201", True),
        (Response(302, {"location": "https://elsewhere.example/"}, b""), "redirects", True),
        (refusal("invalid_scope", 500), "answered 500 invalid_scope", False),
        (Response(503, {}, b""), "answered 503", False),
        (Response(429, {}, b""), "answered 429", False),
    ],
)
def test_any_other_answer_is_an_outage_for_that_call(make, caplog, answer, says, told):
    """What will not pass by itself is logged; the next call is made."""
    source, _ = make(answer, granted())
    error = down(source)

    assert ("bad_response", 1) == (error.reason, error.retry_after)
    assert says in error.hint
    assert told is bool(caplog.messages)
    assert "a-token" == source()


def test_retry_after_is_passed_on(make):
    """Up to a minute."""
    assert 7 == down(make(Response(503, {"retry-after": "7"}, b""))[0]).retry_after
    assert 60 == down(make(Response(429, {"retry-after": "999999"}, b""))[0]).retry_after


@pytest.mark.parametrize("reason", ["connect_failed", "truncated", "deadline", "tls", "busy"])
def test_a_failure_is_not_tried_again(make, reason):
    """What may be tried again, the transport has tried."""
    source, wire = make(outage(reason), granted())

    assert reason == down(source).reason
    assert 1 == len(wire.requests)


def test_an_authentication_of_your_own_may_fail(make):
    """What it raises becomes an outage."""

    class Broken:
        def apply(self, request, /):
            raise RuntimeError("hunter2")

    source, wire = make(client_auth=Broken())
    error = down(source)

    assert "client_auth" == error.reason
    assert "hunter2" not in error.hint
    assert [] == wire.requests


def test_a_grant_shows_no_token():
    """What the token endpoint said is kept in local variables for a moment."""
    assert "hunter2" not in repr(Grant("hunter2", 300))


def test_a_query_is_in_no_hint(caplog):
    """It may hold a key."""
    source = ClientCredentials(
        "https://auth.example.com/token?key=hunter2",
        client_auth=AUTH,
        transport=Wire(Response(404, {}, b""), granted(token_type="mac")),
    )
    hints = [down(source).hint for _ in range(2)]

    assert ["https://auth.example.com/token"] * 2 == [hint.partition(" ")[0] for hint in hints]
    assert "hunter2" not in caplog.text


# --- the issuer -----------------------------------------------------------------------------------


@pytest.fixture
def server():
    """Run an authorization server."""
    with FakeAuthorizationServer() as fake:
        yield fake


def test_the_endpoint_is_found_by_the_issuer(server):
    """Its metadata is read when the first token is needed, and kept."""
    source = ClientCredentials(
        issuer=server.issuer, client_auth=ClientSecretPost(server.client_id, server.client_secret)
    )
    assert [] == server.requests()
    source()
    source.invalidate()
    source()
    source.close()

    assert 2 == len(server.requests("/token"))
    assert 3 == len(server.requests())


def test_the_endpoint_and_the_token_have_one_deadline():
    """What finding the endpoint took is no longer there for the token."""
    issuer = "https://auth.example.com"
    document = json.dumps({"issuer": issuer, "token_endpoint": issuer + "/token"}).encode()
    wire = Wire(Response(200, JSON, document), granted())
    source = ClientCredentials(issuer=issuer, client_auth=AUTH, transport=wire)
    source()

    assert 2 == len(wire.requests)
    assert issuer == wire.requests[1].issuer
    assert 1 == len(set(wire.deadlines))


def test_the_issuer_is_what_an_assertion_is_addressed_to():
    """With the issuer known, the assertion names it (RFC 7523, section 3)."""
    from tokenward import _jose

    key = _jose.generate_key("EdDSA")
    with FakeAuthorizationServer(client_jwk=_jose.public_jwk(key)) as server:
        auth = PrivateKeyJWT(server.client_id, _jose.to_pem(key), algorithm="EdDSA")
        source = ClientCredentials(issuer=server.issuer, client_auth=auth)
        source()
        source.close()
        (request,) = server.requests("/token")

    assert server_issuer(request) == _jose.parse(request.form["client_assertion"]).claims["aud"]


def server_issuer(request):
    return f"http://{request.headers['host']}"


def test_an_issuer_without_metadata_is_an_outage(server):
    """It never stops start-up, and passes when the issuer is back."""
    server.fail("/.well-known/oauth-authorization-server", status=503)
    source = ClientCredentials(
        issuer=server.issuer, client_auth=ClientSecretBasic(server.client_id, server.client_secret)
    )
    down(source)
    assert [] == server.requests("/token")
    source.close()


def test_metadata_of_a_mebibyte_is_read(server):
    """A document may be larger than what an answer with a token has to be."""
    document = {
        "issuer": server.issuer,
        "token_endpoint": server.token_endpoint,
        "padding": "x" * 500_000,
    }
    server.fail(
        "/.well-known/oauth-authorization-server",
        status=200,
        headers={"Content-Type": "application/json"},
        body=json.dumps(document).encode(),
    )
    auth = ClientSecretBasic(server.client_id, server.client_secret)
    source = ClientCredentials(issuer=server.issuer, client_auth=auth)

    assert source()
    source.close()


def test_mutual_tls_over_http_is_an_outage(server, tmp_path):
    """Where only the metadata shows that there is no TLS, it is told when a token is needed."""
    from authority import Authority

    auth = MutualTLS("orders", *Authority(tmp_path).issue("orders"))
    document = {
        "issuer": server.issuer,
        "token_endpoint": server.token_endpoint,
        "token_endpoint_auth_methods_supported": ["tls_client_auth"],
    }
    server.fail(
        "/.well-known/oauth-authorization-server",
        status=200,
        headers={"Content-Type": "application/json"},
        body=json.dumps(document).encode(),
    )
    source = ClientCredentials(issuer=server.issuer, client_auth=auth)
    error = down(source)
    source.close()

    assert "client_auth" == error.reason
    assert "https" in error.hint
    assert [] == server.requests("/token")


# --- what it is -----------------------------------------------------------------------------------


def test_bearer_auth_takes_a_source(make):
    """It is asked for every request, so that tokens are renewed."""
    source, _ = make(granted("one"), granted("two"))
    auth, request = BearerAuth(source), Request("POST", "https://auth.example.com/introspect")

    assert "Bearer one" == auth.apply(request).headers["Authorization"]
    source.invalidate()
    assert "Bearer two" == auth.apply(request).headers["Authorization"]


def test_bearer_auth_tells_a_source_of_a_refused_token(make, clock):
    """The next request has a new one, or the same as long as there is no other."""
    source, wire = make(granted("one"), outage(), granted("two"), granted("three"))
    auth, request = BearerAuth(source), Request("POST", "https://auth.example.com/introspect")
    sent = []
    for _ in range(3):
        sent.append(auth.apply(request).headers["Authorization"])
        clock.advance(RENEW_AFTER / 2)
        auth.refused()
        sent.append(auth.apply(request).headers["Authorization"])
        clock.advance(RENEW_AFTER / 2)
        auth.refused()

    # One cannot be replaced, and then it can; two is, and three is no other one.
    assert ["one", "one", "two", "three", "three", "three"] == [text[7:] for text in sent]
    assert 5 == len(wire.requests)


@pytest.mark.parametrize(
    ("client_auth", "options", "expected"),
    [
        (AUTH, {}, {"client_id": "orders"}),
        (AUTH, {"scope": "a b"}, {"client_id": "orders", "scope": "a b"}),
        (
            ClientSecretPost('a"b', "hunter2"),
            {"audience": "api", "resource": "api:x"},
            {"client_id": 'a"b', "audience": "api", "resource": "api:x"},
        ),
    ],
)
def test_the_client_is_named_with_what_its_tokens_are_for(make, client_auth, options, expected):
    """So are two tokens of one client told apart; no secret is in it."""
    source, _ = make(client_auth=client_auth, **options)

    assert expected == json.loads(source.client_id)
    assert source.client_id == BearerAuth(source).client_id
    assert "hunter2" not in source.client_id


def test_the_client_is_named_unambiguously(make):
    """What one part says cannot be what another says."""
    names = [
        make(client_auth=ClientSecretBasic(client_id, "s"), **options)[0].client_id
        for client_id, options in [
            ("orders", {}),
            ("orders", {"scope": "api"}),
            ("orders", {"audience": "api"}),
            ("orders", {"resource": "api:x"}),
            ("orders", {"audience": "api:x"}),
            ('orders", "scope": "api', {}),
            ('{"client_id": "orders"}', {}),
        ]
    ]

    assert len(names) == len(set(names))


def test_the_client_of_a_fixed_token_is_named_by_its_digest(make):
    """A token endpoint may take a bearer token too."""
    auth = BearerAuth("hunter2")
    source, _ = make(client_auth=auth)

    assert {"client_id": auth.client_id} == json.loads(source.client_id)
    assert "hunter2" not in source.client_id


def test_a_client_without_a_name_has_none(make):
    """Whatever its tokens are for."""

    class Own:
        def apply(self, request, /):
            return request

    assert make(client_auth=Own(), scope="read")[0].client_id is None


def test_an_outage_of_the_source_keeps_its_reason(make):
    """BearerAuth passes it on."""
    source, _ = make(refusal("invalid_scope"))
    with pytest.raises(AuthServiceUnavailable) as caught:
        BearerAuth(source).apply(Request("GET", "https://auth.example.com/"))

    assert "invalid_scope" == caught.value.reason


def test_no_secret_is_shown(make):
    """The repr names the endpoint without its query, or the issuer."""
    source, wire = make()
    source()
    with_query = ClientCredentials(wire.url + "?key=hunter2", client_auth=AUTH)
    of_issuer = ClientCredentials(issuer="https://auth.example.com", client_auth=AUTH)

    assert f"ClientCredentials('{wire.url}')" == repr(source) == str(source) == repr(with_query)
    assert "ClientCredentials('https://auth.example.com')" == repr(of_issuer)


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_pickled(make, copied):
    """It holds secrets and sockets."""
    with pytest.raises(TypeError, match="each process"):
        copied(make()[0])


@pytest.mark.parametrize(
    "answer",
    [
        granted("hunter2", token_type="mac"),
        granted("hunter2 "),
        granted("hunter2", expires_in=0),
        Response(200, JSON, b'{"access_token": "hunter2", "a": 1, "a": 2}'),
        Response(400, JSON, b'{"error": "invalid_client", "echo": "hunter2"}'),
        Response(500, JSON, b'{"access_token": "hunter2"}'),
    ],
)
def test_no_failure_shows_a_token(make, caplog, answer):
    """Neither the error, nor a local variable of any frame it came through, nor the log."""
    caplog.set_level(logging.DEBUG)
    error = down(make(answer)[0])
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in shown.stack if "/tokenward/" in frame.filename]

    assert ours
    assert error.__context__ is None or error.__suppress_context__
    for text in (error.hint, str(error), caplog.text, *(str(frame.locals) for frame in ours)):
        assert "hunter2" not in text


def test_close_closes_the_transport(make):
    """Idle connections go; asking again is fine."""
    source, wire = make()
    source.close()

    assert 1 == wire.closed
    assert "a-token" == source()
