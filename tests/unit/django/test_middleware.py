"""tokenward.django.middleware: when somebody is asked for, and how a refusal is answered."""

import copy
import gc
import io
import json
import logging
import pickle
import threading
import traceback
import weakref

import django
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth import middleware as django_auth
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import path, re_path
from django.utils.cache import patch_vary_headers
from django.views import View
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from tokenward.authenticator import Authenticator
from tokenward.django.decorators import login_required, public
from tokenward.django.drf import TokenwardAuthentication
from tokenward.django.signals import token_refused, user_authenticated
from tokenward.errors import ConfigurationError, Forbidden, InvalidToken, TokenExpired
from tokenward.principal import ANONYMOUS, Principal
from tokenward.testing import override_authenticator

OURS = "tokenward.django.middleware.TokenwardMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
BY_MODEL = "django.contrib.auth.backends.ModelBackend"
IN_ORDER = [SESSIONS, AUTHENTICATION, OURS]
REVERSED = [SESSIONS, OURS, AUTHENTICATION]
BARE = 'Bearer realm="shop"'


def plain(request):
    return HttpResponse("anybody")


def who(request):
    return HttpResponse(request.principal.subject or "nobody")


def name(request):
    return HttpResponse(request.user.get_username() or "nobody")


def both(request):
    return HttpResponse(f"{request.principal.subject} {request.user.get_username()}")


def opened(view):
    """Return the view as a public one, and leave it as it is."""

    def marked(request):
        return view(request)

    return public(marked)


def error_of(response):
    return json.loads(response.content)["error"]


# --- under allow: nothing until somebody looks ---------------------------------------------------


@pytest.mark.parametrize("token", [None, "alice", "old", "down", "unknown", "a b"])
def test_nothing_is_verified_for_a_view_that_does_not_look(site, verifier, token):
    """Not even a refused token matters to it; and the answer does not vary."""
    site(path("", plain))
    response = site.ask("/", token)
    assert (response.status_code, response.content) == (200, b"anybody")
    assert verifier.calls == []
    assert "Vary" not in response.headers


@pytest.mark.parametrize("view", [who, name, both])
def test_whoever_looks_gets_the_bearer(site, verifier, view):
    """By either name, verified once."""
    site(path("", view))
    assert b"alice" in site.ask("/", "alice").content
    assert verifier.calls == [("alice", False)]


@pytest.mark.parametrize("view", [who, name])
@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("old", (401, "invalid_token")),
        ("unknown", (401, "invalid_token")),
        ("a b", (400, "invalid_request")),
        ("down", (503, "temporarily_unavailable")),
    ],
)
def test_looking_runs_into_the_refusal(site, verifier, view, token, answer):
    """It is answered as everywhere, and nobody is made of it."""
    site(path("", view))
    response = site.ask("/", token)
    assert (response.status_code, error_of(response)) == answer
    assert response.headers["Vary"] == "Authorization, Cookie"
    assert len(verifier.calls) <= 1


@pytest.mark.django_db
@pytest.mark.parametrize("view", [who, name])
def test_nobody_is_nobody(site, view):
    """Nothing presented: ANONYMOUS, and the user of the session, who is nobody."""
    site(path("", view))
    assert site.ask("/").content == b"nobody"


def test_one_verification_a_request_whoever_looks(site, verifier):
    """Decorators, principal, user, and a template."""

    @login_required
    @login_required
    def view(request):
        assert request.user.is_authenticated
        assert request.principal.is_authenticated
        template = engines["django"].from_string("{{ principal.subject }} {{ user.username }}")
        return HttpResponse(template.render({}, request))

    site(path("", view))
    assert site.ask("/", "alice").content == b"alice alice"
    assert verifier.calls == [("alice", False)]


class Promoting:
    """A verifier whose cache says one thing and whose issuer another."""

    def __init__(self, cached, live):
        self._said = {False: cached, True: live}
        self.calls = []

    def verify(self, token, /, *, live=False):
        self.calls.append(live)
        said = self._said[live]
        if isinstance(said, Exception):
            raise copy.copy(said)
        return said


