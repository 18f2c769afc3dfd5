"""A token in a request of requests, and that request once more when the token is refused.

requests asks for no base class: it calls ``auth(request)``, and the hooks that it registers with
each answer. Nothing of it is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tokenward.errors import AuthError

if TYPE_CHECKING:
    from tokenward.client_auth.client_credentials import ClientCredentials

MAX_REFUSAL_BYTES: Final = 65_536
"""Bytes of a refusal that are read to use its connection again; a longer one is cut off there."""

# Little at a time: a compressed part may be a thousand times as long.
_PART: Final = 1_024


def sent_with(source: ClientCredentials, request: Any) -> Any:
    """Return a prepared ``request`` with a token of ``source``, which is renewed on a 401."""
    retry = _Retry(source, source(), request.body)
    request.headers["Authorization"] = retry.authorization
    request.register_hook("response", retry)
    return request


class _Retry:
    # No repr of its own, and no token in a local variable: the frames of requests hold this
    # object, and a debugger's page shows both.
    __slots__ = ("_begin", "_source", "_token")

    def __init__(self, source: ClientCredentials, token: str, body: object) -> None:
        self._source = source
        self._token = token
        self._begin = _position(body)

    @property
    def authorization(self) -> str:
        return f"Bearer {self._token}"

    def __call__(self, response: Any, **options: Any) -> Any:
        request = response.request
        # Another header is that of a second try; or none, after a redirect to another host, and
        # there no token must go.
        if (
            response.status_code != 401
            or request.headers.get("Authorization") != self.authorization
        ):
            return None
        self._source.invalidate(self._token)
        if not self._can_be_rewound(request.body):
            return None
        again = request.copy()
        try:
            again.headers["Authorization"] = f"Bearer {self._source()}"
        except AuthError:
            response.close()
            raise
        if again.headers["Authorization"] == self.authorization:
            # There is no other one.
            return None
        _put_aside(response)
        if self._begin is not None and request.body is not None:
            request.body.seek(self._begin)
        answer = response.connection.send(again, **options)
        answer.history.append(response)
        return answer

    def _can_be_rewound(self, body: object) -> bool:
        return body is None or isinstance(body, str | bytes) or self._begin is not None


def _put_aside(response: Any) -> None:
    # requests reads an answer whole or not at all, and what it has read is in an attribute without
    # a public way to set it.
    if response._content is not False or response.raw is None:  # noqa: SLF001 - see above
        return
    read = bytearray()
    try:
        for part in response.iter_content(_PART):
            read += part
            if len(read) > MAX_REFUSAL_BYTES:
                response.close()
                break
    except OSError:
        # What requests raises is one. The answer is not the caller's, nor is its end.
        response.close()
    response._content = bytes(read[:MAX_REFUSAL_BYTES])  # noqa: SLF001 - see above


def _position(body: object) -> int | None:
    try:
        position: int = body.tell()  # type: ignore[attr-defined] # asked of whatever comes
    except (AttributeError, OSError):
        return None
    return position
