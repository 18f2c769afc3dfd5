"""Tokens that oidc-provider issues to us, and what becomes of them (RFC 6749, section 4.4)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from oidc_provider import AUDIENCE, LIVES, PATIENCE, SECRETS
from werkzeug.serving import make_server

from tokenward import Authenticator, BearerAuth, ClientSecretBasic, Credential
from tokenward.authenticator import authorization
from tokenward.client_auth import ClientCredentials, MutualTLS
from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Request
from tokenward.wsgi import AuthMiddleware, require

THREADS = 16


@pytest.fixture
def make_source(server, clock):
    """Make a source of tokens for the API; all are closed at the end."""
    made = []

    def make(token_endpoint=None, **options):
        if token_endpoint is None and "issuer" not in options:
            token_endpoint = server.token_endpoint
        known = {
            "client_auth": ClientSecretBasic("orders", SECRETS["orders"]),
            "resource": AUDIENCE,
            "scope": "read",
            "verify_tls": server.authority.path,
            "timeout": PATIENCE,
            "connect_timeout": PATIENCE,
            "clock": clock,
        }
        made.append(ClientCredentials(token_endpoint, **known | options))
        return made[-1]

    yield make
    for source in made:
        source.close()


@pytest.fixture
def api(make_verifier):
    """A guarded WSGI application on a loopback port; ``.callers`` holds who was let in."""
    verifier = make_verifier(ttl=0)
    callers = []

    def app(environ, start_response):
        callers.append(require(environ, scopes=["read"]).client_id)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"for " + callers[-1].encode() + b" " + body]

    guarded = AuthMiddleware(
        app, Authenticator(Credential(authorization(), verifier, ambient=False))
    )
    http = make_server("127.0.0.1", 0, guarded, threaded=True)
    http.url = f"http://127.0.0.1:{http.server_port}/orders"
    http.callers = callers
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield http
    http.shutdown()
    thread.join(PATIENCE)
    http.server_close()


def outage(source):
    """Return the error of exactly this kind with which asking for a token ends."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        source()
    assert AuthServiceUnavailable is type(caught.value)
    return caught.value


# --- getting one


def test_token_by_endpoint(server, make_source, make_verifier, way):
    """Each way of client authentication gets one token, which is good and is kept."""
    source = make_source(f"{way.root}/token", client_auth=way.right)
    tokens = {source() for _ in range(5)}
    principal = make_verifier().verify(tokens.pop())

    assert (way.right.client_id, {"read"}) == (principal.client_id, principal.scopes)
    assert (set(), 1) == (tokens, server.asked("/token"))


def test_token_by_issuer(server, make_source, make_verifier, way):
    """The issuer's metadata names the endpoint, and for a certificate the one that asks for it."""
    source = make_source(issuer=server.issuer, client_auth=way.right)
    tokens = {source() for _ in range(5)}

    assert way.right.client_id == make_verifier().verify(tokens.pop()).client_id
    assert (set(), 1) == (tokens, server.asked("/token"))
    assert 1 == server.asked("/.well-known/oauth-authorization-server")


def test_wrong_credentials(server, make_source, way):
    """It is we who are refused, and the server is left alone for a while."""
    source = make_source(f"{way.root}/token", client_auth=way.wrong)
    errors = [outage(source) for _ in range(3)]

    assert {("client_refused", 503, 5)} == {
        (e.reason, e.status_code, e.retry_after) for e in errors
    }
    assert 1 == server.asked("/token")


def test_wrong_credentials_that_were_put_right_at_the_server(server, make_source, clock):
    """The refusal is forgotten after the back-off."""
    source = make_source()
    server.fail("/token", status=401, body='{"error":"invalid_client"}')
    assert "client_refused" == outage(source).reason
    clock.advance(5)

    assert server.is_active(source())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"resource": "https://unknown.example"}, "invalid_target"),
        ({"scope": "write"}, "invalid_scope"),
    ],
)
def test_what_the_server_does_not_grant(server, make_source, options, reason):
    """Its refusal is our configuration's fault: an outage that says which part of it."""
    source = make_source(**options)

    assert [reason, reason] == [outage(source).reason, outage(source).reason]
    assert 1 == server.asked("/token")


