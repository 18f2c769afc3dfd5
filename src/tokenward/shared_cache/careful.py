"""Calling something that may be down."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tokenward import _fork
from tokenward._chance import between
from tokenward._log import OncePerMinute

T = TypeVar("T")

_FIRST_BACK_OFF = 0.5
_LONGEST_BACK_OFF = 15.0
_MAX_FAILURES = 6

_logger = logging.getLogger("tokenward.shared_cache")
seldom = OncePerMinute(_logger)


class Careful:
    """Calls something that may be down: never raises, and leaves it alone after a failure.

    While it is left alone nobody waits for it. Then one call tries, and the others go on without it
    until that one knows.

    Args:
        what: Its name, for the log.
        failed: Called after each failure.
        clock: Seconds that only grow.
    """

    def __init__(
        self, what: str, failed: Callable[[], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._failed = failed
        self._clock = clock
        self._failures = 0
        self._failed_at = 0.0
        # 0 while all is well, so that nobody looks at a clock or takes the lock.
        self._again_at = 0.0
        self._lock = threading.Lock()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace a lock that another thread may hold in the parent."""
        self._lock = threading.Lock()

    def call(self, operation: Callable[[], T], *, urgent: bool = False) -> T | None:
        """Return what ``operation`` returns; ``None`` when it fails or is not tried.

        Args:
            operation: What to do.
            urgent: Try it although an attempt failed a moment ago.
        """
        if self._again_at and not urgent and not self._is_the_trial():
            return None
        began = self._clock()
        try:
            result = operation()
        except Exception as error:  # noqa: BLE001 - a cache of your own may raise anything
            self._back_off(began, getattr(error, "hint", "") or type(error).__name__)
            self.count()
            return None
        if self._again_at:
            with self._lock:
                self._failures, self._again_at = 0, 0.0
        return result

    def count(self) -> None:
        """Count a failure that says nothing about the next call."""
        self._failed()

    def _is_the_trial(self) -> bool:
        with self._lock:
            now = self._clock()
            if now < self._again_at:
                return False
            # Should this trial never come to an end, there is another one after that time.
            self._again_at = now + _LONGEST_BACK_OFF
            return True

    def _back_off(self, began: float, hint: str) -> None:
        with self._lock:
            now = self._clock()
            # Calls that were all under way when it went down saw one failure, not many.
            if self._failures == 0 or began > self._failed_at:
                longest = min(_FIRST_BACK_OFF * 2**self._failures, _LONGEST_BACK_OFF)
                self._failures = min(self._failures + 1, _MAX_FAILURES)
                # Jitter, so that processes which saw one outage do not come back in step.
                pause = longest * between(0.5, 1.0)
                self._failed_at, self._again_at = now, now + pause
            pause = self._again_at - now
        seldom.log(
            logging.WARNING,
            (self._what, "failed"),
            "%s failed and is left alone for %.1f s: %s",
            self._what,
            pause,
            hint,
        )
