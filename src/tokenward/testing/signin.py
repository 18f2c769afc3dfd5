"""Requests from somebody, without any token."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from importlib import import_module
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
_COOKIE = "tokenward-test-login"
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
        if not self.client_only or headers.get(_HEADER) == self.ticket:
            return self.ticket
        # The ticket is random: no other cookie holds it by chance.
        sent = headers.get("Cookie") or ""
        return self.ticket if f"{_COOKIE}={self.ticket}" in sent else None


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
                "application with a Tokenward extension, its test client, a test client of Django "
                "or of Django REST framework, or an AuthMiddleware."
            )
        ticket = secrets.token_urlsafe(8)
        self._sent, self._key = _sent_by(target)
        # A copy: a cookie that is set again is the same object with another value.
        self._before = None if self._sent is None else copy(self._sent.get(self._key))
        self._credential = Credential(
            _LoggedIn(ticket, client_only=self._sent is not None),
            StubVerifier({ticket: principal}),
        )
        if self._sent is not None:
            self._sent[self._key] = ticket
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
        if self._sent is None:
            return
        if self._before is None:
            self._sent.pop(self._key, None)
        else:
            self._sent[self._key] = self._before

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
        target: A Flask application with the extension, or a WSGI application with an
            `AuthMiddleware` around it, or Django's own; or a test client of Flask, Django or Django
            REST framework, which alone is then logged in.
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


def _sent_by(target: Any) -> tuple[MutableMapping[str, Any] | None, str]:
    """Return what a test client sends with each of its requests, and the name to use in there."""
    if _is_loaded_as(target, "django.test.client", "AsyncRequestFactory"):
        # Django 4.2's does not send what it has by default; what they all send is cookies.
        return target.cookies, _COOKIE
    if _is_loaded_as(target, "django.test.client", "RequestFactory"):
        return target.defaults, _ENVIRON_KEY
    environ = getattr(target, "environ_base", None)
    return (environ if isinstance(environ, dict) else None), _ENVIRON_KEY


def _holders(target: Any) -> Iterator[_Holder]:
    """Yield whatever holds an authenticator, from the outside in."""
    layers: list[Any] = [target]
    for layer in layers:
        extensions = getattr(layer, "extensions", None)
        if isinstance(extensions, Mapping) and "tokenward" in extensions:
            yield extensions["tokenward"]
        elif isinstance(getattr(layer, "authenticator", None), Authenticator):
            yield layer
        elif _is_django(layer):
            # One for the whole process, whoever asks.
            yield import_module("tokenward.django._state").parts()
        # What test clients, middleware and bound methods call the application inside them.
        for name in ("application", "wsgi_app", "app", "__self__"):
            inner = getattr(layer, name, None)
            is_new = inner is not None and all(inner is not known for known in layers)
            if is_new and len(layers) < _MAX_LAYERS:
                layers.append(inner)


def _is_django(layer: Any) -> bool:
    """Tell whether it is a test client or a request factory of Django's, or the application."""
    return _is_loaded_as(layer, "django.test.client", "RequestFactory") or _is_loaded_as(
        layer, "django.core.handlers.base", "BaseHandler"
    )


def _is_loaded_as(value: Any, module: str, name: str) -> bool:
    """Do what ``isinstance`` does, and import nothing: of a class not loaded is no instance."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
