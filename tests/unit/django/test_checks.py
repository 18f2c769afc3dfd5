"""tokenward.django.checks: what `manage.py check` finds, and what it leaves alone."""

import functools
import re
import sys
import types
from pathlib import Path

import pytest
from django.core import checks
from django.core.checks import Tags, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.http import HttpResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.views import APIView

import tokenward.django
from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.by_issuer import ByIssuer
from tokenward.django.decorators import login_required, public, scopes_required
from tokenward.django.drf import TokenwardAuthentication
from tokenward.django.urls import well_known_urlpatterns
from tokenward.testing import StubVerifier, override_authenticator

OURS = "tokenward.django.middleware.TokenwardMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
PASSWORD_BACKEND = "tokenward.django.backends.PasswordBackend"
HASHER = "tokenward.django.hashers.TokenwardPasswordHasher"
SECRET = "9f8a-77e1-quartz-lantern"
ENV = {"env": "SHOP_SECRET"}


def configuration():
    """Return a mapping that nothing is to be said of."""
    return {
        "credentials": [
            {
                "type": "introspection",
                "introspection_endpoint": "https://as.example/introspect",
                "issuer": "https://as.example",
                "audience": "shop",
                "client_auth": {
                    "method": "client_secret_basic",
                    "client_id": "shop",
                    "client_secret": ENV,
                },
            }
        ],
        "pages": {"cookie": "shop", "login_view": "/sign-in/"},
        "service": {
            "issuer": "https://auth.example",
            "audience": "shop",
            "store": "sqlite:////nowhere/at/all.db",
            "clients": [{"client_id": "shop", "client_secret": ENV}],
        },
        "django": {
            "on_user": "builtins.print",
            "service_users": "model",
            "login": {"issuer": "https://as.example", "client_id": "shop", "client_secret": ENV},
        },
    }


@pytest.fixture
def mapping(settings, monkeypatch):
    """The mapping of a project that is as it should be; a test breaks it in one place."""
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    settings.PASSWORD_HASHERS = [HASHER, *settings.PASSWORD_HASHERS]
    settings.TOKENWARD = configuration()
    return settings.TOKENWARD


@pytest.fixture
def found(mapping):
    """Return a function that gives the messages of our checks, those of --deploy included."""
    return functools.partial(run_checks, tags=["tokenward"], include_deployment_checks=True)


@pytest.fixture
def site(settings):
    """Return a function that makes patterns the project's URLs."""

    def make(*patterns):
        settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": list(patterns)})

    return make


@pytest.fixture
def asks_nobody():
    """Have a verifier decide that cannot ask the issuer."""
    verifier = StubVerifier({})
    verifier.serves_live = False
    with override_authenticator(Authenticator(Credential(authorization(), verifier))):
        yield verifier


def ids(messages):
    return [message.id.removeprefix("tokenward.") for message in messages]


def without(name):
    def change(mapping, settings):
        settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one != name]

    return change


def section(*names, **values):
    """Return a change of one section of the mapping."""

    def change(mapping, settings):
        place = mapping
        for name in names:
            place = place[name]
        place.update(values)

    return change


# --- the right project --------------------------------------------------------------------------


def test_nothing_is_said_of_a_right_project(found):
    """By no check, those of --deploy included; no server is asked and no store opened."""
    assert [] == found()


def test_the_checks_have_a_tag_and_the_deployment_ones_are_security(mapping):
    """`manage.py check --tag tokenward`, `manage.py check --deploy --tag security`."""
    mapping["service"]["registration"] = "open"
    assert [] == run_checks(tags=["tokenward"])
    tagged = run_checks(tags=[Tags.security], include_deployment_checks=True)
    assert "tokenward.W009" in [message.id for message in tagged]


# --- settings and project -----------------------------------------------------------------------


def missing(mapping, settings):
    settings.TOKENWARD = None


def no_mapping(mapping, settings):
    settings.TOKENWARD = ["credentials"]


def first(mapping, settings):
    ours_first = [one for one in settings.MIDDLEWARE if one != OURS]
    settings.MIDDLEWARE = [OURS, *ours_first]


def only_rest_framework(mapping, settings):
    without(OURS)(mapping, settings)
    settings.REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["tokenward.django.drf.TokenwardAuthentication"]
    }


def nobody_to_ask(mapping, settings):
    del mapping["service"], mapping["django"]


def stateless(mapping, settings):
    mapping["django"]["user"] = "stateless"
    del mapping["django"]["login"]


