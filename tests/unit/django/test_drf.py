"""tokenward.django.drf: the same answers through Django REST framework, whatever is composed."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.http import JsonResponse
from django.test import Client
from django.urls import include, path
from rest_framework import exceptions, generics, serializers, viewsets
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.decorators import (
    action,
    api_view,
    authentication_classes,
    permission_classes,
    throttle_classes,
)
from rest_framework.permissions import (
    SAFE_METHODS,
    AllowAny,
    BasePermission,
    IsAdminUser,
    IsAuthenticated,
)
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView, exception_handler

from tokenward.authenticator import Authenticator, Credential, authorization, cookie
from tokenward.bearer import error_response
from tokenward.django.decorators import public
from tokenward.django.drf import HasRoles, HasScopes, TokenwardAuthentication
from tokenward.django.signals import token_refused
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    CrossSiteRequest,
    InsufficientScope,
    InvalidAuthorizationHeader,
    InvalidToken,
    NotAuthenticated,
    TokenExpired,
    UserNotFound,
)
from tokenward.principal import ANONYMOUS, Principal
from tokenward.testing import StubVerifier, override_authenticator

ALICE = Principal("alice", scopes={"read", "write"}, roles={"editor"}, username="alice")
BOB = Principal("bob")
BARE = 'Bearer realm="shop"'
# What the middleware of a project adds to every answer; and Vary is the adapter's.
DJANGOS = (
    "Cross-Origin-Opener-Policy",
    "Referrer-Policy",
    "Vary",
    "X-Content-Type-Options",
    "X-Frame-Options",
)
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]


class No(BasePermission):
    """Says no, and has a reason of its own that it keeps to itself."""

    def has_permission(self, request, view):
        return False

    def has_object_permission(self, request, view, obj):
        return False


class NotThis(BasePermission):
    """Says no to an object."""

    def has_object_permission(self, request, view, obj):
        return False


class ByName(BaseAuthentication):
    """Somebody else's way to authenticate."""

    def authenticate(self, request):
        name = request.META.get("HTTP_X_NAME")
        return None if name is None else (User(username=name), "no principal")

    def authenticate_header(self, request):
        return "Name"


class Live(TokenwardAuthentication):
    live = True


class View(APIView):
    authentication_classes = (TokenwardAuthentication,)
    permission_classes = (IsAuthenticated,)

    def get(self, request, **_kwargs):
        return Response(request.auth.subject if request.auth else "nobody")

    def post(self, request):
        return self.get(request)


@public
class Opened(View):
    permission_classes = (AllowAny,)


class Named(View):
    def get(self, request):
        return Response(f"{type(request.user).__name__} {request.user.get_username()}")


class Forbids(View):
    """Lets in, and then has objections of its own."""

    permission_classes = (HasScopes.of("admin") | AllowAny,)

    def get(self, request, **_kwargs):
        raise {
            "permission": exceptions.PermissionDenied(),
            "nobody": exceptions.AuthenticationFailed("the second factor is missing"),
            "missing": exceptions.NotFound(),
        }[request.query_params["why"]]


class Thing(serializers.Serializer):
    name = serializers.CharField()


class Things(generics.GenericAPIView):
    authentication_classes = (TokenwardAuthentication,)
    permission_classes = (HasScopes,)
    serializer_class = Thing

    @property
    def required_scopes(self):
        return ["read"] if self.request.method in SAFE_METHODS else ["write", "admin"]

    def get(self, request, name=None):
        if name is not None:
            self.check_object_permissions(request, name)
        return Response({"name": name})

    def post(self, request):
        return Response({"name": "new"})


class Locked(Things):
    """Lets in, and then has objections of its own."""

    def get(self, request, name=None):
        raise exceptions.PermissionDenied


class ThingSet(viewsets.ViewSet):
    authentication_classes = (TokenwardAuthentication,)
    permission_classes = (HasScopes.of("read"),)
    required_roles = ()

    def list(self, request):
        return Response([request.auth.subject])

    @action(detail=False, permission_classes=[HasRoles], required_roles=["owner"])
    def secrets(self, request):
        return Response("secret")

    @action(detail=False, permission_classes=[HasRoles], required_roles=["editor"])
    def drafts(self, request):
        return Response("draft")


