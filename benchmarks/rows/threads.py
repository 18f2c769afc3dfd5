"""The same hits from eight threads and from one: a lock on the way would show."""

from __future__ import annotations

import statistics
import threading
import time

from benchmarks.harness import Effort, Result
from benchmarks.parts import canned_verifier, new_token

CALLS = 200_000
THREADS = 8


def measure(effort: Effort) -> list[Result]:
    """Compare the throughput of eight threads with that of one."""
    header = f"Bearer {new_token()}"
    verifier = canned_verifier()
    verifier.verify(header[7:])

    def work(calls: int, barrier: threading.Barrier) -> None:
        barrier.wait()
        for _ in range(calls):
            verifier.verify(header[7:])

    def seconds(threads: int) -> float:
        barrier = threading.Barrier(threads + 1)
        workers = [
            threading.Thread(target=work, args=(CALLS // threads, barrier)) for _ in range(threads)
        ]
        for worker in workers:
            worker.start()
        barrier.wait()
        started = time.perf_counter()
        for worker in workers:
            worker.join()
        return time.perf_counter() - started

    ones, eights = [], []
    for _ in range(effort.rounds(11)):
        ones.append(seconds(1))
        eights.append(seconds(THREADS))
    one, eight = statistics.median(ones), statistics.median(eights)
    return [
        Result(
            "cached verify, 8 threads over 1",
            one / eight,
            "x throughput",
            0.95,
            ">=",
            f"{CALLS / eight:,.0f} over {CALLS / one:,.0f} calls a second",
        )
    ]
