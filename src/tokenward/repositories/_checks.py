"""Arguments checked alike in front of every store."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeGuard

from tokenward.errors import ConfigurationError, InvalidRequest
from tokenward.schemas import canonical_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenward.repositories.base import Family, StoredKey

MAX_PAGE = 1_000
MAX_ROLES = 100
MAX_ROLE_CHARACTERS = 150
MAX_JTI_CHARACTERS = 255
MAX_KEY_CHARACTERS = 512
MAX_PURPOSE_CHARACTERS = 64
MAX_COUNTER_CHARACTERS = 255
MAX_SCOPES = 1_000
MAX_AMOUNT = 2**31
MAX_INTEGER = 2**53
"""Any integer up to here is exact in every store, and in a float."""

MAX_COUNTERS = 100_000
"""So many counters a store keeps, unless told otherwise: some 20 MB, whoever floods it."""

_DIGEST_BYTES = range(16, 65)


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
    return is_string(role, MAX_ROLE_CHARACTERS)


def check_page(skip: int, limit: int) -> None:
    """Raise `InvalidRequest` unless ``skip`` is 0 or more and ``limit`` within 0..1000."""
    fields = {}
    if type(skip) is not int or not 0 <= skip <= MAX_INTEGER:
        fields["skip"] = "must be an integer of 0 or more"
    if type(limit) is not int or not 0 <= limit <= MAX_PAGE:
        fields["limit"] = f"must be an integer of 0 to {MAX_PAGE}"
    if fields:
        raise InvalidRequest(fields)


def is_string(value: object, longest: int) -> TypeGuard[str]:
    """Tell whether ``value`` is printable and of 1 to ``longest`` characters."""
    return is_text(value) and 1 <= len(value) <= longest


def check_string(field: str, value: object, longest: int) -> None:
    """Raise `InvalidRequest` unless ``value`` is printable and of 1 to ``longest`` characters."""
    if not is_string(value, longest):
        text = f"must be a printable string of 1 to {longest} characters"
        raise InvalidRequest({field: text})


def is_jti(jti: object) -> TypeGuard[str]:
    """Tell whether ``jti`` is of a form that can have been revoked."""
    return is_string(jti, MAX_JTI_CHARACTERS)


def check_jti(jti: object) -> None:
    """Raise `InvalidRequest` unless ``jti`` is printable and of 1 to 255 characters."""
    check_string("jti", jti, MAX_JTI_CHARACTERS)


def is_digest(digest: object) -> TypeGuard[bytes]:
    """Tell whether ``digest`` is of 16 to 64 bytes."""
    return type(digest) is bytes and len(digest) in _DIGEST_BYTES


def check_digest(field: str, digest: object) -> None:
    """Raise `InvalidRequest` unless ``digest`` is of 16 to 64 bytes."""
    if not is_digest(digest):
        raise InvalidRequest({field: "must be a digest of 16 to 64 bytes"})


def check_new_digest(digest: bytes, new_digest: object) -> None:
    """Raise `InvalidRequest` unless ``new_digest`` is a digest, and another than ``digest``."""
    check_digest("new_digest", new_digest)
    if new_digest == digest:
        raise InvalidRequest({"new_digest": "must be the digest of another token"})


def taken(field: str) -> InvalidRequest:
    """Return the error for an id or a digest that is to be new, and is there already."""
    return InvalidRequest({field: "is there already; make a new one at random"})


def check_family(family: Family) -> None:
    """Raise `InvalidRequest` unless every store can hold the family as it is."""
    for field in ("id", "subject", "client_id"):
        check_string(field, getattr(family, field), MAX_KEY_CHARACTERS)
    scopes = family.scopes
    if type(scopes) is not tuple or len(scopes) > MAX_SCOPES or not all(map(_is_scope, scopes)):
        raise InvalidRequest({"scopes": "must be a tuple of scopes (RFC 6749, section 3.3)"})
    for field in ("version", "created_at", "used_at", "expires_at"):
        value = getattr(family, field)
        if type(value) is not int or abs(value) > MAX_INTEGER:
            raise InvalidRequest({field: "must be an integer"})
    if type(family.ended) is not bool:
        raise InvalidRequest({"ended": "must be a boolean"})


def _is_scope(scope: object) -> bool:
    return is_string(scope, MAX_KEY_CHARACTERS) and " " not in scope


def check_counting(keys: Sequence[str], amount: int, now: float, expires_at: float) -> None:
    """Raise `InvalidRequest` unless every store can count like this."""
    check_counters(keys)
    if type(amount) is not int or abs(amount) > MAX_AMOUNT:
        raise InvalidRequest({"amount": f"must be an integer of at most {MAX_AMOUNT}"})
    check_moment("now", now)
    check_moment("expires_at", expires_at)


def check_counters(keys: Sequence[str]) -> None:
    """Raise `InvalidRequest` unless all ``keys`` are printable and of 1 to 255 characters."""
    for key in keys:
        check_string("keys", key, MAX_COUNTER_CHARACTERS)


def check_cap(max_counters: int) -> None:
    """Raise `ConfigurationError` unless so many counters can be kept."""
    if type(max_counters) is not int or not 1 <= max_counters <= MAX_INTEGER:
        msg = "max_counters is a whole number, 1 or more."
        raise ConfigurationError(msg)


def check_moment(field: str, seconds: object) -> None:
    """Raise `InvalidRequest` unless ``seconds`` are seconds since the epoch."""
    if type(seconds) not in (int, float) or not abs(seconds) <= MAX_INTEGER:  # type: ignore[arg-type]
        raise InvalidRequest({field: "must be seconds since the epoch"})


def whole_second(field: str, seconds: float) -> int:
    """Return epoch seconds rounded up.

    Raises:
        InvalidRequest: They are no finite number, or beyond any calendar.
    """
    check_moment(field, seconds)
    return math.ceil(seconds)


def check_keys(keys: Sequence[StoredKey]) -> None:
    """Raise `ConfigurationError` when two keys have one ``kid``."""
    if len({key.kid for key in keys}) != len(keys):
        msg = "Two signing keys have the same kid; give each its own."
        raise ConfigurationError(msg)
