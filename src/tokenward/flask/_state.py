"""What the extension keeps: of an application, and of a request.

Per application in ``app.extensions["tokenward"]``, per request in ``g``. An application context
may outlive a request (a test that pushes one, for instance), so what is in ``g`` counts only for
the request that put it there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, current_app, g, request

from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.authenticator import Authentication, Authenticator
    from tokenward.pages import SignInCookie
    from tokenward.principal import Principal
    from tokenward.service import AuthService

EXTENSION = "tokenward"


class AppState:
    """What the extension knows of one application.

    Attributes:
        authenticator: Decides who sends a request.
        service: The auth service that runs in this process, if one does.
        load_user: Returns what `current_user` is, from the principal.
        sign_in: The cookie of those who sign in with a browser, if they can.
    """

    __slots__ = ("authenticator", "load_user", "service", "sign_in")

    def __init__(
        self,
        authenticator: Authenticator,
        service: AuthService | None,
        load_user: Callable[[Principal], Any],
        sign_in: SignInCookie | None = None,
    ) -> None:
        self.authenticator = authenticator
        self.service = service
        self.load_user = load_user
        self.sign_in = sign_in


class Seen:
    """Who one request turned out to be from.

    Attributes:
        request: The request.
        authentication: Who sent it, and how we know.
        live: Whether the issuer was asked.
        user: What `current_user` is, once somebody asked.
    """

    __slots__ = ("authentication", "live", "request", "user")

    def __init__(self, request: Request, authentication: Authentication, *, live: bool) -> None:
        self.request = request
        self.authentication = authentication
        self.live = live
        self.user: Any = None


# A proxy looks its context up again for every attribute; the object behind it does not.
this_app: Callable[[], Flask] = current_app._get_current_object  # type: ignore[attr-defined]  # noqa: SLF001
this_request: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]  # noqa: SLF001
_g: Callable[[], Any] = g._get_current_object  # noqa: SLF001


def app_state() -> AppState:
    """Return the current application's state.

    Raises:
        ConfigurationError: The application has none.
    """
    state: AppState | None = this_app().extensions.get(EXTENSION)
    if state is None:
        raise ConfigurationError(
            "This application has no tokenward extension; call Tokenward(app), or init_app(app)."
        )
    return state


def kept() -> dict[str, Any]:
    """Return what is in ``g``, past its methods, which are written in Python."""
    names: dict[str, Any] = _g().__dict__
    return names


def seen_in(now: Request) -> Seen | None:
    """Return who ``now`` turned out to be from; ``None``: nobody, or nobody looked."""
    seen: Seen | None = kept().get(EXTENSION)
    return seen if seen is not None and seen.request is now else None
