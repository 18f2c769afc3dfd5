"""tokenward.django.signals: who hears what, and that it decides nothing (RULES 51)."""

import functools
import logging
from asyncio import _get_running_loop

import django
import pytest
from asgiref.sync import async_to_sync
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.views import APIView

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.django.decorators import login_required, scopes_required
from tokenward.django.drf import HasScopes, TokenwardAuthentication
from tokenward.django.signals import token_refused, user_authenticated
from tokenward.errors import AuthServiceUnavailable, Forbidden, TokenExpired
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, override_authenticator

SECRET = "unknown-but-secret-token"


HEARD = []


def view(request):
    HEARD.append("view")
    return HttpResponse(request.principal.subject)


async def async_view(request):
    HEARD.append("view")
    return HttpResponse((await request.aprincipal()).subject)


async def anybody(request):
    return HttpResponse("nobody asked")


@pytest.fixture
def heard():
    """What both signals say from here on: name, sender, and what was sent with it."""
    HEARD.clear()

    def hear(name, signal, sender, **named):
        assert signal is {"authenticated": user_authenticated, "refused": token_refused}[name]
        HEARD.append((name, sender, named))

    receivers = {
        user_authenticated: functools.partial(hear, "authenticated"),
        token_refused: functools.partial(hear, "refused"),
    }
    for signal, receiver in receivers.items():
        signal.connect(receiver)
    yield HEARD
    for signal, receiver in receivers.items():
        signal.disconnect(receiver)


@pytest.fixture(params=[Client, AsyncClient], ids=["thread", "loop"])
def ask(request, settings):
    """Ask for a path as the bearer of a token: views on a thread, or on an event loop."""
    shown = view if request.param is Client else async_view
    views = [
        path("", login_required(shown)),
        path("live/", login_required(login_required(live=True)(shown))),
        path("write/", scopes_required("write")(shown)),
        path("plain/", anybody),
    ]
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": views})
    settings.TOKENWARD = {"django": {"user": "stateless"}}
    verifier = StubVerifier(
        {
            "alice": Principal("alice", scopes={"write"}),
            "bob": Principal("bob"),
            "old": TokenExpired(),
            "down": AuthServiceUnavailable(retry_after=7),
        }
    )
    client = request.param()

    def ask(path, token=None):
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        if request.param is Client:
            return client.get(path, headers=sent)

        async def on_a_loop():
            return await client.get(path, headers=sent)

        return async_to_sync(on_a_loop)()

    with override_authenticator(Authenticator(Credential(authorization(), verifier))):
        yield ask


@pytest.fixture
def connected():
    """Connect receivers for the length of a test."""
    connections = []

    def connect(signal, receiver):
        signal.connect(receiver)
        connections.append((signal, receiver))

    yield connect
    for signal, receiver in connections:
        signal.disconnect(receiver)


def test_user_authenticated_is_sent_before_the_view_runs(ask, heard):
    """By the request's class, with the request and the principal, and nothing else."""
    ask("/", "alice")
    (name, sender, named), then = heard
    assert ("authenticated", type(named["request"])) == (name, sender)
    assert {"request", "principal"} == set(named)
    assert "alice" == named["principal"].subject
    assert "/" == named["request"].path
    assert "view" == then


def test_it_is_sent_once_a_request(ask, heard):
    """Not again when a view asks the issuer too, and anew for the next request."""
    for _ in range(2):
        assert 200 == ask("/live/", "alice").status_code
    assert ["authenticated", "view"] * 2 == [one if one == "view" else one[0] for one in heard]


@pytest.mark.parametrize(
    ("url", "token", "expected"),
    [
        ("/", None, []),
        ("/", "old", ["TokenExpired"]),
        ("/", "a b", ["InvalidAuthorizationHeader"]),
        ("/", "down", []),
        ("/write/", "bob", ["InsufficientScope"]),
        ("/plain/", "old", []),
    ],
)
def test_token_refused_is_sent_for_refusals_and_for_nothing_else(ask, heard, url, token, expected):
    """Once; not when nothing came, not for an outage, not where nobody looked."""
    ask(url, token)
    refused = [one[1:] for one in heard if one[0] == "refused"]
    assert expected == [type(named["error"]).__name__ for _, named in refused]
    for sender, named in refused:
        assert {"request", "error"} == set(named)
        assert sender is type(named["request"])


