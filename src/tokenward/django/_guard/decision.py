"""Who sends a request: looked into at most once, on an event loop or off it."""

from __future__ import annotations

import copy
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.utils.asyncio import async_unsafe
from django.utils.functional import empty
from django.views.decorators.debug import sensitive_variables

from tokenward.authenticator import EnvironHeaders, in_force, is_preflight
from tokenward.django._state import parts
from tokenward.django.signals import atell, tell, token_refused, user_authenticated
from tokenward.errors import AuthError, AuthServiceUnavailable, NotAuthenticated

if TYPE_CHECKING:
    from django.dispatch import Signal
    from django.http import HttpRequest

    from tokenward.authenticator import Authentication, Authenticator

P = ParamSpec("P")
T = TypeVar("T")

_ATTRIBUTE = "_tokenward"


class Seen:
    """What is known of who sent one request.

    Attributes:
        authentication: Who sent it, and how we know; ``None``: nothing was presented.
        asked: Whether that was looked into.
        live: Whether the issuer was asked.
        refusal: What was presented was refused, or could not be checked.
        is_open: Whether credentials are not to be looked at, unless a guard wants to know.
        is_over: Whether the response is made, so that nobody could answer a refusal any more.
        bears_token: Whether Django was told that no other site can have sent this.
        shortfall: Why a permission said no, for the answer that is made of it.
        escaped: A refusal that Django has made a 500 of.
        vary: The request headers that the decision depends on.
        user: What ``request.user`` is, once somebody asked.
        is_told: Whether `user_authenticated` was sent, or is in ``untold``.
        untold: What the middleware is to send at its end, because receivers cannot be called where
            it came up; ``None``: there is no middleware, or it is through.
        lazy: What the request knows of it all, to be made anew when the decision is.
        ends_sign_in: Whether somebody has logged in or out by a session.
    """

    # Defaults of the class: one is made for every request, and most of it never set.
    authentication: Authentication | None = None
    asked = False
    live = False
    refusal: AuthError | None = None
    is_open = False
    is_over = False
    bears_token = False
    shortfall: AuthError | None = None
    escaped: AuthError | None = None
    vary = ""
    user: Any = None
    is_told = False
    untold: list[tuple[Signal, dict[str, Any]]] | None = None
    lazy: tuple[Any, ...] = ()
    ends_sign_in = False


def seen_in(request: HttpRequest) -> Seen:
    """Return what is known of who sent ``request``."""
    seen: Seen | None = getattr(request, _ATTRIBUTE, None)
    if seen is None:
        seen = Seen()
        setattr(request, _ATTRIBUTE, seen)
    return seen


def authenticator_in_force() -> Authenticator:
    """Return the authenticator to ask."""
    return in_force(parts().authenticator)


def is_bare_preflight(request: HttpRequest) -> bool:
    """Tell whether this is a CORS preflight, to the server and to the view alike.

    Some projects let a header or a field override ``request.method``: that must not have a view do
    for a preflight what it does for a POST.
    """
    return request.method == "OPTIONS" and is_preflight(request.META)


def decide(request: HttpRequest, *, live: bool = False) -> Authentication | None:
    """Return who sends the request, or ``None`` when nothing is presented.

    On an event loop only as far as no I/O is needed.

    Raises:
        AuthError: What is presented is refused, or cannot be checked.
        SynchronousOnlyOperation: On an event loop, and deciding takes I/O.
    """
    seen = seen_in(request)
    if seen.asked and (seen.live or not live):
        return _known(seen)
    if (seen.asked or seen.is_open or request.method == "OPTIONS") and not _begins(request, seen):
        return None
    authenticator = in_force(parts().authenticator)
    try:
        found = (
            authenticator.authenticate_environ(request.META, live=live)
            if _get_running_loop() is None
            else _on_the_loop(authenticator, request, live=live)
        )
    except NotAuthenticated:
        found = None
    except AuthError as error:
        _keep_out(seen, authenticator, error, live=live)
        tell_refused(request, error)
        raise
    _keep(seen, authenticator, found, live=live)
    if user_authenticated.receivers and found is not None and not seen.is_told:
        seen.is_told = True
        _tell_or_keep(request, user_authenticated, principal=found.principal)
    return found


async def adecide(request: HttpRequest, *, live: bool = False) -> Authentication | None:
    """Do what `decide` does: on the event loop if no I/O is needed, else in a thread."""
    seen = seen_in(request)
    if seen.asked and (seen.live or not live):
        return _known(seen)
    if (seen.asked or seen.is_open or request.method == "OPTIONS") and not _begins(request, seen):
        return None
    authenticator = in_force(parts().authenticator)
    try:
        found = None if live else _cached(authenticator, request)
        if found is None:
            found = await _in_a_thread(authenticator, request, live=live)
    except NotAuthenticated:
        found = None
    except AuthError as error:
        _keep_out(seen, authenticator, error, live=live)
        await atell_refused(request, error)
        raise
    _keep(seen, authenticator, found, live=live)
    if user_authenticated.receivers and found is not None and not seen.is_told:
        seen.is_told = True
        await atell(user_authenticated, request, principal=found.principal)
    return found


