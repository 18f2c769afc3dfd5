"""The fake authorization server, asked over real HTTP."""

import base64
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tokenward import _jose
from tokenward.testing import FakeAuthorizationServer


@pytest.fixture
def server():
    """Run a server for the length of a test."""
    with FakeAuthorizationServer() as running:
        yield running


def get(url):
    with urllib.request.urlopen(url, timeout=90) as answer:  # noqa: S310 - our own loopback server
        return json.load(answer)


def post(url, form, *, basic=None, accept="application/json"):
    """Return status, headers and body of a form POST."""
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode())  # noqa: S310
    request.add_header("Accept", accept)
    if basic is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(basic.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture
def introspect(server):
    """Ask the server about a token, as its client."""

    def ask(token):
        basic = f"{server.client_id}:{server.client_secret}"
        status, _, body = post(server.introspection_endpoint, {"token": token}, basic=basic)
        assert status == 200
        return json.loads(body)

    return ask


def verified(server, token):
    """Return the claims of a token that verifies with the published keys."""
    unverified = _jose.parse(token)
    keys = _jose.parse_key_set(get(server.jwks_uri))
    _jose.verify(unverified, keys, algorithms=frozenset({"ES256"}))
    return unverified


@pytest.mark.parametrize("name", ["oauth-authorization-server", "openid-configuration"])
def test_metadata_names_the_endpoints(server, name):
    """Both documents name the issuer and where to go (RFC 8414, section 2)."""
    document = get(f"{server.issuer}/.well-known/{name}")
    assert document["issuer"] == server.issuer
    assert document["jwks_uri"] == server.jwks_uri
    assert document["introspection_endpoint"] == server.introspection_endpoint
    assert document["token_endpoint"] == server.token_endpoint
    assert document["grant_types_supported"] == ["client_credentials"]
    for endpoint in ("token_endpoint", "introspection_endpoint"):
        methods = ["client_secret_basic", "client_secret_post"]
        assert document[f"{endpoint}_auth_methods_supported"] == methods
        assert f"{endpoint}_auth_signing_alg_values_supported" not in document
    assert "introspection_signing_alg_values_supported" not in document


def test_a_token_verifies_with_the_published_keys(server):
    """By default a token is an access token by RFC 9068 of this issuer and audience."""
    token = verified(server, server.token())
    assert token.header["typ"] == "at+jwt"
    assert token.claims["iss"] == server.issuer
    assert token.claims["aud"] == server.audience
    assert token.claims["exp"] > time.time()
    assert {"sub", "iat", "jti", "client_id"} <= set(token.claims)


def test_claims_are_the_tests_to_choose(server):
    """Claims replace or join the defaults, and None leaves one out."""
    token = server.token(sub="alice", aud=None, scope="a b", typ="JWT", **{"https://x/y": [1]})
    parsed = verified(server, token)
    assert parsed.header["typ"] == "JWT"
    assert parsed.claims["sub"] == "alice"
    assert parsed.claims["scope"] == "a b"
    assert parsed.claims["https://x/y"] == [1]
    assert "aud" not in parsed.claims


def test_every_token_is_another(server):
    """Two tokens for one subject differ."""
    assert server.token() != server.token()
    assert server.token(opaque=True) != server.token(opaque=True)


@pytest.mark.parametrize("opaque", [False, True])
def test_introspection_knows_its_tokens(server, introspect, opaque):
    """A token that was issued is active, with its claims (RFC 7662, section 2.2)."""
    token = server.token(opaque=opaque, sub="alice")
    assert ("." in token) is not opaque
    answer = introspect(token)
    assert answer["active"] is True
    assert answer["sub"] == "alice"
    assert answer["iss"] == server.issuer
    assert answer["token_type"] == "Bearer"


def test_unknown_revoked_and_expired_tokens_are_inactive(server, introspect):
    """Nothing but active: false is said of them."""
    revoked = server.token()
    server.revoke(revoked)
    for token in (
        "unknown",
        revoked,
        server.token(expires_in=-1),
        server.token(opaque=True, exp=1),
    ):
        assert introspect(token) == {"active": False}


def test_a_token_expires_by_the_servers_clock():
    """With a clock of the test's own, tokens expire when it says so."""
    now = [1_700_000_000.0]
    with FakeAuthorizationServer(clock=lambda: now[0]) as server:
        token = server.token(expires_in=60)
        form = {
            "token": token,
            "client_id": server.client_id,
            "client_secret": server.client_secret,
        }
        assert json.loads(post(server.introspection_endpoint, form)[2])["active"] is True
        now[0] += 60
        assert json.loads(post(server.introspection_endpoint, form)[2])["active"] is False


@pytest.mark.parametrize(
    "basic",
    [None, "resource-server:wrong", "other:resource-server-secret", "resource-server", "a:b:c"],
)
def test_introspection_demands_its_client(server, basic):
    """Without the client's credentials it is 401 invalid_client (RFC 7662, section 2.3)."""
    status, headers, body = post(
        server.introspection_endpoint, {"token": server.token()}, basic=basic
    )
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Basic ")
    assert json.loads(body) == {"error": "invalid_client"}


def test_basic_credentials_are_form_decoded():
    """Identifier and secret arrive form-encoded (RFC 6749, section 2.3.1)."""
    with FakeAuthorizationServer(client_id="a:b", client_secret="c d%") as server:
        form = {"token": server.token()}
        endpoint = server.introspection_endpoint
        assert post(endpoint, form, basic="a%3Ab:c+d%25")[0] == 200
        assert post(endpoint, form, basic="a:b:c d%")[0] == 401


def test_a_request_without_a_token_is_malformed(server):
    """The parameter is required (RFC 7662, section 2.1)."""
    form = {"client_id": server.client_id, "client_secret": server.client_secret}
    assert post(server.introspection_endpoint, form)[0] == 400


def test_rotation_publishes_old_and_new(server):
    """After rotate() the new key signs, and tokens of the old one still verify."""
    old = server.token()
    server.rotate()
    new = server.token()
    assert verified(server, old).kid != verified(server, new).kid
    assert len(get(server.jwks_uri)["keys"]) == 2


def test_rotation_without_keeping_withdraws_the_old(server):
    """After rotate(keep=False) only the new key is published."""
    old = server.token()
    server.rotate(keep=False)
    kids = [key["kid"] for key in get(server.jwks_uri)["keys"]]
    assert kids == [_jose.parse(server.token()).kid]
    assert _jose.parse(old).kid not in kids


def test_no_private_key_is_published(server):
    """The set holds public members only."""
    assert all("d" not in key for key in get(server.jwks_uri)["keys"])


def test_a_failure_lasts_as_often_as_asked(server):
    """The next so many requests to the path fail, then it answers again."""
    server.fail(server.jwks_uri, status=503, times=2, headers={"Retry-After": "7"}, body=b"busy")
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(server.jwks_uri)
        with caught.value as error:
            assert (error.code, error.headers["Retry-After"], error.read()) == (503, "7", b"busy")
    assert get(server.jwks_uri)["keys"]


def test_failures_queue_up(server):
    """Several calls fail one after the other; other paths are not affected."""
    server.fail("/introspect", status=500)
    server.fail("/introspect", status=429)
    assert get(server.jwks_uri)["keys"]
    statuses = [post(server.introspection_endpoint, {})[0] for _ in range(3)]
    assert statuses == [500, 429, 401]


def test_a_delay_alone_answers_as_usual(server):
    """Status None waits and then answers."""
    server.fail(server.jwks_uri, status=None, delay=0.1)
    begin = time.monotonic()
    assert get(server.jwks_uri)["keys"]
    assert time.monotonic() - begin >= 0.1


def test_requests_are_recorded(server, introspect):
    """What came in can be looked at, all of it or by path or URL."""
    introspect("a-token")
    get(server.jwks_uri)
    assert [(r.method, r.path) for r in server.requests()] == [
        ("POST", "/introspect"),
        ("GET", "/.well-known/jwks.json"),
    ]
    (request,) = server.requests("/introspect")
    assert server.requests(server.introspection_endpoint) == [request]
    assert request.form == {"token": "a-token"}
    assert request.headers["authorization"].startswith("Basic ")
    assert "a-token" not in repr(request)


def test_an_unknown_path_is_not_found(server):
    """Anything else is 404."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server.issuer + "/nowhere")
    with caught.value as error:
        assert error.code == 404


def test_a_connection_is_kept(server):
    """Requests may share one connection (RFC 9112, section 9.3)."""
    import http.client

    connection = http.client.HTTPConnection(*server.issuer.removeprefix("http://").split(":"))
    ports = set()
    for _ in range(3):
        connection.request("GET", "/.well-known/jwks.json")
        assert json.load(connection.getresponse())["keys"]
        ports.add(connection.sock.getsockname()[1])
    connection.close()
    assert len(ports) == 1


def test_many_clients_are_served_at_once(server):
    """A slow answer holds up nobody else."""
    server.fail("/introspect", status=None, delay=600)
    slow = threading.Thread(target=lambda: post_quietly(server.introspection_endpoint))
    slow.start()
    while not server.requests("/introspect"):
        assert get(server.jwks_uri)["keys"]
    assert get(server.jwks_uri)["keys"]
    server.__exit__(None, None, None)
    slow.join(60)
    assert not slow.is_alive()


def post_quietly(url):
    try:
        post(url, {})
    except OSError:
        return


def test_it_stops_at_once_and_leaves_no_thread():
    """Leaving ends every thread, with a kept connection and an answer under way."""
    import socket

    before = set(threading.enumerate())
    with FakeAuthorizationServer() as server:
        server.fail("/introspect", delay=600)
        host, port = server.issuer.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as idle:
            idle.sendall(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(12) == b"HTTP/1.1 200"
            begin = time.monotonic()
            server.__exit__(None, None, None)
            assert time.monotonic() - begin < 60
    assert set(threading.enumerate()) <= before


def test_its_urls_need_it_to_run():
    """Before and after the with block there is no issuer, and the error says why."""
    server = FakeAuthorizationServer()
    with pytest.raises(RuntimeError, match="with FakeAuthorizationServer"):
        server.issuer  # noqa: B018 - a property
    with server:
        assert server.issuer.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError, match="with FakeAuthorizationServer"):
        server.token()


def test_two_servers_are_two_issuers():
    """Each has its own port and keys."""
    with FakeAuthorizationServer() as one, FakeAuthorizationServer() as other:
        assert one.issuer != other.issuer
        assert get(one.jwks_uri) != get(other.jwks_uri)


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_it_signs_with_the_algorithm_it_is_told(algorithm):
    """The token's header and the metadata name it."""
    with FakeAuthorizationServer(algorithm=algorithm) as server:
        assert _jose.parse(server.token()).alg == algorithm
        document = get(server.issuer + "/.well-known/openid-configuration")
        assert document["id_token_signing_alg_values_supported"] == [algorithm]


def credentials(server, **fields):
    """Return a form with the client's credentials."""
    return {"client_id": server.client_id, "client_secret": server.client_secret, **fields}


def grant(server, **fields):
    """Return what the token endpoint says to its client."""
    form = credentials(server, grant_type="client_credentials", **fields)
    status, headers, body = post(server.token_endpoint, form)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    return json.loads(body)


def test_the_token_endpoint_issues_tokens_to_its_client(server, introspect):
    """By the grant client_credentials: for the client itself, and introspection knows them."""
    said = grant(server)
    assert {"access_token", "token_type", "expires_in"} == said.keys()
    assert (said["token_type"], said["expires_in"]) == ("Bearer", 300)
    claims = verified(server, said["access_token"]).claims
    assert (claims["sub"], claims["client_id"]) == (server.client_id, server.client_id)
    assert claims["aud"] == server.audience
    assert claims["exp"] - claims["iat"] == 300
    assert "scope" not in claims
    assert introspect(said["access_token"])["active"] is True


def test_a_token_is_for_what_was_asked(server):
    """Scope and audience are those of the request; resource wins over audience (RFC 8707)."""
    said = grant(server, scope="a b", audience="other")
    claims = verified(server, said["access_token"]).claims
    assert (said["scope"], claims["scope"], claims["aud"]) == ("a b", "a b", "other")
    said = grant(server, audience="other", resource="https://api.example")
    assert verified(server, said["access_token"]).claims["aud"] == "https://api.example"


def test_the_lifetime_is_the_tests_to_choose(server):
    """It holds for tokens of both kinds; None lets the token endpoint say nothing of it."""
    server.expires_in = 10
    assert grant(server)["expires_in"] == 10
    claims = verified(server, server.token()).claims
    assert claims["exp"] - claims["iat"] == 10
    server.expires_in = None
    said = grant(server)
    assert "expires_in" not in said
    claims = verified(server, said["access_token"]).claims
    assert claims["exp"] - claims["iat"] == 300


@pytest.mark.parametrize("form", [{}, {"grant_type": "password"}])
def test_there_is_one_grant(server, form):
    """Any other is refused as RFC 6749, section 5.2, has it."""
    status, _, body = post(server.token_endpoint, credentials(server, **form))
    assert (status, json.loads(body)) == (400, {"error": "unsupported_grant_type"})


def test_the_token_endpoint_demands_its_client(server):
    """As introspection does."""
    form = {"grant_type": "client_credentials"}
    status, _, body = post(server.token_endpoint, form, basic="resource-server:wrong")
    assert (status, json.loads(body)) == (401, {"error": "invalid_client"})
    assert (
        post(server.token_endpoint, form, basic="resource-server:resource-server-secret")[0] == 200
    )


KEY = _jose.generate_key("ES256")


def assertion(server, key=KEY, **claims):
    """Return a form with an assertion (RFC 7523, section 2.2)."""
    now = int(time.time())
    payload = {
        "iss": server.client_id,
        "sub": server.client_id,
        "aud": server.issuer,
        "exp": now + 60,
        "jti": "first",
        **claims,
    }
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": _jose.sign({k: v for k, v in payload.items() if v is not None}, key),
    }