def test_live_asks_again_and_what_was_known_before_counts_no_more(site):
    """A role that was taken away is gone from every name of the bearer, whoever had looked."""
    verifier = Promoting(Principal("alice", roles={"owner"}), Principal("alice", username="new"))
    seen = []

    @login_required(live=True)
    def inner(request):
        seen.append((request.principal.roles, request.user.get_username()))
        return HttpResponse("in")

    def view(request):
        seen.append((request.principal.roles, request.user.get_username()))
        return inner(request)

    site(path("", view), verifier=verifier)
    assert site.ask("/", "alice").content == b"in"
    assert verifier.calls == [False, True]
    assert seen == [({"owner"}, "alice"), (set(), "new")]


def test_a_live_refusal_undoes_the_cached_yes(site):
    """Nobody in the rest of the request finds the old answer."""
    verifier = Promoting(Principal("alice"), TokenExpired())

    def view(request):
        assert request.principal.subject == "alice"
        try:
            login_required(live=True)(plain)(request)
        except TokenExpired:
            return who(request)

    site(path("", view), verifier=verifier)
    assert site.ask("/", "alice").status_code == 401


def test_a_refusal_that_a_view_has_caught_is_there_the_next_time(site, verifier):
    """The same, without a second verification and without a longer and longer traceback."""
    caught = []

    def view(request):
        for _ in range(3):
            try:
                request.principal.subject  # noqa: B018 - looked at
            except InvalidToken as error:
                caught.append(error)
        return HttpResponse("caught")

    site(path("", view))
    assert site.ask("/", "old").content == b"caught"
    assert len(verifier.calls) == 1
    depths = [len(traceback.extract_tb(error.__traceback__)) for error in caught]
    assert depths[1] == depths[2]
    assert len({id(error) for error in caught}) == 3
    assert all(error.__context__ is None for error in caught)


# --- what request.principal is -------------------------------------------------------------------


def test_the_lazy_principal_passes_for_a_principal(site, verifier):
    """For isinstance, ==, hash, bool, copies and pickle; nothing but identity gives it away."""
    alice = verifier.verify("alice")
    found = {}

    def view(request):
        lazy = request.principal
        found["before"] = verifier.calls[1:]
        found["checks"] = [
            isinstance(lazy, Principal),
            lazy == alice,
            alice == lazy,
            hash(lazy) == hash(alice),
            bool(lazy),
            copy.copy(lazy) == alice,
            pickle.loads(pickle.dumps(lazy)) == alice,  # noqa: S301 - our own bytes
            type(pickle.loads(pickle.dumps(lazy))) is Principal,  # noqa: S301 - the same
            lazy.to_dict() == alice.to_dict(),
            json.dumps(lazy.claims) == "{}",
        ]
        return HttpResponse("seen")

    site(path("", view))
    assert site.ask("/", "alice").content == b"seen"
    assert found == {"before": [], "checks": [True] * 10}


def test_the_lazy_nobody_passes_for_anonymous(site):
    """is_anonymous tells, not ``is``."""
    found = []

    def view(request):
        found.append((request.principal == ANONYMOUS, request.principal.is_anonymous))
        return HttpResponse("seen")

    site(path("", view))
    site.ask("/")
    assert found == [(True, True)]


@pytest.fixture(autouse=True)
def connections_are_the_tests_own():
    """Have requests that no test client makes leave the connections alone, as it does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def call(application, token=None, target="/", method="GET", **environ):
    """Call the project's WSGI application, as a server does."""
    begun = []
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    body = application(
        {
            "REQUEST_METHOD": method,
            "PATH_INFO": target,
            "SERVER_NAME": "shop",
            "SERVER_PORT": "80",
            "wsgi.input": io.BytesIO(),
            "wsgi.url_scheme": "http",
            **environ,
        },
        lambda status, headers: begun.append((status, headers)),
    )
    content = b"".join(body)
    body.close()
    return int(begun[0][0][:3]), dict(begun[0][1]), content


