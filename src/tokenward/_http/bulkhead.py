"""A bulkhead: how many calls to one server run at once, and how long others wait for a place."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward._http.breaker import Breaker

SHARE_FOR_WAITING = 0.5
"""Of the time a call has. The server needs the rest, and a thread that waits serves nobody."""


class Bulkhead:
    """Places for the calls to one server; whoever comes first waits first.

    Whoever waits gives up when half of its time is gone, and at once when the server is left alone.

    Args:
        breaker: Of the same server.
        places: How many calls run at once.
    """

    def __init__(self, breaker: Breaker, *, places: int) -> None:
        self.breaker = breaker
        self._places = places
        self._taken = 0
        self._waiting = 0
        self._changed = threading.Condition(threading.Lock())

    def enter(self, deadline: float) -> bool:
        """Take a place; `leave` gives it back.

        Args:
            deadline: Of the call, on the ``time.monotonic()`` scale.

        Returns:
            Whether the call had to wait, and so has less than its whole time left.

        Raises:
            AuthServiceUnavailable: There is none to be had (``busy``), or the server is left
                alone (``circuit_open``).
        """
        self.breaker.check()
        with self._changed:
            # A place that is free may be for one who was woken for it and is not here yet.
            waits = self._waiting >= self._places - self._taken
            if waits:
                self._wait(deadline)
            self._taken += 1
        return waits

    def leave(self) -> None:
        """Give the place back."""
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    def _wait(self, deadline: float) -> None:
        now = time.monotonic()
        give_up = now + (deadline - now) * SHARE_FOR_WAITING
        placed = False
        self._waiting += 1
        try:
            while not placed and now < give_up:
                self._changed.wait(give_up - now)
                self.breaker.check()
                placed = self._taken < self._places
                now = time.monotonic()
        finally:
            self._waiting -= 1
            if not placed:
                # It may have been woken for a place, or to hear that the server is left alone.
                self._changed.notify()
        if not placed:
            raise AuthServiceUnavailable(
                f"{self._places} calls are under way, and no place became free in time; raise"
                " pool_size, or look at why the server is slow",
                reason="busy",
            )
