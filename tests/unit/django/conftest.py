"""A Django project behind a stub verifier, with the middleware that ``startproject`` lists."""

from contextlib import ExitStack

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from tokenward.authenticator import Authenticator, Credential, authorization, cookie
from tokenward.errors import AuthServiceUnavailable, TokenExpired
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, override_authenticator

ISSUER = "https://login.example"
ALICE = Principal(
    "alice", issuer=ISSUER, scopes={"read", "write"}, roles={"editor"}, username="alice"
)


@pytest.fixture
def verifier():
    return StubVerifier(
        {
            "alice": ALICE,
            "bob": Principal("bob", issuer=ISSUER),
            "old": TokenExpired(),
            "down": AuthServiceUnavailable(retry_after=7),
        }
    )


class Urls:
    """A URL configuration that is no module."""

    def __init__(self, patterns):
        self.urlpatterns = patterns


class Site:
    """The shop, with views of a test's own.

    Attributes:
        client: It takes CSRF protection seriously, and a 500 for an answer.
    """

    def __init__(self, settings, verifier, stack):
        self._settings = settings
        self._verifier = verifier
        self._stack = stack

    def __call__(self, *patterns, middleware=None, verifier=None, **options):
        """Serve ``patterns``, with an authenticator of these ``options``."""
        used = verifier or self._verifier
        self._settings.TOKENWARD = {
            "realm": "shop",
            "credentials": [],
            "django": {"user": "stateless"},
        }
        self._settings.ROOT_URLCONF = Urls(list(patterns))
        if middleware is not None:
            self._settings.MIDDLEWARE = middleware
        places = (Credential(authorization(), used), Credential(cookie("token"), used))
        authenticator = Authenticator(*places, realm="shop", **options)
        self._stack.enter_context(override_authenticator(authenticator))
        self.client = Client(raise_request_exception=False, enforce_csrf_checks=True)
        self.async_client = AsyncClient(raise_request_exception=False, enforce_csrf_checks=True)

    def ask(self, path="/", token=None, *, method="GET", headers=(), client=None, **options):
        """Ask for a path as the bearer of a token."""
        sent = dict(headers)
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return (client or self.client).generic(method, path, headers=sent, **options)

    def ask_async(self, *args, **options):
        """Do the same through ASGI, on an event loop."""

        async def ask():
            return await self.ask(*args, client=self.async_client, **options)

        return async_to_sync(ask)()


@pytest.fixture
def site(settings, verifier):
    with ExitStack() as stack:
        yield Site(settings, verifier, stack)
