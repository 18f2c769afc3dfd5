"""Everything pymongo can raise, turned into our errors: here and nowhere else.

What pymongo says may hold documents, names and parts of a URL with its password. None of it is
shown, and none of its exceptions stays attached to ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import dns.exception
import dns.name
from bson.errors import BSONError
from pymongo import errors as pymongo_errors

from tokenward._log import shown
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenward.repositories.mongo._values import Document

_T = TypeVar("_T")

REASON = "store_unavailable"

# BSONError is no PyMongoError; the others come from the encoder, or from options of a URL.
FOREIGN = (pymongo_errors.PyMongoError, BSONError, OverflowError, UnicodeError)
FOREIGN_IN_URL = (*FOREIGN, ValueError, TypeError, OSError)

_DUPLICATE_KEY = 11_000
_NO_NAME = (
    dns.exception.SyntaxError,
    dns.exception.FormError,
    dns.name.IDNAException,
    dns.name.NoIDNA2008,
)
_INIT = "`tokenward store init`"
_LOOK_UP = "see whether DNS answers, and has an SRV record for the host in its URL"

# Codes of MongoDB's error_codes.yml that waiting does not cure.
_ADVICE = {
    13: "give its user the role readWrite on this database",
    18: "see whether user, password and authSource in its URL are right",
    8000: "see whether user, password and authSource in its URL are right",
    67: "see whether an index of its collections stands in the way",
    85: "an index of another shape stands in the way: drop it",
    86: "an index of another shape stands in the way: drop it",
    _DUPLICATE_KEY: "two documents have what must be unique: take one away",
}


class Taken(Exception):
    """A unique index has this value already."""


def guarded(database: str, operation: Callable[[], _T]) -> _T:
    """Return what ``operation`` returns.

    Raises:
        Taken: A unique index has a value already.
        AuthServiceUnavailable: MongoDB cannot be asked, or did not acknowledge in time.
    """
    try:
        return operation()
    except FOREIGN as error:
        refusal = Taken() if is_duplicate(error) else unavailable(database, error)
    # Out of the handler: nothing of pymongo's hangs on to what is raised.
    raise refusal


def is_duplicate(error: Exception) -> bool:
    """Tell whether a unique index refused a write."""
    if isinstance(error, pymongo_errors.BulkWriteError):
        refused = error.details.get("writeErrors", [])
        return bool(refused) and all(one.get("code") == _DUPLICATE_KEY for one in refused)
    return _code(error) == _DUPLICATE_KEY


def unavailable(database: str, error: Exception) -> AuthServiceUnavailable:
    """Return our error for what went wrong while the store was in use."""
    look_up = _failed_look_up(error)
    elsewhere = _LOOK_UP if look_up else "see whether it has a primary that this process can reach"
    advice = _ADVICE.get(_code(error) or 0, elsewhere)
    hint = f"{named(database)} cannot be used ({_said(look_up or error)}): {advice}"
    return AuthServiceUnavailable(hint, reason=REASON)


def refusal(database: str, error: Exception) -> ConfigurationError | AuthServiceUnavailable:
    """Return our error for what went wrong while the store was opened."""
    if _code(error) in _ADVICE:
        advice = _ADVICE[_code(error) or 0]
        return ConfigurationError(f"{named(database)} cannot be used ({_said(error)}): {advice}.")
    lasting = pymongo_errors.ConfigurationError | pymongo_errors.InvalidName
    if isinstance(error, lasting) and _failed_look_up(error) is None:
        return wrong_url(error)
    return unavailable(database, error)


def wrong_url(error: Exception | None = None) -> ConfigurationError:
    """Return the error for a URL that pymongo does not take; it may hold a password."""
    what = f" ({type(error).__name__})" if error is not None else ""
    return ConfigurationError(
        f"The URL of the MongoDB store cannot be used{what}; write "
        "mongodb://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS, user and password percent-encoded, "
        "with options that pymongo knows."
    )


def no_store(database: str) -> ConfigurationError:
    """Return the error for a database that holds no store, or only parts of one."""
    return ConfigurationError(f"There is no store in {named(database)}; make one with {_INIT}.")


def misshapen(database: str, what: str, advice: str = "") -> ConfigurationError:
    """Return the error for a store that cannot do what is promised for it."""
    advice = f"{advice}, then run" if advice else "run"
    return ConfigurationError(
        f"The store in {named(database)} cannot be used: {what}; {advice} {_INIT}."
    )


def read(database: str, reader: Callable[[Document], _T], document: Document) -> _T:
    """Return what ``reader`` makes of a document.

    Raises:
        AuthServiceUnavailable: It is not as it was written, which nobody here did.
    """
    try:
        return reader(document)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        what = type(error).__name__
    hint = f"{named(database)} holds a document that is not as it was written ({what})"
    raise AuthServiceUnavailable(hint, reason=REASON)


def named(database: str) -> str:
    """Return what a database is called in a message."""
    return f"the MongoDB database {shown(database)}"


def _failed_look_up(error: Exception) -> dns.exception.DNSException | None:
    """Return what DNS said of a ``mongodb+srv://`` host, if that is why there is ``error``."""
    # pymongo has one error for it and for a wrong URL, and not every release of it names a cause.
    said = error.__context__
    if not isinstance(said, dns.exception.DNSException):
        return None
    # Nobody can be asked for what is no name; that is the URL.
    return None if isinstance(said, _NO_NAME) else said


def _said(error: Exception) -> str:
    code = _code(error)
    return type(error).__name__ + ("" if code is None else f" {code}")


def _code(error: Exception) -> int | None:
    code = error.code if isinstance(error, pymongo_errors.OperationFailure) else None
    return code if isinstance(code, int) else None
