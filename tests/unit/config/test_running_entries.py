"""Each type of entry in an application that runs: Flask, Django's checks, bare WSGI."""

import sys
import time
from io import BytesIO

import jwt
import pytest
import requests
from configurations import HMAC_SECRET, as_toml, cloudflare, custom, introspection, jwks
from configurations import shared_secret as with_secret
from django.core.checks import run_checks
from django.http import HttpResponse
from django.urls import path
from flask import Flask

from tokenward.config import Settings, build_authenticator
from tokenward.django.decorators import login_required as django_login_required
from tokenward.flask import Tokenward, current_principal, login_required
from tokenward.wsgi import AuthMiddleware

OLD = "https://old.example"

MODULE = """
from tokenward import ClientSecretBasic, IntrospectionClient, IntrospectionVerifier

def make(endpoint, client_id, secret):
    client = IntrospectionClient(endpoint, client_auth=ClientSecretBasic(client_id, secret))
    return IntrospectionVerifier(client, audience="orders")
"""


def shop(*entries, **sections):
    """Return a client of a Flask application, whose guarded views say who asks."""
    app = Flask("shop")
    app.config["TOKENWARD"] = {"credentials": entries, **sections}
    Tokenward(app)

    @app.get("/")
    @app.post("/")
    @login_required
    def who():
        return {"issuer": current_principal.issuer, "subject": current_principal.subject}

    @app.get("/live")
    @login_required(live=True)
    def live():
        return {"subject": current_principal.subject}

    return app.test_client(use_cookies=False)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def old_token(secret=HMAC_SECRET, **claims):
    now = int(time.time())
    said = {"iss": OLD, "sub": "ada", "aud": "orders", "exp": now + 300}
    return jwt.encode(said | claims, secret, "HS256")


# --- jwks


def test_a_flask_application_takes_tokens_of_an_issuer(server, other):
    """Found by discovery; another server's tokens are refused, and so is nobody."""
    client = shop(jwks(issuer=server.issuer))
    answer = client.get("/", headers=bearer(server.token(sub="ada")))

    assert {"issuer": server.issuer, "subject": "ada"} == answer.json
    assert 401 == client.get("/").status_code
    refused = client.get("/", headers=bearer(other.token()))
    assert (401, "invalid_token") == (refused.status_code, refused.json["error"])
    assert 1 == len(server.requests("/.well-known/jwks.json"))


def test_a_sensitive_view_asks_the_issuer(server):
    """A token that was revoked is good elsewhere until it ends, and not there."""
    auth = {
        "method": "client_secret_basic",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    live = {"introspection_endpoint": server.introspection_endpoint, "client_auth": auth}
    client = shop(jwks(issuer=server.issuer, live=live))
    headers = bearer(server.token())
    assert [200, 200] == [client.get(url, headers=headers).status_code for url in ("/", "/live")]
    server.revoke(headers["Authorization"].partition(" ")[2])
    assert 401 == client.get("/live", headers=headers).status_code


def test_two_issuers_and_opaque_tokens_in_one_header(server, other):
    """Each is verified by whoever knows it."""
    auth = {
        "method": "client_secret_basic",
        "client_id": other.client_id,
        "client_secret": other.client_secret,
    }
    asked = introspection(
        introspection_endpoint=other.introspection_endpoint, issuer=other.issuer, client_auth=auth
    )
    client = shop(jwks(issuer=server.issuer), asked)
    tokens = [server.token(), other.token(), other.token(opaque=True)]
    answers = [client.get("/", headers=bearer(token)) for token in tokens]
    assert [server.issuer, other.issuer, other.issuer] == [a.json["issuer"] for a in answers]


# --- shared_secret


def test_moving_from_a_shared_secret_to_an_issuer(server):
    """Tokens of both are taken for as long as both entries stand."""
    client = shop(jwks(issuer=server.issuer), with_secret())
    for token, issuer in ((server.token(), server.issuer), (old_token(), OLD)):
        assert issuer == client.get("/", headers=bearer(token)).json["issuer"]
    forged = old_token(secret=HMAC_SECRET.swapcase())
    assert 401 == client.get("/", headers=bearer(forged)).status_code
    # A key that the issuer publishes is no secret, and our secret is none of its keys.
    confused = old_token(iss=server.issuer)
    assert 401 == client.get("/", headers=bearer(confused)).status_code


# --- cloudflare


def assertion(server, **claims):
    said = {"sub": "u1", "email": "ada@example.org", "type": "app", "aud": ["4f1c"]}
    return server.token(typ="JWT", **(said | claims))


@pytest.fixture
def team(server):
    """Return a server whose keys are where those of a team are."""
    keys = requests.get(server.jwks_uri, timeout=90).content
    server.fail(
        "/cdn-cgi/access/certs", 200, 99, headers={"Content-Type": "application/json"}, body=keys
    )
    return server


def test_a_flask_application_behind_cloudflare(team):
    """By the header; by the cookie only where that is written, with the header first."""
    entry = cloudflare(domain=team.issuer)
    sent = {"Cf-Access-Jwt-Assertion": assertion(team)}
    in_cookie = {"Cookie": f"CF_Authorization={assertion(team, sub='u2')}"}
    with_header_only, with_both = shop(entry), shop(entry | {"cookie": True})

    assert {"issuer": team.issuer, "subject": "u1"} == with_header_only.get("/", headers=sent).json
    refused = with_header_only.get("/", headers=in_cookie)
    assert (401, "Invalid CFA Token") == (refused.status_code, refused.json["detail"])
    assert "u2" == with_both.get("/", headers=in_cookie).json["subject"]
    assert "u1" == with_both.get("/", headers=sent | in_cookie).json["subject"]
    wrong = sent | {"Cf-Access-Jwt-Assertion": assertion(team, aud=["other"])}
    refused = with_both.get("/", headers=wrong | in_cookie)
    assert (401, "CFA token verification failed") == (refused.status_code, refused.json["detail"])


def test_what_cloudflare_adds_is_ambient(team):
    """A request that another site has a browser make is refused, in either place."""
    client = shop(cloudflare(domain=team.issuer, cookie=True), origins=["https://shop.example"])
    for headers in (
        {"Cf-Access-Jwt-Assertion": assertion(team)},
        {"Cookie": f"CF_Authorization={assertion(team)}"},
    ):
        evil = client.post("/", headers=headers | {"Origin": "https://evil.example"})
        assert (403, "cross_site_request") == (evil.status_code, evil.json["error"])
        ours = client.post("/", headers=headers | {"Origin": "https://shop.example"})
        assert 200 == ours.status_code


# --- custom


@pytest.fixture
def partner(tmp_path, monkeypatch):
    (tmp_path / "partner_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("partner_shop", None)


def called(app, **environ):
    """Return status and body of a WSGI application's answer."""
    status = []
    base = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    body = b"".join(app(base | environ, lambda line, *_rest: status.append(line)))
    return status[0].partition(" ")[0], body


def test_a_wsgi_application_with_a_verifier_of_its_own(server, partner, tmp_path):
    """Read from a TOML file, in a header of its own, beside an issuer."""
    options = {
        "endpoint": server.introspection_endpoint,
        "client_id": server.client_id,
        "secret": server.client_secret,
    }
    entries = [
        jwks(issuer="https://login.example"),
        custom(options=options, source="header:X-Partner-Token"),
    ]
    file = tmp_path / "tokenward.toml"
    file.write_text(as_toml({"credentials": entries, "default_access": "deny"}))

    def inner(environ, start_response):
        start_response("200 OK", [])
        return [environ["tokenward.principal"].subject.encode()]

    app = AuthMiddleware(inner, build_authenticator(Settings.from_file(file)))
    token = server.token(sub="ada", opaque=True)
    assert ("200", b"ada") == called(app, HTTP_X_PARTNER_TOKEN=token)
    assert "401" == called(app, HTTP_X_PARTNER_TOKEN="other")[0]
    assert "401" == called(app)[0]


# --- what Django's checks say of them


@django_login_required(live=True)
def pay(_request):
    return HttpResponse()


@pytest.fixture
def checked(settings):
    """Return a function that gives the ids and texts of our checks for these entries."""
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [path("pay/", pay)]})
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if "Csrf" not in one]

    def check(*entries, **sections):
        settings.TOKENWARD = {"credentials": entries, "django": {"user": "stateless"}, **sections}
        found = run_checks(tags=["tokenward"], include_deployment_checks=True)
        return {(m.id.removeprefix("tokenward."), m.msg.split()[1]) for m in found}

    return check