@pytest.mark.parametrize("view", [plain, who, name, login_required(who)])
@pytest.mark.parametrize("token", ["alice", "old"])
def test_a_request_is_freed_without_the_collector(site, monkeypatch, view, token):
    """No cycle through the lazy names, nor through the traceback of a refusal."""
    # Django logs the request along with a refusal, and pytest keeps what is logged.
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)
    requests = []

    def watched(request):
        requests.append(weakref.ref(request))
        return view(request)

    # Django's middleware for messages makes a cycle of its own.
    site(path("", watched), middleware=IN_ORDER)
    application = WSGIHandler()
    call(application, token)
    gc.collect()
    gc.disable()
    try:
        call(application, token)
        assert requests[1]() is None
    finally:
        gc.enable()


def test_who_was_never_asked_for_is_not_known_when_the_request_is_over(site):
    """Handed to a thread untouched, for instance; what was touched stays."""
    kept = []

    def view(request):
        assert request.user.is_authenticated
        kept.extend([request.user, request.principal])
        return HttpResponse("in")

    site(path("", view))
    call(WSGIHandler(), "alice")
    gc.collect()
    assert kept[0].get_username() == "alice"
    with pytest.raises(RuntimeError, match="before handing it on"):
        kept[1].subject  # noqa: B018 - looked at


# --- under deny ----------------------------------------------------------------------------------


def test_deny_closes_what_declares_nothing(site):
    """A view without any decorator."""
    site(path("", plain), default_access="deny")
    assert site.ask("/").status_code == 401
    assert site.ask("/").headers["WWW-Authenticate"] == BARE
    assert site.ask("/", "old").status_code == 401
    assert site.ask("/", "down").status_code == 503
    assert site.ask("/", "alice").content == b"anybody"


def test_deny_answers_before_csrf_protection_does(site):
    """Whoever has no token learns that, and not that a form field is missing."""
    site(path("", plain), default_access="deny")
    assert error_of(site.ask("/", method="POST")) == "not_authenticated"
    assert error_of(site.ask("/", "old", method="POST")) == "invalid_token"
    assert site.ask("/", "alice", method="POST").content == b"anybody"


