"""Requests to our own endpoints, whatever server or framework they come through.

A body is read through a cap that counts what really arrives, so neither a missing, a chunked nor a
lying ``Content-Length`` makes us hold more than `MAX_BODY_BYTES`; it is parsed only after that.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

from tokenward import _json
from tokenward._log import shown
from tokenward.errors import (
    InvalidRequest,
    OAuthError,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from tokenward.schemas import Model, read_members

if TYPE_CHECKING:
    from tokenward.protocols import Headers

MAX_BODY_BYTES = 65_536
MAX_FORM_FIELDS = 20

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

_SECRET_FIELDS = frozenset(
    {
        "access_token",
        "client_assertion",
        "client_secret",
        "current_password",
        "new_password",
        "password",
        "refresh_token",
        "token",
    }
)

# A media type's parameter (RFC 9110, section 8.3.2).
_charset = re.compile(r';[ \t]*charset="?([^";, \t]*)').search


def _nothing(_limit: int, /) -> bytes:
    return b""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request to one of our endpoints.

    Attributes:
        method: In upper case.
        path: Decoded, without the prefix that the application is mounted at.
        headers: By name, in any case; a repeated header arrives comma-joined.
        query: The raw query string, without ``?``.
        read: Reads at most so many bytes of the body; ``b""`` at its end, never beyond it.
        peer: The address the request came from, for the audit trail.
    """

    method: str
    path: str
    headers: Headers
    query: str = ""
    read: Callable[[int], bytes] = _nothing
    peer: str | None = None

    def __repr__(self) -> str:
        # Headers, query and body hold tokens and passwords.
        return f"Request({self.method} {self.path!r})"


@dataclass(frozen=True, slots=True)
class Response:
    """What an endpoint answers.

    Attributes:
        status: The status code.
        headers: Names and values; ``Content-Length`` is the adapter's.
        body: To be left out by the adapter when the method is HEAD.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)


def media_type(request: Request) -> str:
    """Return the body's media type in lower case, without parameters; ``""``: none is named."""
    return (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


def read_body(request: Request) -> bytes:
    """Return the whole body.

    Raises:
        PayloadTooLarge: It says that it is, or turns out, longer than `MAX_BODY_BYTES`.
        InvalidRequest: Its length is not a number.
    """
    declared = request.headers.get("Content-Length")
    if declared:
        if not (declared.isascii() and declared.isdigit()):
            raise InvalidRequest(hint="Content-Length is not a number", reason="malformed_body")
        # Compared as text first: int() would refuse thousands of digits.
        if len(declared.lstrip("0")) > len(str(MAX_BODY_BYTES)) or int(declared) > MAX_BODY_BYTES:
            raise _too_large()
    body = bytearray()
    while len(body) <= MAX_BODY_BYTES:
        chunk = request.read(MAX_BODY_BYTES + 1 - len(body))
        if not chunk:
            return bytes(body)
        body += chunk
    raise _too_large()


def read_json(request: Request, model: type[Model], *, optional: bool = False) -> Model:
    """Return the JSON body as ``model``.

    Args:
        request: Whose body is read.
        model: One of the request models of `tokenward.schemas`.
        optional: Take an empty body of any type for an empty object.

    Raises:
        UnsupportedMediaType: The body is not ``application/json``. This is also what keeps other
            sites' forms out: a browser sends that type across sites only after a preflight.
        PayloadTooLarge: See `read_body`.
        InvalidRequest: Not one strict JSON object, or not what the model asks for.
        OAuthError: A token, a secret or a password is in the query.
    """
    _refuse_secrets_in_query(request.query)
    body = read_body(request) if optional else None
    if body == b"":
        return read_members(model, {})
    _require(request, JSON)
    try:
        members = _json.loads(read_body(request) if body is None else body)
    except _json.JSONError as error:
        hint = f"expected one JSON object in UTF-8: {error}"
    else:
        return read_members(model, members)
    # Raised here and not above, so that the error drags no part of the body along as its context.
    raise InvalidRequest({"_": "must be one JSON object"}, hint, reason="malformed_json")


def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form body; an empty body that names no type has none.

    Raises:
        UnsupportedMediaType: The body is not a form.
        PayloadTooLarge: See `read_body`.
        InvalidRequest: See `parse_form`.
        OAuthError: A token, a secret or a password is in the query.
    """
    _refuse_secrets_in_query(request.query)
    # Where no type is named, wsgiref names this one.
    body = read_body(request) if media_type(request) in {"", "text/plain"} else None
    if body == b"":
        return {}
    _require(request, FORM)
    return parse_form(read_body(request) if body is None else body)


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form; one without a value counts as absent.

    RFC 6749, section 3.2: no parameter comes twice, one without a value is treated as omitted.

    Raises:
        InvalidRequest: Not UTF-8, a field twice, or more than `MAX_FORM_FIELDS` fields.
    """
    pairs = None
    with contextlib.suppress(ValueError):
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FORM_FIELDS,
        )
    if pairs is None:
        hint = f"expected a form of at most {MAX_FORM_FIELDS} fields in UTF-8"
        raise InvalidRequest(hint=hint, reason="malformed_form")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidRequest(
            hint="a form field came twice; send each once", reason="repeated_field"
        )
    return {name: value for name, value in fields.items() if value}


def _refuse_secrets_in_query(query: str) -> None:
    """Refuse a URL with a secret in it, which is in somebody's log by now (RFC 6749, 2.3.1)."""
    for parameter in query.split("&"):
        if unquote_plus(parameter.partition("=")[0]) in _SECRET_FIELDS:
            raise OAuthError(
                "a token, a secret or a password came in the query; treat it as known to others",
                reason="secret_in_query",
                description="Tokens, secrets and passwords are sent in the body, never in the URL.",
            )


def _require(request: Request, expected: str) -> None:
    header = (request.headers.get("Content-Type") or "").lower()
    if media_type(request) != expected:
        hint = f"expected {expected}, got {shown(header)}; send that type and name it"
        raise UnsupportedMediaType(hint)
    charset = _charset(header)
    if charset is not None and charset[1] not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(f"expected UTF-8, got {shown(charset[1])}; send UTF-8")


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(hint=f"expected a body of at most {MAX_BODY_BYTES} bytes")
