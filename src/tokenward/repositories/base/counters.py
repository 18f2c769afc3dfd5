"""Counters that end: what a store can do for a throttle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class CounterRepository(ABC):
    """Counts by key; each counter is over at the end it was started with, and starts anew.

    A key is of 1 to 255 printable characters. What is over does not pile up, and the embedded
    stores give up the oldest beyond a number: whoever floods them makes them forget, and not
    grow. Losing the last moments in a crash is allowed here, and nowhere else in a store: so much
    durability would cost every login a write to the disk.
    """

    @abstractmethod
    def add(
        self, keys: Sequence[str], amount: int, *, now: float, expires_at: float
    ) -> list[tuple[int, float]]:
        """Add to several counters.

        Each is added to in one atomic step, so that of many who count one nobody is lost. Whether
        all of one call change in the same step is the store's own affair.

        Args:
            keys: Whose counters; one that is not there, or is over at ``now``, starts at 0.
            amount: What is added; may be negative, and no counter goes below 0.
            now: Epoch seconds.
            expires_at: Epoch seconds at which a counter that starts now will be over.

        Returns:
            For each key, in order, what it has come to, and when it is over.

        Raises:
            InvalidRequest: An argument is not what is described here.
            AuthServiceUnavailable: The store is busy or down; some of the counters may have been
                added to.
        """

    @abstractmethod
    def read(self, keys: Sequence[str], *, now: float) -> list[tuple[int, float]]:
        """Return what each counter has come to, and when it is over; (0, ``now``) for none.

        Raises:
            AuthServiceUnavailable: The store is down.
        """

    @abstractmethod
    def clear(self, keys: Sequence[str]) -> None:
        """Forget counters.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """

    @abstractmethod
    def purge_expired(self, now: float) -> int:
        """Forget what is over; return how many counters that were.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """
