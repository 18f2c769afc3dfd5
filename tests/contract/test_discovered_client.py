"""`IntrospectionClient.from_issuer`: the endpoint is found, and moves; two ways in (RULES 15, 50).

`Near` is a site in the process; `Far` is the public fake authorization server on a loopback port.
"""

import inspect
import logging
import time

import pytest
from authority import Authority
from sites import Site, down, said

from tokenward.client_auth import BearerAuth, ClientSecretBasic, ClientSecretPost, MutualTLS
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.introspection.options import ClientOptions
from tokenward.metadata import issuer as issuer_module
from tokenward.protocols import Response
from tokenward.testing import FakeAuthorizationServer, FakeClock

ISSUER = "https://as.example"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
OPENID = f"{ISSUER}/.well-known/openid-configuration"
ENDPOINT = f"{ISSUER}/introspect"
ACTIVE = {"active": True, "sub": "user-1", "aud": "orders"}
BASIC = ClientSecretBasic("orders", "secret")


def published(**members):
    """Return the metadata of the site."""
    return {"issuer": ISSUER, "introspection_endpoint": ENDPOINT} | members


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def site():
    """Return a site that finds every token active."""
    return Site(**{METADATA: published(), ENDPOINT: ACTIVE})


@pytest.fixture
def client(site, clock):
    """Return a client of that site."""
    return IntrospectionClient.from_issuer(ISSUER, client_auth=BASIC, transport=site, clock=clock)


@pytest.fixture(autouse=True)
def _every_line_is_logged(monkeypatch):
    """Start each test with a log that has said nothing this minute."""
    monkeypatch.setattr(issuer_module._seldom, "_last", {})


def outage(call, *args):
    with pytest.raises(AuthServiceUnavailable) as caught:
        call(*args)
    return caught.value


# --- found at the first question


def test_nothing_is_asked_before_the_first_question(site, client):
    """Neither to make it nor to name it in logs and to doctors."""
    verifier = IntrospectionVerifier(client, audience="orders")

    assert ("", ISSUER, ISSUER) == (
        client.introspection_endpoint,
        client.shown_endpoint,
        client.server_name,
    )
    assert ("orders", False, ISSUER) == (client.client_name, client.circuit_open, verifier.issuer)
    assert [] == site.asked


def test_the_first_question_finds_the_endpoint(site, client):
    """One document, then questions; the names say what is known."""
    for token in ("a", "b"):
        assert ACTIVE == client.introspect(token)

    assert [METADATA, ENDPOINT, ENDPOINT] == site.asked
    assert (ENDPOINT, ENDPOINT, ISSUER) == (
        client.introspection_endpoint,
        client.shown_endpoint,
        client.server_name,
    )


def test_the_token_goes_to_the_endpoint_alone(site, client):
    """The metadata is asked for without it, and without our credentials."""
    client.introspect("token")
    found, asked = site.sent

    assert ("GET", None, {"Accept": "application/json"}) == (
        found.method,
        found.form,
        found.headers,
    )
    assert "token" == asked.form["token"]
    assert "Authorization" in asked.headers


def test_requests_carry_the_issuer(site, client):
    """An assertion is addressed to it (RFC 7523, section 3)."""
    client.introspect("token")
    IntrospectionClient(ENDPOINT, client_auth=BASIC, issuer=ISSUER, transport=site).introspect(
        "token"
    )
    IntrospectionClient(ENDPOINT, client_auth=BASIC, transport=site).introspect("token")

    assert [ISSUER, ISSUER, None] == [r.issuer for r in site.sent if r.url == ENDPOINT]
    assert 1 == site.asked.count(METADATA)


def test_a_configured_endpoint_is_asked_for_nothing_else(site):
    """The issuer beside it names it, and fetches nothing."""
    client = IntrospectionClient(ENDPOINT, client_auth=BASIC, issuer=ISSUER, transport=site)

    assert (ISSUER, ENDPOINT) == (client.server_name, client.shown_endpoint)
    client.introspect("token")
    assert [ENDPOINT] == site.asked


def test_a_query_is_not_shown(site, client):
    """It may hold a key."""
    site[METADATA] = published(introspection_endpoint=f"{ENDPOINT}?key=hidden")
    site[f"{ENDPOINT}?key=hidden"] = Response(500)

    assert "hidden" not in outage(client.introspect, "token").hint
    assert ENDPOINT == client.shown_endpoint
    assert f"{ENDPOINT}?key=hidden" == client.introspection_endpoint


def test_a_bad_token_is_refused_before_anything_is_asked(site, client):
    """No I/O for what is no token (RULES 19)."""
    with pytest.raises(InvalidToken):
        client.introspect("two words")

    assert [] == site.asked