def off_the_loop(verify: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Return ``verify`` for an event loop: it runs in a thread.

    Where verifying reads Django's database, in the thread that its connections belong to, and so
    in the transaction of a ``TestCase``; else in another, so that whoever waits for a server does
    not hold up the database.
    """

    @sensitive_variables()
    def looked_after(*args: P.args, **named: P.kwargs) -> T:
        # No request begins or ends on this thread, so that nobody else would look after what it
        # opens.
        close_old_connections()
        try:
            return verify(*args, **named)
        finally:
            close_old_connections()

    by_database = sync_to_async(verify)
    by_itself = sync_to_async(looked_after, thread_sensitive=False)

    def called(*args: P.args, **named: P.kwargs) -> Awaitable[T]:
        wanted = by_database if authenticator_in_force().thread_sensitive else by_itself
        return wanted(*args, **named)

    return called


def tell_refused(request: HttpRequest, error: AuthError) -> None:
    """Send `token_refused`, unless it is an outage."""
    if not isinstance(error, AuthServiceUnavailable):
        _tell_or_keep(request, token_refused, error=error)


async def atell_refused(request: HttpRequest, error: AuthError) -> None:
    """Do what `tell_refused` does, without ever blocking the event loop."""
    if not isinstance(error, AuthServiceUnavailable):
        await atell(token_refused, request, error=error)


def tell_kept(request: HttpRequest) -> None:
    """Send what could not be sent where it came up."""
    seen = seen_in(request)
    kept, seen.untold = seen.untold, None
    for signal, named in kept or ():
        tell(signal, request, **named)


async def atell_kept(request: HttpRequest) -> None:
    """Do what `tell_kept` does, without ever blocking the event loop."""
    seen = seen_in(request)
    kept, seen.untold = seen.untold, None
    for signal, named in kept or ():
        await atell(signal, request, **named)


def _tell_or_keep(request: HttpRequest, signal: Signal, **named: Any) -> None:
    untold = seen_in(request).untold
    if untold is None or _get_running_loop() is None:
        tell(signal, request, **named)
    elif signal.receivers:
        # Here a sync receiver would block the loop, and an async one could not be awaited.
        untold.append((signal, named))


def _known(seen: Seen) -> Authentication | None:
    if seen.refusal is not None:
        # A copy each time: one that is raised again and again would drag all its frames along.
        raise copy.copy(seen.refusal)
    return seen.authentication


def _begins(request: HttpRequest, seen: Seen) -> bool:
    """Tell whether there is anything to ask about; what was decided before counts no more."""
    for lazy in seen.lazy:
        lazy._wrapped = empty  # noqa: SLF001 - how a SimpleLazyObject is made to ask again
    seen.authentication = seen.refusal = seen.user = None
    seen.asked = is_bare_preflight(request)
    return not seen.asked


def _keep(
    seen: Seen, authenticator: Authenticator, found: Authentication | None, *, live: bool
) -> None:
    seen.authentication = found
    seen.asked = True
    seen.live = live
    seen.vary = authenticator.vary


def _keep_out(seen: Seen, authenticator: Authenticator, error: AuthError, *, live: bool) -> None:
    _keep(seen, authenticator, None, live=live)
    # Its frames know the request, and the request would know it: nothing would be freed.
    seen.refusal = copy.copy(error)


def _cached(authenticator: Authenticator, request: HttpRequest) -> Authentication | None:
    environ = request.META
    return authenticator.cached(
        EnvironHeaders(environ),
        method=environ["REQUEST_METHOD"],
        query=environ.get("QUERY_STRING", ""),
        peer=environ.get("REMOTE_ADDR"),
    )


def _on_the_loop(
    authenticator: Authenticator, request: HttpRequest, *, live: bool
) -> Authentication:
    found = None if live else _cached(authenticator, request)
    return _blocking(authenticator, request, live=live) if found is None else found


@async_unsafe(
    "Who sends this request is not known yet, and to find out would block the event loop: "
    "use `await request.aprincipal()` or `await request.auser()`, or guard the view with "
    "@login_required."
)
def _blocking(authenticator: Authenticator, request: HttpRequest, *, live: bool) -> Authentication:
    return authenticator.authenticate_environ(request.META, live=live)


_in_a_thread = off_the_loop(_blocking)
