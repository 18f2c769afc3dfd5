"""The auth service's endpoints as Django views."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from tokenward.django._state import SETTING, parts
from tokenward.django.decorators import public
from tokenward.endpoints import (
    ENDPOINTS,
    WITHOUT_BODY,
    Endpoint,
    Request,
    dispatch,
    well_known_at_root,
)
from tokenward.errors import ConfigurationError, InvalidRequest

if TYPE_CHECKING:
    from tokenward.service import AuthService

View = Callable[..., HttpResponse]

NO_SERVICE = (
    f"tokenward.django.urls are included, and settings.{SETTING} has no section 'service': write "
    "what the auth service is, or take the urls out."
)


def the_service() -> AuthService:
    """Return the auth service of this process.

    Raises:
        ConfigurationError: The settings describe none.
    """
    service = parts().service
    if service is None:
        raise ConfigurationError(NO_SERVICE)
    return service


def view_of(endpoint: Endpoint) -> View:
    """Return the view that answers at the path of ``endpoint``."""
    table = {endpoint.path: {e.method: e for e in ENDPOINTS if e.path == endpoint.path}}

    def view(request: HttpRequest) -> HttpResponse:
        return _response(request, dispatch(the_service(), _incoming(request, endpoint.path), table))

    return _opened(view, endpoint)


def root_view_of(endpoint: Endpoint) -> View:
    """Return the view that answers where RFC 8414, section 3.1, has the metadata."""

    def view(request: HttpRequest, issuer_path: str) -> HttpResponse:
        service = the_service()
        path = f"{endpoint.path}/{issuer_path}"
        if path not in well_known_at_root(service.issuer):
            raise Http404
        table = {path: {endpoint.method: endpoint}}
        return _response(request, dispatch(service, _incoming(request, path), table))

    return _opened(view, endpoint)


def _opened(view: Any, endpoint: Endpoint) -> View:
    view.__name__ = view.__qualname__ = endpoint.name
    # What Django's login_not_required says, from 5.1 on: these endpoints do their own checks.
    view.login_required = False
    opened: View = public(csrf_exempt(view))
    return opened


def _incoming(request: HttpRequest, path: str) -> Request:
    environ = request.META
    return Request(
        method=environ["REQUEST_METHOD"],
        path=path,
        headers=request.headers,
        query=environ.get("QUERY_STRING", ""),
        read=_Body(request),
        peer=environ.get("REMOTE_ADDR"),
    )


def _response(request: HttpRequest, answer: Any) -> HttpResponse:
    is_head = request.META["REQUEST_METHOD"] == "HEAD"
    response = HttpResponse(b"" if is_head else answer.body, status=answer.status)
    del response["Content-Type"]
    for name, value in answer.headers:
        response[name] = value
    if answer.status not in WITHOUT_BODY:
        response["Content-Length"] = str(len(answer.body))
    return response


class _Body:
    """Reads what belongs to this request; what the project has read already is still to be had."""

    def __init__(self, request: HttpRequest) -> None:
        environ = request.META
        self._read: Callable[[int], bytes] = request.read
        self._declared: str | None = environ.get("CONTENT_LENGTH") or None
        self._count = 0
        if "HTTP_TRANSFER_ENCODING" in environ:
            self._declared = None
        if self._declared is None and environ.get("wsgi.input_terminated"):
            # To Django, what has no length has no body, though the server ends the stream.
            self._read = environ["wsgi.input"].read

    def __call__(self, limit: int, /) -> bytes:
        left = limit if self._declared is None else int(self._declared) - self._count
        if left <= 0:
            return b""
        chunk = b""
        # A server may raise what it likes when the peer goes away or its chunks are malformed; what
        # came until then is no body.
        broken = True
        with contextlib.suppress(Exception):
            chunk = self._read(min(limit, left))
            broken = not chunk and self._declared is not None
        if broken:
            raise InvalidRequest(hint="the body is cut or malformed", reason="malformed_body")
        self._count += len(chunk)
        return chunk