# --- it moves, it fails


def test_a_moved_endpoint_is_used_after_the_refresh(site, client, clock):
    """And the old one is left alone."""
    client.introspect("token")
    moved = f"{ISSUER}/v2/introspect"
    site[METADATA] = published(introspection_endpoint=moved)
    site[moved] = ACTIVE | {"sub": "user-2"}
    clock.advance(3_600)

    assert "user-2" == client.introspect("token")["sub"]
    assert (moved, moved) == (client.introspection_endpoint, client.shown_endpoint)
    assert [METADATA, ENDPOINT, METADATA, moved] == site.asked


def test_questions_go_on_while_the_metadata_is_down(site, client, clock):
    """The endpoint that is known serves."""
    client.introspect("token")
    site[METADATA] = down()
    for _ in range(3):
        clock.advance(5_000)
        assert ACTIVE == client.introspect("token")


def test_no_metadata_is_an_outage_and_heals_by_itself(site, client, clock):
    """503 with the reason and when to come back; no restart is needed (RULES 50)."""
    site[METADATA] = down("deadline", hint="it hangs")
    errors = [outage(client.introspect, "token") for _ in range(3)]
    assert {("deadline", "it hangs")} == {(e.reason, e.hint) for e in errors}
    assert {10} == {e.retry_after for e in errors}
    assert [METADATA] == site.asked
    site[METADATA] = published()
    clock.advance(10)

    assert ACTIVE == client.introspect("token")


def test_an_outage_of_the_metadata_is_never_a_verdict(site, client, clock):
    """Neither kept nor taken for inactive."""
    verifier = IntrospectionVerifier(client, audience="orders", clock=clock)
    site[METADATA] = published(issuer=f"{ISSUER}/")
    assert "issuer_mismatch" == outage(verifier.verify, "token").reason
    site[METADATA] = published()
    clock.advance(10)

    assert "user-1" == verifier.verify("token").subject


def test_cached_tokens_do_not_care_about_the_metadata(site, client, clock):
    """A hit asks nobody."""
    verifier = IntrospectionVerifier(client, audience="orders", clock=clock, ttl=100_000)
    verifier.verify("token")
    site[METADATA] = site[ENDPOINT] = down()
    clock.advance(80_000)

    assert "user-1" == verifier.verify("token").subject
    assert 2 == len(site.asked)


@pytest.mark.parametrize("endpoint", ["https://10.0.0.1/i", "http://as.example/i", "file:///x", 1])
def test_an_endpoint_that_must_not_be_called(site, client, caplog, endpoint):
    """The token is sent nowhere; one ERROR a minute."""
    site[METADATA] = published(introspection_endpoint=endpoint)
    for _ in range(3):
        outage(client.introspect, "token")

    assert [METADATA] == site.asked
    assert [logging.ERROR] == [record.levelno for record in caplog.records]


@pytest.mark.parametrize(
    ("client_auth", "fits"),
    [
        (ClientSecretBasic("a", "b"), False),
        (ClientSecretPost("a", "b"), True),
        (BearerAuth("t"), True),
    ],
    ids=repr,
)
def test_supported_methods_are_honoured(site, clock, caplog, client_auth, fits):
    """Ours is not offered: the credentials are sent nowhere, and the log says what is."""
    site[METADATA] = published(introspection_endpoint_auth_methods_supported=["client_secret_post"])
    client = IntrospectionClient.from_issuer(
        ISSUER, client_auth=client_auth, transport=site, clock=clock
    )
    if fits:
        assert ACTIVE == client.introspect("token")
        return

    assert "client_auth_unsupported" == outage(client.introspect, "token").reason
    assert [METADATA] == site.asked
    assert "takes client_secret_post" in caplog.text


def test_discovery_and_question_share_one_deadline(site):
    """``timeout`` is for everything together (RULES 22)."""
    client = IntrospectionClient.from_issuer(ISSUER, client_auth=BASIC, transport=site, timeout=3)
    before = time.monotonic()
    client.introspect("token")

    assert 2 == len(site.deadlines)
    assert 1 == len(set(site.deadlines))
    assert before + 3 <= site.deadlines[0] <= time.monotonic() + 3


def test_a_refused_client_is_not_asked_again_at_once(site, client):
    """Not even for the metadata."""
    site[ENDPOINT] = Response(401)
    for _ in range(3):
        assert "client_refused" == outage(client.introspect, "token").reason

    assert [METADATA, ENDPOINT] == site.asked


def test_openid_metadata_will_do(site, client):
    """The second well-known form (OpenID Connect Discovery, section 4)."""
    site[OPENID] = site.pages.pop(METADATA)

    assert ACTIVE == client.introspect("token")
    assert [METADATA, OPENID, ENDPOINT] == site.asked