class OncePerDay(UserRateThrottle):
    rate = "1/day"


@api_view(["GET"])
@authentication_classes([TokenwardAuthentication])
@permission_classes([HasScopes.of("read")])
def function(request):
    return Response(request.auth.subject)


@api_view(["GET"])
@authentication_classes([TokenwardAuthentication])
@throttle_classes([OncePerDay])
def throttled(request):
    return Response("ok")


def plain(request):
    return JsonResponse({"user": request.user.get_username()})


router = SimpleRouter()
router.register("set", ThingSet, basename="set")
OURS = (TokenwardAuthentication,)
BESIDE = (TokenwardAuthentication, SessionAuthentication)


def at(route, permission, view=View, authentication=OURS, **more):
    permissions = permission if isinstance(permission, tuple) else (permission,)
    options = {"permission_classes": permissions, "authentication_classes": authentication}
    return path(route, view.as_view(**options, **more))


urlpatterns = [
    at("", IsAuthenticated),
    at("optional", AllowAny),
    at("scoped", HasScopes.of("read", "admin")),
    at("any-scope", HasScopes.any_of("admin", "read")),
    at("role", HasRoles.of("owner")),
    at("any-role", HasRoles.any_of("owner", "editor")),
    at("beside", IsAuthenticated, authentication=BESIDE),
    at("session-first", IsAuthenticated, authentication=BESIDE[::-1]),
    at("beside-scoped", HasScopes.of("read"), authentication=BESIDE),
    at("by-name", HasScopes.of("read"), authentication=(TokenwardAuthentication, ByName)),
    at("nobody-asks", HasScopes.of("read"), authentication=()),
    at("live", IsAuthenticated, authentication=(Live,)),
    at("forbids", HasScopes.of("admin") | AllowAny, view=Forbids),
    at("bare", HasScopes),
    path("things", Things.as_view()),
    path("things/<name>", Things.as_view()),
    path("user", Named.as_view()),
    path("opened", Opened.as_view()),
    path("locked", Locked.as_view()),
    path("function", function),
    path("throttled", throttled),
    path("plain", plain),
    path("", include(router.urls)),
]


@pytest.fixture
def verifier():
    outcomes = {
        "alice": ALICE,
        "bob": BOB,
        "admin": Principal("admin", scopes={"read", "write", "admin"}),
        "old": TokenExpired("a hint"),
        "down": AuthServiceUnavailable("a hint", retry_after=20),
    }
    return StubVerifier(outcomes)


@pytest.fixture(autouse=True)
def project(settings, verifier):
    """A project whose API is this module; users need no database."""
    settings.ROOT_URLCONF = __name__
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    settings.TEMPLATES = TEMPLATES
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "rest_framework"]
    settings.TOKENWARD = {"realm": "shop", "credentials": [], "django": {"user": "stateless"}}
    places = (Credential(authorization(), verifier), Credential(cookie("token"), verifier))
    with override_authenticator(Authenticator(*places, realm="shop")):
        yield


@pytest.fixture
def ask():
    """Return a function that asks for a path as the bearer of a token."""

    def ask(path="/", token=None, method="GET", **options):
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        client = options.pop("client", None) or Client(enforce_csrf_checks=True)
        return client.generic(method, path, headers=headers, **options)

    return ask


def is_ours(response, error):
    """Compare with the one formatter, header by header and byte by byte."""
    made = error_response(error, realm="shop")
    expected, headers = dict(made.headers), dict(response.headers)
    expected["Content-Length"] = str(len(made.body))
    for others in DJANGOS:
        headers.pop(others, None)
    if "Retry-After" in expected:
        # Not the same for everybody.
        assert 20 <= int(headers["Retry-After"]) <= 30
        expected["Retry-After"] = headers["Retry-After"]
    assert (made.status, made.body) == (response.status_code, response.content)
    assert expected == headers
    return True


def bearer(value):
    return {"Authorization": f"Bearer {value}"}


