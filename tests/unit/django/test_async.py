"""tokenward.django under ASGI: the event loop is never blocked, and nothing hangs."""

import asyncio
import threading

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth import middleware as django_auth
from django.core.exceptions import SynchronousOnlyOperation
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections
from django.http import HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncRequestFactory, Client
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from tokenward.by_issuer import ByIssuer, Unreserved
from tokenward.django._guard import AUTHENTICATED, aauthorize, seen_in
from tokenward.django.decorators import login_required, public, scopes_required
from tokenward.errors import TokenExpired
from tokenward.principal import Principal

OURS = "tokenward.django.middleware.TokenwardMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
BY_MODEL = "django.contrib.auth.backends.ModelBackend"
TEXT = "would block the event loop"


class Remembering:
    """A verifier that knows a token once it has verified it, and notes the threads it runs on."""

    def __init__(self, *known):
        self.known = set(known)
        self.cached_on, self.verified_on = [], []
        self.during = lambda: None

    def cached(self, token, /):
        self.cached_on.append(threading.get_ident())
        return Principal(token, scopes={"read"}) if token in self.known else None

    def verify(self, token, /, *, live=False):
        self.verified_on.append(threading.get_ident())
        self.during()
        if token == "old":
            raise TokenExpired
        self.known.add(token)
        return Principal(token, scopes={"read"})


async def awho(request):
    return HttpResponse((await request.aprincipal()).subject or "nobody")


async def aname(request):
    return HttpResponse((await request.auser()).get_username() or "nobody")


def who(request):
    return HttpResponse(request.principal.subject or "nobody")


@login_required
async def guarded(request):
    return HttpResponse(request.principal.subject)


class Asynchronous(View):
    async def get(self, request):
        return HttpResponse(request.principal.subject or "nobody")


