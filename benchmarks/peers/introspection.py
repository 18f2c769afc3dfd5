"""How others ask about a token: each as a function of the token, called from synchronous code."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import requests
from authlib.oauth2.rfc7662 import IntrospectTokenValidator  # type: ignore[import-untyped]
from oauthlib.common import Request  # type: ignore[import-untyped]
from swarmauri_tokens_introspection import (  # type: ignore[import-not-found]
    IntrospectionTokenService,
)

from benchmarks.django_site import set_up
from benchmarks.parts import CREDENTIALS
from benchmarks.upstream import ANSWER

Ask = Callable[[str], object]


class AuthlibIntrospection(IntrospectTokenValidator):  # type: ignore[misc] # untyped
    """Authlib's validator, which keeps nothing, with the request of its documentation."""

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        super().__init__()
        self._url = url
        self._timeout = timeout

    def introspect_token(self, token_string: str) -> Any:
        """Ask."""
        answer = requests.post(
            self._url, data={"token": token_string}, auth=CREDENTIALS, timeout=self._timeout
        )
        answer.raise_for_status()
        return answer.json()

    def verify(self, token: str) -> object:
        """Do what a protected view does with a token."""
        answer = self.authenticate_token(token)
        self.validate_token(answer, ["orders:read"], None)
        return answer


def swarmauri(url: str, *, timeout: float = 5.0) -> Any:
    """Return the service of swarmauri; its ``verify`` is a coroutine function."""
    client_id, client_secret = CREDENTIALS
    return IntrospectionTokenService(
        url, client_id=client_id, client_secret=client_secret, timeout_s=timeout
    )


def by_hand(service: Any) -> Ask:
    """Step the coroutine: a hit waits for nothing, and ends at the first step."""

    def ask(token: str) -> object:
        try:
            service.verify(token, audience="bench").send(None)
        except StopIteration as ended:
            return ended.value
        raise RuntimeError("it waits for something")

    return ask


def in_a_kept_loop(service: Any) -> Ask:
    """Run the coroutine to its end in one event loop of the calling thread."""
    loop = asyncio.new_event_loop()
    return lambda token: loop.run_until_complete(service.verify(token, audience="bench"))


def in_a_loop_of_its_own(service: Any) -> Ask:
    """Run each coroutine by ``asyncio.run``."""
    return lambda token: asyncio.run(service.verify(token, audience="bench"))


def with_a_client_of_its_own(url: str) -> Ask:
    """Run each coroutine by ``asyncio.run`` with a service made for it.

    A connection belongs to the loop that it was opened in, and a second loop cannot use it.
    """

    async def once(token: str) -> object:
        service = swarmauri(url)
        try:
            return await service.verify(token, audience="bench")
        finally:
            await service.aclose()

    return lambda token: asyncio.run(once(token))


def in_a_loop_for_all(service: Any) -> Ask:
    """Have all threads hand their coroutines to one event loop, on a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def ask(token: str) -> object:
        verifying = service.verify(token, audience="bench")
        return asyncio.run_coroutine_threadsafe(verifying, loop).result()

    return ask


def toolkit(url: str, database: str = ":memory:") -> Ask:
    """Return the validator of django-oauth-toolkit, which keeps answers in its table.

    Args:
        url: The endpoint.
        database: Where the table is; the first call of the process decides.
    """
    settings = {
        "RESOURCE_SERVER_INTROSPECTION_CREDENTIALS": CREDENTIALS,
        # It would look for the URL of the view in the audience.
        "RESOURCE_SERVER_TOKEN_RESOURCE_VALIDATOR": None,
    }
    set_up(apps=("oauth2_provider",), database=database, OAUTH2_PROVIDER=settings)
    from oauth2_provider.oauth2_validators import (  # type: ignore[import-not-found] # noqa: PLC0415
        OAuth2Validator,
    )
    from oauth2_provider.settings import (  # type: ignore[import-not-found] # noqa: PLC0415
        oauth2_settings,
    )

    oauth2_settings.RESOURCE_SERVER_INTROSPECTION_URL = url
    validator = OAuth2Validator()

    def ask(token: str) -> object:
        return validator.validate_bearer_token(token, ["orders:read"], Request("http://bench/"))

    return ask


def closing(ask: Ask) -> Ask:
    """Have each call close the database connection of its thread."""
    from django.db import connection  # noqa: PLC0415 - needs Django's settings

    def once(token: str) -> object:
        try:
            return ask(token)
        finally:
            connection.close()  # the thread's own

    return once


def answered_at_once(service: Any) -> Any:
    """Have the service answered without a socket, as `CannedTransport` does for tokenward."""
    service._client = _Canned()  # noqa: SLF001 - it has no other way in
    return service


class _Canned:
    status_code = 200
    _body = json.dumps(ANSWER)

    async def post(self, *_args: object, **_kwargs: object) -> _Canned:
        return self

    def json(self) -> Any:
        return json.loads(self._body)
