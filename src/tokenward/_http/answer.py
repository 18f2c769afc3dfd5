"""Reading an answer: bounded, whole, decoded, or not at all."""

from __future__ import annotations

import email.utils
import json
import re
import time
import zlib
from collections.abc import Collection
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from tokenward import _json
from tokenward._log import shown
from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward.protocols import Clock, Response, Transport

JSON: Final = "application/json"

MAX_RETRY_AFTER = 60.0
"""Seconds for which a server's ``Retry-After`` is honoured at most, and passed on."""

_SECONDS = re.compile(r"[0-9]{1,9}")
_WHITE_SPACE = " \t\r\n"
# Numbers stay text: Python refuses to make integers of very many digits.
_read_loosely = json.JSONDecoder(strict=False, parse_int=str, parse_float=str).decode
_MAX_AGE = re.compile(r'max-age\s*=\s*"?([0-9]{1,9})"?')


def read_body(raw: Any, *, max_bytes: int) -> bytes:
    """Read the body of a ``urllib3`` response, and close it.

    Args:
        raw: The response; its connection returns to the pool only when it was read whole.
        max_bytes: How much is taken, before and after decoding.

    Raises:
        AuthServiceUnavailable: The body is larger (``too_large``), ends early (``truncated``) or
            cannot be decoded (``bad_encoding``).
    """
    try:
        body: bytes = raw.read(max_bytes + 1, decode_content=False) or b""
    finally:
        raw.close()
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if raw.length_remaining:
        raise AuthServiceUnavailable(
            f"the answer ends {raw.length_remaining} bytes early; look at the server, or at a"
            " proxy before it",
            reason="truncated",
        )
    return _decoded(body, raw.headers.get("Content-Encoding", ""), max_bytes)


def _decoded(body: bytes, encoding: str, max_bytes: int) -> bytes:
    # Nothing is nothing in every encoding; proxies do label an empty 401.
    if not body:
        return body
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            window = zlib.MAX_WBITS | 16
        case "deflate":
            # zlib's wrapper by RFC 9110, section 8.4.1.2; some servers send the bare stream.
            wrapped = body[:1] and body[0] & 0x0F == zlib.DEFLATED
            window = zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
        case _:
            raise AuthServiceUnavailable(
                f"the answer has the Content-Encoding {shown(encoding)}; gzip and deflate are read,"
                " and neither was asked for",
                reason="bad_encoding",
            )
    decoder = zlib.decompressobj(window)
    try:
        decoded = decoder.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _undecodable(encoding) from None
    if len(decoded) > max_bytes:
        raise _too_large(max_bytes)
    if not decoder.eof or decoder.unused_data:
        raise _undecodable(encoding)
    return decoded


def _too_large(max_bytes: int) -> AuthServiceUnavailable:
    return AuthServiceUnavailable(
        f"the answer is larger than {max_bytes} bytes; raise max_response_bytes if it may be",
        reason="too_large",
    )


def _undecodable(encoding: str) -> AuthServiceUnavailable:
    return AuthServiceUnavailable(
        f"the answer is not the one {shown(encoding)} stream that its Content-Encoding says",
        reason="bad_encoding",
    )


def media_type(response: Response) -> str:
    """Return the content type without parameters, in lower case (RFC 9110, section 8.3.1)."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def json_object(response: Response, *, types: Collection[str] = (JSON,)) -> dict[str, Any]:
    """Return the members of an answer that must be one strict JSON object.

    Args:
        response: The answer.
        types: The content types it may have.

    Raises:
        AuthServiceUnavailable: It is something else (``bad_response``); the hint says what it has
            instead, as the end of a sentence.
    """
    if media_type(response) not in types:
        content_type = shown(response.headers.get("content-type", ""))
        hint = f"the content type {content_type}, not {' or '.join(types)}"
        raise AuthServiceUnavailable(hint, reason="bad_response")
    try:
        return _json.loads(response.body)
    except _json.JSONError as error:
        hint = f"a body that is refused: {error}"
    # Raised here and not above: the frames of the reader hold the text.
    raise AuthServiceUnavailable(hint, reason="bad_response")


def is_odd_json(text: bytes) -> bool:
    """Tell whether a text is one JSON object all the same when the strict reader refuses it.

    A lone surrogate, a repeated member, deep nesting, a long number: what an answer repeats of
    somebody's choosing may hold them, and says nothing of the server then. Broken text is broken
    by who wrote it.

    Args:
        text: The body of an answer, or the payload of one that is signed.
    """
    try:
        _json.loads(text)
    except _json.JSONError:
        pass
    else:
        return False
    try:
        written = text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    try:
        return type(_read_loosely(written)) is dict
    except RecursionError:
        # Too deep to see its end.
        return written.lstrip(_WHITE_SPACE).startswith("{")
    except ValueError:
        return False


def report_unreadable(transport: Transport, url: str) -> None:
    """Have ``transport`` count its last answer from ``url`` as a failure, if it counts any."""
    report = getattr(transport, "report_unreadable", None)
    if report is not None:
        report(url)


def retry_after_of(response: Response, *, clock: Clock = time.time) -> float | None:
    """Return the seconds of ``Retry-After``, a number or a date (RFC 9110, section 10.2.3).

    Returns:
        Seconds from now, not less than 0; ``None`` without the header or with a malformed one.
    """
    value = response.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    at = epoch_of(value)
    return None if at is None else max(0.0, at - clock())


def epoch_of(date: str) -> float | None:
    """Return the seconds since the epoch of a date in a header (RFC 9110, section 5.6.7).

    Returns:
        ``None`` for a malformed one.
    """
    try:
        read = email.utils.parsedate_to_datetime(date)
        # One that names no zone, as asctime writes it, is UTC like the others.
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def retry_in(response: Response) -> float:
    """Return the seconds after which to come back: what a server says, within a minute."""
    return min(retry_after_of(response) or 1.0, MAX_RETRY_AFTER)


def max_age_of(response: Response) -> float | None:
    """Return for how long an answer says it may be kept (RFC 9111, sections 4.2 and 5.2.2).

    Returns:
        Seconds from now, not less than 0, less what it has spent in other caches; ``None`` where
        it says nothing.
    """
    control = response.headers.get("cache-control", "").lower()
    if "no-store" in control or "no-cache" in control:
        return 0.0
    found = _MAX_AGE.search(control)
    if found is None:
        return None
    age = response.headers.get("age", "").strip()
    spent = float(age) if _SECONDS.fullmatch(age) else 0.0
    return max(0.0, float(found[1]) - spent)
