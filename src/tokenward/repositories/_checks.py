"""Arguments checked alike in front of every store."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeGuard

from tokenward.errors import ConfigurationError, InvalidRequest
from tokenward.schemas import canonical_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenward.repositories.base import StoredKey

MAX_PAGE = 1_000
MAX_ROLES = 100
MAX_ROLE_CHARACTERS = 150
MAX_JTI_CHARACTERS = 255

# Any integer up to here is exact in every store, and in a float.
_MAX_INTEGER = 2**53


def unique_key(field: str, name: str) -> str:
    """Return the canonical key of a name that is to be stored.

    Raises:
        InvalidRequest: The name has none; ``field`` says which it was.
    """
    try:
        return canonical_key(name)
    except ValueError as error:
        raise InvalidRequest({field: str(error)}) from None


def lookup_key(name: object) -> str | None:
    """Return the canonical key of a name from outside; ``None``: nobody can be called that."""
    if not isinstance(name, str):
        return None
    try:
        return canonical_key(name)
    except ValueError:
        return None


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether a store can hold ``value`` in a column of text."""
    return isinstance(value, str) and value.isprintable()


def checked_roles(roles: Iterable[str]) -> tuple[str, ...]:
    """Return the roles in their order, each once.

    Raises:
        InvalidRequest: Not a list of at most 100 printable strings of 1 to 150 characters.
    """
    given = None if isinstance(roles, str) else tuple(roles)
    if given is not None and len(given) <= MAX_ROLES and all(map(_is_role, given)):
        return tuple(dict.fromkeys(given))
    text = (
        f"must be a list of at most {MAX_ROLES} printable strings "
        f"of 1 to {MAX_ROLE_CHARACTERS} characters"
    )
    raise InvalidRequest({"roles": text})


def _is_role(role: object) -> bool:
    return is_text(role) and 1 <= len(role) <= MAX_ROLE_CHARACTERS


def check_page(skip: int, limit: int) -> None:
    """Raise `InvalidRequest` unless ``skip`` is 0 or more and ``limit`` within 0..1000."""
    fields = {}
    if type(skip) is not int or not 0 <= skip <= _MAX_INTEGER:
        fields["skip"] = "must be an integer of 0 or more"
    if type(limit) is not int or not 0 <= limit <= MAX_PAGE:
        fields["limit"] = f"must be an integer of 0 to {MAX_PAGE}"
    if fields:
        raise InvalidRequest(fields)


def is_jti(jti: object) -> TypeGuard[str]:
    """Tell whether ``jti`` is of a form that can have been revoked."""
    return is_text(jti) and 1 <= len(jti) <= MAX_JTI_CHARACTERS


def check_jti(jti: object) -> None:
    """Raise `InvalidRequest` unless ``jti`` is printable and of 1 to 255 characters."""
    if not is_jti(jti):
        text = f"must be a printable string of 1 to {MAX_JTI_CHARACTERS} characters"
        raise InvalidRequest({"jti": text})


def whole_second(field: str, seconds: float) -> int:
    """Return epoch seconds rounded up.

    Raises:
        InvalidRequest: They are no finite number, or beyond any calendar.
    """
    if type(seconds) in (int, float) and abs(seconds) <= _MAX_INTEGER:
        return math.ceil(seconds)
    raise InvalidRequest({field: "must be seconds since the epoch"})


def check_keys(keys: Sequence[StoredKey]) -> None:
    """Raise `ConfigurationError` when two keys have one ``kid``."""
    if len({key.kid for key in keys}) != len(keys):
        msg = "Two signing keys have the same kid; give each its own."
        raise ConfigurationError(msg)
