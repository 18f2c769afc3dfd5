"""tokenward.django.decorators: who may call a view (RULES 27, 30)."""

import functools

import pytest
from django.contrib.auth import decorators as django_auth
from django.contrib.auth.mixins import (
    LoginRequiredMixin,
    PermissionRequiredMixin,
    UserPassesTestMixin,
)
from django.core.cache import cache
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.http import require_GET
from rest_framework.response import Response
from rest_framework.views import APIView

from tokenward.django.decorators import login_required, public, roles_required, scopes_required
from tokenward.errors import ConfigurationError, NotAuthenticated

BARE = 'Bearer realm="shop"'
PREFLIGHT = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}


def who(request):
    return HttpResponse(request.principal.subject or "nobody")


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("alice", 200), ("old", 401), ("down", 503), ("a b", 400)]
)
def test_login_required_lets_only_good_tokens_through(site, token, status):
    """Nothing, good, refused, unknowable, malformed."""
    site(path("", login_required(who)))
    response = site.ask("/", token)
    assert response.status_code == status
    assert (response.content == b"alice") is (status == 200)


@pytest.mark.parametrize(
    ("token", "status", "body"),
    [(None, 200, b"nobody"), ("alice", 200, b"alice"), ("old", 401, None), ("down", 503, None)],
)
def test_optional_swallows_only_that_nothing_was_presented(site, token, status, body):
    """A refusal and an outage stay what they are."""
    site(path("", login_required(optional=True)(who)))
    response = site.ask("/", token)
    assert response.status_code == status
    assert body is None or response.content == body


def test_live_asks_the_issuer(site, verifier):
    """Only for the views that say so."""
    site(path("live", login_required(live=True)(who)), path("", login_required(who)))
    site.ask("/live", "alice")
    site.ask("/", "alice")
    assert verifier.calls == [("alice", True), ("alice", False)]


GRANTS = [
    (scopes_required("read"), "alice", 200),
    (scopes_required("read", "write"), "alice", 200),
    (scopes_required("read", "admin"), "alice", 403),
    (scopes_required("read"), "bob", 403),
    (scopes_required("read"), None, 401),
    (scopes_required(any_of=("admin", "read")), "alice", 200),
    (scopes_required(any_of=("admin", "own")), "alice", 403),
    (scopes_required("read", any_of=["admin"]), "alice", 403),
    (roles_required("editor"), "alice", 200),
    (roles_required("editor", "owner"), "alice", 403),
    (roles_required(any_of=("owner", "editor")), "alice", 200),
    (roles_required(any_of=("owner",)), "alice", 403),
    (roles_required("editor"), None, 401),
]


@pytest.mark.parametrize(("decorator", "token", "status"), GRANTS)
def test_scopes_and_roles_are_checked_and_authenticate_by_themselves(
    site, decorator, token, status
):
    """Without any login_required; on functions and on classes."""

    class Who(View):
        def get(self, request):
            return who(request)

    site(path("", decorator(who)), path("class", decorator(Who).as_view()))
    assert site.ask("/", token).status_code == status
    assert site.ask("/class", token).status_code == status


STACKS = [
    (login_required, scopes_required("read"), roles_required("editor")),
    (roles_required("editor"), scopes_required("read"), login_required),
    (scopes_required("read"), login_required(optional=True)),
    (login_required(optional=True), scopes_required("read")),
]


@pytest.mark.parametrize("access", ["allow", "deny"])
@pytest.mark.parametrize("decorators", STACKS)
def test_decorators_work_in_any_order_and_verify_once(site, verifier, decorators, access):
    """The strictest of them decides, wherever it stands."""
    view = functools.reduce(lambda view, decorate: decorate(view), decorators, who)
    site(path("", view), default_access=access)
    assert site.ask("/", "alice").content == b"alice"
    assert len(verifier.calls) == 1
    assert site.ask("/", "bob").status_code == 403
    assert site.ask("/").status_code == 401