# --- the arguments


def test_options_are_those_of_the_class():
    """What `from_issuer` takes is what the constructor takes, by name and by type."""
    given = inspect.get_annotations(IntrospectionClient.__init__)
    options = inspect.get_annotations(ClientOptions)
    own = {"introspection_endpoint", "issuer", "client_auth", "return"}

    assert {name: kind for name, kind in given.items() if name not in own} == {
        name: kind if isinstance(kind, str) else kind.__forward_arg__
        for name, kind in options.items()
    }


def test_options_are_passed_on(site):
    """A subclass stays one."""

    class Mine(IntrospectionClient):
        pass

    client = Mine.from_issuer(
        ISSUER, client_auth=BASIC, transport=site, timeout=1.5, token_type_hint=None
    )
    client.introspect("token")

    assert (Mine, 1.5, ISSUER) == (type(client), client.timeout, client.issuer)
    assert {"token": "token"} == site.sent[-1].form


@pytest.mark.parametrize(
    "issuer", ["http://as.example", "as.example", "", f"{ISSUER}?a=b", "https://u:p@as.example", 1]
)
def test_issuers_that_cannot_be_meant(site, issuer):
    """They stop start-up."""
    with pytest.raises(ConfigurationError, match="issuer"):
        IntrospectionClient.from_issuer(issuer, client_auth=BASIC, transport=site)


def test_somebody_must_be_named():
    """An endpoint, or an issuer that has one."""
    with pytest.raises(ConfigurationError, match="issuer"):
        IntrospectionClient(None, client_auth=BASIC)


def test_verify_tls_is_checked_for_the_issuer_too():
    """An issuer elsewhere is never asked without looking at its certificate."""
    with pytest.raises(ConfigurationError, match="verify_tls"):
        IntrospectionClient.from_issuer(ISSUER, client_auth=BASIC, verify_tls=False)


def test_a_certificate_needs_tls(tmp_path, site):
    """Configured, it stops start-up; found, the token is sent nowhere (RFC 8705)."""
    auth = MutualTLS("orders", *Authority(tmp_path).issue("orders"))
    with pytest.raises(ConfigurationError, match="https"):
        IntrospectionClient("http://127.0.0.1/introspect", client_auth=auth)
    here = "http://127.0.0.1:8080"
    near = {"issuer": here, "introspection_endpoint": f"{here}/introspect"}
    site[f"{here}/.well-known/oauth-authorization-server"] = near
    client = IntrospectionClient.from_issuer(here, client_auth=auth, transport=site)

    assert "client_auth" == outage(client.introspect, "token").reason
    assert 1 == len(site.asked)


def test_close_closes_what_it_opened(site, client):
    """One transport of yours is closed once."""
    client.close()

    assert 1 == site.closed


# --- over real sockets


@pytest.fixture
def server():
    """Run an authorization server."""
    with FakeAuthorizationServer(audience="orders") as fake:
        yield fake