VIEWS = {
    "aprincipal": awho,
    "auser": aname,
    "guarded": guarded,
    "guarded class": login_required(type("Guarded", (Asynchronous,), {})).as_view(),
    "guarded view of a class": login_required(Asynchronous.as_view()),
    "method_decorator": method_decorator(login_required, name="dispatch")(
        type("Dispatched", (Asynchronous,), {})
    ).as_view(),
    "several": method_decorator([login_required, scopes_required("read")], name="dispatch")(
        type("Several", (Asynchronous,), {})
    ).as_view(),
    "stacked": login_required(scopes_required("read")(guarded)),
    "optional": login_required(optional=True)(guarded),
    "sync view": login_required(who),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("access", ["allow", "deny"])
@pytest.mark.parametrize("known", [True, False])
def test_async_views_are_told_and_guarded(site, view, access, known):
    """Whether the decision is in a cache or takes a thread."""
    verifier = Remembering(*(["alice"] if known else []))
    site(path("", view), verifier=verifier, default_access=access)
    assert site.ask_async("/", "alice").content == b"alice"
    # A sync view runs in a thread, where what is not asked for on the loop may be verified at once.
    is_quick = known and (access == "deny" or view is not VIEWS["sync view"])
    assert len(verifier.verified_on) == (0 if is_quick else 1)
    assert site.ask_async("/", "old").status_code == 401
    assert site.ask_async("/", "a b").status_code == 400


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_async_views_are_guarded_under_wsgi_too(site, view):
    """Django runs them on a loop of their own there."""
    site(path("", view), verifier=Remembering())
    assert site.ask("/", "alice").content == b"alice"
    assert site.ask("/", "old").status_code == 401


def test_async_views_keep_being_async():
    """Else Django would run them in a thread, and find a coroutine for a response."""
    from asgiref.sync import iscoroutinefunction

    for name, view in VIEWS.items():
        assert iscoroutinefunction(view) is (name != "sync view")


def test_what_is_in_a_cache_is_decided_on_the_loop(site):
    """No thread is asked, and the verifier neither."""
    verifier = Remembering("alice")
    threads = []

    @login_required
    async def view(request):
        threads.append(threading.get_ident())
        return HttpResponse(f"{request.principal.subject} {request.user.get_username()}")

    site(path("", view), verifier=verifier)
    assert site.ask_async("/", "alice").content == b"alice alice"
    assert verifier.cached_on == threads
    assert verifier.verified_on == []


def test_nothing_and_nonsense_need_no_thread(site):
    """They are known without any I/O."""
    verifier = Remembering()
    site(path("", guarded), verifier=verifier)
    assert site.ask_async("/").status_code == 401
    assert site.ask_async("/", "a b").status_code == 400
    assert (verifier.cached_on, verifier.verified_on) == ([], [])


def test_what_takes_io_is_decided_in_a_thread_of_its_own(site):
    """Neither on the loop nor on the one thread that sync views and the database share."""
    verifier = Remembering()
    others = []

    @login_required
    async def view(request):
        others.extend([threading.get_ident(), await sync_to_async(threading.get_ident)()])
        return HttpResponse("in")

    site(path("", view), verifier=verifier)
    assert site.ask_async("/", "alice").content == b"in"
    assert len(verifier.verified_on) == 1
    assert verifier.verified_on[0] not in others


class Reading:
    """A verifier that looks for the subject in the project's own database."""

    thread_sensitive = True
    issuer = "https://login.example"

    def verify(self, token, /, *, live=False):
        if not get_user_model().objects.filter(username="carol").exists():
            raise TokenExpired
        return Principal("carol", issuer=self.issuer)


READERS = {
    "alone": Reading,
    "by its issuer": lambda: ByIssuer({"https://b.example": Remembering()}, otherwise=Reading()),
    "beside issuers": lambda: Unreserved(Reading(), frozenset({"https://b.example"})),
}


@pytest.mark.parametrize("make", READERS.values(), ids=READERS)
def test_what_reads_the_database_sees_what_the_test_has_written(site, carol, make):
    """In the test's transaction, which another thread's connection would know nothing of."""
    site(path("", guarded), path("sync", login_required(who)), verifier=make())
    for ask in (site.ask, site.ask_async):
        assert ask("/", "t").content == b"carol"
        assert ask("/sync", "t").content == b"carol"
        carol.delete()
        assert ask("/", "t").status_code == 401
        carol.save()


@pytest.mark.django_db(transaction=True)
def test_connections_that_were_opened_in_that_thread_are_closed(site):
    """No request ends there, so that nobody else would."""
    verifier = Remembering()
    opened = []

    def during():
        connection = connections["default"]
        connection.ensure_connection()
        opened.append((connection, connection.connection is not None))

    verifier.during = during
    site(path("", guarded), verifier=verifier)
    assert site.ask_async("/", "alice").content == b"alice"
    assert site.ask_async("/", "old").status_code == 401
    assert [was_open for _, was_open in opened] == [True, True]
    assert [connection.connection for connection, _ in opened] == [None, None]


def test_the_loop_goes_on_while_somebody_is_asked_about(site):
    """A verifier that waits for another request of the same loop does not wait for ever."""
    verifier = Remembering("bob")
    begun, answered = threading.Event(), threading.Event()
    waited = []
    verifier.during = lambda: (begun.set(), waited.append(answered.wait(90)))

    async def other(request):
        answered.set()
        return HttpResponse("other")

    site(path("", guarded), path("other", login_required(other)), verifier=verifier)

    async def both():
        slow = asyncio.create_task(
            site.async_client.get("/", headers={"Authorization": "Bearer alice"})
        )
        await asyncio.to_thread(begun.wait, 90)
        quick = await site.async_client.get("/other", headers={"Authorization": "Bearer bob"})
        return quick.content, (await slow).content

    assert async_to_sync(both)() == (b"other", b"alice")
    assert waited == [True]


# --- the lazy names on the loop ------------------------------------------------------------------


@pytest.mark.parametrize("look", [lambda r: r.principal.subject, lambda r: r.user.get_username()])
def test_the_lazy_names_say_what_to_write_where_they_would_block(site, look):
    """With nothing cached: neither a hang nor somebody; and where it is cached, they do."""
    said = []

    async def view(request):
        try:
            said.append(look(request))
        except SynchronousOnlyOperation as error:
            said.append(str(error))
        await request.aprincipal()
        said.append(look(request))
        return HttpResponse("in")

    verifier = Remembering()
    site(path("", view), verifier=verifier)
    for _ in range(2):
        assert site.ask_async("/", "alice").content == b"in"
    assert TEXT in said[0]
    assert "await request.aprincipal()" in said[0]
    assert said[1:] == ["alice"] * 3
    assert len(verifier.verified_on) == 1


def test_not_caught_it_is_a_500(site):
    """A mistake of the program, and no refusal."""

    async def view(request):
        return HttpResponse(request.principal.subject)

    site(path("", view), verifier=Remembering())
    assert site.ask_async("/", "alice").status_code == 500
    assert site.ask_async("/").content == b""
    assert site.ask_async("/", "a b").status_code == 400


def test_a_sync_guard_called_on_a_loop_does_what_the_lazy_names_do(site):
    """By a test of a project, for instance: Django itself runs sync views in threads."""
    site(verifier=Remembering("alice"))
    factory = AsyncRequestFactory()

    def call(token):
        return login_required(lambda request: HttpResponse("in"))(
            factory.get("/", headers={"Authorization": f"Bearer {token}"})
        )

    async def on_a_loop():
        assert call("alice").content == b"in"
        with pytest.raises(SynchronousOnlyOperation, match=TEXT):
            call("bob")

    asyncio.run(on_a_loop())


def test_awaiting_twice_asks_once(site):
    """One after the other, and by either name."""
    verifier = Remembering()

    async def view(request):
        users = [await request.auser(), await request.auser()]
        assert users[0] is users[1]
        return HttpResponse((await request.aprincipal()).subject)

    site(path("", view), verifier=verifier)
    assert site.ask_async("/", "alice").content == b"alice"
    assert len(verifier.verified_on) == 1


def test_awaited_once_the_user_is_there_for_whoever_does_not_await(site, carol):
    """For a template that is rendered on the loop, say: nothing of the session is read again."""

    async def view(request):
        await request.auser()
        return HttpResponse(f"{request.user.get_username()} {request.user.is_authenticated}")

    site(path("", view), verifier=Remembering())
    site.async_client.force_login(carol, BY_MODEL)
    assert site.ask_async("/").content == b"carol True"
    assert site.ask_async("/", "alice").content == b"alice True"


def test_live_asks_again_on_the_loop_too(site):
    """And never answers out of the cache."""
    verifier = Remembering("alice")
    site(path("", login_required(login_required(live=True)(guarded))), verifier=verifier)
    assert site.ask_async("/", "alice").content == b"alice"
    assert (len(verifier.cached_on), len(verifier.verified_on)) == (1, 1)


def test_a_sync_view_may_look_at_the_lazy_names(site):
    """It runs in a thread, where it may wait."""
    site(path("", who), verifier=Remembering())
    assert site.ask_async("/", "alice").content == b"alice"
    assert site.ask_async("/", "old").status_code == 401


def test_a_template_may_look_at_them_too(site):
    """Django renders in a thread."""
    template = engines["django"].from_string("{{ principal.subject }}")

    async def view(request):
        return TemplateResponse(request, template)

    site(path("", view), verifier=Remembering())
    assert site.ask_async("/", "alice").content == b"alice"
    assert site.ask_async("/", "old").status_code == 401


@pytest.mark.parametrize("look", [aname, awho], ids=["auser", "aprincipal"])
def test_streamed_content_may_ask_who_it_is_for(site, look):
    """It is made when the middleware is through; who is refused gets what nobody gets."""

    async def view(request):
        async def body():
            yield (await look(request)).content

        return StreamingHttpResponse(body())

    async def streamed(token):
        headers = {"Authorization": f"Bearer {token}"}
        answer = await site.async_client.get("/", headers=headers)
        return b"".join([part async for part in answer.streaming_content])

    site(path("", view), verifier=Remembering())
    assert async_to_sync(streamed)("alice") == b"alice"
    assert async_to_sync(streamed)("old") == b"nobody"


# --- beside other middleware ---------------------------------------------------------------------

IN_ORDER = [SESSIONS, AUTHENTICATION, OURS]
REVERSED = [SESSIONS, OURS, AUTHENTICATION]


@pytest.fixture
def carol(db):
    return get_user_model().objects.create_user("carol", password="a long one")


@pytest.mark.parametrize("middleware", [IN_ORDER, REVERSED], ids=["behind", "before"])
@pytest.mark.parametrize("view", [aname, who], ids=["async", "sync"])
def test_a_token_goes_before_the_session(site, carol, middleware, view):
    """On either side of AuthenticationMiddleware, whose own auser() asks the session."""
    site(path("", view), middleware=middleware)
    site.async_client.force_login(carol, BY_MODEL)
    assert site.ask_async("/", "alice").content == b"alice"
    assert site.ask_async("/").content == (b"carol" if view is aname else b"nobody")
    assert site.ask_async("/", "old").status_code == 401


class Asking:
    """An async middleware of the project that asks who it is."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response):
        self.get_response = get_response
        from asgiref.sync import markcoroutinefunction

        markcoroutinefunction(self)

    async def __call__(self, request):
        try:
            name = (await request.auser()).get_username()
        except SynchronousOnlyOperation:
            name = "not yet known"
        response = await self.get_response(request)
        response.headers["X-Name"] = name
        return response


def test_no_middleware_finds_the_sessions_user_beside_a_token(site, carol, monkeypatch):
    """Not even one that asks AuthenticationMiddleware before ours has taken auser() back."""
    monkeypatch.setattr("shop.urls.Asking", Asking, raising=False)
    names = {}
    for where, middleware in {"behind": IN_ORDER, "before": REVERSED}.items():
        verifier = Remembering()
        site(path("", awho), middleware=[*middleware, "shop.urls.Asking"], verifier=verifier)
        site.async_client.force_login(carol, BY_MODEL)
        for _ in range(2):
            names.setdefault(where, []).append(site.ask_async("/", "alice").headers["X-Name"])
    # Before Django 5.0, AuthenticationMiddleware had no auser() to put in the place of ours.
    first = "not yet known" if django.VERSION >= (5, 0) else "alice"
    assert names == {"behind": ["alice", "alice"], "before": [first, "alice"]}


class Looking:
    """A sync middleware between async ones."""

    async_capable = False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        name = request.user.get_username()
        response = self.get_response(request)
        response.headers["X-Name"] = name
        return response


@pytest.mark.django_db
@pytest.mark.parametrize("view", [guarded, who], ids=["async", "sync"])
def test_a_sync_middleware_in_the_list_is_no_obstacle(site, monkeypatch, view):
    """Before ours, which Django then runs in a thread, or behind it."""
    monkeypatch.setattr("shop.urls.Looking", Looking, raising=False)
    for middleware in ([*IN_ORDER, "shop.urls.Looking"], [*REVERSED, "shop.urls.Looking"]):
        site(path("", view), middleware=middleware, verifier=Remembering())
        answer = site.ask_async("/", "alice")
        assert (answer.content, answer.headers["X-Name"]) == (b"alice", "alice")
        assert site.ask_async("/", "old").status_code == 401


HAS_LOGIN_REQUIRED = hasattr(django_auth, "LoginRequiredMiddleware")


def test_beside_login_required_middleware(site, db):
    """As without a loop: it asks in a thread what we have decided before. Since Django 5.1."""
    assert HAS_LOGIN_REQUIRED is (django.VERSION >= (5, 1))
    for two in [[LOGIN_REQUIRED, OURS], [OURS, LOGIN_REQUIRED]] if HAS_LOGIN_REQUIRED else []:
        middleware = [SESSIONS, AUTHENTICATION, *two]
        site(path("", guarded), middleware=middleware, verifier=Remembering())
        assert site.ask_async("/").status_code == 302
        assert site.ask_async("/", "alice").content == b"alice"
        assert site.ask_async("/", "old").status_code == 401


def test_deny_and_public_on_the_loop(site):
    """As without one: refused before CSRF protection, open where marked, 404 where nothing is."""
    site(
        path("", awho),
        path("open", public(Asynchronous.as_view())),
        default_access="deny",
        verifier=Remembering(),
    )
    assert site.ask_async("/", method="POST").status_code == 401
    assert site.ask_async("/", "alice").content == b"alice"
    assert site.ask_async("/open", "old").content == b"nobody"
    assert site.ask_async("/unknown").status_code == 404


# --- cancellation --------------------------------------------------------------------------------


def test_a_cancelled_decision_leaves_nothing_half_done(site):
    """Whoever asks next asks anew."""
    verifier = Remembering()
    begun, go_on = threading.Event(), threading.Event()
    verifier.during = lambda: (begun.set(), go_on.wait(90))
    site(verifier=verifier)

    async def cancelled():
        request = AsyncRequestFactory().get("/", headers={"Authorization": "Bearer alice"})
        task = asyncio.create_task(aauthorize(request, AUTHENTICATED))
        await asyncio.to_thread(begun.wait, 90)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen = seen_in(request)
        assert (seen.asked, seen.authentication, seen.refusal) == (False, None, None)
        go_on.set()
        assert (await aauthorize(request, AUTHENTICATED)).subject == "alice"

    asyncio.run(cancelled())


@pytest.fixture
def no_connections():
    """Have requests that no test client makes leave the connections alone, as it does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def test_a_client_that_hangs_up_disturbs_nobody(site, no_connections):
    """Its request is cancelled while somebody is asked about; the next one is answered."""
    verifier = Remembering()
    begun, go_on = threading.Event(), threading.Event()
    verifier.during = lambda: (begun.set(), go_on.wait(90))
    site(path("", guarded), verifier=verifier)
    application = ASGIHandler()
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"shop"), (b"authorization", b"Bearer alice")],
    }

    async def ask(hang_up):
        sent = []
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await hang_up()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await application(scope, receive, send)
        return [message.get("status") or message["body"] for message in sent]

    # Before Django 5.0 nobody listened for that, and the request went on to its end.
    notices = django.VERSION >= (5, 0)

    async def main():
        if not notices:
            go_on.set()
        first = await ask(lambda: asyncio.to_thread(begun.wait, 90))
        go_on.set()
        return first, await ask(asyncio.Event().wait)

    answer = [200, b"alice"]
    assert asyncio.run(main()) == ([] if notices else answer, answer)


def test_requests_of_one_loop_do_not_mix_their_bearers(site):
    """Many at once, half of them cached."""
    site(path("", guarded), verifier=Remembering("alice"))
    tokens = ["alice", "bob", "carol"] * 5

    async def all_at_once():
        return await asyncio.gather(
            *(
                site.async_client.get("/", headers={"Authorization": f"Bearer {token}"})
                for token in tokens
            )
        )

    answers = async_to_sync(all_at_once)()
    assert [answer.content.decode() for answer in answers] == tokens


def test_the_same_application_serves_both_worlds(site):
    """Decided in a thread here and on a loop there."""
    site(path("", guarded), verifier=Remembering())
    assert Client().get("/", headers={"Authorization": "Bearer alice"}).content == b"alice"
    assert site.ask_async("/", "alice").content == b"alice"