def hashers_of_django(mapping, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def cookie_without_csrf(mapping, settings):
    del mapping["pages"]
    mapping["credentials"][0]["source"] = "cookie:token"
    without(CSRF)(mapping, settings)


@pytest.mark.parametrize(
    ("change", "check", "named", "advised"),
    [
        (missing, "E001", "settings.TOKENWARD is missing", "credentials"),
        (no_mapping, "E001", "settings.TOKENWARD is wrong", "tokenward_check"),
        (section(relam="shop"), "E001", "did you mean 'realm'", "tokenward_check"),
        (section("credentials", 0, source="header:X", type="local"), "E001", "credentials", ""),
        (without(OURS), "E002", "not installed", OURS),
        (first, "E003", "before SessionMiddleware", SESSIONS),
        (nobody_to_ask, "E004", "nobody to ask", '["django"]["login"]'),
        (stateless, "E005", "stateless", '"model"'),
        (without(SESSIONS), "E006", "SessionMiddleware", SESSIONS),
        (without(AUTHENTICATION), "E006", "AuthenticationMiddleware", AUTHENTICATION),
        (section("django", on_user="shop.nothing"), "E007", "'shop.nothing'", "dotted path"),
        (section("django", on_user="sys.path"), "E007", "cannot be called", "dotted path"),
        (section("django", on_user="one_word"), "E007", "ImportError", "dotted path"),
        (only_rest_framework, "E008", "REST framework", OURS),
        (section("pages", login_view="sign-in"), "E010", "'sign-in'", "pattern"),
        (hashers_of_django, "W001", "password hashes", HASHER),
        (section("credentials", 0, audience=None), "W003", "credentials[0].audience", "name"),
        (
            section("credentials", 0, introspection_endpoint="http://127.0.0.1/introspect"),
            "W004",
            "credentials[0].introspection_endpoint",
            "https",
        ),
        (section("service", issuer="http://[::1]:80"), "W004", "service.issuer", "https"),
        (
            section("django", "login", issuer="http://127.0.0.1:8000"),
            "W004",
            "django.login.issuer",
            "https",
        ),
        (without(CSRF), "W005", "pages.cookie", CSRF),
        (cookie_without_csrf, "W005", "credentials[0].source", CSRF),
        (section("pages", secure=False), "W006", "pages.secure", "Leave it out"),
        (
            section("credentials", 0, "client_auth", client_secret=SECRET),
            "W007",
            "credentials[0].client_auth.client_secret",
            '{"env": "NAME"}',
        ),
        (
            section("service", clients=({"client_id": "a", "client_secret": SECRET},)),
            "W007",
            "service.clients[0].client_secret",
            '{"file": "PATH"}',
        ),
        (section("service", store="memory://"), "W008", "service.store", "tokenward_store init"),
        (section("service", registration="open"), "W009", "service.registration", '"closed"'),
        (
            section(
                "credentials",
                0,
                verify_tls=False,
                introspection_endpoint="https://127.0.0.1/introspect",
            ),
            "W010",
            "credentials[0].verify_tls",
            "CA bundle",
        ),
        (
            section("django", "login", issuer="https://127.0.0.1", verify_tls=False),
            "W010",
            "django.login.verify_tls",
            "CA bundle",
        ),
    ],
)
def test_what_is_wrong_is_found_alone_and_named(  # noqa: PLR0917 - a row of the table
    found, mapping, settings, change, check, named, advised
):
    """One message: its id, what is wrong, and what to write; a secret is not in it."""
    change(mapping, settings)
    (message,) = found()
    assert [check] == ids([message])
    assert named in message.msg
    assert advised in message.hint
    assert SECRET not in f"{message.msg}{message.hint}"
    assert isinstance(message, checks.Error if check.startswith("E") else checks.Warning)


def test_a_wrong_store_and_a_secret_that_is_not_there_are_said_without_opening_anything(
    found, mapping, monkeypatch
):
    """The store exists nowhere, and that is no error; the environment is read."""
    monkeypatch.delenv("SHOP_SECRET")
    (message,) = found()
    assert ["E001"] == ids([message])
    assert "SHOP_SECRET" in message.msg


def test_an_error_stops_the_commands_that_check_first(mapping, settings):
    """`manage.py check` fails with it, and a warning does not fail."""
    call_command("check", "--tag", "tokenward", "--deploy")
    mapping["service"]["registration"] = "open"
    call_command("check", "--tag", "tokenward", "--deploy")
    settings.TOKENWARD = None
    with pytest.raises(SystemCheckError, match=r"tokenward\.E001"):
        call_command("check", "--tag", "tokenward")


@pytest.mark.parametrize("order", ["before", "behind"])
def test_authentication_middleware_may_stand_on_either_side(found, settings, order):
    """Only the session has to be there first."""
    others = [one for one in settings.MIDDLEWARE if one not in (OURS, SESSIONS, AUTHENTICATION)]
    pair = [OURS, AUTHENTICATION] if order == "before" else [AUTHENTICATION, OURS]
    settings.MIDDLEWARE = [SESSIONS, *pair, *others]
    assert [] == found()


def test_without_sessions_the_order_is_of_no_concern(found, mapping, settings):
    """An API behind tokens alone."""
    del mapping["pages"], mapping["django"]["login"]
    settings.AUTHENTICATION_BACKENDS = ["tokenward.django.backends.TokenBackend"]
    settings.MIDDLEWARE = [OURS, SESSIONS]
    assert [] == found()


def test_a_password_backend_is_content_with_a_login_service_or_one_in_this_process(found, mapping):
    """Either will do."""
    login = mapping["django"].pop("login")
    assert [] == found()
    del mapping["service"]
    mapping["django"]["login"] = login
    del mapping["django"]["service_users"]
    assert [] == found()


def test_nothing_is_said_of_passwords_that_nobody_checks(found, mapping, settings):
    """Without PasswordBackend the user may be stateless, and nobody need be there to ask."""
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    settings.MIDDLEWARE = [OURS, CSRF]
    mapping["django"] = {"user": "stateless"}
    assert [] == found()


def test_subclasses_count_as_what_they_are(found, settings, monkeypatch):
    """A project's own middleware made of ours is ours."""
    module = types.ModuleType("shop_middleware")
    theirs = tokenward.django.middleware.TokenwardMiddleware
    module.Own = type("Own", (theirs,), {})
    monkeypatch.setitem(sys.modules, "shop_middleware", module)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:-1], "shop_middleware.Own", "not.there.AtAll"]
    assert [] == found()


