"""The decision about the current request, and its translation into a response."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakSet

from blinker import Namespace
from flask import Flask, Response, after_this_request
from werkzeug.routing import BuildError

from tokenward.authenticator import Requirement, in_force, is_preflight
from tokenward.errors import AuthError, AuthServiceUnavailable, NotAuthenticated
from tokenward.flask._state import EXTENSION, Seen, app_state, kept, this_app, this_request
from tokenward.pages import report_missing_page, wants_to_sign_in
from tokenward.principal import ANONYMOUS

if TYPE_CHECKING:
    from blinker import NamedSignal
    from flask import Request

    from tokenward.principal import Principal

PUBLIC = "__tokenward_public__"
REQUIREMENT = "__tokenward_requirement__"

AUTHENTICATED = Requirement()

_logger = logging.getLogger("tokenward.flask")

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
    now, names = this_request(), kept()
    seen: Seen | None = names.get(EXTENSION)
    if seen is None or seen.request is not now:
        seen = _authenticate(now, names, requirement, again=False)
    elif requirement.live and not seen.live:
        seen = _authenticate(now, names, requirement, again=True)
    if seen is None:
        return ANONYMOUS
    principal = seen.authentication.principal
    if requirement.demanding:
        try:
            requirement.check(principal)
        except AuthError as error:
            _tell(token_refused, error=error)
            raise
    return principal


def answer(error: AuthError) -> Response:
    """Turn an error into a response; for a browser that has to sign in, the way there."""
    state, now = app_state(), this_request()
    sign_in = state.sign_in
    page = None
    if (
        sign_in is not None
        and sign_in.login_view is not None
        # A sign-in page that is itself refused would send the browser round and round.
        and sign_in.login_view != now.endpoint
        and wants_to_sign_in(error, now.environ["REQUEST_METHOD"], now.headers)
    ):
        page = _page(sign_in.login_view, now)
    response: Response
    if page is not None:
        headers = [("Location", page), ("Cache-Control", "no-store")]
        response = this_app().response_class(b"", 302, headers)
    else:
        made = in_force(state.authenticator).error_response(error)
        response = this_app().response_class(made.body, made.status, list(made.headers))
    if sign_in is not None and sign_in.is_refused(error, now.headers):
        response.set_cookie(sign_in.name, max_age=0, **sign_in.attributes)
    return response


def _page(login_view: str, now: Request) -> str | None:
    try:
        return this_app().url_for(login_view, next=_where(now))
    except BuildError:
        report_missing_page(login_view)
        return None


def _where(now: Request) -> str:
    """Return a request's path and query as its browser wrote them, the mount point included."""
    path = quote(now.script_root + now.path, safe="/:@!$&'()*+,;=~")
    query = now.query_string.decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def watch(app: Flask) -> None:
    """Authenticate every request to ``app`` if its authenticator, as it is now, denies."""
    _known.add(app)
    if in_force(app.extensions["tokenward"].authenticator).default_access == "deny":
        close(app)


def close(app: Flask) -> None:
    """Look at every request to ``app`` before anything of the application runs."""
    hooks = app.before_request_funcs.setdefault(None, [])
    if _deny_by_default not in hooks:
        # First, so that nothing of the application runs for a request that is refused.
        hooks.insert(0, _deny_by_default)


def close_all() -> None:
    """Have every application deny by default for as long as the authenticator in force does."""
    for app in list(_known):
        close(app)


def unrun(view: Any) -> Response | None:
    """Return the answer to a CORS preflight in the place of ``view``, or ``None`` to let it run.

    A class-based view has a method of its own for it. A function would do for somebody unknown
    what it does for a GET.
    """
    if getattr(getattr(view, "view_class", None), "options", None) is not None:
        return None
    return this_app().response_class(status=204)


def _deny_by_default() -> Response | None:
    authenticator = in_force(app_state().authenticator)
    now = this_request()
    # What no route answers keeps its 404 or 405.
    if authenticator.default_access == "allow" or now.routing_exception is not None:
        return None
    view: Any = this_app().view_functions.get(now.endpoint or "")
    if (
        getattr(view, PUBLIC, False)
        # Of this very class: who derives from an open view has not said that theirs is.
        or PUBLIC in getattr(getattr(view, "view_class", None), "__dict__", ())
        or authenticator.is_public(now.method, now.path)
    ):
        return None
    declared: Requirement | None = getattr(view, REQUIREMENT, None)
    requirement = AUTHENTICATED if declared is None else _admission(declared)
    if authorize(requirement) is not ANONYMOUS or requirement.optional:
        return None
    # A preflight, which Flask answers by itself where a route does not.
    return None if getattr(now.url_rule, "provide_automatic_options", False) else unrun(view)


@cache
def _admission(declared: Requirement) -> Requirement:
    # What is demanded of whoever comes in is the guard's business; here it is only who that is.
    return Requirement(optional=declared.optional, live=declared.live)


def _authenticate(
    now: Request, names: dict[str, Any], requirement: Requirement, *, again: bool
) -> Seen | None:
    environ = now.environ
    if environ["REQUEST_METHOD"] == "OPTIONS" and is_preflight(environ):
        return None
    authenticator = in_force(app_state().authenticator)
    if again:
        # What was decided before counts no more, whatever the issuer says now.
        names.pop(EXTENSION, None)
    else:
        after_this_request(_finishing(authenticator.vary))
    try:
        authentication = authenticator.authenticate_environ(environ, live=requirement.live)
    except NotAuthenticated:
        if requirement.optional:
            return None
        raise
    except AuthServiceUnavailable:
        raise
    except AuthError as error:
        _tell(token_refused, error=error)
        raise
    seen = names[EXTENSION] = Seen(now, authentication, live=requirement.live)
    if authentication.credential.ambient and not again:
        after_this_request(_not_to_be_kept)
    if user_authenticated.receivers and not again:
        _tell(user_authenticated, principal=authentication.principal)
    return seen


def _tell(signal: NamedSignal, **what: Any) -> None:
    """Send a signal of the current application; a receiver that fails changes nothing."""
    if not signal.receivers or signal.is_muted:
        return
    app = this_app()
    for receiver in signal.receivers_for(app):
        try:
            app.ensure_sync(receiver)(app, **what)
        except Exception:
            # Whatever it was, the decision stands; and if a log handler fails, too.
            name = getattr(receiver, "__qualname__", type(receiver).__name__)
            with suppress(Exception):
                _logger.exception("a receiver of %s failed: %s", signal.name, name)


def _not_to_be_kept(response: Response) -> Response:
    # A browser must not show the page again once its owner has signed out.
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@cache
def _finishing(names: str) -> Callable[[Response], Response]:
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
