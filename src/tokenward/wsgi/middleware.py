"""`AuthMiddleware` around an application, and `require` inside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tokenward.authenticator import (
    Authenticator,
    Requirement,
    in_force,
    is_preflight,
)
from tokenward.errors import AuthError, ConfigurationError, NotAuthenticated
from tokenward.principal import ANONYMOUS
from tokenward.wsgi.exchange import Exchange, Late, close_body

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tokenward.authenticator import Authentication
    from tokenward.principal import Principal

PRINCIPAL = "tokenward.principal"
"""The key in the WSGI environment; always set."""

AUTHENTICATOR = "tokenward.authenticator"
"""The key of the authenticator that decided, for `require` and for those who answer errors."""


class AuthMiddleware:
    """Protects a WSGI application.

    ``environ["tokenward.principal"]`` is always set: to who was verified; to `ANONYMOUS` on a
    public path, where credentials are not looked at, for a CORS preflight, which has none, and
    where ``default_access`` is ``allow`` and nothing was presented. A refused token is refused
    everywhere but on public paths. The application runs for a preflight, to answer it; what could
    have it take the preflight for another method makes it none. With ``deny``, every path that is
    not public needs a token, whether or not there is anything at it.

    An `AuthError` that the application raises while it is called, or as a generator before its
    first chunk, such as one from `require`, is answered too. Bodies pass untouched, but for that of
    a preflight, which nobody sends: its status and headers pass. The answer to whoever came by a
    cookie, or by another ambient credential, is not stored, unless the application says otherwise.

    Args:
        app: The application.
        authenticator: Decides who sends a request.

    Attributes:
        app: As given.
        authenticator: As given; may be replaced.
    """

    def __init__(self, app: WSGIApplication, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        authenticator = in_force(self.authenticator)
        method = environ["REQUEST_METHOD"]
        exchange = Exchange(method, start_response, authenticator.error_response)
        environ[AUTHENTICATOR] = authenticator
        environ[PRINCIPAL] = ANONYMOUS
        if method == "OPTIONS" and is_preflight(environ):
            exchange.is_preflight = True
        elif not authenticator.is_public(method, _path(environ)):
            exchange.vary = authenticator.vary
            try:
                authentication = _authentication(authenticator, environ)
            except AuthError as error:
                return exchange.answer(error)
            if authentication is not None:
                environ[PRINCIPAL] = authentication.principal
                exchange.is_ambient = authentication.credential.ambient
        try:
            body = self.app(environ, exchange.start)
        except AuthError as error:
            if exchange.has_begun:
                raise
            return exchange.answer(error)
        if not exchange.is_started:
            # A generator: it runs, and starts the response, when it is first asked for a chunk.
            return Late(body, exchange)
        try:
            exchange.begin()
        except BaseException:
            close_body(body)
            raise
        if exchange.is_preflight:
            close_body(body)
            return []
        return body


def require(
    environ: WSGIEnvironment,
    *,
    scopes: Iterable[str] = (),
    roles: Iterable[str] = (),
    optional: bool = False,
    live: bool = False,
) -> Principal:
    """Return who sends this request, after everything demanded was checked.

    Args:
        environ: The request's environment, as `AuthMiddleware` left it.
        scopes: Every one must be granted.
        roles: Every one must be held.
        optional: Return `ANONYMOUS` when nothing was presented. Whoever did present something
            must hold what is demanded.
        live: Take no cached decision; ask the issuer.

    Returns:
        Who sends the request; `ANONYMOUS` for a CORS preflight. On a public path it is nobody,
        whatever was presented.

    Raises:
        AuthError: The request is refused; left alone, it becomes the response.
        ConfigurationError: No `AuthMiddleware` is around the application.
    """
    requirement = Requirement(
        scopes=scopes,  # type: ignore[arg-type] # made a tuple, and checked, by it
        roles=roles,  # type: ignore[arg-type] # the same
        optional=optional,
        live=live,
    )
    authenticator: Authenticator | None = environ.get(AUTHENTICATOR)
    if authenticator is None:
        raise ConfigurationError(
            "Nobody has looked at this request; put tokenward.wsgi.AuthMiddleware around the "
            "application."
        )
    principal: Principal = environ[PRINCIPAL]
    if principal.is_anonymous:
        if optional or is_preflight(environ):
            return ANONYMOUS
        raise NotAuthenticated
    if live:
        # What was decided before counts no more, whatever the issuer says now.
        environ[PRINCIPAL] = ANONYMOUS
        principal = authenticator.authenticate_environ(environ, live=True).principal
        environ[PRINCIPAL] = principal
    requirement.check(principal)
    return principal


def _authentication(
    authenticator: Authenticator, environ: WSGIEnvironment
) -> Authentication | None:
    try:
        return authenticator.authenticate_environ(environ)
    except NotAuthenticated:
        if authenticator.default_access == "deny":
            raise
        return None


def _path(environ: WSGIEnvironment) -> str:
    # Servers hand over the decoded path as Latin-1; its bytes are UTF-8.
    path: str = environ.get("PATH_INFO", "")
    return path.encode("latin-1", "replace").decode("utf-8", "replace")