@pytest.fixture
def far(server):
    """Return a function that makes clients of that server; each is closed at the end."""
    made = []

    def make(**options):
        auth = ClientSecretBasic(server.client_id, server.client_secret)
        known = {"client_auth": auth, "timeout": 120}
        made.append(IntrospectionClient.from_issuer(server.issuer, **known | options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def paths(server):
    """Return which paths were asked for, in order."""
    return [request.path for request in server.requests()]


OAUTH_PATH = "/.well-known/oauth-authorization-server"
OPENID_PATH = "/.well-known/openid-configuration"


def test_real_discovery(server, far):
    """A token is judged with nothing configured but the issuer."""
    verifier = IntrospectionVerifier(far(), audience="orders")

    assert "user-1" == verifier.verify(server.token(opaque=True)).subject
    with pytest.raises(InvalidToken):
        verifier.verify("unknown")
    assert [OAUTH_PATH, "/introspect", "/introspect"] == paths(server)
    assert server.introspection_endpoint == verifier.client.introspection_endpoint


@pytest.mark.parametrize("status", [401, 403])
def test_a_real_server_that_refuses_us_without_a_word(server, far, status):
    """An empty refusal is about our credentials, discovered or not (RULES 24)."""
    server.fail("/introspect", status=status)

    assert "client_refused" == outage(far().introspect, "token").reason


@pytest.mark.parametrize(
    ("claims", "subject"),
    [
        ({"sub": None, "client_id": "web"}, "client:web"),
        ({"token_type": None}, "user-1"),
        ({"aud": None}, "user-1"),
        ({"exp": None}, "user-1"),
    ],
    ids=str,
)
def test_real_answers_that_leave_something_out(server, far, claims, subject):
    """No ``sub`` on client_credentials, no ``token_type``, no ``aud``, no ``exp`` (RULES 24)."""
    verifier = IntrospectionVerifier(far(), audience=None)

    assert subject == verifier.verify(server.token(opaque=True, **claims)).subject


def test_real_discovery_by_openid(server, far):
    """A server that knows only the other form."""
    server.fail(OAUTH_PATH, status=404)

    assert far().introspect(server.token(opaque=True))["active"] is True
    assert [OAUTH_PATH, OPENID_PATH, "/introspect"] == paths(server)


def test_real_discovery_fails_and_heals(server, far):
    """A failure of the metadata is an outage, without a second form and without a question."""
    clock = FakeClock(time.time())
    client = far(clock=clock)
    server.fail(OAUTH_PATH, status=500)
    assert "bad_response" == outage(client.introspect, "token").reason
    clock.advance(10)

    assert {"active": False} == client.introspect("token")
    assert [OAUTH_PATH, OAUTH_PATH, "/introspect"] == paths(server)


def test_real_redirects_are_not_followed(server, far):
    """Wherever they lead; the next place is asked."""
    server.fail(OAUTH_PATH, status=302, headers={"Location": server.issuer + "/elsewhere"})
    far().introspect("token")

    assert [OAUTH_PATH, OPENID_PATH] == paths(server)[:2]
    assert "/elsewhere" not in paths(server)


@pytest.mark.parametrize("issuer", ["http://localhost:{port}", "http://127.0.0.1:{port}/"])
def test_a_real_issuer_under_another_name(server, issuer):
    """The same server, written differently, is another issuer."""
    port = server.issuer.rpartition(":")[2]
    client = IntrospectionClient.from_issuer(
        issuer.format(port=port), client_auth=ClientSecretBasic("a", "b")
    )

    assert "issuer_mismatch" == outage(client.introspect, "token").reason
    client.close()


def test_a_server_that_is_not_there(far):
    """It stops no start; it is an outage until it is there (RULES 50)."""
    with FakeAuthorizationServer() as gone:
        issuer = gone.issuer
    client = IntrospectionClient.from_issuer(issuer, client_auth=BASIC, retries=0)

    assert "connect_failed" == outage(client.introspect, "token").reason
    assert client.circuit_open is False
    client.close()


def test_real_metadata_may_be_larger_than_an_answer(server, far):
    """``max_response_bytes`` bounds answers; a document has its own bound."""
    many = [f"scope-{number}" for number in range(20_000)]
    page = {
        "issuer": server.issuer,
        "introspection_endpoint": server.introspection_endpoint,
        "scopes_supported": many,
    }
    body = said(page).body
    assert 65_536 < len(body) < 1_048_576
    server.fail(OAUTH_PATH, status=200, headers={"Content-Type": "application/json"}, body=body)

    assert {"active": False} == far(max_response_bytes=1_000).introspect("token")


def test_the_circuit_of_an_endpoint_that_was_found(server, far):
    """It is the endpoint's, as soon as there is one."""
    client = far(breaker_failures=1, breaker_seconds=60)
    client.introspect("token")
    server.fail("/introspect", status=503)
    outage(client.introspect, "token")

    assert client.circuit_open


def test_the_circuit_before_anything_was_found(server, far):
    """It is the issuer's."""
    client = far(breaker_failures=1, breaker_seconds=60)
    assert not client.circuit_open
    server.fail(OAUTH_PATH, status=503)
    outage(client.introspect, "token")

    assert client.circuit_open


@pytest.fixture
def signing():
    """Run an authorization server that signs its answers for who asks for that."""
    with FakeAuthorizationServer(audience="orders", signed_introspection=True) as fake:
        yield fake


def test_real_signed_answers(signing):
    """Found, asked and verified with nothing configured but the issuer (RFC 9701)."""
    client = IntrospectionClient.from_issuer(
        signing.issuer,
        client_auth=ClientSecretBasic(signing.client_id, signing.client_secret),
        signed_response_alg="ES256",
    )
    token = signing.token(opaque=True)
    assert "user-1" == client.introspect(token)["sub"]
    signing.rotate(keep=False)
    assert "user-1" == client.introspect(token)["sub"]
    assert {"active": False} == client.introspect("unknown")
    client.close()

    assert 2 == paths(signing).count("/.well-known/jwks.json")


def test_a_real_server_that_does_not_sign(server, far):
    """A plain answer where a signed one is demanded is an outage."""
    client = far(signed_response_alg="ES256")

    assert "unsigned_response" == outage(client.introspect, server.token(opaque=True)).reason