@pytest.fixture
def keyed():
    """Run a server that knows its client's key."""
    with FakeAuthorizationServer(client_jwk=_jose.public_jwk(KEY)) as running:
        yield running


def test_a_client_may_authenticate_with_its_key(keyed):
    """The assertion is addressed to the issuer or the endpoint, and is taken once."""
    assert post(keyed.token_endpoint, assertion(keyed))[0] == 200
    assert post(keyed.token_endpoint, assertion(keyed))[0] == 401
    form = assertion(keyed, aud=keyed.token_endpoint, jti="second")
    assert post(keyed.token_endpoint, {**form, "client_id": keyed.client_id})[0] == 200
    form = {**assertion(keyed, jti="third"), "token": keyed.token()}
    assert json.loads(post(keyed.introspection_endpoint, form)[2])["active"] is True


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"sub": None},
        {"sub": {}},
        {"aud": "https://other.example"},
        {"aud": None},
        {"aud": ["https://other.example"]},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"jti": None},
    ],
)
def test_an_assertion_says_what_the_rfc_wants(keyed, claims):
    """RFC 7523, section 3."""
    status, _, body = post(keyed.token_endpoint, assertion(keyed, **claims))
    assert (status, json.loads(body)) == (401, {"error": "invalid_client"})


@pytest.mark.parametrize(
    "fields",
    [
        {"client_id": "other"},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        {"client_assertion": "a.b.c"},
        {"client_assertion": "hunter2"},
    ],
)
def test_a_malformed_assertion_is_refused(keyed, fields):
    """So is one that is sent beside the identifier of another client."""
    assert post(keyed.token_endpoint, assertion(keyed) | fields)[0] == 401


