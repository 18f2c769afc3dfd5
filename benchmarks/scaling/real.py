"""A real fleet on this machine: processes over HTTP, and a Redis between them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from benchmarks.scaling.worker import Counted, Job

if TYPE_CHECKING:
    from benchmarks.scaling.fleet import Fleet

ROOT = Path(__file__).parents[2]

_LEAD = 0.2
"""Seconds from the last process that is ready to the first request."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a real fleet did, a second; see `Prediction`.

    Attributes:
        requests: It was sent.
        calls: See `Prediction`.
        lookups: See `Prediction`.
        late: The longest that a request came after its time, in seconds.
    """

    requests: float
    calls: float
    lookups: float
    late: float


class Workers:
    """Processes that do one job after the other; a context manager that ends them.

    Args:
        number: How many.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.scaling.worker"]
        for _ in range(self._number):
            pipe = subprocess.PIPE
            self._processes.append(
                subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)  # noqa: S603
            )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            with contextlib.suppress(OSError):
                _pipe(process.stdin).close()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _pipe(process.stdout).close()

    def do(
        self, jobs: Sequence[Job], meanwhile: Callable[[float], None] = lambda _begin: None
    ) -> list[Counted]:
        """Do the jobs at the same time, one in each process.

        Args:
            jobs: At most as many as there are processes.
            meanwhile: Is called with the time of the first request, in seconds of
                ``time.monotonic``, while the processes work.
        """
        processes = self._processes[: len(jobs)]
        for process, job in zip(processes, jobs, strict=True):
            self._tell(process, json.dumps(asdict(job)))
        for process in processes:
            _line(process)
        begin = time.monotonic() + _LEAD
        for process in processes:
            self._tell(process, str(begin))
        meanwhile(begin)
        return [Counted(**json.loads(_line(process))) for process in processes]

    def _tell(self, process: subprocess.Popen[str], line: str) -> None:
        pipe = _pipe(process.stdin)
        pipe.write(f"{line}\n")
        pipe.flush()


def jobs_of(
    fleet: Fleet, url: str, redis: str | None, *, warm_up: float, seconds: float
) -> Iterator[Job]:
    """Return the job of each process of a fleet."""
    for seed in range(fleet.everywhere):
        yield Job(
            url=url,
            redis=redis if fleet.shared else None,
            rate=fleet.rate / fleet.everywhere,
            tokens=fleet.tokens,
            zipf=fleet.zipf,
            ttl=fleet.ttl,
            max_entries=fleet.max_entries,
            warm_up=warm_up,
            seconds=seconds,
            seed=seed,
        )


def summed(counted: Sequence[Counted], seconds: float) -> Measured:
    """Return what the processes of a fleet did together."""
    return Measured(
        requests=sum(one.requests for one in counted) / seconds,
        calls=sum(one.calls for one in counted) / seconds,
        lookups=sum(one.misses for one in counted) / seconds,
        late=max(one.late for one in counted),
    )


def stood_still(ttl: float, late: float) -> bool:
    """Whether requests came so late that answers ended before: another load than was predicted."""
    return late > ttl / 4


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("the process has no pipes")
    return pipe


def _line(process: subprocess.Popen[str]) -> str:
    line = _pipe(process.stdout).readline()
    if not line:
        raise RuntimeError(f"a process of the fleet ended with status {process.wait(10)}")
    return line
