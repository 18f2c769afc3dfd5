"""tokenward.django.urls: the auth service in a Django project."""

import importlib
import io
import json
import sys

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import middleware as django_auth
from django.core.checks import run_checks
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import Resolver404, include, path, resolve, reverse

from tokenward.django import _state
from tokenward.django.urls import urlpatterns, well_known_urlpatterns
from tokenward.endpoints import ENDPOINTS
from tokenward.errors import ConfigurationError

PASSWORD = "correct horse battery"
JSON = "application/json"
CREDENTIALS = json.dumps({"username": "alice", "password": PASSWORD}).encode()
ISSUER = "https://shop.example/auth"
SERVICE = {
    "issuer": ISSUER,
    "audience": "orders",
    "store": "memory://",
    "password": {"bcrypt_cost": 4},
}


class Urls:
    """A URL configuration that is no module."""

    def __init__(self, *patterns):
        self.urlpatterns = patterns


@pytest.fixture
def project(settings):
    """Return a function that puts the service into the shop; it returns a client."""

    def project(*patterns, prefix="auth/", **options):
        settings.ROOT_URLCONF = Urls(
            path(prefix, include("tokenward.django.urls")), *well_known_urlpatterns, *patterns
        )
        settings.TOKENWARD = {"service": SERVICE, **options}
        _state.parts().service.create_user("alice", email="alice@example.com", password=PASSWORD)
        return Client(enforce_csrf_checks=True)

    return project


def login(client, body=CREDENTIALS, target="/auth/login", **environ):
    return client.generic("POST", target, body, CONTENT_TYPE=JSON, **environ)


def test_from_login_to_logout(project):
    """Without a CSRF token, a cookie, or a row in the project's database."""
    client = project()
    granted = login(client)
    bearer = {"Authorization": f"Bearer {granted.json()['access_token']}"}
    assert granted.status_code == 200
    assert client.get("/auth/me", headers=bearer).json()["username"] == "alice"
    assert client.generic("POST", "/auth/logout", headers=bearer).status_code == 200
    assert client.get("/auth/me", headers=bearer).status_code == 401
    assert not client.cookies


def test_each_endpoint_has_its_name(project):
    """In the namespace ``tokenward``, below wherever the project includes them."""
    project(prefix="a/b/")
    for endpoint in ENDPOINTS:
        assert reverse(f"tokenward:{endpoint.name}") == f"/a/b{endpoint.path}"
        assert resolve(f"/a/b{endpoint.path}").url_name == endpoint.name


def test_the_views_work_below_no_prefix(project):
    """For an issuer without a path."""
    client = project(prefix="")
    assert login(client, target="/login").status_code == 200
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("access", ["allow", "deny"])
def test_the_endpoints_do_their_own_checks(project, access):
    """Open where the project denies; what is presented there is theirs to judge."""
    client = project(path("", lambda request: HttpResponse("shop")), default_access=access)
    foreign = {"Authorization": "Bearer a-token-of-somebody-else"}
    assert client.get("/").status_code == (200 if access == "allow" else 401)
    assert login(client).status_code == 200
    assert client.get("/auth/health/live", headers=foreign).status_code == 200
    assert client.get("/auth/me", headers=foreign).json()["error"] == "invalid_token"
    assert client.get("/auth/me").json()["error"] == "not_authenticated"


def test_login_required_middleware_lets_them_be(project, settings):
    """Nobody could sign in otherwise; since Django 5.1."""
    if hasattr(django_auth, "LoginRequiredMiddleware"):
        settings.MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
            "tokenward.django.middleware.TokenwardMiddleware",
        ]
    client = project()
    assert login(client).status_code == 200
    assert client.get("/.well-known/openid-configuration/auth").status_code == 200


def test_the_middleware_is_not_needed(project, settings):
    """A project that only hosts the service needs none at all."""
    settings.MIDDLEWARE = []
    client = project()
    assert login(client).status_code == 200
    assert client.get("/auth/me").headers["WWW-Authenticate"] == 'Bearer realm="api"'
    # RFC 9110, section 8.6; Django's CommonMiddleware would add one.
    assert "Content-Length" not in client.options("/auth/me").headers


# --- methods -------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_other_methods_are_405_with_allow(project, endpoint):
    """In JSON, as everywhere; OPTIONS says the same without an error."""
    client = project()
    target = reverse(f"tokenward:{endpoint.name}")
    allowed = {"GET": "GET, HEAD, OPTIONS", "POST": "OPTIONS, POST"}[endpoint.method]
    wrong = client.generic("POST" if endpoint.method == "GET" else "GET", target)
    options = client.options(target)
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, allowed)
    assert wrong.json()["error"] == "method_not_allowed"
    assert (options.status_code, options.headers["Allow"]) == (204, allowed)
    assert "Content-Type" not in options.headers