class Nosy:
    """A middleware of the project that answers every view by itself."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        return HttpResponse("from the other middleware")


def nosy_function(get_response):
    def middleware(request):
        return get_response(request)

    middleware.process_view = lambda *_: HttpResponse("from the other middleware")
    return middleware


@pytest.mark.parametrize("other", ["Nosy", "nosy_function"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_deny_answers_before_any_other_middleware_looks_at_the_view(
    site, monkeypatch, other, method
):
    """Wherever in the list ours is."""
    monkeypatch.setattr("shop.urls.other", globals()[other], raising=False)
    site(path("", plain), default_access="deny", middleware=["shop.urls.other", OURS])
    assert site.ask("/", method=method).status_code == 401
    assert site.ask("/", "alice", method=method).content == b"from the other middleware"


class Open(View):
    def get(self, request):
        return HttpResponse("open")


class OpenAPI(APIView):
    authentication_classes = (TokenwardAuthentication,)
    permission_classes = (AllowAny,)

    def get(self, request):
        return Response(f"{request.auth}")


@pytest.mark.parametrize(
    "view",
    [
        public(lambda request: HttpResponse("open")),
        public(type("Marked", (Open,), {})).as_view(),
        public(Open.as_view()),
        public(type("MarkedAPI", (OpenAPI,), {})).as_view(),
    ],
    ids=["function", "class", "class as a view", "REST framework"],
)
@pytest.mark.parametrize("token", [None, "alice", "old", "down", "a b"])
def test_public_views_are_open_whatever_is_presented(site, verifier, view, token):
    """Credentials are not looked at: an old cookie must not close the sign-in page."""
    site(path("", view), default_access="deny")
    response = site.ask("/", token)
    assert (response.status_code, verifier.calls) == (200, [])


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/health", "GET", 200),
        ("/health", "HEAD", 200),
        ("/health", "POST", 401),
        ("/hook", "POST", 403),
        ("/hook", "GET", 401),
        ("/docs/a", "GET", 200),
        ("/docs", "GET", 401),
        ("/docs//a", "GET", 401),
        ("/docs/../a", "GET", 401),
        ("/docs/%2e%2e/a", "GET", 401),
        ("/docs/a%5Cb", "GET", 401),
        ("/docs/a;b", "GET", 401),
        ("/docs/a%0Ab", "GET", 401),
    ],
)
def test_public_rules_open_paths(site, target, method, status):
    """As read after one decoding; a path that others may read differently is never open.

    A POST to a public path has Django's CSRF protection to pass, here without a token.
    """
    site(
        re_path("(?s)^.*$", plain),
        default_access="deny",
        public=["/health", "/docs/*", "POST /hook"],
    )
    assert site.ask(target, method=method).status_code == status


@pytest.mark.parametrize("access", ["allow", "deny"])
def test_a_guard_decides_on_an_open_path_too(site, access):
    """The rule opens what declares nothing; a view that demands something is asked."""
    site(
        path("rule", login_required(who)),
        path("marked", public(login_required(who))),
        public=["/rule"],
        default_access=access,
    )
    for target in ("/rule", "/marked"):
        assert site.ask(target).status_code == 401
        assert site.ask(target, "old").status_code == 401
        assert site.ask(target, "alice").content == b"alice"


def test_a_guard_on_an_open_path_is_known_to_who_looked_before(site):
    """What was nobody, because nobody was to look, is somebody behind the guard."""

    def view(request):
        before = request.principal.subject, request.user.is_authenticated
        inner = login_required(lambda request: HttpResponse(f"{before} {request.user.username}"))
        return inner(request)

    site(path("", public(view)))
    assert site.ask("/", "alice").content == b"('', False) alice"


def test_unknown_urls_stay_404(site, verifier):
    """For everybody, and nothing is looked at."""
    site(path("known", plain), default_access="deny")
    for token in (None, "alice", "old"):
        response = site.ask("/unknown", token)
        assert response.status_code == 404
        assert "Vary" not in response.headers
    assert verifier.calls == []


class Moving:
    """A middleware that serves other URLs, as projects of several hosts have one."""

    urlconf = None

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.urlconf = self.urlconf
        return self.get_response(request)


@pytest.mark.parametrize("before", [True, False])
def test_the_view_that_runs_is_the_one_that_is_admitted(site, monkeypatch, before):
    """A middleware may change the URLs; what was open there may be closed here."""
    monkeypatch.setattr("shop.urls.Moving", Moving, raising=False)
    monkeypatch.setattr(Moving, "urlconf", (path("", who),))
    two = ["shop.urls.Moving", OURS] if before else [OURS, "shop.urls.Moving"]
    site(path("", opened(who)), default_access="deny", middleware=[CSRF, *two])
    assert site.ask("/").status_code == 401
    assert site.ask("/", method="POST").status_code == (401 if before else 403)
    assert site.ask("/", "alice").content == b"alice"


def test_deny_may_come_and_go(site, verifier):
    """As when a test puts another authenticator in force."""
    site(path("", plain))
    assert site.ask("/").status_code == 200
    site(path("", plain), default_access="deny")
    assert site.ask("/").status_code == 401


# --- beside the session --------------------------------------------------------------------------


@pytest.fixture
def carol(db):
    return get_user_model().objects.create_user("carol", password="a long one")


@pytest.mark.parametrize("middleware", [IN_ORDER, REVERSED], ids=["behind", "before"])
def test_a_token_goes_before_the_session_and_no_token_leaves_it_alone(site, carol, middleware):
    """On either side of AuthenticationMiddleware."""
    site(path("", both), middleware=middleware)
    site.client.force_login(carol, BY_MODEL)
    assert site.ask("/").content == b" carol"
    assert site.ask("/", "alice").content == b"alice alice"
    assert site.ask("/", "old").status_code == 401
    assert site.ask("/", "down").status_code == 503


@pytest.mark.parametrize("middleware", [IN_ORDER, REVERSED], ids=["behind", "before"])
def test_no_session_comes_out_of_a_token(site, db, middleware):
    """Nothing is read from it, written to it, or set as a cookie."""
    found = []

    def view(request):
        request.user.get_username()
        found.append((request.session.accessed, request.session.modified))
        return HttpResponse("in")

    site(path("", login_required(view)), middleware=middleware)
    response = site.ask("/", "alice")
    assert (response.content, found) == (b"in", [(False, False)])
    assert "Set-Cookie" not in response.headers
    assert not response.cookies
    assert response.headers["Vary"] == "Authorization, Cookie"


def test_a_bearer_leaves_the_session_of_the_browser_alone(site, carol):
    """Not flushed, not refreshed, not taken over."""
    site(path("", name))
    site.client.force_login(carol, BY_MODEL)
    before = dict(site.client.session)
    assert site.ask("/", "alice").content == b"alice"
    assert dict(site.client.session) == before
    assert site.ask("/").content == b"carol"


class Looking:
    """A middleware that looks at the user on the way in."""

    def __init__(self, get_response):
        self.get_response = get_response
        self.seen = []
        Looking.last = self

    def __call__(self, request):
        self.seen.append(request.user.get_username())
        return self.get_response(request)


@pytest.fixture
def looking(monkeypatch):
    monkeypatch.setattr("shop.urls.Looking", Looking, raising=False)
    return "shop.urls.Looking"


@pytest.mark.parametrize("token", [None, "alice"])
def test_a_middleware_behind_ours_sees_the_bearer(site, carol, looking, token):
    """Where AuthenticationMiddleware stands makes no difference."""
    for middleware in ([*IN_ORDER, looking], [*REVERSED, looking]):
        site(path("", name), middleware=middleware)
        site.client.force_login(carol, BY_MODEL)
        expected = token or "carol"
        assert site.ask("/", token).content == expected.encode()
        assert Looking.last.seen == [expected]


def test_a_middleware_before_ours_sees_the_session_and_changes_nothing(site, carol, looking):
    """What it has looked at is not what views are told."""
    site(path("", name), middleware=[SESSIONS, AUTHENTICATION, looking, OURS])
    site.client.force_login(carol, BY_MODEL)
    assert site.ask("/", "alice").content == b"alice"
    assert Looking.last.seen == ["carol"]


@pytest.mark.parametrize(
    ("token", "status"), [("old", 401), ("down", 503), ("a b", 400), ("unknown", 401)]
)
def test_a_refusal_outside_of_views_is_answered_too(site, db, looking, token, status):
    """Django would make a 500 of it."""
    site(path("", plain), middleware=[SESSIONS, AUTHENTICATION, OURS, looking])
    response = site.ask("/", token)
    assert (response.status_code, response.headers["Vary"]) == (status, "Authorization, Cookie")
    assert response.headers["Content-Type"] == "application/json"


class Failing:
    """A middleware that fails by itself, after it has met and survived a refusal."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        return HttpResponse("mended") if response.status_code == 500 else response


