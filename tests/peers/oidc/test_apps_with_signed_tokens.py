"""Running applications that take oidc-provider's access tokens: configured by a mapping alone."""

import json
import time
from contextlib import contextmanager

import pytest
from callers import by_socket
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import override_settings
from flask import Flask
from oidc_provider import JWKS, PATIENCE, SIGNED

from tokenward.config import Settings, build_authenticator
from tokenward.flask import Tokenward, current_principal, login_required, scopes_required
from tokenward.testing import FakeAuthorizationServer
from tokenward.wsgi import AuthMiddleware, require

BARE = 'Bearer realm="shop"'


@contextmanager
def flask_app(configuration):
    app = Flask("shop")
    app.config["TOKENWARD"] = configuration
    Tokenward(app)

    def who():
        return current_principal.subject

    app.get("/", endpoint="who")(login_required(who))
    app.get("/scoped", endpoint="scoped")(scopes_required("read", "admin")(who))
    yield app


@contextmanager
def django_app(configuration):
    configuration = {**configuration, "django": {"user": "stateless"}}
    with override_settings(ROOT_URLCONF="shop.guarded", TOKENWARD=configuration):
        for signal in (request_started, request_finished):
            # No view here may touch the database, and this would: as a test client does it.
            signal.disconnect(close_old_connections)
        yield WSGIHandler()
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


@contextmanager
def wsgi_app(configuration):
    def who(environ, start_response):
        scopes = ("read", "admin") if environ["PATH_INFO"] == "/scoped" else ()
        body = require(environ, scopes=scopes).subject.encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    yield AuthMiddleware(who, build_authenticator(Settings.model_validate(configuration)))


@pytest.fixture(params=[flask_app, django_app, wsgi_app], ids=["flask", "django", "wsgi"])
def serve(request, server):
    """Serve an application whose one credential are tokens of the server's."""

    @contextmanager
    def started(**entry):
        known = {"type": "jwks", "issuer": server.issuer, "audience": SIGNED}
        configuration = {"realm": "shop", "credentials": [{**known, **entry}]}
        with request.param(configuration) as app, by_socket(app) as ask:
            yield lambda token, path="/": ask("GET", path, _bearer(token))

    return started


def _bearer(token):
    return [] if token is None else [("Authorization", f"Bearer {token}")]


def test_request_with_a_token(serve, server):
    """By discovery: who asks is who the token says, and the keys are fetched once."""
    token = server.issue(audience=SIGNED)
    with serve() as ask:
        for _ in range(3):
            answer = ask(token)
            assert (200, b"caller") == (answer.status, answer.body)
        scoped = ask(token, "/scoped")

    assert 403 == scoped.status
    assert f'{BARE}, error="insufficient_scope"' in scoped.challenge
    assert 'scope="read admin"' in scoped.challenge
    assert 1 == server.asked(JWKS)


def test_request_that_is_refused(serve, server):
    """401, with the challenge of RFC 6750, section 3; and not a word of what was wrong."""
    with FakeAuthorizationServer(audience=SIGNED) as elsewhere:
        claims = {"iss": server.issuer}
        tokens = {
            "another key": elsewhere.token(**claims),
            "another issuer": elsewhere.token(),
            "expired": elsewhere.token(**claims, expires_in=-60),
            "another audience": server.issue(audience=f"{SIGNED}/ES256"),
            "opaque": server.issue(audience=SIGNED.removesuffix("/signed")),
            "identity": server.issue_id_token(),
        }
    with serve() as ask:
        absent = ask(None)
        answers = {name: ask(token) for name, token in tokens.items()}
        malformed = ask("a token")
        assert 200 == ask(server.issue(audience=SIGNED)).status

    assert (401, BARE) == (absent.status, absent.challenge)
    assert "not_authenticated" == json.loads(absent.body)["error"]
    assert dict.fromkeys(tokens, 401) == {name: a.status for name, a in answers.items()}
    for answer in answers.values():
        assert answer.challenge.startswith(f'{BARE}, error="invalid_token"')
        assert "invalid_token" == json.loads(answer.body)["error"]
        assert "no-store" == answer.headers["cache-control"]
        assert SIGNED not in f"{answer.headers}{answer.body}"
    assert 400 == malformed.status


def test_server_that_is_down_at_the_start(serve, server):
    """The application starts, answers 503 with when to come back, and recovers by itself."""
    token = server.issue(audience=SIGNED)
    server.kill()
    with serve(jwks_uri=server.jwks_uri, cooldown=0.2) as ask:
        down = ask(token)
        assert (503, None) == (down.status, down.challenge)
        assert 1 <= int(down.headers["retry-after"]) <= 60
        assert "temporarily_unavailable" == json.loads(down.body)["error"]
        # Who presents nothing, or what cannot be a token of the issuer's, learns so all the same.
        assert [401, 401] == [ask(None).status, ask("a.b.c").status]
        server.start()
        deadline = time.monotonic() + PATIENCE
        while (answer := ask(token)).status == 503:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (200, b"caller") == (answer.status, answer.body)
        server.kill()
        assert 200 == ask(token).status
        server.start()


def test_keys_of_the_configuration(serve, server):
    """Pinned, the provider is asked for nothing; and it may be down."""
    token = server.issue(audience=SIGNED)
    for written in (server.read(JWKS), json.loads(server.read(JWKS))):
        with serve(jwks=written) as ask:
            asked = server.asked(JWKS)
            assert (200, b"caller") == (ask(token).status, ask(token).body)
            assert asked == server.asked(JWKS)
