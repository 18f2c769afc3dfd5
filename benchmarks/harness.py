"""Interleaved measurements and their verdicts.

Candidates are timed in turn, round after round, so that a machine which slows down slows all of
them; what is reported is the median of the rounds' ratios. Times by themselves do not carry over to
another machine, ratios do.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time a row may take.

    Attributes:
        scale: Rounds, as a multiple of what the short way takes.
    """

    scale: float = 1

    def rounds(self, short: int) -> int:
        """Return how many rounds stand for ``short`` ones; at least one."""
        return max(1, round(short * self.scale))


@dataclass(frozen=True, slots=True)
class Taken:
    """The seconds that one call took: of every candidate, round by round."""

    rounds: Mapping[str, Sequence[float]]

    def __getitem__(self, name: str) -> float:
        """Return the median."""
        return statistics.median(self.rounds[name])

    def over(self, name: str, floor: str) -> float:
        """Return how many times ``floor`` the candidate ``name`` takes.

        It is the median of the rounds' ratios, and not the ratio of the medians: on a machine that
        others use too, the two medians may come from stretches of different speed.
        """
        return statistics.median(self._ratios(name, floor))

    def spread(self, name: str, floor: str) -> tuple[float, float] | None:
        """Return the quartiles, first and third, of what `over` returns the median of."""
        return quartiles(self._ratios(name, floor))

    def _ratios(self, name: str, floor: str) -> list[float]:
        rounds = zip(self.rounds[name], self.rounds[floor], strict=True)
        return [one / other for one, other in rounds]


def quartiles(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the first and the third quartile; ``None`` of fewer than two values."""
    if len(values) < 2:
        return None
    first, _median, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    *,
    number: int,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Taken:
    """Time the candidates in turn.

    Args:
        candidates: What to time, by name.
        number: Calls a round.
        rounds: Rounds; each times every candidate once, in an order of its own, so that none
            always finds the caches as the same other one has left them.
        clock: Seconds. For work that waits for nobody, ``time.thread_time`` leaves out what the
            machine did for others in the meantime.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        call()
    order, shuffle = list(candidates.items()), random.Random(0).shuffle  # noqa: S311 - no secret
    gc.collect()
    for _ in range(rounds):
        shuffle(order)
        for name, call in order:
            loop = range(number)
            started = clock()
            for _ in loop:
                call()
            times[name].append((clock() - started) / number)
    return Taken(times)


def micro(seconds: float) -> str:
    """Return seconds as microseconds, to read."""
    return f"{seconds * 1e6:.2f} µs"
