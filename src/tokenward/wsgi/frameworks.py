"""What has Falcon, Pyramid and Bottle answer an `AuthError`.

Each answers inside the framework, so that what it has around its views (hooks, tweens, its own
middleware) sees the refusal as the response it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import wraps
from inspect import isgenerator
from typing import TYPE_CHECKING, Any

from tokenward.bearer import error_response
from tokenward.errors import AuthError
from tokenward.wsgi.middleware import AUTHENTICATOR

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from tokenward.authenticator import Authenticator
    from tokenward.bearer import ErrorResponse


def falcon_error_handler(req: Any, resp: Any, error: AuthError, _params: Any) -> None:
    """Have Falcon answer: ``app.add_error_handler(AuthError, falcon_error_handler)``."""
    made = _response(error, req.env)
    resp.status = made.status
    resp.set_headers(made.headers)
    resp.data = made.body


def pyramid_error_view(error: AuthError, request: Any) -> Any:
    """Have Pyramid answer: ``config.add_exception_view(pyramid_error_view, context=AuthError)``."""
    made = _response(error, request.environ)
    response = request.response
    response.status = made.status
    response.headerlist = list(made.headers)
    response.body = made.body
    return response


class BottlePlugin:
    """Has Bottle answer: ``app.install(BottlePlugin(bottle))``.

    Install it before plugins that must see the error themselves, such as one that rolls back.

    Args:
        bottle: The module: Bottle keeps the current request, and the response that a route may
            raise, there.
    """

    name = "tokenward"
    api = 2

    def __init__(self, bottle: Any) -> None:
        self._bottle = bottle

    def apply(self, callback: Callable[..., Any], _route: Any) -> Callable[..., Any]:
        """Return ``callback`` with an `AuthError` turned into a response."""

        @wraps(callback)
        def answered(*args: Any, **kwargs: Any) -> Any:
            try:
                result = callback(*args, **kwargs)
            except AuthError as error:
                refused = self._response(error)
            else:
                return self._chunks(result) if isgenerator(result) else result
            raise refused

        return answered

    def _chunks(self, chunks: Generator[Any, Any, Any]) -> Iterator[Any]:
        # A generator's own code runs only when Bottle asks for the first chunk.
        try:
            yield from chunks
        except AuthError as error:
            refused = self._response(error)
        else:
            return
        raise refused

    def _response(self, error: AuthError) -> Exception:
        made = _response(error, self._bottle.request.environ)
        response: Exception = self._bottle.HTTPResponse(made.body, made.status, made.headers)
        return response


def _response(error: AuthError, environ: WSGIEnvironment) -> ErrorResponse:
    authenticator: Authenticator | None = environ.get(AUTHENTICATOR)
    if authenticator is None:
        return error_response(error)
    return authenticator.error_response(error)
