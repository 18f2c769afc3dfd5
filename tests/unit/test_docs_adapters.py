"""docs/adapters: every name is there and no other, the tables agree, and the code is run."""

import importlib
import re
import tomllib
from types import FunctionType, SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.hashers import BasePasswordHasher
from django.core.management import get_commands
from django.dispatch import Signal
from django.template import engines
from django.test import AsyncClient, Client
from django.urls import path
from doc_pages import DOCS, Page, settings, slugs
from flask import Flask
from jinja2 import DictLoader
from rest_framework.test import APIClient

import tokenward.flask
import tokenward.wsgi
from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.bearer import error_response
from tokenward.config import Settings
from tokenward.django import drf
from tokenward.errors import (
    AuthServiceUnavailable,
    CrossSiteRequest,
    InsufficientScope,
    InvalidAuthorizationHeader,
    InvalidCredentials,
    InvalidToken,
    NotAuthenticated,
)
from tokenward.principal import Principal
from tokenward.schemas import LoginResponse
from tokenward.testing import StubVerifier, login_as, override_authenticator
from tokenward.wsgi import AuthMiddleware

FLASK, DJANGO, DRF, WSGI = (
    Page(f"adapters/{name}.md") for name in ("flask", "django", "drf", "wsgi")
)
SIGN_IN, USERS = Page("adapters/sign-in-pages.md"), Page("adapters/django-users.md")
SERVICE = Page("service/django-auth-service.md")
EXTRAS = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


# --- names


def names(page):
    """Return what stands in the first cells of the page's list of names."""
    return sorted(name for row in page.rows("Every name") for name in slugs(row[0]))


@pytest.mark.parametrize(
    ("page", "module"), [(FLASK, tokenward.flask), (DRF, drf), (WSGI, tokenward.wsgi)]
)
def test_the_page_lists_every_public_name_and_no_other(page, module):
    """As the module exports them."""
    assert sorted(module.__all__) == names(page)


def exported(module):
    """Return the public names of a module: what it exports, else what of its kind it defines."""
    there = vars(module)
    kind = KINDS.get(module.__name__.rpartition(".")[2], object)
    found = there.get("__all__") or [
        name
        for name, value in there.items()
        if not name.startswith("_")
        and (isinstance(value, Signal) or getattr(value, "__module__", "") == module.__name__)
        and (isinstance(value, kind) or (isinstance(value, type) and issubclass(value, kind)))
    ]
    return {f"{module.__name__}.{name}" for name in found}


# Of modules without `__all__`; what else they define is for ours.
KINDS = {
    "middleware": type,
    "decorators": FunctionType,
    "context_processors": FunctionType,
    "signals": Signal,
    "hashers": BasePasswordHasher,
}
MODULES = ["", *(f".{name}" for name in (*KINDS, "requests", "backends", "pages", "urls"))]


def test_the_page_of_django_lists_every_public_name_and_no_other():
    """In the modules that a project names, and the filters of templates."""
    filters = importlib.import_module("tokenward.django.templatetags.tokenward")
    expected = {f"{filters.__name__}.{name}" for name in filters.register.filters}
    for name in MODULES:
        expected |= exported(importlib.import_module(f"tokenward.django{name}"))
    assert sorted(expected) == names(DJANGO)


@pytest.mark.parametrize("path", sorted(DOCS.glob("*/*.md")), ids=lambda path: path.stem)
def test_what_is_to_be_installed_can_be(path):
    """Each extra that a page names is one."""
    for extras in re.findall(r"pip install ['\"]?tokenward\[([^]]+)\]", path.read_text("utf-8")):
        assert set(extras.split(",")) <= set(EXTRAS)


def test_the_commands_are_there():
    """Those of `manage.py` and those of `flask`."""
    ours = {name for name, app in get_commands().items() if app == "tokenward.django"}
    assert ours == set(re.findall(r"tokenward_\w+", DJANGO.text.split("## Commands")[1]))
    runner = Flask("empty")
    runner.config["TOKENWARD"] = {"credentials": []}
    tokenward.flask.Tokenward(runner)
    said = runner.test_cli_runner().invoke(args=["tokenward", "--help"]).output
    sentence = FLASK.text.split("## Commands")[1].split(":")[1].split(". ")[0]
    listed = set(re.findall(r"^    ([\w-]+)", said, re.MULTILINE)) - {"COMMAND"}
    assert listed == set(slugs(sentence))


