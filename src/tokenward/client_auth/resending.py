"""A token in a request of requests, and that request once more when the token is refused.

requests asks for no base class: it calls ``auth(request)``, and the hooks that it registers with
each answer. Nothing of it is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenward.client_auth.client_credentials import ClientCredentials


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
        # Read to its end, so that the connection can be used again.
        response.content  # noqa: B018 - a property that reads
        again = request.copy()
        again.headers["Authorization"] = f"Bearer {self._source()}"
        if again.headers["Authorization"] == self.authorization:
            # The server still hands out this one.
            return None
        if self._begin is not None and request.body is not None:
            request.body.seek(self._begin)
        answer = response.connection.send(again, **options)
        answer.history.append(response)
        return answer

    def _can_be_rewound(self, body: object) -> bool:
        return body is None or isinstance(body, str | bytes) or self._begin is not None


def _position(body: object) -> int | None:
    try:
        position: int = body.tell()  # type: ignore[attr-defined] # asked of whatever comes
    except (AttributeError, OSError):
        return None
    return position