def test_a_module_of_the_project_that_fails_is_named_by_its_error_alone(
    found, mapping, monkeypatch, tmp_path
):
    """What it says may be anything; the check goes on."""
    (tmp_path / "shop_hooks.py").write_text(f"raise RuntimeError({SECRET!r})")
    monkeypatch.syspath_prepend(tmp_path)
    mapping["django"]["on_user"] = "shop_hooks.on_user"
    (message,) = found()
    assert "RuntimeError" in message.msg
    assert SECRET not in message.msg


# --- views --------------------------------------------------------------------------------------


def view(request):
    return HttpResponse()


@login_required(live=True)
def pay(request):
    return HttpResponse()


@login_required(live=True)
class Pay(View):
    pass


class PayByPost(View):
    @method_decorator(login_required(live=True))
    def post(self, request):
        return HttpResponse()


class Orders(viewsets.ViewSet):
    def list(self, request):
        return HttpResponse()

    @action(detail=False)
    @method_decorator(login_required(live=True))
    def settle(self, request):
        return HttpResponse()


class AskingAuthentication(TokenwardAuthentication):
    live = True


class Refunds(APIView):
    authentication_classes = (AskingAuthentication,)


def wrapped_by_something_else(inner):
    @functools.wraps(inner)
    def outer(request):
        return inner(request)

    return outer


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (pay, "pay"),
        (scopes_required("pay")(pay), "pay"),
        (wrapped_by_something_else(pay), "pay"),
        (functools.partial(pay, amount=1), "pay"),
        (Pay.as_view(), "Pay"),
        (PayByPost.as_view(), "PayByPost"),
        (Orders.as_view({"get": "settle"}), "Orders"),
        (Refunds.as_view(), "Refunds"),
    ],
    ids=["function", "two", "wrapped", "partial", "class", "method", "action", "authentication"],
)
def test_a_live_view_that_nobody_can_serve_is_an_error(found, site, asks_nobody, callback, name):
    """Whatever kind of view it is, and however deep it is included; once, not once a URL."""
    site(path("shop/", include([path("a/", callback), path("b/", callback)])), path("", view))
    (message,) = found()
    assert ["E009"] == ids([message])
    assert message.obj.endswith(f".{name}")
    assert "live=True" in message.hint


def test_a_live_view_that_somebody_serves_is_none(found, site, asks_nobody):
    """A verifier is taken to have somebody to ask unless it says otherwise."""
    site(path("", pay))
    assert ["E009"] == ids(found())
    asks_nobody.serves_live = True
    assert [] == found()