# --- what is answered

ANSWERS = {
    "nothing is presented": NotAuthenticated(),
    "a malformed header, or two": InvalidAuthorizationHeader(),
    "a token is refused": InvalidToken(),
    "a scope or a role is missing": InsufficientScope(["a"]),
    "a cookie, an unsafe method, and no proof of the site": CrossSiteRequest(),
    "nobody can decide": AuthServiceUnavailable(),
}


@pytest.mark.parametrize("page", [FLASK, DJANGO, WSGI])
def test_the_table_of_answers_is_what_is_answered(page):
    """Row by row, by what makes every answer."""
    rows = page.rows("What is answered")
    assert list(ANSWERS) == [row[0] for row in rows]
    for said, status, challenge in rows:
        made = error_response(ANSWERS[said], realm="api")
        headers = dict(made.headers)
        assert int(status.split()[0]) == made.status
        assert ("Retry-After" in status) == ("Retry-After" in headers)
        error = re.search(r'error="(\w+)"', headers.get("WWW-Authenticate", ""))
        if "WWW-Authenticate" not in headers:
            assert "none" == challenge
        else:
            assert [error[1] if error else "Bearer"] == slugs(challenge)
        assert "no-store" == headers["Cache-Control"]


# --- Flask


@pytest.fixture(scope="module")
def shop():
    """What the page's code has made, from the first block to the last."""
    made = {}
    for block in FLASK.blocks:
        FLASK.run(block, made)
    return made


def test_the_pages_test_of_flask_passes(shop, login_as):
    """On the page's application."""
    shop["test_orders"](login_as)


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/health", None, 200),
        ("/me", None, 401),
        ("/me", {}, 200),
        ("/greeting", None, 200),
        ("/reports", {"roles": ["admin"]}, 403),
        ("/reports", {"roles": ["admin"], "scopes": ["reports:read"]}, 403),
        ("/reports", {"scopes": ["reports:read", "orders:read"]}, 403),
        ("/reports", {"roles": ["auditor"], "scopes": ["reports:read", "orders:read"]}, 200),
        ("/internal/queue", None, 401),
        ("/internal/queue", {}, 403),
        ("/internal/queue", {"roles": ["staff"]}, 200),
        ("/invoices/7", {}, 403),
        ("/invoices/7", {"scopes": ["invoices:read"]}, 200),
        ("/auth/health/ready", None, 200),
    ],
)
def test_flask_answers_as_the_page_says(shop, login_as, path, who, status):
    """Each of its views, to nobody and to somebody."""
    client = shop["app"].test_client()
    if who is not None:
        login_as(client, "alice", **who)
    assert status == client.get(path).status_code


def test_the_user_is_what_the_pages_loader_returns(shop, login_as):
    """Once it is touched; for whom the loader has nothing, the principal."""
    client = shop["app"].test_client()
    login_as(client, "alice")
    assert "customer alice" == client.get("/name").text


def test_an_outage_is_the_pages_own_answer(shop, monkeypatch):
    """With the Retry-After that would have been sent; and it is no refusal to the receiver."""
    app = shop["app"]
    state = app.extensions["tokenward"]
    verifier = StubVerifier({"down": AuthServiceUnavailable(retry_after=7), "bad": InvalidToken()})
    stub = Authenticator(Credential(authorization(), verifier))
    monkeypatch.setattr(state, "authenticator", stub)
    shop["refusals"].clear()
    down = app.test_client().get("/me", headers={"Authorization": "Bearer down"})
    assert (503, "<h1>Back in a minute</h1>") == (down.status_code, down.text)
    assert int(down.headers["Retry-After"]) >= 7
    assert 401 == app.test_client().get("/me", headers={"Authorization": "Bearer bad"}).status_code
    assert 1 == len(shop["refusals"])


