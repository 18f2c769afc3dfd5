"""Parts that several rows measure with."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from benchmarks.upstream import ANSWER
from tokenward import (
    Authenticator,
    ClientSecretBasic,
    Credential,
    IntrospectionClient,
    IntrospectionVerifier,
)
from tokenward.authenticator import authorization
from tokenward.protocols import Request, Response

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

TOKEN_CHARACTERS = 800
CREDENTIALS = ("bench", "a-secret-of-the-benchmark")


class CannedTransport:
    """Answers at once, without a socket."""

    def __init__(self) -> None:
        self._response = Response(
            200, {"content-type": "application/json"}, json.dumps(ANSWER).encode()
        )

    def send(self, request: Request, *, deadline: float) -> Response:
        """Return the answer."""
        del request, deadline
        return self._response

    def close(self) -> None:
        """Do nothing: nothing is open."""


def new_token() -> str:
    """Return a token of 800 characters that nobody has seen."""
    return secrets.token_urlsafe(TOKEN_CHARACTERS)[:TOKEN_CHARACTERS]


def client_for(url: str) -> IntrospectionClient:
    """Return a client as a user would make it."""
    return IntrospectionClient(url, client_auth=ClientSecretBasic(*CREDENTIALS))


def canned_verifier(*, max_entries: int = 10_000) -> IntrospectionVerifier:
    """Return a verifier whose issuer answers at once."""
    client = IntrospectionClient(
        "https://issuer.example/introspect",
        client_auth=ClientSecretBasic(*CREDENTIALS),
        transport=CannedTransport(),
    )
    return IntrospectionVerifier(client, audience="bench", max_entries=max_entries)


def canned_authenticator() -> Authenticator:
    """Return an authenticator of one bearer credential, verified by `canned_verifier`."""
    return Authenticator(Credential(authorization(), canned_verifier(), ambient=False))


def bearer_call(app: WSGIApplication, path: str, token: str) -> Callable[[], object]:
    """Return a function that calls ``app`` as a server would, and fails unless it answers 200."""
    statuses: list[str] = []

    def start_response(status: str, _headers: object, _exc_info: object = None) -> Any:
        statuses.append(status)

    def call() -> object:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        statuses.clear()
        body: Iterable[bytes] = app(environ, start_response)
        content = b"".join(body)
        close = getattr(body, "close", None)
        if close is not None:
            close()
        if statuses != ["200 OK"]:
            raise RuntimeError(f"{path} answered {statuses}")
        return content

    return call
