"""Records that are carried from one store into another: made, read and checked alike for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tokenward.errors import InvalidRequest
from tokenward.repositories._checks import MAX_INTEGER, check_family, is_digest, is_text
from tokenward.repositories._records import KeptUser, moment
from tokenward.repositories.base import KINDS, Family
from tokenward.schemas import User

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.repositories.base import Kind, Record

MAX_RECORDS = 10_000

_DIGITS = 18  # what 64 bits hold for certain

_TEXT, _WHOLE, _TRUTH, _LIST = (str,), (int,), (bool,), (list,)
_MAYBE = (str, type(None))

_SHAPES: dict[Kind, dict[str, tuple[type, ...]]] = {
    "users": {
        "id": _TEXT,
        "username": _TEXT,
        "username_key": _TEXT,
        "email": _MAYBE,
        "email_key": _MAYBE,
        "hashed_password": _MAYBE,
        "is_active": _TRUTH,
        "email_verified": _TRUTH,
        "roles": _LIST,
        "token_version": _WHOLE,
        "created_at": _WHOLE,
        "updated_at": _WHOLE,
    },
    "families": {
        "id": _TEXT,
        "subject": _TEXT,
        "client_id": _TEXT,
        "scopes": _LIST,
        "version": _WHOLE,
        "created_at": _WHOLE,
        "used_at": _WHOLE,
        "expires_at": _WHOLE,
        "ended": _TRUTH,
        "current": _TEXT,
        "used": _LIST,
    },
    "revocations": {"id": _TEXT, "expires_at": _WHOLE},
    "one_time_tokens": {"id": _TEXT, "purpose": _TEXT, "subject": _TEXT, "expires_at": _WHOLE},
    "used_once": {"id": _TEXT, "expires_at": _WHOLE},
}


@dataclass(frozen=True, slots=True)
class KeptFamily:
    """A family with the digests of its refresh tokens; ``used`` in the order of their use."""

    family: Family
    current: bytes = field(repr=False)
    used: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Those of all its refresh tokens."""
        return (*self.used, self.current)


def check_kind(kind: str) -> None:
    """Raise `InvalidRequest` when a store holds nothing of this kind."""
    if kind not in KINDS:
        raise InvalidRequest({"kind": f"must be one of {', '.join(KINDS)}"})


def check_asked(kind: str, after: str | None, limit: int) -> None:
    """Raise `InvalidRequest` unless so many records of such a kind can be asked for."""
    check_kind(kind)
    if after is not None and not is_text(after):
        raise wrong_place()
    if type(limit) is not int or not 1 <= limit <= MAX_RECORDS:
        raise InvalidRequest({"limit": f"must be an integer of 1 to {MAX_RECORDS}"})


def wrong_place() -> InvalidRequest:
    """Return the error for an ``after`` that no call of `Portable.records` has returned."""
    return InvalidRequest({"after": "must be what the call before returned"})


def number_of(after: str | None) -> int:
    """Return the place in an order that ``after`` stands for; 0 for its beginning.

    Raises:
        InvalidRequest: It stands for none.
    """
    text = after or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise wrong_place()
    return int(text)


def check_records(kind: Kind, records: Sequence[Record]) -> None:
    """Raise `InvalidRequest` unless all are records of the kind, as `Record` describes them."""
    check_kind(kind)
    for record in records:
        _check_shape(kind, record)
        if kind == "users":
            _check_user(record)
        elif kind == "families":
            kept_family(record)
        elif kind == "one_time_tokens":
            digest_of(record["id"])


def _check_shape(kind: Kind, record: Record) -> None:
    shape = _SHAPES[kind]
    if record.keys() != shape.keys():
        raise _no_record(kind)
    for member, types in shape.items():
        value = record[member]
        if type(value) not in types or not _storable(value):
            raise _no_record(kind)


def _storable(value: Any) -> bool:
    # By the exact type, which is known: a dozen times a record, of millions.
    type_ = type(value)
    if type_ is str:
        storable: bool = value.isprintable()
        return storable
    if type_ is list:
        return all(map(is_text, value))
    return value is None or abs(value) <= MAX_INTEGER


def _check_user(record: Record) -> None:
    try:
        kept_user(record)
    except (ValueError, OverflowError, OSError):  # a year that no calendar has, among others
        raise _no_record("users") from None


def _no_record(kind: Kind) -> InvalidRequest:
    return InvalidRequest({"records": f"must be records of the kind {kind}"})


def digest_of(text: str) -> bytes:
    """Return the digest that a record holds in hexadecimal.

    Raises:
        InvalidRequest: It is none.
    """
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if not is_digest(digest) or digest.hex() != text:
        raise InvalidRequest({"records": "must hold digests in lower-case hexadecimal"})
    return digest


def user_record(new: KeptUser) -> Record:
    """Return a user as a record."""
    user = new.user
    return {
        "id": user.id,
        "username": user.username,
        "username_key": new.username_key,
        "email": user.email,
        "email_key": new.email_key,
        "hashed_password": user.hashed_password,
        "is_active": user.is_active,
        "email_verified": user.email_verified,
        "roles": list(user.roles),
        "token_version": user.token_version,
        "created_at": int(user.created_at.timestamp()),
        "updated_at": int(user.updated_at.timestamp()),
    }


def kept_user(record: Record) -> KeptUser:
    """Return the user of a record."""
    user = User(
        id=record["id"],
        username=record["username"],
        email=record["email"],
        is_active=record["is_active"],
        email_verified=record["email_verified"],
        roles=tuple(record["roles"]),
        hashed_password=record["hashed_password"],
        token_version=record["token_version"],
        created_at=moment(record["created_at"]),
        updated_at=moment(record["updated_at"]),
    )
    return KeptUser(user, record["username_key"], record["email_key"])


def family_record(kept: KeptFamily) -> Record:
    """Return a family as a record."""
    family = kept.family
    return {
        "id": family.id,
        "subject": family.subject,
        "client_id": family.client_id,
        "scopes": list(family.scopes),
        "version": family.version,
        "created_at": family.created_at,
        "used_at": family.used_at,
        "expires_at": family.expires_at,
        "ended": family.ended,
        "current": kept.current.hex(),
        "used": [digest.hex() for digest in kept.used],
    }


def kept_family(record: Record) -> KeptFamily:
    """Return the family of a record.

    Raises:
        InvalidRequest: No store can hold it.
    """
    family = Family(
        id=record["id"],
        subject=record["subject"],
        client_id=record["client_id"],
        scopes=tuple(record["scopes"]),
        version=record["version"],
        created_at=record["created_at"],
        used_at=record["used_at"],
        expires_at=record["expires_at"],
        ended=record["ended"],
    )
    check_family(family)
    used = tuple(map(digest_of, record["used"]))
    if len(set(used)) < len(used):
        raise InvalidRequest({"records": "must hold a digest among the used ones once"})
    return KeptFamily(family, digest_of(record["current"]), used)
