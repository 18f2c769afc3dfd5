"""The endpoints as a WSGI application of their own (PEP 3333)."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from tokenward.authenticator import EnvironHeaders
from tokenward.endpoints import WITHOUT_BODY, Request, dispatch, routes
from tokenward.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tokenward.service import AuthService


def auth_service_app(service: AuthService) -> WSGIApplication:
    """Return a WSGI application that answers for ``service``, and 404 for everything else."""
    table = routes(service)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = _request(environ)
        answer = dispatch(service, request, table)
        headers = list(answer.headers)
        if answer.status not in WITHOUT_BODY:
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [] if request.method == "HEAD" else [answer.body]

    return application


def _request(environ: WSGIEnvironment) -> Request:
    return Request(
        method=environ["REQUEST_METHOD"],
        path=environ.get("PATH_INFO", ""),
        headers=_Headers(environ),
        query=environ.get("QUERY_STRING", ""),
        read=_Body(environ),
        peer=environ.get("REMOTE_ADDR"),
    )


class _Headers(EnvironHeaders):
    """All of them: PEP 3333 keeps these two under names of their own."""

    __slots__ = ()

    def get(self, name: str, /) -> str | None:
        if name.lower() in ("content-type", "content-length"):
            value: str | None = self._environ.get(name.upper().replace("-", "_"))
            return value
        return super().get(name)


class _Body:
    """Reads what belongs to this request, and not the next one on the connection."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._stream = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH")
        # A server that ends the stream by itself says so; else what has no length has no body.
        unbounded = environ.get("wsgi.input_terminated") and (
            not length or "HTTP_TRANSFER_ENCODING" in environ
        )
        self._declared: str | None = None if unbounded else length or "0"
        self._read = 0

    def __call__(self, limit: int, /) -> bytes:
        left = limit if self._declared is None else int(self._declared) - self._read
        if left == 0:
            return b""
        chunk = b""
        # A server may raise what it likes when the peer goes away or its chunks are malformed; what
        # came until then is no body.
        broken = True
        with contextlib.suppress(Exception):
            chunk = self._stream.read(min(limit, left))
            broken = not chunk and self._declared is not None
        if broken:
            raise InvalidRequest(hint="the body is cut or malformed", reason="malformed_body")
        self._read += len(chunk)
        return chunk
