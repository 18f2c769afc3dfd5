"""From principals to Django's users."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tokenward._log import OncePerMinute, shown
from tokenward.django.users.mapping import mapping_in_force
from tokenward.django.users.permissions import limit
from tokenward.django.users.rows import row_of
from tokenward.django.users.stateless import StatelessUser
from tokenward.errors import UserNotFound

if TYPE_CHECKING:
    from tokenward.principal import Principal

__all__ = ["StatelessUser", "needs_database", "session_user_for", "user_for"]

TOKEN_BACKEND = "tokenward.django.backends.TokenBackend"  # noqa: S105 - a dotted path

_OF_A_TOKEN = "_tokenward_of_a_token"  # noqa: S105 - the name of an attribute

_logger = logging.getLogger("tokenward.refused")
_seldom = OncePerMinute(_logger)


def needs_database(principal: Principal) -> bool:
    """Tell whether `user_for` may ask the database about ``principal``."""
    mapping = mapping_in_force()
    return mapping.has_row(principal) or mapping.on_user is not None


def user_for(principal: Principal) -> Any:
    """Return the user that the bearer of a token is, for the length of one request.

    Args:
        principal: Whom the token speaks for.

    Returns:
        A row of the user model, limited to what the token's scopes leave of its permissions; or a
        `StatelessUser`, for a principal that is no person always.

    Raises:
        UserNotFound: There is no row and none is made, or it is not active.
        AuthServiceUnavailable: The database cannot be asked.
    """
    mapping = mapping_in_force()
    if not mapping.has_row(principal):
        user = StatelessUser(principal, mapping.rights_of(principal), mapping.limits_of(principal))
        if mapping.on_user is not None:
            mapping.on_user(user, principal)
        return user
    row = session_user_for(principal)
    limit(row, mapping.limits_of(principal))
    row.backend = TOKEN_BACKEND
    # Whatever backend login() is told, no session is made of this one.
    row.__dict__[_OF_A_TOKEN] = True
    return row


def is_of_a_token(user: Any) -> bool:
    """Tell whether ``user`` is the row, or stands for the row, that the bearer of a token is."""
    return bool(getattr(user, _OF_A_TOKEN, False))


def session_user_for(principal: Principal) -> Any:
    """Return the row of somebody who signed in with a password; no scopes limit it.

    Raises:
        UserNotFound: There is no row and none is made, or it is not active.
        AuthServiceUnavailable: The database cannot be asked.
    """
    try:
        return row_of(principal, mapping_in_force())
    except UserNotFound as error:
        who = shown(principal.issuer)
        _logger.debug("refused as a user of %s: %s: %s", who, error.reason, error.hint)
        _seldom.log(
            logging.WARNING,
            (who, error.reason),
            "refused as a user of %s: %s: %s (the next minute's like it are logged at DEBUG only)",
            who,
            error.reason,
            error.hint,
        )
        raise
