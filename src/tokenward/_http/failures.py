"""What went wrong, in tokenward's words: every library's exception becomes one of ours."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions

from tokenward._log import shown
from tokenward.errors import AuthServiceUnavailable

_LOST = "lost"

# The first row that fits any exception of the chain decides: a library wraps the precise error in
# one or two general ones.
_ROWS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    (_LOST, (ssl.SSLEOFError, ssl.SSLZeroReturnError)),
    ("tls", (ssl.SSLError, urllib3.exceptions.SSLError, requests.exceptions.SSLError)),
    ("connect_failed", (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)),
    (
        "truncated",
        (
            http.client.IncompleteRead,
            urllib3.exceptions.IncompleteRead,
            requests.exceptions.ChunkedEncodingError,
        ),
    ),
    (
        "bad_encoding",
        (urllib3.exceptions.DecodeError, requests.exceptions.ContentDecodingError),
    ),
    (
        _LOST,
        (
            ConnectionError,
            socket.gaierror,
            socket.herror,
            requests.exceptions.ConnectTimeout,
            urllib3.exceptions.ConnectTimeoutError,
            urllib3.exceptions.NewConnectionError,
        ),
    ),
    ("deadline", (TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)),
    ("bad_response", (http.client.HTTPException,)),
    (_LOST, (requests.exceptions.ConnectionError, urllib3.exceptions.ProtocolError)),
    ("bad_response", (requests.exceptions.RequestException, urllib3.exceptions.HTTPError)),
    (_LOST, (OSError,)),
)

_HINTS = {
    "connect_failed": "the connection was refused, reset or closed without an answer",
    "truncated": "the answer ends early; look at the server, or at a proxy before it",
    "tls": "no trusted TLS connection; check the certificate, its name, and verify_tls",
    "deadline": "no complete answer before the deadline; look at the server",
    "bad_encoding": "the answer cannot be decoded",
    "bad_response": "the answer is not HTTP that can be read",
}


def explained(error: Exception, *, received: int = 0) -> AuthServiceUnavailable:
    """Return what ``error`` means.

    Args:
        error: Whatever a library raised.
        received: How many bytes of an answer had come.
    """
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, AuthServiceUnavailable):
            return found
    reason = _reason(chain)
    if reason == _LOST:
        reason = "truncated" if received else "connect_failed"
    # A library's own text may quote a header of ours, so only the system's texts are passed on.
    detail = next((text for text in map(_system_text, chain) if text), type(error).__name__)
    return AuthServiceUnavailable(f"{_HINTS[reason]} ({shown(detail)})", reason=reason)


def _reason(chain: list[BaseException]) -> str:
    for reason, types in _ROWS:
        if any(isinstance(error, types) for error in chain):
            return reason
    return "bad_response"


def _system_text(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(getattr(error, "verify_message", ""))
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return error.strerror or ""
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    todo: list[object] = [error]
    seen: set[int] = set()
    while todo:
        found = todo.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        todo += [found.__cause__, found.__context__, getattr(found, "reason", None), *found.args]
