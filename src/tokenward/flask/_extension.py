"""The extension itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from tokenward.authenticator import Authenticator, Requirement
from tokenward.config import build_authenticator, build_service, build_shared
from tokenward.config.settings import as_settings
from tokenward.errors import AuthError, ConfigurationError
from tokenward.flask._commands import (
    CONFIG_KEY,
    Unbuilt,
    home_of,
    only_commands_are_wanted,
    tokenward_command,
)
from tokenward.flask._guard import answer, authorize, close, watch
from tokenward.flask._proxies import current_principal, current_token, current_user
from tokenward.flask._state import EXTENSION, AppState
from tokenward.principal import Principal

if TYPE_CHECKING:
    from flask import Flask

    from tokenward.service import AuthService

L = TypeVar("L", bound=Callable[[Principal], Any])


class Tokenward:
    """Protects a Flask application.

    Args:
        app: The application; or none, and `init_app` later.
        authenticator: See `init_app`.
        service: See `init_app`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        authenticator: Authenticator | None = None,
        service: AuthService | None = None,
    ) -> None:
        self._load_user: Callable[[Principal], Any] | None = None
        if app is not None:
            self.init_app(app, authenticator, service)

    def init_app(
        self,
        app: Flask,
        authenticator: Authenticator | None = None,
        service: AuthService | None = None,
    ) -> None:
        """Protect ``app``; called again, it replaces what the first call set.

        Args:
            app: The application.
            authenticator: Decides who sends a request; default: the one that
                ``app.config["TOKENWARD"]`` describes.
            service: The auth service in this process; default: the one that the configuration
                describes, if it has a ``service`` section.

        Raises:
            ConfigurationError: There is neither an authenticator nor a configuration, or the
                configuration is wrong.
        """
        state: AppState | Unbuilt
        try:
            state = self._state(app, authenticator, service)
        except ConfigurationError as error:
            why = home_of(app).in_its_words(str(error))
            if not only_commands_are_wanted():
                raise ConfigurationError(why) from None
            state = Unbuilt(why)
        is_first = EXTENSION not in app.extensions
        app.extensions[EXTENSION] = state
        if is_first:
            _attach(app)
        if isinstance(state, AppState):
            watch(app)
        else:
            # Should the application serve after all, then nobody.
            close(app)

    def user_loader(self, load: L) -> L:
        """Make ``load`` turn a principal into what `current_user` is; usable as a decorator.

        It is called at most once a request, when `current_user` is first touched. ``None`` from
        it means that there is nothing better than the principal.
        """
        self._load_user = load
        return load

    def require(
        self,
        *,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        optional: bool = False,
        live: bool = False,
    ) -> Principal:
        """Authenticate the current request; for ``before_request``, methods and helpers.

        Args:
            scopes: Every one must be granted.
            roles: Every one must be held.
            optional: Return `ANONYMOUS` when nothing is presented. Whoever does present
                something must be let in by it, and hold what is demanded.
            live: Take no cached decision; ask the issuer.

        Returns:
            Who sends the request; `ANONYMOUS` for a CORS preflight.

        Raises:
            AuthError: The request is refused; left alone, it becomes the response.
        """
        return authorize(
            Requirement(
                scopes=scopes,  # type: ignore[arg-type] # made a tuple, and checked, by it
                roles=roles,  # type: ignore[arg-type] # the same
                optional=optional,
                live=live,
            )
        )

    def _state(
        self, app: Flask, authenticator: Authenticator | None, service: AuthService | None
    ) -> AppState:
        if authenticator is not None:
            return AppState(authenticator, service, self._user)
        settings = app.config.get(CONFIG_KEY)
        if settings is None:
            raise ConfigurationError(
                f'Set app.config["{CONFIG_KEY}"] before init_app, or hand in an authenticator.'
            )
        settings = as_settings(settings)
        shared = build_shared(settings)
        if service is None and settings.service is not None:
            service = build_service(settings, shared=shared)
        authenticator = build_authenticator(settings, service=service, shared=shared)
        sign_in = None if settings.pages is None else settings.pages.sign_in_cookie()
        return AppState(authenticator, service, self._user, sign_in)

    def _user(self, principal: Principal) -> Any:
        return None if self._load_user is None else self._load_user(principal)


def _attach(app: Flask) -> None:
    if AuthError not in app.error_handler_spec[None][None]:
        app.register_error_handler(AuthError, answer)
    app.context_processor(_template_names)
    app.cli.add_command(tokenward_command)


def _template_names() -> dict[str, Any]:
    return {
        "current_principal": current_principal,
        "current_user": current_user,
        "current_token": current_token,
    }
