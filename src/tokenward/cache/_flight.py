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

    __slots__ = ("_landed", "entry", "error")

    def __init__(self) -> None:
        # Made for the first who waits: it costs more than the rest of a flight, and most are alone.
        self._landed: threading.Event | None = None
        self.entry: Entry[V] | None = None
        self.error: AuthError | None = None

    def join(self) -> None:
        """Announce that somebody will wait: under the cache's lock, while others can find it."""
        if self._landed is None:
            self._landed = threading.Event()

    def end(self) -> None:
        """Let everybody go who waits, all at once; nobody can join any more."""
        if self._landed is not None:
            self._landed.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, so long at most, after `join`; return whether it came."""
        if self._landed is None:
            raise RuntimeError("who waits has joined")
        # Never longer than a lock can wait, which is centuries.
        return self._landed.wait(min(seconds, threading.TIMEOUT_MAX))

    def landed(self) -> Entry[V]:
        if self.entry is not None:
            return self.entry
        raise copy.copy(self.error) if self.error is not None else _interrupted()


def _interrupted() -> AuthServiceUnavailable:
    return AuthServiceUnavailable("the look-up was interrupted", reason="interrupted")
