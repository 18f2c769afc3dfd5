"""tokenward for any WSGI application (PEP 3333): protect one, or run the auth service as one.

Frameworks catch what their views raise. What has Falcon, Bottle and Pyramid answer an `AuthError`
as everything else here does is `falcon_error_handler`, `BottlePlugin` and `pyramid_error_view`;
none of the three is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import wraps
from http import HTTPStatus
from inspect import isgenerator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from tokenward.authenticator import (
    Authenticator,
    EnvironHeaders,
    Requirement,
    in_force,
    is_preflight,
)
from tokenward.bearer import error_response
from tokenward.errors import AuthError, ConfigurationError, NotAuthenticated
from tokenward.principal import ANONYMOUS

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tokenward.authenticator import Authentication
    from tokenward.bearer import ErrorResponse
    from tokenward.config import Settings
    from tokenward.principal import Principal
    from tokenward.service import AuthService

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

PRINCIPAL = "tokenward.principal"
"""The key in the WSGI environment; always set."""

AUTHENTICATOR = "tokenward.authenticator"
"""The key of the authenticator that decided, for `require` and for those who answer errors."""


class AuthMiddleware:
    """Protects a WSGI application.

    ``environ["tokenward.principal"]`` is always set: to who was verified; to `ANONYMOUS` on a
    public path, where credentials are not looked at, for a CORS preflight, which has none, and
    where ``default_access`` is ``allow`` and nothing was presented. A refused token is refused
    everywhere but on public paths. With ``deny``, every path that is not public needs a token,
    whether or not there is anything at it.

    An `AuthError` that the application raises while it is called, or as a generator before its
    first chunk, such as one from `require`, is answered too. Bodies pass untouched, but for that of
    a preflight, which nobody sends: its status and headers pass. The answer to whoever came by a
    cookie is not stored, unless the application says otherwise.

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
        exchange = _Exchange(method, start_response, authenticator.realm)
        environ[AUTHENTICATOR] = authenticator
        environ[PRINCIPAL] = ANONYMOUS
        if method == "OPTIONS" and is_preflight(method, EnvironHeaders(environ)):
            exchange.is_preflight = True
        elif not authenticator.is_public(method, _path(environ)):
            exchange.vary = authenticator.vary
            try:
                authentication = _authentication(authenticator, environ)
            except AuthError as error:
                return exchange.answer(error)
            if authentication is not None:
                environ[PRINCIPAL] = authentication.principal
                exchange.by_cookie = authentication.credential.source.reads == "Cookie"
        try:
            body = self.app(environ, exchange.start)
        except AuthError as error:
            if exchange.has_begun:
                raise
            return exchange.answer(error)
        if not exchange.is_started:
            # A generator: it runs, and starts the response, when it is first asked for a chunk.
            return _Late(body, exchange)
        try:
            exchange.begin()
        except BaseException:
            _close(body)
            raise
        if exchange.is_preflight:
            _close(body)
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
        if optional or is_preflight(environ["REQUEST_METHOD"], EnvironHeaders(environ)):
            return ANONYMOUS
        raise NotAuthenticated
    if live:
        # What was decided before counts no more, whatever the issuer says now.
        environ[PRINCIPAL] = ANONYMOUS
        principal = authenticator.authenticate_environ(environ, live=True).principal
        environ[PRINCIPAL] = principal
    requirement.check(principal)
    return principal


# What follows answers inside the framework, so that what it has around its views (hooks, tweens,
# its own middleware) sees the refusal as the response it is.


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


# What an auth service needs is imported where one is made: a protected application has no use
# for stores, keys and password hashing.


def service_app(settings: Settings | Mapping[str, Any] | None = None) -> WSGIApplication:
    """Return the auth service as an application: ``gunicorn "tokenward.wsgi:service_app()"``.

    Args:
        settings: The configuration, parsed or as a mapping; ``None``: the TOML file that
            ``TOKENWARD_CONFIG`` names.

    Raises:
        ConfigurationError: The settings have no ``service`` section or are wrong, or the store is
            missing or cannot be used.
    """
    from tokenward.config import build_service  # noqa: PLC0415 - see above
    from tokenward.config.settings import as_settings  # noqa: PLC0415 - see above

    return auth_service_app(build_service(as_settings(settings)))