def test_a_live_view_below_another_decorator_asks_again(site, verifier):
    """What was cached is not good enough for it."""
    site(path("", login_required(login_required(live=True)(who))))
    assert site.ask("/", "alice").content == b"alice"
    assert verifier.calls == [("alice", False), ("alice", True)]


def test_under_deny_a_live_view_is_asked_about_once(site, verifier):
    """The admission does what the guard would do."""
    site(path("", login_required(live=True)(who)), default_access="deny")
    assert site.ask("/", "alice").content == b"alice"
    assert verifier.calls == [("alice", True)]


def test_under_deny_an_optional_view_is_open_to_nobody_and_closed_to_bad_tokens(site):
    """As it is under allow."""
    site(path("", login_required(optional=True)(who)), default_access="deny")
    assert site.ask("/").content == b"nobody"
    assert site.ask("/", "old").status_code == 401


@pytest.mark.parametrize("decorator", [scopes_required, roles_required])
def test_a_decorator_without_names_is_refused(decorator):
    """It would guard nothing; and a bare one would take the view for a name."""
    for arguments in ((), (who,)):
        with pytest.raises(ConfigurationError, match="needs names"):
            decorator(*arguments)


def test_the_view_keeps_its_name():
    """For logs, and for reversing by function."""
    assert login_required(who).__name__ == "who"
    assert login_required(who).__wrapped__ is who


# --- classes -------------------------------------------------------------------------------------


class Shop(View):
    def get(self, request):
        return who(request)

    def post(self, request):
        return HttpResponse("posted")


def fresh(base=Shop):
    """Return a class that no other test has decorated."""
    return type("Fresh", (base,), {})


@pytest.mark.parametrize(
    "view",
    [
        lambda: login_required(fresh()).as_view(),
        lambda: login_required(optional=False)(fresh()).as_view(),
        lambda: login_required(fresh().as_view()),
        lambda: method_decorator(login_required, name="dispatch")(fresh()).as_view(),
        lambda: method_decorator(login_required(), name="get")(fresh()).as_view(),
        lambda: method_decorator([login_required, scopes_required("read")], name="dispatch")(
            fresh()
        ).as_view(),
    ],
    ids=["class", "called", "view of a class", "dispatch", "method", "several"],
)
@pytest.mark.parametrize("access", ["allow", "deny"])
def test_class_based_views_are_guarded(site, view, access):
    """In every way in which Django's people do it."""
    site(path("", view()), default_access=access)
    assert site.ask("/").status_code == 401
    assert site.ask("/", "old").status_code == 401
    assert site.ask("/", "alice").content == b"alice"


def test_one_method_may_be_guarded_alone(site):
    """The other one stays open."""

    class Half(View):
        def get(self, request):
            return HttpResponse("open")

        @method_decorator(scopes_required("read"))
        def post(self, request):
            return HttpResponse("posted")

    site(path("", Half.as_view()))
    assert site.ask("/").content == b"open"
    assert site.ask("/", "bob", method="POST").status_code == 403
    assert site.ask("/", "alice", method="POST").content == b"posted"


def test_a_subclass_of_a_guarded_class_is_guarded_and_its_base_is_left_alone(site):
    """And may ask for more."""
    base = fresh()
    guarded = login_required(base)
    narrower = scopes_required("admin")(fresh(guarded))
    site(
        path("base", Shop.as_view()),
        path("sub", fresh(guarded).as_view()),
        path("narrow", narrower.as_view()),
    )
    assert site.ask("/base").content == b"nobody"
    assert site.ask("/sub").status_code == 401
    assert site.ask("/sub", "alice").content == b"alice"
    assert site.ask("/narrow", "alice").status_code == 403


def test_under_deny_a_subclass_is_admitted_as_its_base_says(site):
    """Even where it has a dispatch of its own, in front of the guarded one."""

    class Own(login_required(optional=True)(fresh())):
        def dispatch(self, request):
            return super().dispatch(request)

    site(path("", Own.as_view()), default_access="deny")
    assert site.ask("/").content == b"nobody"
    assert site.ask("/", "old").status_code == 401