def test_an_answer_that_the_project_has_made_of_a_refusal_stands(site, db, looking, monkeypatch):
    """Only a server error is replaced."""
    monkeypatch.setattr("shop.urls.Failing", Failing, raising=False)
    site(path("", plain), middleware=[SESSIONS, OURS, "shop.urls.Failing", looking])
    assert site.ask("/", "old").content == b"mended"


class Logging:
    """A middleware that writes down who it was, once the answer is made."""

    def __init__(self, get_response):
        self.get_response = get_response
        Logging.last = self

    def __call__(self, request):
        response = self.get_response(request)
        self.user = request.user
        self.seen = (request.user.get_username(), request.principal.subject)
        return response


@pytest.mark.parametrize("token", ["old", "down", "a b"])
@pytest.mark.parametrize("view", [plain, name])
def test_once_the_answer_is_made_a_refused_token_makes_nobody(
    site, carol, monkeypatch, token, view
):
    """Neither an error nor the user of the session: a log must not turn an open page into a 500."""
    monkeypatch.setattr("shop.urls.Logging", Logging, raising=False)
    site(path("", view), middleware=[SESSIONS, AUTHENTICATION, "shop.urls.Logging", OURS])
    site.client.force_login(carol, BY_MODEL)
    assert (site.ask("/", token).status_code == 200) is (view is plain)
    assert Logging.last.seen == ("", "")
    assert isinstance(Logging.last.user, AnonymousUser)


def test_once_the_answer_is_made_a_good_token_is_still_somebody(site, carol, monkeypatch):
    """For the log of an open page."""
    monkeypatch.setattr("shop.urls.Logging", Logging, raising=False)
    site(path("", plain), middleware=[SESSIONS, AUTHENTICATION, "shop.urls.Logging", OURS])
    site.ask("/", "alice")
    assert Logging.last.seen == ("alice", "alice")


