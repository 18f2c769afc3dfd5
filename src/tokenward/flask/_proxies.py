"""What views and templates ask: who sends the current request?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from werkzeug.local import LocalProxy

from tokenward.authenticator import EnvironHeaders
from tokenward.flask._state import app_state, seen_in, this_request
from tokenward.principal import ANONYMOUS

if TYPE_CHECKING:
    from tokenward.principal import Principal


def _principal() -> Principal:
    seen = seen_in(this_request())
    return ANONYMOUS if seen is None else seen.authentication.principal


def _user() -> Any:
    seen = seen_in(this_request())
    if seen is None:
        return ANONYMOUS
    if seen.user is None:
        principal = seen.authentication.principal
        choices = (app_state().load_user(principal), principal.user, principal)
        seen.user = next(user for user in choices if user is not None)
    return seen.user


def _token() -> str | None:
    # Read again, not kept: a token in g would be in every debugger's view of it.
    seen = seen_in(this_request())
    if seen is None:
        return None
    source = seen.authentication.credential.source
    return source.read(EnvironHeaders(seen.request.environ), "")


current_principal = cast("Principal", LocalProxy(_principal))
"""Who sends the current request; `ANONYMOUS` when nobody was asked for, or nobody came."""

current_user = cast("Any", LocalProxy(_user))
"""What the user loader returns; else the principal's ``user``; else the principal."""

current_token = cast("str | None", LocalProxy(_token))
"""The token that authenticated the current request; a false value when there is none."""
