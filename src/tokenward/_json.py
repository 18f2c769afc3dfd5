"""The one strict JSON reader, for tokens, bodies, answers, key sets and metadata.

Python's own reader takes duplicate members, ``NaN``, a million digits and lone surrogates;
every one of them is a way to make two programs read one document differently
(RFC 8725, section 3.7; RFC 8259, sections 4, 6, 8.2).
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_DIGITS = 64


class JSONError(ValueError):
    """The text is not one strict JSON object; the message holds nothing of the text."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "a member name is repeated"
        raise JSONError(msg)
    return members


def _constant(_name: str) -> NoReturn:
    msg = "NaN and Infinity are not JSON"
    raise JSONError(msg)


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        msg = f"a number has more than {MAX_DIGITS} digits"
        raise JSONError(msg)
    return int(digits)


def _real(digits: str) -> float:
    number = float(digits) if len(digits) <= MAX_DIGITS else math.inf
    if not math.isfinite(number):
        msg = "a number is out of range"
        raise JSONError(msg)
    return number


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_real
).raw_decode
# The white space of RFC 8259, section 2; `str.strip` by itself takes more.
_SPACE = " \t\n\r"


def loads(text: bytes | str) -> dict[str, Any]:
    """Read one JSON object.

    Args:
        text: UTF-8 bytes, without a byte order mark, or a string.

    Returns:
        The object; nested at most `MAX_DEPTH` deep, no duplicate member at any level.

    Raises:
        JSONError: For anything else. No other exception leaves, whatever the input.
    """
    try:
        return _read(text)
    except JSONError:
        raise
    except (ValueError, RecursionError):
        pass
    # Raised here and not above: as its context, the library's error would carry the text.
    msg = "not valid JSON"
    raise JSONError(msg)


def _read(text: bytes | str) -> dict[str, Any]:
    if isinstance(text, str):
        text.encode("utf-8")
    else:
        text = text.decode("utf-8")
    text = text.strip(_SPACE)
    value, end = _decode(text)
    if end != len(text):
        msg = "something follows the JSON object"
        raise JSONError(msg)
    # From here on, only an escape can have brought in a lone surrogate. Most texts hold no
    # backslash at all, and looking for one character is far quicker than for two.
    if "\\" in text and "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    if type(value) is not dict:
        msg = "not a JSON object"
        raise JSONError(msg)
    # Fewer opening brackets than the bound, strings included, cannot nest deeper than it.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    msg = f"nested deeper than {MAX_DEPTH} levels"
    raise JSONError(msg)
