"""Counters in the memory of one process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tokenward import _fork
from tokenward.repositories._checks import (
    MAX_COUNTERS,
    check_cap,
    check_counters,
    check_counting,
    check_moment,
)
from tokenward.repositories.base import CounterRepository

if TYPE_CHECKING:
    from collections.abc import Sequence

_FEW = 1_000


class MemoryCounterRepository(CounterRepository):
    """Counters that live as long as the process, of a bounded number.

    Args:
        max_counters: The most that are kept; beyond it those go first that were over first.

    Raises:
        ConfigurationError: ``max_counters`` is not an integer of 1 or more.
    """

    def __init__(self, *, max_counters: int = MAX_COUNTERS) -> None:
        check_cap(max_counters)
        self._max_counters = max_counters
        self._counters: dict[str, tuple[int, float]] = {}
        self._purge_at = _FEW
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock; a forked child goes on with its own copy of the counters."""
        self._lock = threading.Lock()

    def add(
        self, keys: Sequence[str], amount: int, *, now: float, expires_at: float
    ) -> list[tuple[int, float]]:
        """See `CounterRepository.add`."""
        check_counting(keys, amount, now, expires_at)
        counted = []
        with self._lock:
            for key in keys:
                value, end = self._counters.get(key, (0, now))
                if end <= now:
                    value, end = 0, float(expires_at)
                self._counters[key] = counter = (max(0, value + amount), end)
                counted.append(counter)
            self._make_room(now)
        return counted

    def read(self, keys: Sequence[str], *, now: float) -> list[tuple[int, float]]:
        """See `CounterRepository.read`."""
        check_counters(keys)
        check_moment("now", now)
        found = (self._counters.get(key) for key in keys)
        return [c if c is not None and c[1] > now else (0, now) for c in found]

    def clear(self, keys: Sequence[str]) -> None:
        """See `CounterRepository.clear`."""
        check_counters(keys)
        with self._lock:
            for key in keys:
                self._counters.pop(key, None)

    def purge_expired(self, now: float) -> int:
        """See `CounterRepository.purge_expired`."""
        check_moment("now", now)
        with self._lock:
            return self._purge(now)

    def _purge(self, now: float) -> int:
        before = len(self._counters)
        self._counters = {key: c for key, c in self._counters.items() if c[1] > now}
        return before - len(self._counters)

    def _make_room(self, now: float) -> None:
        # Looking through all of them once they have doubled costs each that was added the same.
        if len(self._counters) <= min(self._purge_at, self._max_counters):
            return
        self._purge(now)
        if len(self._counters) > self._max_counters:
            by_end = sorted(self._counters.items(), key=lambda item: item[1][1])
            # A tenth more than must go, so that a flood is not sorted each time.
            self._counters = dict(by_end[-max(1, self._max_counters * 9 // 10) :])
        self._purge_at = max(_FEW, 2 * len(self._counters))
