"""The auth service over HTTP, without a framework.

`ENDPOINTS` is the one table that every adapter loops over. An adapter translates its framework's
request into a `Request`, hands it to `call` with the row that its own router chose, or to
`dispatch` where it has no router, and translates the `Response` back. Nothing else differs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokenward._log import OncePerMinute
from tokenward.bearer import error_response
from tokenward.endpoints import handlers
from tokenward.endpoints.addresses import client_address
from tokenward.endpoints.incoming import MAX_BODY_BYTES, Request, Response
from tokenward.endpoints.table import ENDPOINTS, Endpoint
from tokenward.errors import AuthError, AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from tokenward.service import AuthService

__all__ = [
    "ENDPOINTS",
    "MAX_BODY_BYTES",
    "WITHOUT_BODY",
    "Endpoint",
    "Request",
    "Response",
    "Routes",
    "call",
    "dispatch",
    "routes",
    "well_known_at_root",
]

_logger = logging.getLogger("tokenward.endpoints")
_seldom = OncePerMinute(_logger)
_refused = logging.getLogger("tokenward.refused")

WITHOUT_BODY = frozenset({204, 304})
"""The statuses whose answers have no body, nor type and length of one (RFC 9110, section 8.6)."""

_MAX_CAUSES = 5

Routes = Mapping[str, Mapping[str, Endpoint]]
"""Endpoints by path, then by method."""


def well_known_at_root(issuer: str) -> dict[str, Endpoint]:
    """Return the metadata endpoints by the path that RFC 8414, section 3.1, gives them.

    For an issuer with a path the well-known part comes *before* it, at the root of the host:
    ``/.well-known/oauth-authorization-server/PATH``. Without a path there is nothing to add.
    """
    path = urlsplit(issuer).path.removesuffix("/")
    if not path:
        return {}
    return {e.path + path: e for e in ENDPOINTS if e.handler is handlers.metadata}


def routes(service: AuthService) -> Routes:
    """Return what answers where, for an adapter without a router of its own.

    When the issuer has a path, its endpoints are found below that path and without it: the
    application may be mounted there, or a proxy may pass the whole path on.
    """
    prefix = urlsplit(service.issuer).path.removesuffix("/")
    found: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        for path in {endpoint.path, prefix + endpoint.path}:
            found.setdefault(path, {})[endpoint.method] = endpoint
    for path, endpoint in well_known_at_root(service.issuer).items():
        found.setdefault(path, {})[endpoint.method] = endpoint
    return found


def dispatch(service: AuthService, request: Request, table: Routes) -> Response:
    """Answer a request to any path; what nobody answers to is 404, or 405 with ``Allow``."""
    methods = table.get(request.path)
    if methods is None:
        return _plain(404, "not_found", "There is nothing at this path.")
    endpoint = methods.get("GET" if request.method == "HEAD" else request.method)
    if endpoint is not None:
        return call(endpoint, service, request)
    allowed = {*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}
    allow = ("Allow", ", ".join(sorted(allowed)))
    if request.method == "OPTIONS":
        return Response(204, (allow,))
    return _plain(405, "method_not_allowed", "This path does not answer to this method.", allow)


def call(endpoint: Endpoint, service: AuthService, request: Request) -> Response:
    """Have one endpoint answer a request; whatever goes wrong becomes an answer too."""
    # What depends on who asks is not to be handed to others (RFC 9110, section 12.5.5).
    vary = () if endpoint.authentication == "none" else (("Vary", "Authorization"),)
    try:
        peer = client_address(request.peer, request.headers, service.trusted_proxies)
        made = endpoint.handler(service, dataclasses.replace(request, peer=peer))
        headers = made.headers
        if made.status in WITHOUT_BODY:
            headers = tuple(pair for pair in headers if pair[0] != "Content-Type")
        return Response(made.status, (*headers, *vary), made.body)
    except Exception as error:  # noqa: BLE001 - the caller gets a 500 without text
        # A log handler that fails must not take the answer with it.
        with contextlib.suppress(Exception):
            _log(endpoint, error)
        answer = error_response(error)
    return Response(answer.status, (*answer.headers, *vary), answer.body)


def _plain(status: int, error: str, description: str, *headers: tuple[str, str]) -> Response:
    body = f'{{"error":"{error}","error_description":"{description}"}}'.encode()
    fixed = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    return Response(status, (*fixed, *headers), body)


def _log(endpoint: Endpoint, error: Exception) -> None:
    if isinstance(error, AuthServiceUnavailable):
        key = (endpoint.name, error.reason)
        _seldom.log(logging.ERROR, key, "%s: %s: %s", endpoint.path, error.reason, error.hint)
    elif isinstance(error, AuthError):
        _refused.debug("refused at %s: %s: %s", endpoint.path, error.reason, error.hint)
    else:
        _logger.error("%s failed with %s", endpoint.path, _trail(error))


def _trail(error: Exception) -> str:
    """Return an exception and its causes by type and frames.

    The text of a foreign exception may quote a password or a token; our own ConfigurationError
    never does, and says what to change.
    """
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < _MAX_CAUSES:
        text = f": {cause}" if isinstance(cause, ConfigurationError) else ""
        frames = "".join(traceback.format_list(traceback.extract_tb(cause.__traceback__)))
        parts.append(f"{type(cause).__qualname__}{text}\n{frames}")
        cause = cause.__cause__ or cause.__context__
    return "caused by ".join(parts)
