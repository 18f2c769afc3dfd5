"""Threads that work at the same time, and how long they take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def calls_together(call: Callable[[], object], calls: int, *, threads: int) -> float:
    """Return the seconds that so many threads take for ``calls`` calls between them.

    Args:
        call: What each of them calls, again and again.
        calls: Of all threads; what they cannot share evenly is left out.
        threads: How many at once.
    """

    def work() -> None:
        for _ in range(calls // threads):
            call()

    return together(work, threads=threads)


def together(
    work: Callable[[], object], *, threads: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds from when so many threads begin their work until the last is done.

    A thread that fails is done too soon, which gives no figure: the first error is raised.

    Args:
        work: What each of them does, once.
        threads: How many at once.
        clock: Seconds.
    """
    barrier = threading.Barrier(threads + 1)
    errors: list[Exception] = []

    def begin() -> None:
        barrier.wait()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whoever waits for the thread raises it
            errors.append(error)

    begun = [threading.Thread(target=begin) for _ in range(threads)]
    for thread in begun:
        thread.start()
    barrier.wait()
    started = clock()
    for thread in begun:
        thread.join()
    seconds = clock() - started
    if errors:
        raise errors[0]
    return seconds