LIVE = introspection(type=..., audience=..., client_auth={"method": "bearer", "token": "t"})
CANNOT = ("E009", "view")


@pytest.mark.parametrize(
    ("entry", "serves"),
    [
        (jwks(), False),
        (jwks(live=LIVE), True),
        (introspection(), True),
        (cloudflare(), False),
        (with_secret(), False),
    ],
    ids=lambda v: v["type"] if isinstance(v, dict) else str(v),
)
def test_live_views_need_an_entry_that_can_ask(checked, entry, serves):
    """Found before the first request does."""
    assert serves == (CANNOT not in checked(entry))


def test_the_check_says_what_to_write(settings):
    """A `jwks` entry takes `live`."""
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [path("pay/", pay)]})
    settings.TOKENWARD = {"credentials": [jwks()], "django": {"user": "stateless"}}
    (message,) = (m for m in run_checks(tags=["tokenward"]) if m.id == "tokenward.E009")
    assert "an entry of type 'jwks' takes 'live'" in message.hint


def test_what_is_not_for_production_is_named_once(checked):
    """By the setting that says it, and not by those that follow from it."""
    at = "http://127.0.0.1:8000"
    told = checked(
        jwks(issuer=..., discovery_url=f"{at}/.well-known/openid-configuration", audience=None),
        jwks(issuer=f"{at[:-1]}1", live=LIVE | {"introspection_endpoint": f"{at}/introspect"}),
        cloudflare(domain=at, verify_tls=False, cookie=True),
        with_secret(),
    )
    assert {
        ("W003", "credentials[0].audience"),
        ("W004", "credentials[0].discovery_url"),
        ("W004", "credentials[1].issuer"),
        ("W004", "credentials[1].live.introspection_endpoint"),
        ("W004", "credentials[2].domain"),
        ("W005", "credentials[2].cookie"),
        ("W007", "credentials[1].live.client_auth.token"),
        ("W007", "credentials[3].secret"),
        ("W010", "credentials[2].verify_tls"),
    } == {one for one in told if one[0].startswith("W")}


def test_what_live_takes_from_the_entry_is_warned_of_once(settings):
    """Where it is written."""
    at = "http://127.0.0.1:8000"
    entry = jwks(issuer=at, verify_tls=False, live=dict(LIVE))
    del entry["live"]["introspection_endpoint"]
    settings.TOKENWARD = {"credentials": [entry], "django": {"user": "stateless"}}
    found = run_checks(tags=["tokenward"], include_deployment_checks=True)
    told = [m.msg.split()[1] for m in found if m.id in {"tokenward.W004", "tokenward.W010"}]
    assert ["credentials[0].issuer", "credentials[0].verify_tls"] == told
