"""tokenward for any WSGI application (PEP 3333): protect one, or run the auth service as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tokenward.authenticator import Authenticator, EnvironHeaders, in_force, is_preflight
from tokenward.bearer import error_response
from tokenward.errors import AuthError, NotAuthenticated
from tokenward.principal import ANONYMOUS

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tokenward.config import Settings
    from tokenward.principal import Principal
    from tokenward.service import AuthService

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

PRINCIPAL = "tokenward.principal"
"""The key in the WSGI environment; always set."""


class AuthMiddleware:
    """Protects a WSGI application.

    ``environ["tokenward.principal"]`` is always set: to who was verified; to `ANONYMOUS` on a
    public path, where credentials are not looked at, for a CORS preflight, which has none, and
    where ``default_access`` is ``allow`` and nothing was presented. A refused token is refused
    everywhere but on public paths. With ``deny``, every path that is not public needs a token,
    whether or not there is anything at it.

    An `AuthError` that the application raises before its response has begun, such as one from
    ``environ["tokenward.principal"].require_scopes(…)``, is answered too. Bodies pass untouched.

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
        exchange = _Exchange(environ, start_response, authenticator.realm)
        environ[PRINCIPAL] = ANONYMOUS
        method = environ["REQUEST_METHOD"]
        is_open = is_preflight(method, EnvironHeaders(environ)) or authenticator.is_public(
            method, _path(environ)
        )
        if not is_open:
            exchange.vary = authenticator.vary
            try:
                environ[PRINCIPAL] = _principal(authenticator, environ)
            except AuthError as error:
                return exchange.answer(error)
        try:
            body = self.app(environ, exchange.start)
        except AuthError as error:
            if exchange.has_begun:
                raise
            return exchange.answer(error)
        # Most applications have begun by now. A generator has not: it begins when first asked.
        return body if exchange.has_begun else _Late(body, exchange)


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


def _principal(authenticator: Authenticator, environ: WSGIEnvironment) -> Principal:
    try:
        return authenticator.authenticate_environ(environ).principal
    except NotAuthenticated:
        if authenticator.default_access == "deny":
            raise
        return ANONYMOUS


def _path(environ: WSGIEnvironment) -> str:
    # Servers hand over the decoded path as Latin-1; its bytes are UTF-8.
    path: str = environ.get("PATH_INFO", "")
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


class _Exchange:
    """One request and the response to it, as far as we take part in them."""

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse, realm: str) -> None:
        self._environ = environ
        self._start_response = start_response
        self._realm = realm
        self.vary = ""
        self.has_begun = False

    def start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
        /,
    ) -> Callable[[bytes], object]:
        """Begin the response, with what it depends on in ``Vary``."""
        if self.vary:
            headers = _with_vary(headers, self.vary)
        # A server that refuses, because headers are out already, raises here.
        write = (
            self._start_response(status, headers)
            if exc_info is None
            else self._start_response(status, headers, exc_info)
        )
        self.has_begun = True
        return write

    def answer(self, error: AuthError) -> list[bytes]:
        """Answer with ``error``."""
        made = error_response(error, realm=self._realm)
        headers = [*made.headers, ("Content-Length", str(len(made.body)))]
        self.start(f"{made.status} {_phrase(made.status)}", headers)
        return [] if self._environ["REQUEST_METHOD"] == "HEAD" else [made.body]


class _Late:
    """A body whose making begins the response, so that an error can still be answered."""

    def __init__(self, body: Iterable[bytes], exchange: _Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        try:
            chunks = iter(self._body)
            first = next(chunks)
        except StopIteration:
            return
        except AuthError as error:
            if self._exchange.has_begun:
                raise
            yield from self._exchange.answer(error)
            return
        yield first
        yield from chunks

    def close(self) -> None:
        """Close the body, as PEP 3333 wants it whatever happened."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


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