def test_what_is_configured_serves_live_views(found, site):
    """Introspection asks the server, and the service asks its store."""
    site(path("", pay), path("class/", Pay.as_view()))
    assert [] == found()


def test_one_verifier_among_several_that_cannot_ask_is_enough(found, site, asks_nobody):
    """Its tokens would find nobody, whatever the others can do."""
    site(path("", pay))
    several = ByIssuer(
        {"https://a.example": StubVerifier({}), "https://b.example": asks_nobody},
        otherwise=StubVerifier({}),
    )
    for verifier in (several, ByIssuer({}, otherwise=asks_nobody)):
        with override_authenticator(Authenticator(Credential(authorization(), verifier))):
            assert ["E009"] == ids(found())
    asks_nobody.serves_live = True
    with override_authenticator(Authenticator(Credential(authorization(), several))):
        assert [] == found()


def test_views_that_take_cached_decisions_need_nobody_to_ask(found, site, asks_nobody):
    """The guard alone is no reason."""
    listing = Orders.as_view({"get": "list"})
    site(path("a", login_required(view)), path("b", view), path("c", listing))
    assert [] == found()


@pytest.mark.parametrize(
    "callback",
    [
        public(login_required(view)),
        login_required(public(wrapped_by_something_else(view))),
        scopes_required("read")(public(type("Both", (View,), {}))).as_view(),
    ],
    ids=["outside", "inside", "class"],
)
def test_a_view_that_is_public_and_guarded_is_a_warning(found, site, callback):
    """It cannot be both."""
    site(path("", callback))
    (message,) = found()
    assert ["W002"] == ids([message])
    assert "@public" in message.hint


def test_a_view_that_is_public_or_guarded_is_fine(found, site):
    """Either."""
    opened = public(wrapped_by_something_else(view))
    site(path("a", opened), path("b", login_required(view)), path("c", view))
    assert [] == found()


def test_urls_that_cannot_be_read_are_left_to_django(found, settings):
    """Its own check names them; ours say nothing, and do not fail."""
    settings.ROOT_URLCONF = "shop.no_such_urls"
    assert [] == found()


# --- the service's metadata ---------------------------------------------------------------------


OURS_AT = path("auth/", include("tokenward.django.urls"))
CATCHES_ALL = path("<path:anything>", lambda _request, anything: HttpResponse(anything))


@pytest.mark.parametrize(
    "patterns",
    [[OURS_AT], [OURS_AT, CATCHES_ALL], [OURS_AT, CATCHES_ALL, *well_known_urlpatterns]],
    ids=["not there", "somebody else's", "too late"],
)
def test_metadata_that_is_not_at_the_root_is_a_warning(mapping, site, patterns):
    """RFC 8414, section 3.1: who knows an issuer with a path asks there."""
    mapping["service"]["issuer"] = "https://auth.example/auth"
    site(*patterns)
    (message,) = ours()
    assert ["W011"] == ids([message])
    assert "/.well-known/oauth-authorization-server/auth" in message.msg
    assert "*well_known_urlpatterns" in message.hint


@pytest.mark.parametrize(
    ("issuer", "patterns"),
    [
        ("https://auth.example/auth", [OURS_AT, *well_known_urlpatterns]),
        ("https://auth.example/auth/", [*well_known_urlpatterns, OURS_AT, CATCHES_ALL]),
        ("https://auth.example", [path("", include("tokenward.django.urls"))]),
        ("https://auth.example/auth", [CATCHES_ALL]),
    ],
    ids=["both", "slash", "no path", "served elsewhere"],
)
def test_metadata_that_is_where_it_belongs(mapping, site, issuer, patterns):
    """Or whose service is not among this project's endpoints."""
    mapping["service"]["issuer"] = issuer
    site(*patterns)
    assert [] == ours()


def ours():
    """Return what Django's own check of the patterns says with our ids."""
    return [message for message in run_checks() if message.id.startswith("tokenward.")]


# --- the list -----------------------------------------------------------------------------------


def test_every_check_is_explained_and_nothing_else():
    """docs/adapters/django-checks.md has a row for each id in the source."""
    source = Path(tokenward.django.__file__).parent
    text = "".join(file.read_text("utf-8") for file in source.rglob("*.py"))
    document = Path(__file__).parents[3] / "docs" / "adapters" / "django-checks.md"
    rows = re.findall(r"^\| `tokenward\.([EW]\d{3})` \|", document.read_text("utf-8"), re.MULTILINE)
    assert sorted(set(re.findall(r'"(?:tokenward\.)?([EW]\d{3})"', text))) == sorted(rows)