def test_a_class_keeps_what_it_was():
    """Decorated in place, as Django's own decorators do it."""
    view = fresh()
    assert login_required(view) is view
    assert view.dispatch.__name__ == "dispatch"


def test_rest_framework_views_are_guarded_too(site):
    """As classes, and as the functions that as_view() makes."""

    class API(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, request):
            return Response(request.principal.subject)

        @method_decorator(scopes_required("admin"))
        def post(self, request):
            return Response("posted")

    site(
        path("class", login_required(type("Guarded", (API,), {})).as_view()),
        path("view", login_required(API.as_view())),
        path("method", API.as_view()),
    )
    for target in ("/class", "/view"):
        assert site.ask(target).status_code == 401
        assert site.ask(target).headers["WWW-Authenticate"] == BARE
        assert site.ask(target, "alice").content == b'"alice"'
    assert site.ask("/method", "alice", method="POST").status_code == 403
    assert site.ask("/method", method="POST").status_code == 401


WRONG = "for a method write @method_decorator"


def test_a_method_is_not_guarded_as_if_it_were_a_function(site):
    """It would be handed itself for the request; the error says what to write."""

    class Wrong(View):
        @login_required
        def get(self, request):
            return HttpResponse("in")

    site(path("", Wrong.as_view()))
    with pytest.raises(ConfigurationError, match=WRONG):
        Wrong.as_view()(RequestFactory().get("/"))
    assert site.ask("/", "alice").status_code == 500


def test_an_async_method_is_not_guarded_as_if_it_were_a_function(site):
    """The same, on the event loop."""

    class Wrong(View):
        @login_required
        async def get(self, request):
            return HttpResponse("in")

    site(path("", Wrong.as_view()))
    assert site.ask_async("/", "alice").status_code == 500


def test_a_class_that_is_no_view_is_refused():
    """There would be nothing to guard."""
    with pytest.raises(ConfigurationError, match="has no dispatch"):
        login_required(dict)


def test_a_view_may_be_called_without_the_middleware():
    """As tests do; the refusal is then raised."""
    with pytest.raises(NotAuthenticated):
        login_required(who)(RequestFactory().get("/"))


# --- preflights ----------------------------------------------------------------------------------