def test_an_assertion_by_another_key_is_refused(keyed, server):
    """And every one, where no key is registered."""
    other = _jose.generate_key("ES256")
    assert post(keyed.token_endpoint, assertion(keyed, other))[0] == 401
    assert post(server.token_endpoint, assertion(server))[0] == 401


def test_metadata_offers_the_key(keyed):
    """With the algorithms it may sign with."""
    document = get(keyed.issuer + "/.well-known/oauth-authorization-server")
    for endpoint in ("token_endpoint", "introspection_endpoint"):
        assert "private_key_jwt" in document[f"{endpoint}_auth_methods_supported"]
        assert "ES256" in document[f"{endpoint}_auth_signing_alg_values_supported"]


SIGNED = "application/token-introspection+jwt"


@pytest.fixture
def signing():
    """Run a server that signs what it says of tokens."""
    with FakeAuthorizationServer(signed_introspection=True) as running:
        yield running


@pytest.mark.parametrize("known", [True, False])
def test_introspection_is_signed_when_asked_for(signing, known):
    """A JWT for the client that asked, with the answer as a claim (RFC 9701, section 5)."""
    token = signing.token(sub="alice") if known else "unknown"
    form = credentials(signing, token=token)
    status, headers, body = post(signing.introspection_endpoint, form, accept=SIGNED)
    assert (status, headers["Content-Type"]) == (200, SIGNED)
    answer = verified(signing, body.decode())
    assert answer.header["typ"] == "token-introspection+jwt"
    assert answer.claims.keys() == {"iss", "aud", "iat", "token_introspection"}
    assert (answer.claims["iss"], answer.claims["aud"]) == (signing.issuer, signing.client_id)
    assert answer.claims["iat"] <= time.time()
    said = answer.claims["token_introspection"]
    assert (said["active"], said.get("sub")) == (known, "alice" if known else None)


def test_introspection_is_plain_otherwise(signing, server):
    """Without the right Accept, or at a server that does not sign."""
    for running, accept in ((signing, "application/json"), (server, SIGNED)):
        form = credentials(running, token=running.token())
        _, headers, body = post(running.introspection_endpoint, form, accept=accept)
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body)["active"] is True


def test_metadata_says_that_answers_are_signed(signing):
    """And with what (RFC 9701, section 7)."""
    document = get(signing.issuer + "/.well-known/oauth-authorization-server")
    assert document["introspection_signing_alg_values_supported"] == ["ES256"]
