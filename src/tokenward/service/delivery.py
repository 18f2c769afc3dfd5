"""Work that nobody waits for: one-time tokens made and sent while the answer is on its way."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn

from tokenward import _fork
from tokenward._log import OncePerMinute

MAX_WAITING: Final = 1_000
"""So many jobs wait at most; the next is dropped, and that is logged."""

_logger = logging.getLogger("tokenward.service")
_seldom = OncePerMinute(_logger)

_Job = tuple[str, Callable[[], None]]


class Delivery:
    """Jobs done one after the other on one thread, which lives while there are some; thread-safe.

    Whoever asks for one learns nothing of it by the time it takes. What a job raises is logged by
    its type alone: its text may quote an address or a token. A forked child starts without jobs;
    those that wait are the parent's.
    """

    def __init__(self) -> None:
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Start with nothing to do, and without a thread."""
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._at_work = False

    def __reduce__(self) -> NoReturn:
        raise TypeError("what waits to be delivered belongs to its process")

    def submit(self, what: str, job: Callable[[], None]) -> None:
        """Have ``job`` done soon.

        Args:
            what: What it is, for the log.
            job: Does it.
        """
        with self._changed:
            is_full = len(self._waiting) >= MAX_WAITING
            if not is_full:
                self._waiting.append((what, job))
            begins = not is_full and not self._at_work
            self._at_work = self._at_work or begins
        if is_full:
            _seldom.log(logging.ERROR, ("full",), "%s dropped: %d are waiting", what, MAX_WAITING)
        elif begins:
            self._begin()

    def flush(self, timeout: float) -> bool:
        """Wait until everything was done; tell whether it was within ``timeout`` seconds."""
        ends = time.monotonic() + timeout
        with self._changed:
            while self._at_work:
                left = ends - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _begin(self) -> None:
        try:
            threading.Thread(target=self._work, name="tokenward-delivery", daemon=True).start()
        except RuntimeError:
            # No thread can be started: the process has too many, or is about to end.
            with self._changed:
                dropped = len(self._waiting)
                self._waiting.clear()
                self._at_work = False
                self._changed.notify_all()
            _seldom.log(logging.ERROR, ("thread",), "no thread for %d deliveries", dropped)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._at_work = False
                    self._changed.notify_all()
                    return
                what, job = self._waiting.popleft()
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - the jobs behind it are to be done
                _seldom.log(
                    logging.ERROR,
                    (what, type(error).__name__),
                    "%s failed with %s",
                    what,
                    type(error).__name__,
                )