def test_with_allow_a_bad_token_does_no_harm_where_nobody_asks(shop):
    """As the page says of the default."""
    answer = shop["app"].test_client().get("/health", headers={"Authorization": "Bearer bad"})
    assert 200 == answer.status_code


# --- Django


class Urls:
    """A URL configuration that is no module."""

    def __init__(self, *patterns):
        self.urlpatterns = list(patterns)


def views(page):
    """Return what the page's blocks define, with the lists that `startproject` writes."""
    made = {"INSTALLED_APPS": [], "MIDDLEWARE": [], "TEMPLATES": [{"OPTIONS": {}}]}
    for block in page.blocks:
        page.run(block, made)
    return made


@pytest.fixture
def orders(settings):
    """The page's views, served as the page configures them, without a database."""
    made = views(DJANGO)
    settings.TOKENWARD = made["TOKENWARD"] | {"django": {"user": "stateless"}}
    settings.ROOT_URLCONF = Urls(
        path("health", made["health"]),
        path("me", made["me"]),
        path("orders", made["orders"]),
        path("reports", made["reports"]),
        path("greeting", made["greeting"]),
        path("invoices/<int:number>", made["Invoice"].as_view()),
    )
    return made


def test_the_pages_settings_are_those_of_the_tests(orders, settings):
    """The app and the middleware of the page are what every test of Django runs with."""
    assert set(orders["INSTALLED_APPS"]) <= set(settings.INSTALLED_APPS)
    assert orders["MIDDLEWARE"] == settings.MIDDLEWARE[-1:]


def test_the_pages_test_of_django_passes(orders):
    """On the page's views, of which this one is async."""
    orders["test_orders"]()


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/health", None, 200),
        ("/me", None, 401),
        ("/me", {}, 200),
        ("/greeting", None, 200),
        ("/reports", {"roles": ["admin"], "scopes": ["reports:read"]}, 403),
        ("/reports", {"roles": ["auditor"], "scopes": ["reports:read", "orders:read"]}, 200),
        ("/invoices/7", {}, 403),
        ("/invoices/7", {"scopes": ["invoices:read"]}, 200),
        ("PUT /invoices/7", {"scopes": ["invoices:read"]}, 403),
        ("PUT /invoices/7", {"scopes": ["invoices:read", "invoices:write"]}, 200),
    ],
)
def test_django_answers_as_the_page_says(orders, login_as, path, who, status):
    """Each of its views, sync and on an event loop, to nobody and to somebody."""
    method, _, target = path.rpartition(" ")
    for client in (Client(), AsyncClient()):
        if who is not None:
            login_as(client, "alice", **who)
        assert status == ask(client, method or "GET", target).status_code


def ask(client, method, target):
    """Send a request, by whichever client."""
    if isinstance(client, Client):
        return client.generic(method, target)

    async def asked():
        return await client.generic(method, target)

    return async_to_sync(asked)()


def test_a_middleware_of_the_project_answers_an_outage(orders, settings, monkeypatch):
    """Listed behind ours, it is asked first."""
    monkeypatch.setattr("tokenward.testing.BackSoon", orders["BackSoon"], raising=False)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tokenward.testing.BackSoon"]
    client = Client()
    with login_as(client, "alice"):
        monkeypatch.setattr(StubVerifier, "verify", _down)
        answer = client.get("/me")
    assert (503, "<h1>Back in a minute</h1>") == (answer.status_code, answer.content.decode())


def _down(*_arguments, **_named):
    raise AuthServiceUnavailable


def test_the_page_of_django_rest_framework_runs(settings):
    """Its settings are read, its view answers, its test passes."""
    made = views(DJANGO) | {"INSTALLED_APPS": [], "MIDDLEWARE": []}
    for block in DRF.blocks:
        DRF.run(block, made)
    assert made["Live"].live
    settings.TOKENWARD = made["TOKENWARD"] | {"django": {"user": "stateless"}}
    made["Orders"].authentication_classes = [drf.TokenwardAuthentication]
    settings.ROOT_URLCONF = Urls(path("orders", made["Orders"].as_view()))
    assert 401 == APIClient().get("/orders").status_code
    made["test_orders"]()


