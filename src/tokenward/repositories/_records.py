"""The part of a `UserRepository` that is the same over every kind of record."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from tokenward._log import shown
from tokenward.errors import TokenRevoked, UserNotFound
from tokenward.repositories._checks import (
    MAX_KEY_CHARACTERS,
    check_page,
    checked_roles,
    is_string,
    lookup_key,
    unique_key,
)
from tokenward.repositories.base import UserRepository
from tokenward.schemas import PublicUser, User

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenward.schemas import RegisterRequest

_ID_BYTES = 16

UniqueColumn = Literal["id", "username_key", "email_key"]
"""What a user is found by; a unique, binary index holds each."""

Change = Literal["hashed_password", "is_active", "roles", "email_verified"]
"""What can be changed; each but ``email_verified`` raises ``token_version`` with it."""


Value = str | bool | tuple[str, ...] | None
"""What a change may set."""


@dataclass(frozen=True, slots=True)
class KeptUser:
    """A user with the canonical keys that the store keeps unique."""

    user: User
    username_key: str
    email_key: str | None


@dataclass(frozen=True, slots=True)
class NewUser(KeptUser):
    """A user who has just registered, and who therefore has an address."""

    email_key: str


def moment(seconds: int) -> datetime:
    """Return epoch seconds as an aware datetime."""
    return datetime.fromtimestamp(seconds, UTC)


class RecordUserRepository(UserRepository):
    """Users as records; a store adds how one is inserted, found, changed and removed."""

    @abstractmethod
    def _insert(self, new: NewUser) -> None:
        """Add the record, or raise `UserAlreadyExists` when an index has one of its keys."""

    @abstractmethod
    def _find(self, column: UniqueColumn, value: str) -> User | None: ...

    @abstractmethod
    def _page(self, skip: int, limit: int) -> list[User]: ...

    @abstractmethod
    def _change(self, username_key: str, column: Change, value: Value, version: int | None) -> bool:
        """Change the record, with a ``version`` only one of that; tell whether there is one."""

    @abstractmethod
    def _remove(self, username_key: str) -> bool:
        """Remove the record; tell whether there was one."""

    def create(
        self,
        request: RegisterRequest,
        *,
        roles: Iterable[str] = (),
        is_active: bool = True,
        email_verified: bool = False,
    ) -> PublicUser:
        username_key = unique_key("username", request.username)
        email_key = unique_key("email", request.email)
        distinct_roles = checked_roles(roles)
        now = moment(self._now())
        user = User(
            id=secrets.token_urlsafe(_ID_BYTES),
            username=request.username,
            email=request.email,
            is_active=is_active,
            email_verified=email_verified,
            roles=distinct_roles,
            hashed_password=self.hasher.hash(request.password),
            created_at=now,
            updated_at=now,
        )
        self._insert(NewUser(user, username_key, email_key))
        return user.public()

    def get_by_id(self, user_id: str) -> User | None:
        return self._find("id", user_id) if is_string(user_id, MAX_KEY_CHARACTERS) else None

    def get_by_username(self, username: str) -> User | None:
        key = lookup_key(username)
        return None if key is None else self._find("username_key", key)

    def get_by_email(self, email: str) -> User | None:
        key = lookup_key(email)
        return None if key is None else self._find("email_key", key)

    def get_active_users(self, skip: int = 0, limit: int = 100) -> list[User]:
        check_page(skip, limit)
        return self._page(skip, limit)

    def set_password(
        self, username: str, password: str | None, *, version: int | None = None
    ) -> None:
        hashed = None if password is None else self.hasher.hash(password)
        self._set(username, "hashed_password", hashed, version)

    def set_active(self, username: str, active: bool) -> None:  # noqa: FBT001 - the name says it
        self._set(username, "is_active", bool(active))

    def set_roles(self, username: str, roles: Iterable[str]) -> None:
        self._set(username, "roles", checked_roles(roles))

    def set_email_verified(self, username: str, verified: bool) -> None:  # noqa: FBT001 - the same
        self._set(username, "email_verified", bool(verified))

    def delete(self, username: str) -> None:
        key = lookup_key(username)
        if key is None or not self._remove(key):
            raise _not_found(username)

    def _set(self, username: str, column: Change, value: Value, version: int | None = None) -> None:
        key = lookup_key(username)
        if key is not None and self._change(key, column, value, version):
            return
        if key is None or version is None or self._find("username_key", key) is None:
            raise _not_found(username)
        raise TokenRevoked("the account was changed meanwhile, so that its password was not")

    def _now(self) -> int:
        return int(self._clock())


def _not_found(username: object) -> UserNotFound:
    return UserNotFound(f"there is no user named {shown(username)}")