REFUSED = {
    "nothing": ("/", {}, NotAuthenticated()),
    "nothing, scopes needed": ("/scoped", {}, NotAuthenticated()),
    "nothing, a role needed": ("/role", {}, NotAuthenticated()),
    "nothing, in a function": ("/function", {}, NotAuthenticated()),
    "nothing, in a view set": ("/set/", {}, NotAuthenticated()),
    "another scheme": ("/", {"Authorization": "Basic YTpi"}, NotAuthenticated()),
    "an empty header": ("/", {"Authorization": ""}, NotAuthenticated()),
    "malformed": ("/", bearer("a b"), InvalidAuthorizationHeader()),
    "malformed, nothing needed": ("/optional", bearer("a b"), InvalidAuthorizationHeader()),
    "doubled": ("/", bearer("alice,Bearer alice"), InvalidAuthorizationHeader()),
    "in the query too": ("/?access_token=alice", bearer("alice"), InvalidAuthorizationHeader()),
    "bad": ("/", bearer("nonsense"), InvalidToken()),
    "bad, nothing needed": ("/optional", bearer("nonsense"), InvalidToken()),
    "bad, another class beside": ("/beside", bearer("nonsense"), InvalidToken()),
    "expired": ("/", bearer("old"), TokenExpired()),
    "too little scope": ("/scoped", bearer("alice"), InsufficientScope(["read", "admin"])),
    "none of the scopes": ("/any-scope", bearer("bob"), InsufficientScope(["admin", "read"])),
    "too little scope, in a function": ("/function", bearer("bob"), InsufficientScope(["read"])),
    "too few roles": ("/role", bearer("alice"), InsufficientScope()),
    "none of the roles": ("/any-role", bearer("bob"), InsufficientScope()),
    "an outage": ("/", bearer("down"), AuthServiceUnavailable(retry_after=20)),
    "an outage, nothing needed": ("/optional", bearer("down"), AuthServiceUnavailable()),
    "an outage, another class beside": ("/beside", bearer("down"), AuthServiceUnavailable()),
}