def test_streamed_content_may_ask_who_it_is_for(site):
    """It is made when the middleware is through; who is refused gets what nobody gets."""

    def view(request):
        return StreamingHttpResponse(request.principal.subject or "nobody" for _ in range(2))

    site(path("", view))
    assert call(WSGIHandler(), "alice")[2] == b"alicealice"
    assert call(WSGIHandler(), "old")[2] == b"nobodynobody"


def test_streamed_responses_vary_like_others(site):
    """They have headers too."""
    site(path("", login_required(lambda request: StreamingHttpResponse([b"a", b"b"]))))
    assert site.ask("/", "alice").headers["Vary"] == "Authorization, Cookie"


# --- beside LoginRequiredMiddleware --------------------------------------------------------------

HAS_LOGIN_REQUIRED = hasattr(django_auth, "LoginRequiredMiddleware")
ORDERS = [
    [SESSIONS, AUTHENTICATION, LOGIN_REQUIRED, OURS],
    [SESSIONS, AUTHENTICATION, OURS, LOGIN_REQUIRED],
    [SESSIONS, OURS, AUTHENTICATION, LOGIN_REQUIRED],
]


def test_login_required_middleware_came_with_django_5_1():
    """Where it is missing, the two tests below have nothing to stand beside."""
    assert HAS_LOGIN_REQUIRED is (django.VERSION >= (5, 1))


@pytest.mark.parametrize("access", ["allow", "deny"])
def test_beside_login_required_middleware(site, carol, access):
    """A token is let in or refused by us; nobody is sent to its sign-in page, unless we deny."""
    for middleware in ORDERS if HAS_LOGIN_REQUIRED else []:
        site(path("", plain), middleware=middleware, default_access=access)
        assert site.ask("/").status_code == (302 if access == "allow" else 401)
        assert site.ask("/", "alice").content == b"anybody"
        for token, status in {"old": 401, "down": 503, "a b": 400}.items():
            assert site.ask("/", token).status_code == status
        site.client.force_login(carol, BY_MODEL)
        assert site.ask("/").status_code == (200 if access == "allow" else 401)
        assert site.ask("/", "old").status_code == 401


def needs_no_login(view):
    """Mark ``view`` as Django's ``login_not_required`` does."""
    view.login_required = False
    return view


def test_views_that_need_no_login_take_no_bad_token_either(site, db):
    """Its marker says that nobody is welcome; ours says that nothing is looked at."""
    for middleware in ORDERS if HAS_LOGIN_REQUIRED else []:
        site(
            path("", needs_no_login(login_required(optional=True)(who))),
            path("public", needs_no_login(opened(who))),
            middleware=middleware,
        )
        assert site.ask("/").content == b"nobody"
        assert site.ask("/", "alice").content == b"alice"
        assert site.ask("/", "old").status_code == 401
        assert site.ask("/public", "old").content == b"nobody"


# --- answers -------------------------------------------------------------------------------------


def test_foreign_exceptions_are_left_alone(site):
    """Django answers them, or raises them."""

    def forbidden(request):
        raise PermissionDenied

    def broken(request):
        raise LookupError("broken")

    site(path("forbidden", forbidden), path("broken", broken))
    assert site.ask("/forbidden", "alice").status_code == 403
    with pytest.raises(LookupError, match="broken"):
        Client().get("/broken")


def test_an_error_of_ours_that_a_view_raises_is_answered(site):
    """With the status that it has everywhere."""

    def view(request):
        raise Forbidden

    site(path("", view))
    assert (site.ask("/").status_code, error_of(site.ask("/"))) == (403, "forbidden")


def test_a_head_request_is_answered_without_a_body(site):
    """And with the length that it would have (RFC 9110, section 9.3.2)."""
    site(path("", login_required(plain)))
    application = WSGIHandler()
    got, head = call(application), call(application, method="HEAD")
    assert (head[0], head[2]) == (401, b"")
    assert head[1]["Content-Length"] == str(len(got[2]))


