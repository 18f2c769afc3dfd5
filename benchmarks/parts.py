"""Parts that several rows measure with."""

from __future__ import annotations

import io
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
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
from tokenward.protocols import Request, Response, TokenVerifier

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    import requests

TOKEN_CHARACTERS = 800
CREDENTIALS = ("bench", "a-secret-of-the-benchmark")


class CannedTransport:
    """Answers at once, without a socket.

    Args:
        may_answer: What each answer waits for, if for anything.
        answer: What is answered.
    """

    def __init__(
        self, may_answer: threading.Event | None = None, *, answer: Mapping[str, Any] = ANSWER
    ) -> None:
        self._response = Response(
            200, {"content-type": "application/json"}, json.dumps(answer).encode()
        )
        self._may_answer = may_answer

    def send(self, request: Request, *, deadline: float) -> Response:
        """Return the answer."""
        del request, deadline
        if self._may_answer is not None:
            self._may_answer.wait()
        return self._response

    def close(self) -> None:
        """Do nothing: nothing is open."""


def new_token() -> str:
    """Return a token of 800 characters that nobody has seen."""
    return secrets.token_urlsafe(TOKEN_CHARACTERS)[:TOKEN_CHARACTERS]


def client_for(url: str, *, timeout: float = 5.0) -> IntrospectionClient:
    """Return a client as a user would make it."""
    client_auth = ClientSecretBasic(*CREDENTIALS)
    return IntrospectionClient(url, client_auth=client_auth, timeout=timeout)


def canned_verifier(
    *, transport: CannedTransport | None = None, **more: Any
) -> IntrospectionVerifier:
    """Return a verifier whose issuer answers at once.

    Args:
        transport: What answers.
        more: Arguments of the verifier.
    """
    client = IntrospectionClient(
        "https://issuer.example/introspect",
        client_auth=ClientSecretBasic(*CREDENTIALS),
        transport=transport or CannedTransport(),
    )
    return IntrospectionVerifier(client, audience="bench", **more)


def session_call(
    session: requests.Session, url: str, *, timeout: float = 5.0
) -> Callable[[str], object]:
    """Return what most people write: a function that asks about a token, and keeps nothing."""

    def ask(token: str) -> object:
        form = {"token": token, "token_type_hint": "access_token"}
        answer = session.post(url, data=form, auth=CREDENTIALS, timeout=timeout)
        answer.raise_for_status()
        return answer.json()["active"]

    return ask


def floor_of(header: str) -> Callable[[], object]:
    """Return the least that a cached verification must do: hash, look up, compare the expiry."""
    cache = {sha256(header[7:].encode()).digest(): ("alice", time.time() + 3_600)}

    def floor() -> object:
        value, ends = cache[sha256(header[7:].encode()).digest()]
        return value if time.time() < ends else None

    return floor


def canned_authenticator() -> Authenticator:
    """Return an authenticator of one bearer credential, verified by `canned_verifier`."""
    return authenticator_of(canned_verifier())


def authenticator_of(verifier: TokenVerifier) -> Authenticator:
    """Return an authenticator of one bearer credential, verified by this verifier."""
    return Authenticator(Credential(authorization(), verifier, ambient=False))


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
