"""RFC 6750, both ways: reading a bearer token, and answering with an error.

`error_response` is the only place that turns an exception into HTTP, so Flask, Django and WSGI
cannot differ:

.. code-block:: text

    error                        status  challenge
    NotAuthenticated, AuthError     401  Bearer realm="…"
    InvalidCredentials              401  Bearer realm="…"
    InvalidToken                    401  Bearer realm="…", error="invalid_token", …
    InvalidAuthorizationHeader      400  Bearer realm="…", error="invalid_request", …
    InsufficientScope               403  Bearer realm="…", error="insufficient_scope", …, scope="…"
    InvalidClient                   401  Basic realm="…"
    every other AuthError            its own, none
    anything else                   500  none

A login that failed is a 401, and a 401 must say how to do better (RFC 9110, section 15.5.2). It
gets the bare Bearer challenge: a ``Basic`` one would have browsers ask for a password.
"""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from tokenward._chance import whole
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InsufficientScope,
    InvalidAuthorizationHeader,
    InvalidClient,
    InvalidRequest,
    InvalidToken,
    TooManyAttempts,
)

MAX_TOKEN_BYTES = 16_384
"""A longer token is none, and is sent to nobody."""

MAX_RETRY_AFTER = 86_400
"""Seconds; an error that says more than a day is answered with a day."""

# RFC 6750, section 2.1: "Bearer" 1*SP b64token; the scheme in any case (RFC 9110, section 11.1).
_credentials = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)").fullmatch
_VISIBLE = bytes(range(0x20, 0x7F))
_UNPADDED = (string.ascii_letters + string.digits + "-._~+/").encode()
# The scheme at the start, or at the start of a header that a server has comma-joined.
_bearer_somewhere = re.compile(r"(?:^|,)[ \t]*bearer(?:[ \t,]|$)", re.IGNORECASE).search
# RFC 6749, section 3.3: scope-token.
_scope_token = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+").fullmatch
# RFC 6750, section 3: what error and error_description may hold.
_not_sendable = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]+")
_printable = re.compile(r"[\x20-\x7e]+").fullmatch
_not_printable = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error as HTTP, for an adapter to hand to its framework.

    Attributes:
        status: The status code.
        headers: Names and values; ``Content-Type`` and ``Cache-Control: no-store`` always,
            ``WWW-Authenticate`` and ``Retry-After`` where due. ``Content-Length`` is the
            framework's, ``Vary`` the adapter's.
        body: A JSON object in UTF-8.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


def read_bearer(authorization: str | None) -> str | None:
    """Return the token of an ``Authorization`` header (RFC 6750, section 2.1).

    Args:
        authorization: The header's value; repeated headers arrive comma-joined.

    Returns:
        The token, or ``None`` when none was presented: no header, an empty one, another scheme.

    Raises:
        InvalidAuthorizationHeader: ``Bearer`` without exactly one b64token after it, or more
            than one ``Authorization`` header with a ``Bearer`` among them.
    """
    if not authorization:
        return None
    if authorization.startswith("Bearer "):
        # Nearly every request; the expression below takes three times as long over a JWT.
        token = authorization[7:]
        if token.isascii() and token and not token.encode().translate(None, _UNPADDED):
            return token
    found = _credentials(authorization)
    if found is not None:
        return found[1]
    value = authorization.strip(" \t")
    if value != authorization:
        return read_bearer(value)
    if _bearer_somewhere(value) is None:
        return None
    if "," in value:
        raise InvalidAuthorizationHeader(
            hint="expected one Authorization header with one token, got several, or a comma",
            reason="repeated_authorization",
        )
    raise InvalidAuthorizationHeader(
        hint="expected 'Bearer' and one token of letters, digits and -._~+/=; "
        "check for quotes, white space or a missing token"
    )


def check_token(token: object, *, max_bytes: int = MAX_TOKEN_BYTES) -> None:
    """Refuse what cannot be a bearer token, before anything is sent anywhere.

    Raises:
        InvalidToken: Not 1 to ``max_bytes`` visible ASCII characters (RFC 6750, section 2.1).
    """
    # Not `str.isprintable`, which takes three times as long over a JWT.
    if (
        not isinstance(token, str)
        or not token.isascii()
        or token.encode().translate(None, _VISIBLE)
    ):
        hint = "the token holds characters that are not visible ASCII"
        raise InvalidToken(hint, reason="malformed")
    if not 0 < len(token) <= max_bytes or " " in token:
        hint = f"the token is empty, longer than {max_bytes} bytes, or holds a space"
        raise InvalidToken(hint, reason="malformed")