def test_a_template_runs_into_the_refusal(site):
    """Rendered in the view, or by Django after it."""
    template = engines["django"].from_string("{{ principal.subject }}")
    site(
        path("now", lambda request: HttpResponse(template.render({}, request))),
        path("later", lambda request: TemplateResponse(request, template)),
    )
    for target in ("/now", "/later"):
        assert site.ask(target, "alice").content == b"alice"
        assert site.ask(target).content == b""
        assert site.ask(target, "old").status_code == 401
        assert site.ask(target, "down").status_code == 503


def test_vary_joins_what_the_view_says(site):
    """Each name once, in one header."""

    def view(request):
        response = HttpResponse("in")
        patch_vary_headers(response, ["Accept-Encoding", "authorization"])
        return response

    site(path("", login_required(view)))
    names = site.ask("/", "alice").headers["Vary"].split(", ")
    assert [name.lower() for name in names] == ["accept-encoding", "authorization", "cookie"]


def test_vary_on_everything_stays_so(site):
    """RFC 9110, section 12.5.5."""
    site(path("", login_required(lambda request: HttpResponse("in", headers={"Vary": "*"}))))
    assert site.ask("/", "alice").headers["Vary"] == "*"


def test_a_page_by_cookie_is_not_kept_by_the_browser(site):
    """It would show it again once its owner has signed out; unless the view says otherwise."""
    kept = {"Cache-Control": "private, max-age=60"}
    site(
        path("", login_required(who)),
        path("kept", login_required(lambda request: HttpResponse("kept", headers=kept))),
    )
    by_cookie = {"Cookie": "token=alice"}
    assert site.ask("/", headers=by_cookie).headers["Cache-Control"] == "no-store"
    assert site.ask("/kept", headers=by_cookie).headers["Cache-Control"] == kept["Cache-Control"]
    assert "Cache-Control" not in site.ask("/", "alice").headers


# --- signals -------------------------------------------------------------------------------------


class Heard(list):
    """What a signal was sent with."""

    def __call__(self, sender, signal, **named):
        self.append((sender, named))


@pytest.fixture
def heard():
    heard = {}
    for signal in (user_authenticated, token_refused):
        heard[signal] = Heard()
        signal.connect(heard[signal])
    yield heard
    for signal, receiver in heard.items():
        signal.disconnect(receiver)


def test_user_authenticated_is_sent_once_a_request(site, heard):
    """With the request and the principal, by the class of the request; not for nobody."""
    site(path("", login_required(login_required(live=True)(both))))
    for token in ("alice", None, "old", "down"):
        site.ask("/", token)
    [(sender, named)] = heard[user_authenticated]
    assert sender is WSGIRequest
    assert (named["request"].path, named["principal"].subject) == ("/", "alice")


def test_token_refused_is_sent_for_refusals_and_for_nothing_else(site, heard):
    """Not when nothing came, and not for an outage."""
    site(path("", login_required(who)))
    for token in (None, "alice", "old", "down", "a b"):
        site.ask("/", token)
    assert [type(named["error"]).__name__ for _, named in heard[token_refused]] == [
        "TokenExpired",
        "InvalidAuthorizationHeader",
    ]


@pytest.fixture
def receiving(monkeypatch):
    """Connect a receiver for the length of a test."""
    connected = []

    def receiving(signal, receiver):
        signal.connect(receiver)
        connected.append((signal, receiver))

    yield receiving
    for signal, receiver in connected:
        signal.disconnect(receiver)


def test_a_receiver_may_look_at_the_request(site, verifier, receiving):
    """It knows already who sent it, and is not told a second time."""
    seen = []

    def note(request, principal, **_):
        seen.append((request.user.get_username(), request.principal.subject))

    receiving(user_authenticated, note)
    site(path("", who))
    assert site.ask("/", "alice").content == b"alice"
    assert (seen, len(verifier.calls)) == ([("alice", "alice")], 1)


@pytest.mark.parametrize("error", [LookupError("no such table"), Forbidden()])
def test_a_receiver_that_fails_changes_nothing(site, receiving, caplog, error):
    """It is told of a decision, and takes no part in it; the failure is logged."""

    def failing(request, **_):
        raise error

    for signal in (user_authenticated, token_refused):
        receiving(signal, failing)
    site(path("", login_required(both)))
    assert site.ask("/", "alice").status_code == 200
    assert site.ask("/", "old").status_code == 401
    assert caplog.text.count("failing") > 1