def test_whose_user_a_token_is_can_be_configured_as_written(monkeypatch):
    """The sections are sections, the service takes the client, the template renders."""
    monkeypatch.setenv("SHOP_SECRET", "9f8a-77e1-quartz-lantern")
    made = {"TOKENWARD": {}, "TEMPLATES": [{"OPTIONS": {"context_processors": []}}]}
    found = []
    for block in USERS.blocks:
        USERS.run(block, made)
        found.append(settings({"credentials": [], "django": made["TOKENWARD"].get("django", {})}))
    assert ("admin",) == found[0].django.staff_roles
    assert "shop" == found[1].django.login.client_id
    (client,) = USERS.tomls()[0]["service"]["clients"]
    service = {"issuer": "https://auth.example", "audience": "shop", "store": "memory://"}
    parsed = settings({"service": service | {"clients": [client]}})
    assert 28800 == parsed.service.clients[0].access_token_lifetime
    (template,) = re.findall(r"```django\n(.*?)```", USERS.text, re.DOTALL)
    render = engines["django"].from_string(template).render
    holder = Principal("alice", scopes={"orders:write"})
    assert ("…", "") == (render({"principal": holder}).strip(), render({}).strip())


def test_a_site_can_be_the_service_as_written(monkeypatch, settings):
    """The settings are a configuration, and the urls lead to the endpoints."""
    monkeypatch.setenv("ORDERS_SECRET", "9f8a-77e1-quartz-lantern")
    made = {}
    for block in SERVICE.blocks:
        SERVICE.run(block, made)
    assert "model" == Settings.model_validate(made["TOKENWARD"]).django.service_users
    assert made["PASSWORD_HASHERS"][0].endswith(".TokenwardPasswordHasher")
    section = made["TOKENWARD"]["service"] | {"store": "memory://"}
    settings.TOKENWARD = {"service": section}
    settings.ROOT_URLCONF = Urls(*made["urlpatterns"])
    metadata = Client().get("/.well-known/oauth-authorization-server/auth").json()
    assert "https://shop.example/auth" == metadata["issuer"]
    assert 200 == Client().get("/auth/health/live").status_code


def test_the_commands_of_a_site_that_is_the_service_are_there():
    """Django's own, and ours."""
    (block,) = re.findall(r"```console\n(.*?)```", SERVICE.text, re.DOTALL)
    lines = [line.split() for line in block.splitlines()]
    assert ["python", "manage.py"] == lines[0][1:3]
    assert {words[3] for words in lines} <= set(get_commands())


# --- where everything is closed

PREFLIGHT = {"Origin": "https://other.example", "Access-Control-Request-Method": "GET"}
STEPS = [
    ("GET", "/nowhere", {}, 404),
    ("GET", "/health", {}, 200),
    ("GET", "/health", {"Authorization": "Bearer bad"}, 200),
    ("GET", "/greeting", {}, 200),
    ("GET", "/greeting", {"Authorization": "Bearer bad"}, 401),
    ("GET", "/me", {}, 401),
    ("GET", "/me", {"Authorization": "Bearer bad"}, 401),
    ("GET", "/me", {"Authorization": "Bearer down"}, 503),
    ("GET", "/me", {"Authorization": "Bearer alice"}, 200),
    ("OPTIONS", "/invoices/7", PREFLIGHT, 200),
]


@pytest.fixture
def closed():
    """Deny by default, in the place of every other authenticator."""
    outcomes = {
        "alice": Principal("alice"),
        "bad": InvalidToken(),
        "down": AuthServiceUnavailable(),
    }
    stub = Credential(authorization(), StubVerifier(outcomes))
    with override_authenticator(Authenticator(stub, default_access="deny")):
        yield


@pytest.mark.parametrize("step", STEPS)
def test_the_steps_are_those_of_both_pages(shop, orders, closed, step):
    """The same request, to the Flask page's application and to the Django page's."""
    method, path, headers, status = step
    in_flask = shop["app"].test_client().open(path, method=method, headers=headers)
    in_django = Client(headers=headers).generic(method, path)
    assert (status, status) == (in_flask.status_code, in_django.status_code)