def auth_service_app(service: AuthService) -> WSGIApplication:
    """Return an application that answers for ``service``, and 404 for every other path.

    For an issuer with a path, such as ``https://example.com/auth``, either mount the application
    there (``SCRIPT_NAME``) or have the proxy pass the whole path on: both are answered. What RFC
    8414, section 3.1, puts at the root of the host, ``/.well-known/…/auth``, is answered too where
    the proxy passes it on. Cookies are never read, and bodies never beyond 64 KiB.
    """
    from tokenward.endpoints import environ  # noqa: PLC0415 - see above

    return environ.auth_service_app(service)


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


def _response(error: AuthError, environ: WSGIEnvironment) -> ErrorResponse:
    authenticator: Authenticator | None = environ.get(AUTHENTICATOR)
    if authenticator is None:
        return error_response(error)
    return error_response(error, realm=authenticator.realm)


class _Exchange:
    """One request and the response to it, as far as we take part in them.

    What the application starts is held back until its body is at hand, so that an error can take
    its place: of two starts, some servers send the headers of both.
    """

    __slots__ = (
        "_held",
        "_method",
        "_realm",
        "_server_write",
        "_start_response",
        "by_cookie",
        "has_begun",
        "is_preflight",
        "vary",
    )

    def __init__(self, method: str, start_response: StartResponse, realm: str) -> None:
        self._method = method
        self._start_response = start_response
        self._realm = realm
        self._held: tuple[str, list[tuple[str, str]], ExcInfo | None] | None = None
        self.vary = ""
        self.by_cookie = False
        self.is_preflight = False
        self.has_begun = False

    @property
    def is_started(self) -> bool:
        """Whether the application has said what it answers."""
        return self.has_begun or self._held is not None

    def start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
        /,
    ) -> Callable[[bytes], object]:
        """Be the application's ``start_response``."""
        if self._held is not None and exc_info is None:
            msg = "start_response was called again without exc_info (PEP 3333)"
            raise AssertionError(msg)
        self._held = (status, headers, exc_info)
        if self.has_begun:
            # The server knows whether it is too late, and raises if it is.
            self.begin()
        return self._write

    def _write(self, data: bytes) -> object:
        self.begin()
        return self._server_write(data)

    def begin(self) -> None:
        """Hand what is held back, if anything is, to the server; from now on nothing is."""
        if self._held is not None:
            (status, headers, exc_info), self._held = self._held, None
            if self.vary:
                headers = _with_vary(headers, self.vary)
            if self.by_cookie:
                headers = _unstored(headers)
            if self.is_preflight:
                headers = _without_a_body(status, headers)
            self._server_write = (
                self._start_response(status, headers)
                if exc_info is None
                else self._start_response(status, headers, exc_info)
            )
        self.has_begun = True

    def answer(self, error: AuthError) -> list[bytes]:
        """Answer with ``error``, whatever was held back."""
        made = error_response(error, realm=self._realm)
        headers = [*made.headers, ("Content-Length", str(len(made.body)))]
        self._held = (f"{made.status} {_phrase(made.status)}", headers, None)
        self.begin()
        return [] if self._method == "HEAD" else [made.body]


class _Late:
    """A body whose making starts the response, so that an error can still be answered."""

    def __init__(self, body: Iterable[bytes], exchange: _Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        try:
            chunks = iter(self._body)
            first = list(islice(chunks, 1))
        except AuthError as error:
            if self._exchange.has_begun:
                raise
            return iter(self._exchange.answer(error))
        self._exchange.begin()
        if self._exchange.is_preflight:
            return iter(())
        # Not by a generator of ours, which would close the body a second time.
        return chain(first, chunks)

    def close(self) -> None:
        """Close the body, as PEP 3333 wants it whatever happened."""
        _close(self._body)


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _without_a_body(status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    others = [pair for pair in headers if pair[0].lower() != "content-length"]
    # RFC 9110, section 8.6: a 204 has no length either.
    return others if status.startswith("204") else [*others, ("Content-Length", "0")]


def _unstored(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    # A browser must not show a page again once its person has signed out.
    if any(name.lower() == "cache-control" for name, _ in headers):
        return headers
    return [*headers, ("Cache-Control", "no-store")]


def _with_vary(headers: list[tuple[str, str]], names: str) -> list[tuple[str, str]]:
    there = ", ".join(value for name, value in headers if name.lower() == "vary")
    if not there:
        return [*headers, ("Vary", names)]
    known = {part.strip().lower() for part in there.split(",")}
    if "*" in known:
        return headers
    more = [name for name in names.split(", ") if name.lower() not in known]
    others = [pair for pair in headers if pair[0].lower() != "vary"]
    return [*others, ("Vary", ", ".join([there, *more]))]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