@pytest.mark.parametrize("access", ["allow", "deny"])
@pytest.mark.parametrize(
    "view",
    [
        lambda: login_required(who),
        lambda: scopes_required("read")(login_required(who)),
        lambda: login_required(live=True)(require_GET(who)),
    ],
)
def test_a_preflight_is_answered_and_runs_no_function(site, view, access):
    """A function does for OPTIONS what it does for GET, and would do it for anybody."""
    site(path("", view()), default_access=access)
    answer = site.ask("/", method="OPTIONS", headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Vary" not in answer.headers
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert site.ask("/", method="OPTIONS").status_code == 401


def test_under_deny_a_preflight_runs_no_undeclared_function_either(site):
    """It is closed, like everything that declares nothing."""
    site(path("", who), default_access="deny")
    assert site.ask("/", method="OPTIONS", headers=PREFLIGHT).status_code == 204


@pytest.mark.parametrize("access", ["allow", "deny"])
@pytest.mark.parametrize(
    "view",
    [
        lambda cls: login_required(cls).as_view(),
        lambda cls: login_required(cls.as_view()),
        lambda cls: method_decorator(login_required, name="dispatch")(cls).as_view(),
        lambda cls: method_decorator(login_required, name="options")(cls).as_view(),
    ],
    ids=["class", "view of a class", "dispatch", "options"],
)
def test_a_preflight_runs_what_a_class_has_for_it(site, view, access):
    """A method of its own, for nobody; no other one."""

    class Own(View):
        def get(self, request):
            return HttpResponse("secret")

        def options(self, request):
            return HttpResponse(f"for {request.principal.subject or 'nobody'}")

    site(path("", view(fresh(Own))), default_access=access)
    answer = site.ask("/", method="OPTIONS", headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (200, b"for nobody")
    assert site.ask("/", method="OPTIONS").status_code == 401


def test_a_preflight_with_a_bad_token_is_answered_all_the_same(site, verifier):
    """It carries no credentials; those that it has nevertheless are not looked at."""
    site(path("", login_required(who)))
    assert site.ask("/", "old", method="OPTIONS", headers=PREFLIGHT).status_code == 204
    assert verifier.calls == []


def test_a_preflight_runs_an_optional_function(site):
    """Nobody is welcome there."""
    site(path("", login_required(optional=True)(who)))
    assert site.ask("/", method="OPTIONS", headers=PREFLIGHT).content == b"nobody"


# --- Django's own --------------------------------------------------------------------------------


class Personal(LoginRequiredMixin, Shop):
    login_url = "/sign-in"


class AliceOnly(UserPassesTestMixin, Shop):
    raise_exception = True

    def test_func(self):
        return self.request.user.get_username() == "alice"


class Permitted(PermissionRequiredMixin, Shop):
    permission_required = "shop.change_order"
    raise_exception = True


ALLOWED = [
    django_auth.login_required(who, login_url="/sign-in"),
    django_auth.user_passes_test(lambda user: user.is_authenticated, login_url="/sign-in")(who),
    Personal.as_view(),
]


@pytest.mark.django_db
@pytest.mark.parametrize("view", ALLOWED, ids=["login_required", "user_passes_test", "mixin"])
def test_djangos_own_guards_take_tokens(site, view):
    """Whoever has none is sent where they send people; a refused one is refused by us."""
    site(path("", view))
    assert site.ask("/", "alice").content == b"alice"
    assert site.ask("/").headers["Location"] == "/sign-in?next=/"
    for token, status in {"old": 401, "down": 503, "a b": 400}.items():
        answer = site.ask("/", token)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "view",
    [
        AliceOnly.as_view(),
        Permitted.as_view(),
        django_auth.permission_required("shop.change_order", raise_exception=True)(who),
    ],
    ids=["user test", "permission mixin", "permission_required"],
)
def test_djangos_own_tests_and_permissions_look_at_the_bearer(site, settings, view):
    """Permissions come from scopes; bob has none."""
    site(path("", view))
    settings.TOKENWARD = settings.TOKENWARD | {
        "django": {"user": "stateless", "permissions": {"write": ["shop.change_order"]}}
    }
    assert site.ask("/", "alice").content == b"alice"
    assert site.ask("/", "bob").status_code == 403
    assert site.ask("/").status_code == 403
    assert site.ask("/", "old").status_code == 401


# --- caches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("access", ["allow", "deny"])
@pytest.mark.parametrize("by", ["Authorization", "Cookie"])
def test_a_page_cache_around_the_guard_keeps_each_bearers_page_apart(site, access, by):
    """What Django's cache_page keeps varies by the header that decided."""
    cache.clear()
    site(path("", cache_page(60)(login_required(who))), default_access=access)
    form = {"Authorization": "Bearer {}", "Cookie": "token={}"}[by]

    def ask(token):
        return site.ask("/", headers={by: form.format(token)})

    for token in ("alice", "bob", "alice"):
        assert ask(token).content == token.encode()
    assert site.ask("/").status_code == 401
    assert ask("old").status_code == 401
    cache.clear()


# --- public --------------------------------------------------------------------------------------


def test_public_opens_a_class_and_what_is_made_of_it(site):
    """Marked on the class, or on its dispatch."""
    site(
        path("class", public(fresh()).as_view()),
        path("dispatch", method_decorator(public, name="dispatch")(fresh()).as_view()),
        path("closed", fresh().as_view()),
        default_access="deny",
    )
    assert site.ask("/class").content == b"nobody"
    assert site.ask("/dispatch").content == b"nobody"
    assert site.ask("/closed").status_code == 401