def test_assertion_whose_answer_was_lost(server, make_source, way):
    """Tried again at once, with an assertion that the server has not seen."""
    source = make_source(f"{way.root}/token", client_auth=way.right)
    server.lose("/token")

    assert server.is_active(source())
    assert 2 == server.asked("/token")


def test_renewed_certificate(server, make_source, clock, tmp_path):
    """The files are exchanged under the running program, and the next call shows the new one."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def install(name):
        for source, target in zip(server.certificates[name], (cert, key), strict=True):
            target.write_bytes(Path(source).read_bytes())

    install("bound")
    source = make_source(
        f"{server.tls}/token", client_auth=MutualTLS("certified", str(cert), str(key))
    )
    assert "client_refused" == outage(source).reason
    install("certified")
    clock.advance(5)

    assert server.is_active(source())


# --- keeping it


def test_token_is_renewed_before_it_ends(server, make_source, clock):
    """``expires_in`` says when: the new one comes while the old one is still good."""
    source = make_source(early=30)
    first = source()
    clock.advance(569)
    assert (first, 1) == (source(), server.asked("/token"))
    clock.advance(1)
    second = source()

    assert (2, True, True) == (
        len({first, second}),
        server.is_active(first),
        server.is_active(second),
    )
    assert 2 == server.asked("/token")


def test_short_token_is_used_for_half_of_its_life(server, make_source, clock):
    """`early` is more than all of it: it is not asked for anew with every call."""
    auth = ClientSecretBasic("hasty", SECRETS["hasty"])
    source = make_source(client_auth=auth, early=30)
    first = source()
    assert (first, 1) == (source(), server.asked("/token"))
    clock.advance(LIVES["hasty"] / 2)

    assert (False, 2) == (first == source(), server.asked("/token"))


def test_single_flight(server, make_source, eventually):
    """16 threads that need a token at once: one request."""
    source = make_source(timeout=PATIENCE)
    server.hold("/token")
    started = threading.Barrier(THREADS + 1)

    def ask():
        started.wait(PATIENCE)
        return source()

    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(ask) for _ in range(THREADS)]
        started.wait(PATIENCE)
        eventually(lambda: server.asked("/token") == 1)
        server.release()
        tokens = {each.result(PATIENCE) for each in waiting}

    assert (1, 1) == (len(tokens), server.asked("/token"))


def test_token_outlives_the_server(server, make_source, clock):
    """What is there is used to its end; then there is none until the server is back."""
    source = make_source(early=30)
    first = source()
    server.kill()
    clock.advance(599)
    assert first == source()
    clock.advance(1)
    assert "connect_failed" == outage(source).reason
    server.start()
    clock.advance(60)

    assert server.is_active(source())


# --- using it


def test_session_of_requests(api, make_source):
    """``session.auth`` takes the source, and the API lets it in."""
    with requests.Session() as session:
        session.auth = make_source()
        answers = [session.get(api.url, timeout=PATIENCE) for _ in range(3)]

    assert [(200, "for orders ")] * 3 == [(a.status_code, a.text) for a in answers]


def test_revoked_token_is_replaced_once(server, api, make_source):
    """The API says 401, the same request goes out again with a new token and its whole body."""
    with requests.Session() as session:
        source = session.auth = make_source()
        token = source()
        server.revoke(token, "orders")
        answer = session.post(api.url, data=b"two apples", timeout=PATIENCE)

    assert (200, "for orders two apples") == (answer.status_code, answer.text)
    assert ([401], ["orders"]) == ([a.status_code for a in answer.history], api.callers)
    assert (2, False) == (server.asked("/token"), token == source())


def test_token_that_the_api_never_takes(server, api, make_source):
    """For somebody else's API: a 401, one attempt with a new token, and no more."""
    with requests.Session() as session:
        session.auth = make_source(resource=AUDIENCE + "/elsewhere")
        answer = session.get(api.url, timeout=PATIENCE)

    assert (401, []) == (answer.status_code, api.callers)
    assert (2, 2) == (server.asked("/token"), server.asked("/storing/token/introspection"))


def test_source_for_bearer_auth(server, make_source):
    """What asks a service in our own name takes a source as well."""
    source = make_source()
    request = BearerAuth(source).apply(Request("POST", "https://api.example"))

    assert {"Authorization": f"Bearer {source()}"} == request.headers
    assert server.is_active(source())
