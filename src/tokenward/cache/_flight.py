"""One look-up under way, for all who want the same."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward.cache.entry import Entry
    from tokenward.errors import AuthError

V = TypeVar("V")


class Flight(Generic[V]):
    """One look-up under way, which others wait for."""

    __slots__ = ("_under_way", "entry", "error")

    def __init__(self) -> None:
        # A lock that is held until the end: an event costs five times as much, and most flights
        # nobody waits for.
        self._under_way = threading.Lock()
        self._under_way.acquire()
        self.entry: Entry[V] | None = None
        self.error: AuthError | None = None

    def end(self) -> None:
        """Let everybody go who waits, and who will."""
        self._under_way.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, so long at most; return whether it came."""
        # Never longer than a lock can wait, which is centuries.
        if not self._under_way.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX)):
            return False
        self._under_way.release()
        return True

    def landed(self) -> Entry[V]:
        if self.entry is not None:
            return self.entry
        raise copy.copy(self.error) if self.error is not None else _interrupted()


def _interrupted() -> AuthServiceUnavailable:
    return AuthServiceUnavailable("the look-up was interrupted", reason="interrupted")
