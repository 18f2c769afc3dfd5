"""Authentication backends: a token for one request, a password for a session.

.. code-block:: python

    AUTHENTICATION_BACKENDS = [
        "tokenward.django.backends.PasswordBackend",
        "django.contrib.auth.backends.ModelBackend",
        "tokenward.django.backends.TokenBackend",
    ]
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import django
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend
from django.core.exceptions import ObjectDoesNotExist
from django.views.decorators.debug import sensitive_variables

from tokenward._log import OncePerMinute
from tokenward.django._database import translated_errors
from tokenward.django._guard import authenticator_in_force
from tokenward.django._guard.decision import off_the_loop
from tokenward.django._password_service import principal_of
from tokenward.django._state import SETTING
from tokenward.django.errors import SignInThrottled, SignInUnavailable
from tokenward.django.users import needs_database, session_user_for, user_for
from tokenward.django.users.mapping import mapping_in_force
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
    NotAuthenticated,
    TooManyAttempts,
)

if TYPE_CHECKING:
    from django.http import HttpRequest

    from tokenward.django._password_service import Login
    from tokenward.principal import Principal

__all__ = ["PasswordBackend", "SignInThrottled", "SignInUnavailable", "TokenBackend"]

F = TypeVar("F", bound=Callable[..., Any])

EVIDENCE = "_tokenward_evidence"
"""The attribute of a user who has signed in, until a session is made: nothing that can be used."""

_seldom = OncePerMinute(logging.getLogger("tokenward.django.login"))


def _sensitive_on_a_loop(function: F) -> F:
    # Before Django 5.0 it made plain functions of async ones, and hid nothing.
    return sensitive_variables("token")(function) if django.VERSION >= (5, 0) else function


class TokenBackend(BaseBackend):
    """``authenticate(request, token=…)``: whom a bearer token speaks for.

    It is verified like one in the ``Authorization`` header. A session is never made of it.
    """

    @sensitive_variables("token")
    def authenticate(  # type: ignore[override] # what it does not take, Django asks others about
        self, request: HttpRequest | None, token: str | None = None
    ) -> Any:
        """Return the user, or ``None`` for a token that is refused.

        Raises:
            AuthServiceUnavailable: Nobody could decide.
            ConfigurationError: No credential reads the ``Authorization`` header.
        """
        del request
        if token is None:
            return None
        try:
            return user_for(_verified(token))
        except AuthServiceUnavailable:
            raise
        except AuthError:
            return None

    @_sensitive_on_a_loop
    async def aauthenticate(  # type: ignore[override] # the same
        self, request: HttpRequest | None, token: str | None = None
    ) -> Any:
        """Do what `authenticate` does, without ever blocking the event loop."""
        del request
        if token is None:
            return None
        try:
            principal = _cached(token)
            if principal is None:
                principal = await _averified(token)
            if needs_database(principal):
                return await sync_to_async(user_for)(principal)
            return user_for(principal)
        except AuthServiceUnavailable:
            raise
        except AuthError:
            return None

    def get_user(self, user_id: Any) -> None:
        """Return ``None``: no session is of a bearer token."""

    async def aget_user(self, user_id: Any) -> None:
        """Return ``None``: no session is of a bearer token."""


class PasswordBackend(BaseBackend):
    """``authenticate(request, username=…, password=…)``: whose password the auth service knows.

    The service is the one that ``django.login`` names, else that of this process. The session that
    Django makes of it is checked again every ``session_recheck`` seconds.
    """

    @sensitive_variables("password", "credentials", "more")
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> Any:
        """Return the row of the person, or ``None``: the next backend is asked.

        Raises:
            SignInUnavailable: Nobody could decide.
            SignInThrottled: The service throttles.
            ConfigurationError: Users are stateless, and a session is of a row.
        """
        model: Any = get_user_model()
        if username is None:
            username = more.get(model.USERNAME_FIELD)
        if username is None or password is None:
            return None
        login = _login()
        if login is None:
            return None
        # Only a project whose people sign in loads the models of that.
        from tokenward.schemas import LoginRequest, read_members  # noqa: PLC0415

        environ = {} if request is None else request.META
        try:
            credentials = read_members(LoginRequest, {"username": username, "password": password})
            user, evidence = login.sign_in(credentials, environ=environ)
            row = session_user_for(principal_of(user, login.issuer))
        except TooManyAttempts as error:
            refusal: AuthError = SignInThrottled(error.retry_after, error.hint)
        except AuthServiceUnavailable as error:
            why = error.reason
            _seldom.log(
                logging.WARNING, ("outage", why), "Nobody can sign in (%s): %s", why, error.hint
            )
            refusal = SignInUnavailable(error.hint, reason=why, retry_after=error.retry_after)
        except AuthError:
            return None
        else:
            row.backend = f"{type(self).__module__}.{type(self).__qualname__}"
            row.__dict__[EVIDENCE] = dict(evidence)
            return row
        # Raised here and not above: what it would carry along has seen the password.
        raise refusal

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> Any:
        """Do what `authenticate` does, without ever blocking the event loop."""
        return await sync_to_async(self.authenticate)(request, username, password, **more)

    def get_user(self, user_id: Any) -> Any:
        """Return the active row with this primary key, or ``None``.

        Raises:
            AuthServiceUnavailable: The database cannot be asked.
        """
        model: Any = get_user_model()
        try:
            with translated_errors():
                row = model._default_manager.get(pk=user_id)  # noqa: SLF001 - documented by Django
        except ObjectDoesNotExist:
            return None
        return row if getattr(row, "is_active", True) else None

    async def aget_user(self, user_id: Any) -> Any:
        """Do what `get_user` does, without ever blocking the event loop."""
        return await sync_to_async(self.get_user)(user_id)


def _login() -> Login | None:
    mapping = mapping_in_force()
    if mapping.login is None:
        message = "PasswordBackend has nobody to ask: write settings.%s['django']['login'], or take"
        message += " it out of AUTHENTICATION_BACKENDS"
        _seldom.log(logging.WARNING, ("nobody",), message, SETTING)
    elif mapping.section.user != "model":
        raise ConfigurationError(
            "PasswordBackend makes sessions, and a session is of a row of the user model: write "
            f"user = 'model' in settings.{SETTING}['django'], or take the backend out of "
            "AUTHENTICATION_BACKENDS."
        )
    return mapping.login


@sensitive_variables("token", "headers")
def _verified(token: object) -> Principal:
    headers = _as_header(token)
    try:
        return authenticator_in_force().authenticate(headers).principal
    except NotAuthenticated:
        _raise_unread()


@sensitive_variables("token", "headers")
def _cached(token: object) -> Principal | None:
    headers = _as_header(token)
    try:
        found = authenticator_in_force().cached(headers)
    except NotAuthenticated:
        _raise_unread()
    return None if found is None else found.principal


_averified = off_the_loop(_verified)


def _as_header(token: object) -> dict[str, str]:
    if not isinstance(token, str):
        raise InvalidToken("the token is not a string", reason="malformed")
    return {"Authorization": f"Bearer {token}"}


def _raise_unread() -> NoReturn:
    raise ConfigurationError(
        f"settings.{SETTING}: no credential reads the Authorization header, so that nothing "
        "verifies a token; add one, or take TokenBackend out of AUTHENTICATION_BACKENDS."
    ) from None
