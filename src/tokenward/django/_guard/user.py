"""What ``request.user`` is: the token's user, else the session's, else nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from tokenward.django._guard import aauthenticate, lazily
from tokenward.django._guard.decision import atell_refused, seen_in, tell_refused
from tokenward.django.sessions import asession_user, session_user
from tokenward.django.users import needs_database, user_for
from tokenward.errors import AuthError

if TYPE_CHECKING:
    from django.http import HttpRequest

    from tokenward.principal import Principal


def user_of(request: HttpRequest) -> Any:
    """Return who sends the request, as Django's user.

    Raises:
        AuthError: What is presented is refused, or cannot be checked.
        SynchronousOnlyOperation: On an event loop, and that takes I/O.
    """
    authentication = lazily(request)
    if authentication is not None:
        return user_found(request, authentication.principal)
    seen = seen_in(request)
    if seen.user is None:
        seen.user = session_user(request)
    return seen.user


def user_found(request: HttpRequest, principal: Principal) -> Any:
    """Return ``principal``, who sends the request as was just decided, as Django's user.

    Raises:
        AuthError: There is no such user, or nobody can say.
    """
    seen = seen_in(request)
    if seen.user is None:
        try:
            seen.user = user_for(principal)
        except AuthError as error:
            tell_refused(request, error)
            raise
    return seen.user


async def auser_of(request: HttpRequest) -> Any:
    """Do what `user_of` does, without ever blocking the event loop."""
    seen = seen_in(request)
    authentication = await aauthenticate(request)
    if seen.user is None:
        if authentication is None:
            seen.user = await asession_user(request)
        else:
            principal = authentication.principal
            ask = sync_to_async(user_for) if needs_database(principal) else _auser_for
            try:
                seen.user = await ask(principal)
            except AuthError as error:
                await atell_refused(request, error)
                raise
    return seen.user


async def _auser_for(principal: Principal) -> Any:
    return user_for(principal)