def test_head_follows_get(project):
    """The headers of GET, and no body (RFC 9110, section 9.3.2)."""
    client = project()
    got, head = client.get("/auth/me"), client.head("/auth/me")
    assert (head.status_code, head.content) == (401, b"")
    assert head.headers == got.headers


def test_slashes_are_not_appended(project):
    """A POST would lose its body on the way; the path with a slash is another one."""
    client = project()
    assert login(client).status_code == 200
    assert login(client, target="/auth/login/").status_code == 404
    assert client.get("/auth/health/live").status_code == 200


# --- bodies --------------------------------------------------------------------------------------


def test_a_body_is_capped_whatever_the_project_allows(project, settings):
    """DATA_UPLOAD_MAX_MEMORY_SIZE makes ours neither wider nor tighter."""
    client = project()
    for limit in (None, 10, 10_000_000):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = limit
        assert login(client).status_code == 200
        assert login(client, b" " * 65_537).status_code == 413


class Endless(io.RawIOBase):
    """A stream that counts what is taken from it."""

    taken = 0

    def read(self, size=-1):
        assert size > 0
        self.taken += size
        return b" " * size


@pytest.mark.parametrize(
    "environ",
    [
        {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
        {
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_LENGTH": "5",
        },
    ],
)
def test_chunks_are_counted_while_they_are_read(project, environ):
    """Where the server ends the stream there may be no length, or one that lies."""
    client = project()
    stream = Endless()
    assert login(client, b"", **environ, **{"wsgi.input": stream}).status_code == 413
    assert stream.taken <= 65_537
    chunked = {**environ, "wsgi.input": io.BytesIO(CREDENTIALS)}
    assert login(client, b"", **chunked).status_code == 200


def test_what_has_no_length_and_no_end_is_not_read(project):
    """To read on would be to wait for the next request."""
    client = project()
    stream = Endless()
    assert login(client, b"", **{"wsgi.input": stream}).status_code == 400
    assert stream.taken == 0


def test_the_next_request_is_not_read(project):
    """A length that lies downwards bounds what is ours."""
    client = project()
    stream = io.BytesIO(CREDENTIALS + b"POST /login HTTP/1.1")
    length = {"CONTENT_LENGTH": str(len(CREDENTIALS)), "wsgi.input": stream}
    assert login(client, b"", **length).status_code == 200
    assert stream.read() == b"POST /login HTTP/1.1"


def test_a_body_that_ends_early_is_a_400(project):
    """Half a body is no body, even when it could be parsed."""
    client = project()
    short = {"wsgi.input": io.BytesIO(CREDENTIALS), "CONTENT_LENGTH": "1000"}
    answer = login(client, b"", **short)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_peer_that_goes_away_is_a_400(project):
    """Servers raise OSError then, of which Django makes one of its own."""

    class Gone(io.RawIOBase):
        def read(self, size=-1):
            raise ConnectionResetError

    client = project()
    for environ in ({"CONTENT_LENGTH": "60"}, {"wsgi.input_terminated": True}):
        assert login(client, b"", **environ, **{"wsgi.input": Gone()}).status_code == 400


def test_a_malformed_chunk_is_a_400(project):
    """Servers have errors of their own for it, of any type."""

    class Malformed(io.RawIOBase):
        def read(self, size=-1):
            raise RuntimeError("no size")

    chunked = {"wsgi.input_terminated": True, "wsgi.input": Malformed()}
    answer = login(project(), b"", **chunked)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("length", ["five", "-1", "+5", "1_0", " 5", "9" * 5_000])
def test_a_length_that_is_none_is_refused(project, length):
    """Python's int() would take some of them."""
    client = project()
    status = 413 if length.isdigit() else 400
    assert login(client, CREDENTIALS, CONTENT_LENGTH=length).status_code == status


class Reading:
    """A middleware that reads every body, to log it for instance."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        assert request.body is not None
        assert request.POST is not None
        return self.get_response(request)


def test_a_body_that_the_project_has_read_is_still_there(project, settings, monkeypatch):
    """Chunked ones too, which Django takes for empty."""
    monkeypatch.setattr("shop.urls.Reading", Reading, raising=False)
    settings.MIDDLEWARE = ["shop.urls.Reading", *settings.MIDDLEWARE]
    client = project()
    assert login(client).status_code == 200
    chunked = {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(CREDENTIALS)}
    assert login(client, b"", **chunked).status_code == 200
    form = client.post(
        "/auth/introspect", "token=a", content_type="application/x-www-form-urlencoded"
    )
    assert form.json()["error"] == "invalid_client"


def test_under_asgi_bodies_are_read_and_capped_alike(project):
    """The views are sync, and run in a thread."""
    project()
    client = AsyncClient()

    def ask(method, target, body=b""):
        async def ask():
            answer = await client.generic(method, target, body, content_type=JSON)
            return answer.status_code

        return async_to_sync(ask)()

    for body, status in ((CREDENTIALS, 200), (b" " * 65_537, 413), (b"{", 400)):
        assert ask("POST", "/auth/login", body) == status
    assert ask("GET", "/auth/me") == 401
    assert ask("GET", "/auth/login") == 405


# --- well-known places ---------------------------------------------------------------------------

DOCUMENTS = ("oauth-authorization-server", "openid-configuration")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_metadata_is_in_both_places_of_an_issuer_with_a_path(project, document):
    """RFC 8414, section 3.1: before the path, at the root; and below it, where OpenID has it."""
    client = project()
    at_root = client.get(f"/.well-known/{document}/auth")
    below = client.get(f"/auth/.well-known/{document}")
    assert at_root.json() == below.json()
    assert at_root.json()["introspection_endpoint"] == f"{ISSUER}/introspect"
    assert client.post(f"/.well-known/{document}/auth").status_code == 405


@pytest.mark.parametrize("access", ["allow", "deny"])
def test_nobody_elses_metadata_is_answered_for(project, access):
    """Another path is another issuer."""
    client = project(default_access=access)
    for tail in ("other", "auth/", "auth/more", "Auth"):
        assert client.get(f"/.well-known/openid-configuration/{tail}").status_code == 404


def test_an_issuer_without_a_path_has_one_place(project):
    """The second list then answers nothing."""
    client = project(prefix="", service=SERVICE | {"issuer": "https://shop.example"})
    assert client.get("/.well-known/openid-configuration").status_code == 200
    assert client.get("/.well-known/openid-configuration/auth").status_code == 404


# --- set-up --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", [None, {"credentials": []}, {"nonsense": 1}])
def test_importing_the_urls_reads_no_settings(settings, monkeypatch, mapping):
    """A project may import what it does not use, or set up later."""
    settings.TOKENWARD = mapping
    for module in ("tokenward.django.urls", "tokenward.django._endpoint_views"):
        monkeypatch.delitem(sys.modules, module)
    assert importlib.import_module("tokenward.django.urls").app_name == "tokenward"


def test_urls_without_a_service_are_a_mistake_that_the_check_names(settings):
    """``manage.py check`` and ``runserver`` say it before anybody asks."""
    settings.ROOT_URLCONF = Urls(path("auth/", include("tokenward.django.urls")))
    settings.TOKENWARD = {"credentials": []}
    [error, *more] = [e for e in run_checks() if e.id == "tokenward.E011"]
    assert "no section 'service'" in error.msg
    assert more == []
    with pytest.raises(ConfigurationError, match="no section 'service'"):
        Client().get("/auth/health/live")


def test_urls_with_a_service_pass_the_check(project):
    """So do both lists."""
    project()
    assert [error for error in run_checks() if error.id == "tokenward.E011"] == []


def test_the_service_is_the_one_of_the_settings_as_they_are(project, settings):
    """Looked up when somebody asks."""
    client = project()
    assert client.get("/auth/.well-known/openid-configuration").json()["issuer"] == ISSUER
    settings.TOKENWARD = {"service": SERVICE | {"issuer": "https://new.example/auth"}}
    changed = client.get("/auth/.well-known/openid-configuration").json()
    assert changed["issuer"] == "https://new.example/auth"


def test_what_goes_wrong_inside_is_a_500_without_text(project, monkeypatch):
    """Neither Django's page nor a word of the error."""

    def broken(*_args, **_kwargs):
        raise LookupError(PASSWORD)

    client = project()
    monkeypatch.setattr(_state.parts().service.users, "verify_credentials", broken)
    answer = login(client)
    assert (answer.status_code, answer.content) == (500, b'{"error":"server_error"}')


def test_the_urls_are_not_somewhere_else(project):
    """Only where the project has put them."""
    project()
    with pytest.raises(Resolver404):
        resolve("/login")
    assert len(urlpatterns) == len(ENDPOINTS)
