"""What goes into a query: fixed names, and values whose type was looked at (RULES 36)."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING, Any

from bson.datetime_ms import DatetimeMS

if TYPE_CHECKING:
    from collections.abc import Sequence

Filter = dict[str, Any]
Document = dict[str, Any]

# MongoDB's own dates go further; some that speak its protocol and tools that show it do not. What
# ends after the year 9999 ends with it.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799

_PLAIN = (str, bytes, bool, int, type(None))


def equal(**fields: object) -> Filter:
    """Return the filter for fields that are exactly these values.

    Raises:
        TypeError: A value is something that MongoDB might take for an operator.
    """
    return {name: {"$eq": _plain(name, value)} for name, value in fields.items()}


def one_of(values: Sequence[str]) -> Filter:
    """Return the filter for documents whose ``_id`` is one of ``values``."""
    return {"_id": {"$in": [_plain("_id", value) for value in values]}}


def _plain(name: str, value: object) -> object:
    # Some of BSON's own types are strings, or bytes, to Python.
    if isinstance(value, str):
        return str.__str__(value)
    if type(value) not in _PLAIN:
        msg = f"{name} is of no type that a filter takes"
        raise TypeError(msg)
    return value


def unexpired(now: float) -> Filter:
    """Return the filter for what has not expired at ``now``, in epoch seconds."""
    return {"expires_at": {"$gt": instant(now)}}


def expired(now: float) -> Filter:
    """Return the filter for what has expired at ``now``, in epoch seconds."""
    return {"expires_at": {"$lte": instant(now)}}


def date(seconds: float) -> DatetimeMS:
    """Return epoch seconds as MongoDB's date, rounded up to its milliseconds."""
    return DatetimeMS(math.ceil(_in_calendar(seconds) * 1_000))


def instant(seconds: float) -> DatetimeMS:
    """Return epoch seconds as MongoDB's date, rounded down to its milliseconds."""
    # Dates are whole milliseconds: one is after a moment just when it is after that, rounded down.
    return DatetimeMS(math.floor(_in_calendar(seconds) * 1_000))


def _in_calendar(seconds: float) -> float:
    return min(max(seconds, _FIRST), _LAST)


def seconds_of(kept: DatetimeMS) -> float:
    """Return a date as epoch seconds."""
    return int(kept) / 1_000


def whole_seconds_of(kept: DatetimeMS) -> int:
    """Return a date that was whole epoch seconds."""
    return int(kept) // 1_000


def new_writer() -> bytes:
    """Return what one call leaves in a document, to know it again as its own.

    A write whose answer was lost is sent once more, by pymongo itself. A server that does not
    remember the first one then answers that somebody else was faster.
    """
    return secrets.token_bytes(12)