# --- what others have got wrong ------------------------------------------------------------------


class Overriding:
    """A middleware that takes the method from a header, as some projects have one."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.method = request.headers.get("X-Method", request.method)
        return self.get_response(request)


@pytest.mark.parametrize("before", [True, False])
def test_an_overridden_method_never_makes_a_preflight(site, monkeypatch, before):
    """Neither is a POST one that calls itself OPTIONS, nor an OPTIONS that is run as a POST."""
    monkeypatch.setattr("shop.urls.Overriding", Overriding, raising=False)
    other = "shop.urls.Overriding"

    class Shop(View):
        def post(self, request):
            return HttpResponse("posted")

    site(
        path("", login_required(Shop).as_view()),
        middleware=[other, OURS] if before else [OURS, other],
        default_access="deny",
    )
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method, overridden in (("POST", "OPTIONS"), ("OPTIONS", "POST"), ("OPTIONS", "DELETE")):
        answer = site.ask("/", method=method, headers={**asked, "X-Method": overridden})
        assert answer.status_code == 401
    assert site.ask("/", method="OPTIONS", headers=asked).status_code == 200


def test_the_method_is_compared_as_it_was_sent(site):
    """What is not exactly a safe method is none; what is not exactly OPTIONS is no preflight."""
    site(path("", login_required(who)), default_access="deny", public=["/health"])
    application = WSGIHandler()
    asked = {"HTTP_ORIGIN": "https://a.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}
    assert call(application, method="options", **asked)[0] == 401
    assert call(application, method="get", HTTP_COOKIE="token=alice")[0] == 403


def test_a_header_with_underscores_is_no_header_of_ours(site):
    """HTTP_AUTHORIZATION has one spelling; what a server makes of others is not looked at."""
    site(path("", login_required(who)))
    for key in ("AUTHORIZATION", "HTTP_AUTHORIZATION_", "REDIRECT_HTTP_AUTHORIZATION"):
        assert call(WSGIHandler(), **{key: "Bearer alice"})[0] == 401


def test_a_server_that_keeps_the_header_to_itself_makes_nobody_of_everybody(site):
    """As Apache does with mod_wsgi, until WSGIPassAuthorization is On: refused, never let in."""
    site(path("", login_required(who)))
    assert call(WSGIHandler(), REMOTE_USER="alice")[0] == 401


def test_bytes_that_are_no_text_are_a_bad_request(site):
    """Servers hand them over as Latin-1."""
    site(path("", login_required(who)))
    assert call(WSGIHandler(), "\xff\xfe")[0] == 400
    assert call(WSGIHandler(), "alice\x00")[0] == 400


def test_threads_do_not_mix_their_bearers(site):
    """One application, many requests at once."""
    site(path("", login_required(both)))
    application = WSGIHandler()
    barrier, found = threading.Barrier(8), {}

    def ask(number, token):
        barrier.wait(90)
        for _ in range(20):
            found.setdefault(number, set()).add(call(application, token)[2])

    tokens = ["alice", "bob"] * 4
    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(tokens)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert found == {n: {f"{token} {token}".encode()} for n, token in enumerate(tokens)}


# --- set-up --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        (None, "settings.TOKENWARD is missing"),
        ({"credentials": [], "realmm": "x"}, "realm"),
        ({"credentials": [{"type": "local"}]}, "service"),
    ],
)
def test_a_wrong_configuration_stops_the_program(settings, mapping, text):
    """When the application is made, not when somebody asks."""
    settings.TOKENWARD = mapping
    with pytest.raises(ConfigurationError, match=text):
        WSGIHandler()


def test_an_authenticator_in_force_is_asked_at_once(site, verifier):
    """By an application that was made before."""
    site(path("", login_required(plain)))
    application = WSGIHandler()
    with override_authenticator(Authenticator(realm="other")):
        status, headers, _ = call(application, "alice")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="other"')
    assert call(application, "alice")[0] == 200
