"""Listening for revocations: begun on first use, in every process anew."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from tokenward._log import OncePerMinute

RETRY_SECONDS = 5.0
"""Seconds after which a subscription that failed is tried again."""

_logger = logging.getLogger("tokenward.shared_cache")
_seldom = OncePerMinute(_logger)


class Listening:
    """One subscription to revocations at a time; thread-safe.

    Args:
        subscribe: Begins a subscription and returns what ends it.
        failed: Called after each failure.
        clock: Seconds on a monotonic scale.
    """

    def __init__(
        self,
        subscribe: Callable[[], Callable[[], None]],
        *,
        failed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subscribe = subscribe
        self._failed = failed
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """Leave the parent's subscription to the parent."""
        self._lock = threading.Lock()
        self._begun = False
        self._again_at = 0.0
        self._end: Callable[[], None] | None = None

    def begin(self) -> None:
        """Subscribe, unless somebody has, or failed to a moment ago. Never raises."""
        if not self._claim():
            return
        try:
            end = self._subscribe()
        except Exception as error:  # noqa: BLE001 - a bus of your own may raise anything
            with self._lock:
                self._begun, self._again_at = False, self._clock() + RETRY_SECONDS
            _seldom.log(
                logging.WARNING,
                ("subscribe",),
                "cannot listen for revocations, which go unnoticed for ttl seconds: %s",
                getattr(error, "hint", "") or type(error).__name__,
            )
            self._failed()
            return
        with self._lock:
            wanted = self._begun and self._end is None
            if wanted:
                self._end = end
        if not wanted:
            _ended(end)

    def _claim(self) -> bool:
        with self._lock:
            if self._begun or self._clock() < self._again_at:
                return False
            self._begun = True
            return True

    def end(self) -> None:
        """End the subscription; `begin` makes a new one. Never raises."""
        with self._lock:
            end, self._end = self._end, None
            self._begun = False
        if end is not None:
            _ended(end)


def _ended(end: Callable[[], None]) -> None:
    try:
        end()
    except Exception as error:  # noqa: BLE001 - a bus of your own may raise anything
        _logger.debug("a subscription to revocations did not end: %s", type(error).__name__)
