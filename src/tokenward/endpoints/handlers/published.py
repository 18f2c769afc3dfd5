"""What anybody may read: keys, metadata, the description, health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.endpoints.handlers.answers import NO_STORE, answer
from tokenward.errors import AuthServiceUnavailable
from tokenward.keys import SET_MAX_AGE

if TYPE_CHECKING:
    from tokenward.endpoints.incoming import Request, Response
    from tokenward.service import AuthService

# A next key is published at least this long before its first use.
_PUBLIC = ("Cache-Control", f"public, max-age={SET_MAX_AGE}")


def jwks(service: AuthService, _request: Request) -> Response:
    """Return the JWK Set (RFC 7517, section 5)."""
    return answer(service.public_jwks(), _PUBLIC)


def metadata(service: AuthService, _request: Request) -> Response:
    """Return the metadata (RFC 8414, section 3.2)."""
    return answer(service.metadata(), _PUBLIC)


def openapi(service: AuthService, request: Request) -> Response:
    """Return the OpenAPI description."""
    # Imported where it is asked for: it describes the table, which names this function.
    from tokenward.endpoints.openapi import answer_document  # noqa: PLC0415

    return answer_document(service, request)


def docs(service: AuthService, request: Request) -> Response:
    """Return the description as a page."""
    from tokenward.endpoints.openapi import answer_page  # noqa: PLC0415 - see `openapi`

    return answer_page(service, request)


def live(_service: AuthService, _request: Request) -> Response:
    """Say that the process answers."""
    return answer({"status": "live"}, NO_STORE)


def ready(service: AuthService, _request: Request) -> Response:
    """Say whether the stores and keys can be used: 200, or 503."""
    if not service.ready():
        raise AuthServiceUnavailable("the store or the keys cannot be used", reason="not_ready")
    return answer({"status": "ready"}, NO_STORE)
