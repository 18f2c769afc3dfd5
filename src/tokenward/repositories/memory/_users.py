"""Users in the memory of one process."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from tokenward import _fork
from tokenward.errors import UserAlreadyExists
from tokenward.passwords import DEFAULT_COST
from tokenward.repositories._records import RecordUserRepository, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokenward.protocols import Clock
    from tokenward.repositories._records import Change, KeptUser, NewUser, UniqueColumn, Value
    from tokenward.schemas import User


class MemoryUserRepository(RecordUserRepository):
    """Users that live as long as the process."""

    def __init__(self, *, bcrypt_cost: int = DEFAULT_COST, clock: Clock = time.time) -> None:
        super().__init__(bcrypt_cost=bcrypt_cost, clock=clock)
        # One dictionary for all three indexes: a record comes and changes in one step, so that
        # reading needs no lock.
        self._records: dict[tuple[UniqueColumn, str], KeptUser] = {}
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock; a forked child goes on with its own copy of the users."""
        self._lock = threading.Lock()

    def count(self) -> int:
        """See `UserRepository.count`."""
        return len(self.carried())

    def carried(self) -> list[KeptUser]:
        """Return all users in the order of their registration."""
        with self._lock:
            return list(self._in_order())

    def put(self, given: Iterable[KeptUser]) -> None:
        """Store users as they are, all or none; see `Portable.put`.

        Raises:
            UserAlreadyExists: Another user has one of the names or addresses.
        """
        with self._lock:
            changed: dict[tuple[UniqueColumn, str], KeptUser | None] = {}
            for new in given:
                known = self._after(changed, ("id", new.user.id))
                kept = {} if known is None else _entries(known)
                entries = _entries(new)
                if any(self._after(changed, entry) for entry in entries.keys() - kept.keys()):
                    raise UserAlreadyExists
                changed.update(dict.fromkeys(kept.keys() - entries.keys()))
                changed.update(entries)
            there = {entry: record for entry, record in changed.items() if record is not None}
            gone = changed.keys() - there.keys()
            # A copy costs as much as there are users; without one, a name that goes would go after
            # the one that takes its place has come.
            records = dict(self._records) if gone else self._records
            records.update(there)
            for entry in gone:
                records.pop(entry, None)
            self._records = records

    def _after(
        self,
        changed: dict[tuple[UniqueColumn, str], KeptUser | None],
        entry: tuple[UniqueColumn, str],
    ) -> KeptUser | None:
        return changed[entry] if entry in changed else self._records.get(entry)

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
            active = (record.user for record in self._in_order() if record.user.is_active)
            return list(islice(active, skip, skip + limit))

    def _in_order(self) -> Iterator[KeptUser]:
        return (record for (column, _), record in self._records.items() if column == "id")

    def _change(self, username_key: str, column: Change, value: Value, version: int | None) -> bool:
        with self._lock:
            record = self._records.get(("username_key", username_key))
            if record is None or version not in (None, record.user.token_version):
                return False
            next_version = record.user.token_version + (column != "email_verified")
            self._store(record, **{column: value, "token_version": next_version})
            return True

    def _remove(self, username_key: str) -> bool:
        with self._lock:
            record = self._records.get(("username_key", username_key))
            if record is None:
                return False
            for entry in _entries(record):
                del self._records[entry]
            return True

    def _store(self, record: KeptUser, **changes: object) -> None:
        user = record.user.model_copy(update={**changes, "updated_at": moment(self._now())})
        self._records.update(_entries(replace(record, user=user)))


def _entries(record: KeptUser) -> dict[tuple[UniqueColumn, str], KeptUser]:
    entries: dict[tuple[UniqueColumn, str], KeptUser] = {
        ("id", record.user.id): record,
        ("username_key", record.username_key): record,
    }
    if record.email_key is not None:
        entries["email_key", record.email_key] = record
    return entries