def refuse_query_token(query: str) -> None:
    """Refuse a query that also carries a token (RFC 6750, section 2).

    Args:
        query: The raw query string, without ``?``.

    Raises:
        InvalidAuthorizationHeader: A parameter is called ``access_token``.
    """
    if "access_token" not in query and "%" not in query:
        return
    for parameter in query.split("&"):
        if unquote_plus(parameter.partition("=")[0]) == "access_token":
            raise InvalidAuthorizationHeader(
                hint="a token came in the Authorization header and in the query as access_token; "
                "send it in the header only",
                reason="token_in_query",
            )


def check_realm(realm: str) -> str:
    """Return ``realm`` if it can stand in a challenge.

    Raises:
        ConfigurationError: It is empty, or not printable ASCII.
    """
    if _printable(realm) is None:
        raise ConfigurationError("The realm must be a non-empty string of printable ASCII.")
    return realm


def is_scope_token(scope: str) -> bool:
    """Tell whether ``scope`` is one scope-token (RFC 6749, section 3.3)."""
    return _scope_token(scope) is not None


def check_scopes(scopes: Iterable[object]) -> tuple[str, ...]:
    """Return ``scopes`` if each is one scope-token (RFC 6749, section 3.3).

    Args:
        scopes: What a program demands; anything may come here by mistake.

    Raises:
        ConfigurationError: One is empty, or holds a space, a quote or another refused character.
    """
    checked: list[str] = []
    for scope in scopes:
        if not isinstance(scope, str) or _scope_token(scope) is None:
            raise ConfigurationError(
                f"{scope!r} is not a scope: write each scope as its own string, in printable "
                "ASCII without spaces, quotes or backslashes."
            )
        checked.append(scope)
    return tuple(checked)


def error_response(error: BaseException, *, realm: str = "api") -> ErrorResponse:
    """Return the HTTP answer for ``error``; nothing in it comes from a token or from upstream.

    Args:
        error: What was raised. Only an `AuthError` says anything of itself; everything else,
            a `ConfigurationError` included, is a 500 without text.
        realm: The protection space that the challenge names (RFC 9110, section 11.5).
    """
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if not isinstance(error, AuthError):
        return ErrorResponse(500, tuple(headers), b'{"error":"server_error"}')
    body: dict[str, Any] = {"error": error.error, "error_description": error.description}
    if isinstance(error, InvalidRequest) and error.fields:
        body["fields"] = error.fields
    if error.detail is not None:
        body["detail"] = error.detail
    challenge = _challenge(error, realm)
    if challenge:
        headers.append(("WWW-Authenticate", challenge))
    if isinstance(error, AuthServiceUnavailable):
        # All who met the outage would come back in the same second; the one who was told to
        # slow down comes back alone.
        headers.append(("Retry-After", str(_jittered(_seconds(error.retry_after)))))
    elif isinstance(error, TooManyAttempts):
        headers.append(("Retry-After", str(_seconds(error.retry_after))))
    return ErrorResponse(
        error.status_code, tuple(headers), json.dumps(body, separators=(",", ":")).encode()
    )


def _challenge(error: AuthError, realm: str) -> str:
    quoted = _not_printable.sub("?", realm).replace("\\", "\\\\").replace('"', '\\"')
    if isinstance(error, InvalidClient):
        return f'Basic realm="{quoted}"'
    challenge = f'Bearer realm="{quoted}"'
    if isinstance(error, InvalidToken | InvalidAuthorizationHeader | InsufficientScope):
        code = _not_sendable.sub("", error.error)
        description = _not_sendable.sub("", error.description)
        challenge += f', error="{code}", error_description="{description}"'
        if isinstance(error, InsufficientScope):
            scope = " ".join(s for s in error.required if _scope_token(s))
            return f'{challenge}, scope="{scope}"' if scope else challenge
        return challenge
    return challenge if error.status_code == 401 else ""


def _seconds(retry_after: float) -> int:
    # Written so that NaN ends at one second too.
    return math.ceil(min(retry_after, MAX_RETRY_AFTER)) if retry_after > 1 else 1


def _jittered(seconds: int) -> int:
    return min(seconds + whole(0, max(1, seconds // 2)), MAX_RETRY_AFTER)
