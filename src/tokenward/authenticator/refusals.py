"""What happens with a refusal, or an outage, on its way out: it is logged, and keeps nothing."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from tokenward._log import OncePerMinute
from tokenward.errors import AuthServiceUnavailable, InvalidToken, NotAuthenticated

if TYPE_CHECKING:
    from tokenward.authenticator.credential import Credential
    from tokenward.errors import AuthError

_refused = logging.getLogger("tokenward.refused")
_seldom_refused = OncePerMinute(_refused)
_unavailable = logging.getLogger("tokenward.unavailable")
_seldom_unavailable = OncePerMinute(_unavailable)

_ONCE = "(the next minute's like it are logged at DEBUG only)"


def refuse(credential: Credential, error: AuthError) -> NoReturn:
    """Raise why what is presented for ``credential`` lets nobody in, once that is logged."""
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
    place = credential.source.place
    issuer = getattr(credential.verifier, "issuer", None)
    who = issuer if isinstance(issuer, str) else type(credential.verifier).__name__
    key, said = (place, who, error.reason), (place, who, error.reason, error.hint)
    if isinstance(error, AuthServiceUnavailable):
        line = "nobody decides on what is at %s, by %s: %s: %s"
        _unavailable.debug(line, *said)
        _seldom_unavailable.log(logging.WARNING, key, f"{line} {_ONCE}", *said)
    else:
        line = "refused at %s by %s: %s: %s"
        _refused.debug(line, *said)
        _seldom_refused.log(logging.WARNING, key, f"{line} {_ONCE}", *said)
