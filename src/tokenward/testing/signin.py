"""Requests from somebody, without any token."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from tokenward.authenticator import Authenticator, Credential, overridden
from tokenward.errors import ConfigurationError
from tokenward.principal import Principal
from tokenward.testing.doubles import StubVerifier

if TYPE_CHECKING:
    from tokenward.protocols import Headers

_HEADER = "Tokenward-Test-Login"
_ENVIRON_KEY = "HTTP_TOKENWARD_TEST_LOGIN"
_MAX_LAYERS = 50


class _Holder(Protocol):
    authenticator: Authenticator


@dataclass(frozen=True, slots=True)
class _LoggedIn:
    """A source where something is always presented, or only in one test client's requests."""

    ticket: str
    client_only: bool
    reads: str = field(default="Authorization", init=False)
    ambient: bool = field(default=False, init=False)
    declarable: bool = field(default=True, init=False)

    @property
    def place(self) -> str:
        return f"login_as:{self.ticket}"

    def read(self, headers: Headers, _query: str, /) -> str | None:
        if self.client_only and headers.get(_HEADER) != self.ticket:
            return None
        return self.ticket


class Login:
    """A login that is in effect, until it is undone or left as a context manager.

    Attributes:
        principal: Who is logged in.
    """

    def __init__(self, target: Any, principal: Principal) -> None:
        self.principal = principal
        self._holders = list(_holders(target))
        if not self._holders:
            raise ConfigurationError(
                f"login_as found nothing of tokenward in {type(target).__name__}; hand in a Flask "
                "application with a Tokenward extension, its test client, or an AuthMiddleware."
            )
        ticket = secrets.token_urlsafe(8)
        environ: dict[str, Any] | None = getattr(target, "environ_base", None)
        self._environ = environ if isinstance(environ, dict) else None
        self._before = None if self._environ is None else self._environ.get(_ENVIRON_KEY)
        self._credential = Credential(
            _LoggedIn(ticket, client_only=self._environ is not None),
            StubVerifier({ticket: principal}),
        )
        if self._environ is not None:
            self._environ[_ENVIRON_KEY] = ticket
        for holder in self._holders:
            now = holder.authenticator
            holder.authenticator = now.with_credentials(self._credential, *now.credentials)

    def undo(self) -> None:
        """Take the login back; what others changed since stays. Again: nothing."""
        for holder in self._holders:
            now = holder.authenticator
            others = [c for c in now.credentials if c is not self._credential]
            if len(others) < len(now.credentials):
                holder.authenticator = now.with_credentials(*others)
        if self._environ is None:
            return
        if self._before is None:
            self._environ.pop(_ENVIRON_KEY, None)
        else:
            self._environ[_ENVIRON_KEY] = self._before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.undo()


def login_as(
    target: Any,
    subject_or_principal: str | Principal,
    *,
    scopes: Iterable[str] = (),
    roles: Iterable[str] = (),
) -> Login:
    """Make requests come from somebody, whatever credentials they bear.

    The real decorators, rules and translations run; only the verifying is left out. It takes
    effect at once. A later login goes before an earlier one, and an authenticator that
    `override_authenticator` has put in force before both.

    Args:
        target: A Flask application with the extension, or one of its test clients, which alone
            is then logged in; or a WSGI application with an `AuthMiddleware` around it.
        subject_or_principal: Who asks.
        scopes: Granted, beside those of a given principal.
        roles: Held, beside those of a given principal.

    Returns:
        A handle: ``undo()`` it, or use it in a ``with`` statement.

    Raises:
        ConfigurationError: There is nothing of tokenward in ``target``.
    """
    principal = (
        subject_or_principal
        if isinstance(subject_or_principal, Principal)
        else Principal(subject_or_principal)
    )
    granted = Principal("", scopes=scopes, roles=roles)  # type: ignore[arg-type] # made sets by it
    principal = replace(
        principal,
        scopes=principal.scopes | granted.scopes,
        roles=principal.roles | granted.roles,
    )
    return Login(target, principal)


@contextmanager
def override_authenticator(authenticator: Authenticator) -> Iterator[Authenticator]:
    """Put ``authenticator`` in the place of every other one in this process.

    A context manager, and a decorator. It holds for all threads, and for applications that are
    made while it lasts.
    """
    with overridden(authenticator):
        # Flask applications look at every request only once they have to deny by default.
        guard = sys.modules.get("tokenward.flask._guard")
        if guard is not None and authenticator.default_access == "deny":
            guard.close_all()
        yield authenticator


def _holders(target: Any) -> Iterator[_Holder]:
    """Yield whatever holds an authenticator, from the outside in."""
    layers: list[Any] = [target]
    for layer in layers:
        extensions = getattr(layer, "extensions", None)
        if isinstance(extensions, Mapping) and "tokenward" in extensions:
            yield extensions["tokenward"]
        elif isinstance(getattr(layer, "authenticator", None), Authenticator):
            yield layer
        # What test clients, middleware and bound methods call the application inside them.
        for name in ("application", "wsgi_app", "app", "__self__"):
            inner = getattr(layer, name, None)
            is_new = inner is not None and all(inner is not known for known in layers)
            if is_new and len(layers) < _MAX_LAYERS:
                layers.append(inner)
