"""The decision about the current request, and its translation into a response."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from blinker import Namespace
from flask import Flask, Response, after_this_request

from tokenward.authenticator import EnvironHeaders, Requirement, in_force, is_preflight
from tokenward.bearer import error_response
from tokenward.errors import AuthError, AuthServiceUnavailable, NotAuthenticated
from tokenward.flask._state import Seen, app_state, forget, keep, seen_in, this_app, this_request
from tokenward.principal import ANONYMOUS

if TYPE_CHECKING:
    from flask import Request

    from tokenward.principal import Principal

PUBLIC = "__tokenward_public__"
REQUIREMENT = "__tokenward_requirement__"

AUTHENTICATED = Requirement()

_signals = Namespace()
user_authenticated = _signals.signal(
    "user-authenticated", "Sent with the application and ``principal``, once a request."
)
token_refused = _signals.signal(
    "token-refused", "Sent with the application and ``error`` when what was presented is refused."
)

_known: WeakSet[Flask] = WeakSet()


def authorize(requirement: Requirement) -> Principal:
    """Return who sends the current request, after everything demanded was checked.

    A CORS preflight carries no credentials and is not refused; it is sent by nobody.

    Raises:
        AuthError: The request is refused.
    """
    now = this_request()
    seen = seen_in(now)
    if seen is None or (requirement.live and not seen.live):
        seen = _authenticate(now, requirement, again=seen is not None)
        if seen is None:
            return ANONYMOUS
    principal = seen.authentication.principal
    if requirement.demanding:
        try:
            requirement.check(principal)
        except AuthError as error:
            token_refused.send(this_app(), error=error)
            raise
    return principal


def answer(error: AuthError) -> Response:
    """Turn an error into a response of the current application."""
    made = error_response(error, realm=in_force(app_state().authenticator).realm)
    return this_app().response_class(made.body, made.status, list(made.headers))


def watch(app: Flask) -> None:
    """Authenticate every request to ``app`` if its authenticator, as it is now, denies."""
    _known.add(app)
    if in_force(app.extensions["tokenward"].authenticator).default_access == "deny":
        _close(app)


def close_all() -> None:
    """Have every application deny by default for as long as the authenticator in force does."""
    for app in list(_known):
        _close(app)


def _close(app: Flask) -> None:
    hooks = app.before_request_funcs.setdefault(None, [])
    if _deny_by_default not in hooks:
        # First, so that nothing of the application runs for a request that is refused.
        hooks.insert(0, _deny_by_default)


def _deny_by_default() -> None:
    authenticator = in_force(app_state().authenticator)
    now = this_request()
    # What no route answers keeps its 404 or 405.
    if authenticator.default_access == "allow" or now.routing_exception is not None:
        return
    view: Any = this_app().view_functions.get(now.endpoint or "")
    if (
        getattr(view, PUBLIC, False)
        or getattr(getattr(view, "view_class", None), PUBLIC, False)
        or authenticator.is_public(now.method, now.path)
    ):
        return
    declared: Requirement | None = getattr(view, REQUIREMENT, None)
    authorize(AUTHENTICATED if declared is None else _admission(declared))


@cache
def _admission(declared: Requirement) -> Requirement:
    # What is demanded of whoever comes in is the guard's business; here it is only who that is.
    return Requirement(optional=declared.optional, live=declared.live)


def _authenticate(now: Request, requirement: Requirement, *, again: bool) -> Seen | None:
    environ = now.environ
    if environ["REQUEST_METHOD"] == "OPTIONS" and is_preflight("OPTIONS", EnvironHeaders(environ)):
        return None
    authenticator = in_force(app_state().authenticator)
    if again:
        # What was decided before counts no more, whatever the issuer says now.
        forget()
    else:
        after_this_request(_vary(authenticator.vary))
    try:
        authentication = authenticator.authenticate_environ(environ, live=requirement.live)
    except NotAuthenticated:
        if requirement.optional:
            return None
        raise
    except AuthServiceUnavailable:
        raise
    except AuthError as error:
        token_refused.send(this_app(), error=error)
        raise
    seen = Seen(now, authentication, live=requirement.live)
    keep(seen)
    if user_authenticated.receivers and not again:
        user_authenticated.send(this_app(), principal=authentication.principal)
    return seen


@cache
def _vary(names: str) -> Callable[[Response], Response]:
    # A plain function, made once: Flask looks into each callback for a coroutine, and into a
    # plain function it looks fastest.
    def vary(response: Response) -> Response:
        headers = response.headers
        for name, _ in headers:
            if len(name) == len("Vary") and name.lower() == "vary":
                response.vary.update(names.split(", "))
                return response
        if names:
            headers.add("Vary", names)
        return response

    return vary
