"""One token that nobody has asked about, presented by 32 threads at once."""

from __future__ import annotations

import statistics
import threading
import time

from benchmarks.harness import Effort, Result
from benchmarks.parts import client_for, new_token
from benchmarks.upstream import Upstream, running
from tokenward import AuthServiceUnavailable, IntrospectionVerifier

THREADS = 32
LATENCY = 0.02


def measure(effort: Effort) -> list[Result]:
    """Count the calls that reach the endpoint, and time the last thread to be answered."""
    with running() as upstream:
        return [
            result
            for status in (200, 503)
            for result in _measure(upstream, status, effort.rounds(9))
        ]


def _measure(upstream: Upstream, status: int, rounds: int) -> list[Result]:
    calls, times, outcomes = [], [], set()
    for _ in range(rounds):
        verifier = IntrospectionVerifier(
            client_for(upstream.url(delay=LATENCY, status=status)), audience="bench"
        )
        token = new_token()
        barrier = threading.Barrier(THREADS + 1)

        def ask(
            verifier: IntrospectionVerifier = verifier,
            token: str = token,
            barrier: threading.Barrier = barrier,
        ) -> None:
            barrier.wait()
            try:
                verifier.verify(token)
                outcomes.add(200)
            except AuthServiceUnavailable:
                outcomes.add(503)

        threads = [threading.Thread(target=ask) for _ in range(THREADS)]
        before = upstream.calls()
        for thread in threads:
            thread.start()
        barrier.wait()
        started = time.perf_counter()
        for thread in threads:
            thread.join()
        times.append(time.perf_counter() - started)
        calls.append(upstream.calls() - before)
        verifier.close()
    if outcomes != {status}:
        raise RuntimeError(f"expected every thread to see {status}, got {outcomes}")
    row = f"32 threads, one cold token, upstream {status}"
    return [
        Result(row, max(calls), "calls", 1, detail=f"in each of {rounds} rounds at most"),
        Result(
            row,
            statistics.median(times) / LATENCY,
            "x latency",
            1.5,
            detail=f"{statistics.median(times) * 1e3:.1f} ms at {LATENCY * 1e3:.0f} ms",
        ),
    ]
