"""Whether a service can do its work right now."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tokenward._log import OncePerMinute
from tokenward.errors import AuthError

if TYPE_CHECKING:
    from tokenward.keys import KeyRing
    from tokenward.repositories import TokenRepository, UserRepository

_logger = logging.getLogger("tokenward.service")
_seldom = OncePerMinute(_logger)


def is_ready(users: UserRepository, tokens: TokenRepository, keys: KeyRing) -> bool:
    """Tell whether stores and keys can be used; why not is logged, once a minute."""
    try:
        users.get_by_id("ready")
        tokens.is_revoked("ready")
        _ = keys.current
    except Exception as error:  # noqa: BLE001 - a store of your own may raise anything
        why = error.hint if isinstance(error, AuthError) else type(error).__name__
        _seldom.log(logging.ERROR, ("not ready",), "Not ready: %s", why)
        return False
    return True
