"""Repositories in the memory of one process: for tests, demonstrations and tools."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from tokenward import _fork
from tokenward.errors import UserAlreadyExists
from tokenward.passwords import DEFAULT_COST
from tokenward.repositories._checks import check_jti, check_keys, is_jti, whole_second
from tokenward.repositories._records import RecordUserRepository, moment
from tokenward.repositories.base import KeyRepository, Repositories, StoredKey, TokenRepository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.protocols import Clock
    from tokenward.repositories._records import Change, NewUser, UniqueColumn, Value
    from tokenward.schemas import User


class MemoryUserRepository(RecordUserRepository):
    """Users that live as long as the process."""

    def __init__(self, *, bcrypt_cost: int = DEFAULT_COST, clock: Clock = time.time) -> None:
        super().__init__(bcrypt_cost=bcrypt_cost, clock=clock)
        # One dictionary for all three indexes: a record comes and changes in one step, so that
        # reading needs no lock.
        self._records: dict[tuple[UniqueColumn, str], NewUser] = {}
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock; a forked child goes on with its own copy of the users."""
        self._lock = threading.Lock()

    def count(self) -> int:
        """See `UserRepository.count`."""
        return len(self._records) // 3

    def replace_hash(self, user: User, hashed_password: str) -> bool:
        """See `UserRepository.replace_hash`."""
        with self._lock:
            record = self._records.get(("id", user.id))
            if record is None or record.user.hashed_password != user.hashed_password:
                return False
            self._store(record, hashed_password=hashed_password)
            return True

    def _insert(self, new: NewUser) -> None:
        entries = _entries(new)
        with self._lock:
            if not self._records.keys().isdisjoint(entries):
                raise UserAlreadyExists
            self._records.update(entries)

    def _find(self, column: UniqueColumn, value: str) -> User | None:
        record = self._records.get((column, value))
        return None if record is None else record.user

    def _page(self, skip: int, limit: int) -> list[User]:
        with self._lock:
            users = [r.user for (column, _), r in self._records.items() if column == "id"]
        return list(islice((user for user in users if user.is_active), skip, skip + limit))

    def _change(self, username_key: str, column: Change, value: Value) -> bool:
        with self._lock:
            record = self._records.get(("username_key", username_key))
            if record is None:
                return False
            version = record.user.token_version + (column != "email_verified")
            self._store(record, **{column: value, "token_version": version})
            return True

    def _remove(self, username_key: str) -> bool:
        with self._lock:
            record = self._records.get(("username_key", username_key))
            if record is None:
                return False
            for entry in _entries(record):
                del self._records[entry]
            return True

    def _store(self, record: NewUser, **changes: object) -> None:
        user = record.user.model_copy(update={**changes, "updated_at": moment(self._now())})
        self._records.update(_entries(replace(record, user=user)))


def _entries(record: NewUser) -> dict[tuple[UniqueColumn, str], NewUser]:
    return {
        ("id", record.user.id): record,
        ("username_key", record.username_key): record,
        ("email_key", record.email_key): record,
    }


class MemoryTokenRepository(TokenRepository):
    """Revocations that live as long as the process."""

    def __init__(self) -> None:
        self._revoked: dict[str, int] = {}
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock; a forked child goes on with its own copy of the revocations."""
        self._lock = threading.Lock()

    def revoke(self, jti: str, expires_at: float) -> None:
        """See `TokenRepository.revoke`."""
        check_jti(jti)
        end = whole_second("expires_at", expires_at)
        with self._lock:
            self._revoked[jti] = max(end, self._revoked.get(jti, end))

    def is_revoked(self, jti: str) -> bool:
        """See `TokenRepository.is_revoked`."""
        return is_jti(jti) and jti in self._revoked

    def purge_expired(self, now: float) -> int:
        """See `TokenRepository.purge_expired`."""
        with self._lock:
            expired = [jti for jti, end in self._revoked.items() if end <= now]
            for jti in expired:
                del self._revoked[jti]
        return len(expired)


class MemoryKeyRepository(KeyRepository):
    """Signing keys that live as long as the process."""

    def __init__(self) -> None:
        self._kept: tuple[int, tuple[StoredKey, ...]] = (0, ())
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock; a forked child goes on with its own copy of the keys."""
        self._lock = threading.Lock()

    def load(self) -> tuple[int, list[StoredKey]]:
        """See `KeyRepository.load`."""
        version, keys = self._kept
        return version, list(keys)

    def replace(self, version: int, keys: Sequence[StoredKey]) -> bool:
        """See `KeyRepository.replace`."""
        check_keys(keys)
        with self._lock:
            if version != self._kept[0]:
                return False
            self._kept = (version + 1, tuple(keys))
            return True


def open_memory(*, bcrypt_cost: int = DEFAULT_COST, clock: Clock = time.time) -> Repositories:
    """Return new, empty repositories."""
    return Repositories(
        users=MemoryUserRepository(bcrypt_cost=bcrypt_cost, clock=clock),
        tokens=MemoryTokenRepository(),
        keys=MemoryKeyRepository(),
    )
