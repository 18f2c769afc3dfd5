"""What happens with a refusal on its way out: it is logged, and keeps nothing in memory."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from tokenward._log import OncePerMinute
from tokenward.errors import AuthServiceUnavailable, InvalidToken, NotAuthenticated

if TYPE_CHECKING:
    from tokenward.authenticator.credential import Credential
    from tokenward.errors import AuthError

_logger = logging.getLogger("tokenward.refused")
_seldom = OncePerMinute(_logger)


def refuse(credential: Credential, error: AuthError) -> NoReturn:
    """Raise what refuses a request that presents ``credential``, once it is logged."""
    # A log handler that fails changes no outcome.
    with suppress(Exception):
        _log(credential, error)
    if isinstance(error, NotAuthenticated):
        # Something was presented; an optional view must not take this for nothing.
        raise InvalidToken("the verifier takes the token for none") from None
    try:
        raise error
    finally:
        # An error knows the frames it came through; one that also knew the error would keep a
        # refused request in memory until the collector comes.
        del error


def _log(credential: Credential, error: AuthError) -> None:
    if isinstance(error, AuthServiceUnavailable):
        return
    place = credential.source.place
    issuer = getattr(credential.verifier, "issuer", None)
    who = issuer if isinstance(issuer, str) else type(credential.verifier).__name__
    _logger.debug("refused at %s by %s: %s: %s", place, who, error.reason, error.hint)
    _seldom.log(
        logging.WARNING,
        (place, who, error.reason),
        "refused at %s by %s: %s: %s (the next minute's like it are logged at DEBUG only)",
        place,
        who,
        error.reason,
        error.hint,
    )