@pytest.mark.parametrize(("url", "headers", "error"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_that_of_every_other_adapter(ask, url, headers, error):
    """Status, headers and body are what `error_response` makes of the error."""
    assert is_ours(ask(url, headers=headers), error)


def test_a_refusal_depends_on_what_was_looked_at(ask):
    """As everywhere; the renderers' ``Accept`` had no part in it."""
    assert ask("/").headers["Vary"] == "Authorization, Cookie"


LET_IN = {
    "a token": ("/", "alice"),
    "enough scope": ("/any-scope", "alice"),
    "a role": ("/any-role", "alice"),
    "a token where none is needed": ("/optional", "bob"),
    "a token beside sessions": ("/beside", "alice"),
    "in a function": ("/function", "alice"),
}


@pytest.mark.parametrize(("url", "token"), LET_IN.values(), ids=LET_IN)
def test_a_good_token_is_let_in(ask, url, token):
    """The view runs, for whom it should."""
    response = ask(url, token)
    assert (response.status_code, response.json()) == (200, token)
    assert "WWW-Authenticate" not in response.headers


def test_nobody_is_let_in_where_nobody_need_be_anybody(ask):
    """`AllowAny` stays what it is."""
    assert ask("/optional").json() == "nobody"


def test_head_follows_get(ask):
    """The same status and challenge, and no body."""
    response = ask("/", method="HEAD")
    assert (response.status_code, response.content) == (401, b"")
    assert response.headers["WWW-Authenticate"] == BARE
    assert ask("/", "alice", method="HEAD").status_code == 200


def test_the_view_knows_the_principal_and_the_user_of_the_middleware(rf):
    """``request.auth``, ``request.user`` and what Django's own request says are one."""
    seen = []

    class Looks(View):
        def get(self, request):
            seen.append(request)
            return Response("ok")

    answer(rf.get("/", headers=bearer("alice")), Looks)
    (request,) = seen
    assert request.auth is ALICE
    assert request.principal == ALICE
    assert request.user is request._request.user
    assert request.user.principal is ALICE
    assert request.successful_authenticator.__class__ is TokenwardAuthentication


@pytest.mark.django_db
def test_the_user_may_be_a_row_that_can_be_closed(ask, settings):
    """Whom the project lets in no more is refused as everywhere, and is not nobody."""
    settings.TOKENWARD = {"realm": "shop", "credentials": []}
    assert ask("/user", "alice").json() == "User alice"
    User.objects.update(is_active=False)
    for url in ("/user", "/optional", "/beside"):
        assert is_ours(ask(url, "alice"), UserNotFound())


def answer(request, view):
    """Answer ``request`` by ``view`` behind the middleware."""
    from tokenward.django.middleware import TokenwardMiddleware

    def respond(request):
        return view.as_view()(request).render()

    return TokenwardMiddleware(respond)(request)


def test_a_request_is_decided_once(ask, verifier):
    """By the middleware, the class and the permissions together."""
    ask("/any-scope", "alice")
    assert verifier.calls == [("alice", False)]


def test_a_subclass_that_wants_it_asks_the_issuer(ask, verifier):
    """``live`` is the class's."""
    assert ask("/live", "alice").json() == "alice"
    assert verifier.calls == [("alice", True)]


def test_the_challenge_is_that_of_the_one_formatter():
    """Bare, with the realm in force."""
    with override_authenticator(Authenticator(realm='the "best" shop')):
        request = View().initialize_request(APIRequestFactory().get("/"))
        given = TokenwardAuthentication().authenticate_header(request)
        made = error_response(NotAuthenticated(), realm='the "best" shop')
    assert given == dict(made.headers)["WWW-Authenticate"]
    assert given == 'Bearer realm="the \\"best\\" shop"'


def test_without_the_middleware_a_refusal_is_raised():
    """Never turned into nobody."""
    request = APIRequestFactory().get("/", headers=bearer("nonsense"))
    with pytest.raises(InvalidToken):
        View.as_view(permission_classes=[AllowAny])(request)


class TestBesideOtherClasses:
    def test_nobody_gets_the_frameworks_answer_with_our_challenge(self, ask):
        """Another way to be let in exists, and we do not know it."""
        response = ask("/beside")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == BARE
        assert response.json() == {"detail": "Authentication credentials were not provided."}

    def test_nobody_gets_our_answer_where_only_a_token_would_do(self, ask):
        """A session holds no scopes, whichever class is asked first."""
        assert is_ours(ask("/beside-scoped"), NotAuthenticated())
        assert is_ours(ask("/by-name"), NotAuthenticated())

    def test_somebody_without_a_token_holds_no_scopes(self, ask):
        """Let in by another class, and kept out by the permission."""
        response = ask("/by-name", headers={"X-Name": "carol"})
        assert is_ours(response, InsufficientScope(["read"]))
        assert ask("/by-name", "alice").json() == "alice"

    def test_where_nobody_asks_who_it_is_nobody_is_let_in(self, ask):
        """A view without authentication classes that demands a scope."""
        assert is_ours(ask("/nobody-asks", "alice"), NotAuthenticated())

    @pytest.mark.django_db
    def test_the_user_of_a_session_is_the_session_classs_business(self, ask):
        """Ours never returns them; the other does, and they hold no scopes."""
        client = Client()
        client.force_login(User.objects.create_user("carol"))
        assert is_ours(ask("/", client=client), NotAuthenticated())
        assert is_ours(ask("/beside-scoped", client=client), InsufficientScope(["read"]))
        assert ask("/beside", client=client).json() == "nobody"
        assert ask("/beside", "alice", client=client).json() == "alice"
        assert ask("/plain", client=client).json() == {"user": "carol"}

    @pytest.mark.django_db
    def test_a_session_needs_djangos_proof_of_the_site_and_a_token_needs_none(self, ask):
        """CSRF is a matter of the credential that counts."""
        client = Client(enforce_csrf_checks=True)
        client.force_login(User.objects.create_user("carol"))
        assert "CSRF" in ask("/beside", method="POST", client=client).json()["detail"]
        assert ask("/beside", "alice", method="POST", client=client).json() == "alice"

    def test_a_cookie_needs_proof_of_the_site_once(self):
        """By the authenticator; nobody asks for Django's CSRF token too."""
        client = Client(enforce_csrf_checks=True)
        client.cookies["token"] = "alice"
        assert is_ours(client.post("/"), CrossSiteRequest())
        assert client.post("/", headers={"Sec-Fetch-Site": "same-origin"}).json() == "alice"
        assert client.get("/").json() == "alice"
        assert client.get("/").headers["Cache-Control"] == "no-store"


PREFLIGHT = {"Origin": "https://spa.example", "Access-Control-Request-Method": "POST"}


class TestPreflight:
    def test_it_is_sent_by_nobody(self, rf):
        """What it bears is not looked at."""
        request = rf.options("/", headers=PREFLIGHT | bearer("nonsense"))
        assert TokenwardAuthentication().authenticate(View().initialize_request(request)) is None

    @pytest.mark.parametrize("url", ["/scoped", "/role", "/things"])
    def test_our_permissions_let_it_pass(self, ask, url):
        """As the decorators do; it learns nothing that they would keep from it."""
        response = ask(url, method="OPTIONS", headers=PREFLIGHT)
        assert response.status_code == 200
        assert "actions" not in response.json()

    @pytest.mark.parametrize("left_out", PREFLIGHT)
    def test_an_options_request_that_is_none_is_refused(self, ask, left_out):
        """Both headers make it one."""
        headers = {k: v for k, v in PREFLIGHT.items() if k != left_out}
        assert is_ours(ask("/scoped", method="OPTIONS", headers=headers), NotAuthenticated())

    def test_no_other_method_is_one(self, ask):
        """Nor does a header make it one."""
        headers = {**PREFLIGHT, "X-HTTP-Method-Override": "OPTIONS"}
        assert is_ours(ask("/scoped", method="POST", headers=headers), NotAuthenticated())


A, B = HasScopes.of("a"), HasScopes.of("b")
EDITOR, OWNER = HasRoles.of("editor"), HasRoles.of("owner")
READ = HasScopes.of("read")
DENIED = "the framework's"

COMPOSED = {
    "both, neither held": (A & B, InsufficientScope(["a"])),
    "both, one held": (READ & B, InsufficientScope(["b"])),
    "both held": (READ & EDITOR, None),
    "either, neither held": (A | B, InsufficientScope(["a", "b"])),
    "either, left held": (READ | B, None),
    "either, right held": (A | READ, None),
    "a scope or a role": (A | OWNER, InsufficientScope(["a"])),
    "a role or a scope": (OWNER | A, InsufficientScope(["a"])),
    "not, held": (~READ, DENIED),
    "not, not held": (~A, None),
    "not not": (~~A, DENIED),
    "not not, held": (~~READ, None),
    "and another": (A & IsAuthenticated, InsufficientScope(["a"])),
    "another and": (IsAuthenticated & A, InsufficientScope(["a"])),
    "another first that says no": (No & A, DENIED),
    "or another": (A | IsAuthenticated, None),
    "another or": (No | A, InsufficientScope(["a"])),
    "or another that says no": (A | No, InsufficientScope(["a"])),
    "others or": ((No & IsAuthenticated) | A, InsufficientScope(["a"])),
    "deep": (((A & B) | ~READ) | (OWNER & IsAuthenticated), InsufficientScope(["a"])),
    "deep, let in": (((A & B) | ~READ) | (EDITOR & IsAuthenticated), None),
    "a list": ((IsAuthenticated, A, B), InsufficientScope(["a"])),
    "let in by the other, then denied": ((A | IsAuthenticated, No), DENIED),
    "let in by not, then denied": ((~A, No), DENIED),
    "let in deep, then denied": (((A | No) | IsAuthenticated, No), DENIED),
    "another or, let in, then denied": (((No | A) | IsAuthenticated, No), DENIED),
    "and another, let in, then denied": (((A & No) | IsAuthenticated, No), DENIED),
    "another and, let in, then denied": (((IsAuthenticated & A) | IsAuthenticated, No), DENIED),
    "others and, let in, then denied": (((No & READ) | IsAuthenticated, No), DENIED),
    "taken back inside, then lacking": (
        B | ((A | IsAuthenticated) & No),
        InsufficientScope(["b"]),
    ),
}


@pytest.mark.parametrize(("permission", "error"), COMPOSED.values(), ids=COMPOSED)
def test_a_composition_answers_for_what_said_no(rf, permission, error):
    """To the letter, and only where that is why; with an object as without."""
    permissions = permission if isinstance(permission, tuple) else (permission,)

    class Composed(View):
        permission_classes = permissions

    class ByObject(View):
        permission_classes = (IsAuthenticated,)

        def get(self, request):
            self.permission_classes = permissions
            self.check_object_permissions(request, "an object")
            return Response("alice")

    for view in (Composed, ByObject):
        response = answer(rf.get("/", headers=bearer("alice")), view)
        if error is None:
            assert (response.status_code, response.data) == (200, "alice")
        elif error is DENIED:
            assert (response.status_code, response.data["detail"].code) == (
                403,
                "permission_denied",
            )
        else:
            assert error_response(error, realm="shop").body == response.content
            made = dict(error_response(error, realm="shop").headers)
            assert made["WWW-Authenticate"] == response.headers["WWW-Authenticate"]


@pytest.mark.parametrize("why", ["permission", "nobody", "missing"])
def test_what_a_view_says_itself_stays_as_it_is(ask, why):
    """An ``|`` that has let the request in leaves nothing behind."""
    response = ask(f"/forbids?why={why}", "alice")
    expected = {"permission": 403, "nobody": 401, "missing": 404}
    assert expected[why] == response.status_code
    assert list(response.json()) == ["detail"]


def test_an_object_that_another_permission_refuses_is_refused_by_it(rf):
    """Although ours had said no first, in an ``|``."""

    class Object(View):
        permission_classes = (A | IsAuthenticated, NotThis)

        def get(self, request):
            self.check_object_permissions(request, "an object")

    response = answer(rf.get("/", headers=bearer("alice")), Object)
    assert (response.status_code, response.data["detail"].code) == (403, "permission_denied")


def test_an_object_may_need_a_scope(rf):
    """Where whoever does not own it needs one."""

    class Object(View):
        permission_classes = (NotThis | A,)

        def get(self, request):
            self.check_object_permissions(request, "an object")

    response = answer(rf.get("/", headers=bearer("alice")), Object)
    expected = error_response(InsufficientScope(["a"]), realm="shop")
    assert (expected.status, expected.body) == (response.status_code, response.content)


def test_nobody_is_nobody_in_every_composition(rf):
    """401, and not 403 with the last scope named."""
    for composed in (A & B, A | B, A | OWNER, No | A, A | IsAdminUser):
        view = type("Composed", (View,), {"permission_classes": (composed,)})
        response = answer(rf.get("/"), view)
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, BARE)
        assert json.loads(response.content)["error"] == "not_authenticated"


def test_permissions_compare_as_the_frameworks_do():
    """Compositions of the same are the same."""
    assert (A | B) == (A | B)
    assert len({A & B, A & B, A | B, B | A}) == 3


class TestNames:
    @pytest.mark.parametrize("kind", [HasScopes, HasRoles])
    @pytest.mark.parametrize("names", [(), (["a", "b"],), ("",), (None,), (A,)])
    @pytest.mark.parametrize("how", ["of", "any_of"])
    def test_what_names_nothing_stops_the_program(self, kind, how, names):
        """At import, with what to write instead."""
        with pytest.raises(ConfigurationError, match=rf"{kind.__name__}.{how}\('a', 'b'\)"):
            getattr(kind, how)(*names)

    @pytest.mark.parametrize("scope", ["a b", 'a"b', "é", "a\\b", "a\n"])
    def test_what_is_no_scope_stops_the_program(self, scope):
        """RFC 6749, section 3.3."""
        for how in (HasScopes.of, HasScopes.any_of):
            with pytest.raises(ConfigurationError, match="is not a scope"):
                how("fine", scope)

    def test_a_role_may_be_any_text(self):
        """Roles are what the issuer calls them."""
        assert HasRoles.of("Shop owner").required_by(None).roles == ("Shop owner",)

    def test_names_are_given_once(self):
        """A second ``of`` would forget the first."""
        with pytest.raises(ConfigurationError, match="join the two with &"):
            A.of("b")

    def test_a_class_says_what_it_wants(self):
        """In the error of whoever looks at a view."""
        assert HasScopes.any_of("a", "b").__name__ == "HasScopes.any_of('a', 'b')"
        assert issubclass(A, HasScopes)
        assert issubclass(A, BasePermission)

    def test_a_subclass_may_say_more(self):
        """It is a class like any other."""

        class CanRead(HasScopes.of("read")):
            message = "Ask the shop for access."

        assert CanRead().required_by(None).scopes == ("read",)

    @pytest.mark.parametrize("token", [None, "alice"])
    @pytest.mark.parametrize("names", [{}, {"required_scopes": []}, {"required_scopes": None}])
    def test_a_view_that_names_none_is_closed_with_a_clear_error(self, ask, rf, token, names):
        """To everybody, and never open."""
        view = type("Orders", (View,), {"permission_classes": (HasScopes,), **names})
        headers = {} if token is None else bearer(token)
        with pytest.raises(ConfigurationError, match="Orders demands HasScopes and does not say"):
            answer(rf.get("/", headers=headers), view)
        with pytest.raises(ConfigurationError, match="View demands HasScopes and does not say"):
            ask("/bare", token)

    def test_a_string_in_a_view_is_no_list(self, rf):
        """It would demand each of its letters."""
        names = {"required_scopes": "read", "permission_classes": (HasScopes,)}
        with pytest.raises(ConfigurationError, match="not the string 'read'"):
            answer(rf.get("/", headers=bearer("alice")), type("Orders", (View,), names))


class TestViews:
    def test_a_generic_view_names_its_scopes_by_the_method(self, ask):
        """``required_scopes`` may be a property."""
        assert ask("/things", "alice").json() == {"name": None}
        assert ask("/things/one", "alice").json() == {"name": "one"}
        response = ask("/things", "alice", method="POST")
        assert is_ours(response, InsufficientScope(["write", "admin"]))

    def test_an_action_of_a_view_set_has_its_own(self, ask):
        """By ``@action(permission_classes=…)``."""
        assert ask("/set/", "alice").json() == ["alice"]
        assert ask("/set/drafts/", "alice").json() == "draft"
        assert is_ours(ask("/set/secrets/", "alice"), InsufficientScope())

    def test_everybody_is_throttled_alone(self, ask):
        """Two people share no ``pk``, although they have no rows."""
        cache.clear()
        statuses = [ask("/throttled", token).status_code for token in ("alice", "alice", "bob")]
        assert statuses == [200, 429, 200]
        cache.clear()

    def test_the_browsable_api_offers_what_is_granted(self, ask):
        """Its forms are those of the methods that the token's scopes allow."""
        headers = {"Accept": "text/html"}
        form = b'<form action="/things" method="POST"'
        for token, expected in (("alice", False), ("admin", True)):
            page = ask("/things", token, headers=headers)
            assert (page.status_code, form in page.content) == (200, expected)

    def test_what_the_browsable_api_asks_afterwards_changes_no_answer(self, ask):
        """A form that is not offered is no reason of what was refused before."""
        page = ask("/locked", "alice", headers={"Accept": "text/html"})
        assert page.status_code == 403
        assert b"You do not have permission" in page.content

    def test_a_browser_gets_a_refusal_as_everybody_does(self, ask):
        """Not as a page of the browsable API."""
        for url in ("/", "/scoped", "/things"):
            assert is_ours(ask(url, headers={"Accept": "text/html"}), NotAuthenticated())

    def test_the_methods_that_a_caller_may_use_are_described_to_them(self, ask):
        """OPTIONS asks each permission for each method, and answers all the same."""
        for token, expected in (("alice", False), ("admin", True)):
            described = ask("/things", token, method="OPTIONS")
            assert (described.status_code, "actions" in described.json()) == (200, expected)

    def test_a_method_that_is_none_is_refused_as_that(self, ask):
        """After the request was let in."""
        assert ask("/scoped", method="DELETE").status_code == 401
        assert ask("/any-scope", "alice", method="DELETE").status_code == 405

    def test_an_asynchronous_server_gets_the_same(self, async_client):
        """The framework's views run in a thread there."""

        async def ask(url, **options):
            return await async_client.get(url, **options)

        get = async_to_sync(ask)
        assert get("/any-scope", headers=bearer("alice")).json() == "alice"
        assert is_ours(get("/"), NotAuthenticated())
        assert is_ours(get("/scoped", headers=bearer("bob")), InsufficientScope(["read", "admin"]))
        assert is_ours(get("/", headers=bearer("old")), TokenExpired())

    def test_a_shortfall_is_told_to_those_who_want_to_know(self, ask):
        """As that of a decorator is; who is nobody was not refused."""
        told = []

        def note(sender, request, error, **_more):
            told.append(getattr(error, "required", None))

        token_refused.connect(note)
        try:
            ask("/scoped", "bob")
            ask("/scoped")
            ask("/optional", "bob")
        finally:
            token_refused.disconnect(note)
        assert told == [("read", "admin")]

    def test_a_public_view_looks_at_nothing(self, ask):
        """As everywhere: an old token must not close it."""
        assert ask("/opened", "old").json() == "nobody"

    def test_a_refusal_is_the_same_in_development(self, ask, settings):
        """The framework changes how what it does not answer is shown there."""
        settings.DEBUG = True
        for url, error in (("/", TokenExpired()), ("/scoped", TokenExpired())):
            assert is_ours(ask(url, "old"), error)


class TestForced:
    """``force_authenticate`` leaves out the authentication classes, and nothing else."""

    def test_a_principal_as_the_token_counts(self, ask):
        """The permissions read ``request.auth``."""
        client = APIClient()
        client.force_authenticate(User(username="alice"), token=ALICE)
        assert client.get("/any-scope").json() == "alice"
        assert is_ours(client.get("/scoped"), InsufficientScope(["read", "admin"]))

    def test_without_one_no_scope_is_held(self):
        """Somebody, by other means."""
        client = APIClient()
        client.force_authenticate(User(username="alice"))
        assert client.get("/").json() == "nobody"
        assert is_ours(client.get("/any-scope"), InsufficientScope(["admin", "read"]))
        assert is_ours(client.get("/role"), InsufficientScope())

    def test_nobody_by_force_is_nobody(self):
        """401, not 403."""
        client = APIClient()
        client.force_authenticate(AnonymousUser(), token=ANONYMOUS)
        assert is_ours(client.get("/any-scope"), NotAuthenticated())

    def test_it_works_for_a_request_of_the_factory(self):
        """Without any middleware."""
        request = APIRequestFactory().get("/")
        force_authenticate(request, User(username="alice"), token=ALICE)
        view = View.as_view(permission_classes=[HasScopes.of("read")])
        assert view(request).data == "alice"


def enveloped(error, context):
    """Answer our errors, and wrap the framework's."""
    if isinstance(error, AuthError):
        return Response({"code": error.error}, status=error.status_code + 10)
    response = exception_handler(error, context)
    response.data["errors"] = [response.data["detail"].code]
    return response


class TestExceptionHandler:
    @pytest.fixture(autouse=True)
    def _handler(self, project, settings):
        settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": f"{__name__}.enveloped"}

    @pytest.mark.parametrize("accept", ["application/json", "text/html"])
    def test_a_projects_own_sees_our_errors_first(self, ask, accept):
        """What it makes of them is the answer, for a browser too."""
        response = ask("/", "nonsense", headers={"Accept": accept})
        assert response.status_code == 411
        assert b"invalid_token" in response.content
        assert ask("/", "down").json() == {"code": "temporarily_unavailable"}

    def test_what_it_makes_of_a_denial_stands(self, ask):
        """It knows a permission's no by its code."""
        response = ask("/scoped", "alice")
        assert response.status_code == 403
        assert response.json()["errors"] == ["insufficient_scope"]
        response = ask("/")
        assert response.status_code == 401
        assert response.json()["errors"] == ["not_authenticated"]
        assert response.headers["WWW-Authenticate"] == BARE


def test_where_everything_is_closed_the_middleware_comes_first(ask, verifier):
    """``default_access: deny`` asks for a token before the framework does."""
    closed = Authenticator(
        Credential(authorization(), verifier), realm="shop", default_access="deny"
    )
    with override_authenticator(closed):
        assert is_ours(ask("/optional"), NotAuthenticated())
        assert ask("/optional", "bob").json() == "bob"
        assert is_ours(ask("/role", "bob"), InsufficientScope())
        assert is_ours(ask("/beside"), NotAuthenticated())
