"""Counters in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.repositories._checks import (
    MAX_COUNTERS,
    check_cap,
    check_counters,
    check_counting,
    check_moment,
)
from tokenward.repositories.base import CounterRepository
from tokenward.repositories.sqlite._in_store import InStore

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tokenward.repositories.sqlite._store import SQLiteStore

# More than one call can add, so that what is over never piles up.
_PURGE = (
    "DELETE FROM counters WHERE position IN"
    " (SELECT position FROM counters WHERE expires_at <= ? ORDER BY expires_at LIMIT 100)"
)
_PURGE_ONE = "DELETE FROM counters WHERE key = ? AND expires_at <= ?"
_ADD = """
    INSERT INTO counters (key, value, expires_at) VALUES (?1, max(0, ?2), ?3)
    ON CONFLICT (key) DO UPDATE SET value = max(0, value + ?2)
    RETURNING value, expires_at
"""
# Positions rise, so that above this one there are never more than there may be counters.
_MAKE_ROOM = "DELETE FROM counters WHERE position <= (SELECT max(position) FROM counters) - ?"
_READ = "SELECT value, expires_at FROM counters WHERE key = ? AND expires_at > ?"


class SQLiteCounterRepository(InStore, CounterRepository):
    """Counters in a SQLite file, of a bounded number; a commit does not wait for the disk.

    Args:
        path: The file; or the ``store`` of another repository, to share its connections.
        create: Make the store when there is none.
        max_counters: The most that are kept; beyond it those go first that were started first.

    Raises:
        ConfigurationError: The file cannot be used, or ``max_counters`` is not an integer of 1
            or more; the message says what to do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | SQLiteStore,
        *,
        create: bool = True,
        max_counters: int = MAX_COUNTERS,
    ) -> None:
        check_cap(max_counters)
        self._max_counters = max_counters
        self._open(path, create=create)

    def add(
        self, keys: Sequence[str], amount: int, *, now: float, expires_at: float
    ) -> list[tuple[int, float]]:
        """See `CounterRepository.add`."""
        check_counting(keys, amount, now, expires_at)
        counted: list[tuple[int, float]] = []
        with self.store.writing(durable=False) as raw:
            raw.execute(_PURGE, (now,))
            for key in keys:
                raw.execute(_PURGE_ONE, (key, now))
                counted += raw.execute(_ADD, (key, amount, expires_at)).fetchall()
            raw.execute(_MAKE_ROOM, (self._max_counters,))
        return counted

    def read(self, keys: Sequence[str], *, now: float) -> list[tuple[int, float]]:
        """See `CounterRepository.read`."""
        check_counters(keys)
        check_moment("now", now)
        with self.store.reading() as raw:
            return [raw.execute(_READ, (key, now)).fetchone() or (0, now) for key in keys]

    def clear(self, keys: Sequence[str]) -> None:
        """See `CounterRepository.clear`."""
        check_counters(keys)
        with self.store.writing(durable=False) as raw:
            raw.executemany("DELETE FROM counters WHERE key = ?", [(key,) for key in keys])

    def purge_expired(self, now: float) -> int:
        """See `CounterRepository.purge_expired`."""
        check_moment("now", now)
        with self.store.writing(durable=False) as raw:
            return raw.execute("DELETE FROM counters WHERE expires_at <= ?", (now,)).rowcount
