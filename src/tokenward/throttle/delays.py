"""Attempts that are held back for a moment."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tokenward import _fork

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DELAY = 2.0
"""Seconds that an attempt is held back at most."""
MAX_WAITING = 2
"""So many threads wait at a time at most: a server has others to answer."""

_STEP = 0.1


def delay_for(excess: int) -> float:
    """Return for how many seconds the attempt is held back that is so many beyond the rate."""
    return min(MAX_DELAY, _STEP * excess)


def sleep(seconds: float) -> None:
    """Sleep; looked up when it is called, so that gevent's is found."""
    time.sleep(seconds)


class Delays:
    """Holds threads back, a few at a time; beyond that nobody waits.

    Args:
        sleep: Sleeps for so many seconds.
    """

    def __init__(self, *, sleep: Callable[[float], None] = sleep) -> None:
        self._sleep = sleep
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace what the parent's threads hold."""
        self._places = threading.BoundedSemaphore(MAX_WAITING)

    def hold(self, seconds: float) -> None:
        """Hold the calling thread back, unless enough of them wait already."""
        places = self._places  # a fork replaces it
        if places.acquire(blocking=False):
            try:
                self._sleep(seconds)
            finally:
                places.release()