def test_a_view_function_is_not_run_for_a_preflight(orders, closed):
    """204, as the page of Django says; Flask answers a route's OPTIONS by itself."""
    assert 204 == Client(headers=PREFLIGHT).options("/me").status_code


# --- sign-in pages


@pytest.fixture
def signing_in(monkeypatch):
    """A Flask application with the page's views, and an auth service that knows one person."""
    monkeypatch.setenv("SHOP_SECRET", "9f8a-77e1-quartz-lantern")
    app = Flask("shop")
    app.jinja_loader = DictLoader({"sign_in.html": "{{ problem or 'who are you?' }}"})
    mapping = {
        "credentials": [{"type": "jwks", "issuer": "https://login.example", "audience": "shop"}]
    }
    made = {"TOKENWARD": mapping, "app": app}
    configure, program = SIGN_IN.blocks
    SIGN_IN.run(configure, made)
    app.config["TOKENWARD"] = made["TOKENWARD"]
    tokenward.flask.Tokenward(app)
    SIGN_IN.run(program, made)
    made["auth_service"] = SimpleNamespace(login_user=_check, logout_user=lambda _token: None)
    return app.test_client()


def _check(request):
    if request.password == "down-for-now":
        raise AuthServiceUnavailable
    if request.password != "quartz-lantern":
        raise InvalidCredentials
    return LoginResponse(access_token="a.b.c", expires_in=900)


@pytest.mark.parametrize(
    ("password", "status", "says"),
    [
        ("quartz-lantern", 302, ""),
        ("wrong-one", 403, "The name or the password is wrong."),
        ("down-for-now", 503, "Try again in a minute."),
    ],
)
def test_somebody_signs_in_as_the_page_says(signing_in, password, status, says):
    """By a form of the application's own."""
    sent = {"username": "ann", "password": password}
    answer = signing_in.post(
        "/sign-in?next=/me", data=sent, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert status == answer.status_code
    assert says in answer.text
    assert (status == 302) == ("__Host-shop=a.b.c" in answer.headers.get("Set-Cookie", ""))
    if status == 302:
        assert "/me" == answer.headers["Location"]


def test_nobody_is_signed_in_by_another_site_as_the_page_says(signing_in):
    """403, and no cookie."""
    sent = {"username": "ann", "password": "quartz-lantern"}
    answer = signing_in.post("/sign-in", data=sent, headers={"Sec-Fetch-Site": "cross-site"})
    assert (403, None) == (answer.status_code, answer.headers.get("Set-Cookie"))


def test_somebody_signs_out_as_the_page_says(signing_in):
    """The cookie is taken back."""
    answer = signing_in.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
    assert (302, "/") == (answer.status_code, answer.headers["Location"])
    assert "__Host-shop=;" in answer.headers["Set-Cookie"]


# --- WSGI


def test_the_pages_test_of_wsgi_passes(monkeypatch, tmp_path):
    """On the page's first program."""
    (tmp_path / "tokenward.toml").write_text(
        re.search(r"```toml\n(.*?)```", WSGI.text, re.DOTALL)[1]
    )
    monkeypatch.setenv("TOKENWARD_CONFIG", str(tmp_path / "tokenward.toml"))
    monkeypatch.setenv("AS_SECRET", "f3a9c1e07b5d4826-of-a-test")
    made = WSGI.run(WSGI.blocks[0], {})
    assert isinstance(made["application"], AuthMiddleware)

    def get(path):
        started = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path}
        list(made["application"](environ, lambda status, _headers, *_: started.append(status)))
        return started[0]

    WSGI.run(WSGI.block("def test_orders"), made)["test_orders"](get)


def test_the_keys_of_the_environment_are_as_written():
    """Both of them."""
    rows = {slugs(row[0])[0]: slugs(row[1]) for row in WSGI.rows("Every name")}
    for name in ("PRINCIPAL", "AUTHENTICATOR"):
        assert [f'"{getattr(tokenward.wsgi, name)}"'] == rows[name]