def test_authentication_comes_before_what_it_is_too_little_for(ask, heard):
    """First who it is, then that it is not enough."""
    assert 403 == ask("/write/", "bob").status_code
    assert ["authenticated", "refused"] == [name for name, *_ in heard]


@pytest.mark.parametrize("raised", [ValueError("oops"), Forbidden("not today")], ids=type)
@pytest.mark.parametrize(
    ("url", "token", "status"), [("/", "alice", 200), ("/", "old", 401), ("/write/", "bob", 403)]
)
def test_a_receiver_that_fails_changes_nothing(ask, connected, caplog, raised, url, token, status):  # noqa: PLR0917
    """It is logged, the others are told, and the request goes on as decided."""
    told = []

    def failing(sender, **_named):
        raise raised

    def other(sender, **_named):
        told.append(sender)

    for signal in (user_authenticated, token_refused):
        connected(signal, failing)
        connected(signal, other)
    with caplog.at_level(logging.ERROR):
        assert status == ask(url, token).status_code
    assert told
    assert "failing" in caplog.text


def test_neither_does_one_without_a_name_or_a_log_handler_that_fails(ask, connected):
    """Where Django's own robustness ends."""

    class Broken(logging.Handler):
        def emit(self, _record):
            raise ValueError

    def failing(sender, **_named):
        raise ValueError

    nameless = functools.partial(failing)
    connected(user_authenticated, nameless)
    assert 200 == ask("/", "alice").status_code
    handler = Broken()
    logging.getLogger().addHandler(handler)
    try:
        connected(user_authenticated, failing)
        assert 200 == ask("/", "alice").status_code
    finally:
        logging.getLogger().removeHandler(handler)


@pytest.mark.skipif(django.VERSION < (5, 0), reason="Django's signals know them from 5.0 on")
def test_an_async_receiver_is_told_on_an_event_loop_and_off_it(ask, connected):
    """Before the view runs."""
    told = []

    async def hear(sender, *, principal, **_named):
        told.append(principal.subject)

    connected(user_authenticated, hear)
    assert b"alice" == ask("/", "alice").content
    assert ["alice"] == told


async def lazy_principal(request):
    return HttpResponse(request.principal.subject)


async def lazy_user(request):
    return HttpResponse(request.user.get_username())


class Guarded(APIView):
    permission_classes = (HasScopes.of("write"),)
    authentication_classes = (TokenwardAuthentication,)


@pytest.mark.parametrize(
    ("answering", "token", "expected"),
    [
        (lazy_principal, "alice", [None]),
        (lazy_user, "alice", [None]),
        (lazy_principal, "old", ["TokenExpired"]),
        (Guarded.as_view(), "bob", [None, "InsufficientScope"]),
        (anybody, "alice", []),
    ],
    ids=["principal", "user", "refused", "permission", "untouched"],
)
def test_receivers_never_run_on_the_event_loop(  # noqa: PLR0917
    ask, settings, connected, answering, token, expected
):
    """Not even where the decision comes up on it without an ``await``: they may block, and read."""
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [path("", answering)]})
    told = {"sync": [], "async": []}

    def hear(sender, error=None, **_named):
        assert _get_running_loop() is None
        told["sync"].append(error and type(error).__name__)

    async def ahear(sender, error=None, **_named):
        told["async"].append(error and type(error).__name__)

    knows_async = django.VERSION >= (5, 0)
    for signal in (user_authenticated, token_refused):
        connected(signal, hear)
        if knows_async:
            connected(signal, ahear)
    ask("/", token)
    assert {"sync": expected, "async": expected if knows_async else []} == told


def test_no_token_is_in_what_is_sent(ask, heard):
    """Neither in the error nor in its text."""
    ask("/", SECRET)
    ((_, _, named),) = heard
    assert SECRET not in f"{named['error']!r} {named['error']} {vars(named['error'])}"
