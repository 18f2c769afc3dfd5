"""Sizes, and the lines over them."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from benchmarks.findings import Line, Point
from benchmarks.harness import Effort, interleaved, quartiles

MICROSECONDS = 1e6
"""In a second: what the seconds of a call are multiplied by."""

T = TypeVar("T")

Calls = Mapping[str, Mapping[int, Callable[[], object]]]
"""What is called: of each line, at each size."""


def of_effort(effort: Effort, *, once: T, short: T, full: T) -> T:
    """Return what belongs to an effort: whether it runs at all, minutes, or as much as there is."""
    if effort.scale > 1:
        return full
    return short if effort.scale else once


def tenfold(first: int, last: int) -> tuple[int, ...]:
    """Return the sizes from ``first`` to ``last``, each ten times the one before."""
    powers = (first * 10**n for n in itertools.count())
    return tuple(itertools.takewhile(lambda size: size <= last, powers))


def timed(
    calls: Calls,
    *,
    number: int,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Line]:
    """Time every line at every size in turn, and return the lines in microseconds a call.

    Args:
        calls: What is called; the lines may have sizes of their own.
        number: Calls a round.
        rounds: Rounds; each point is their median, with their quartiles.
        clock: See `benchmarks.harness.interleaved`.
    """
    candidates = {
        f"{size} {name}": call for name, sizes in calls.items() for size, call in sizes.items()
    }
    taken = interleaved(candidates, number=number, rounds=rounds, clock=clock)
    return [
        Line(name, [_point(size, taken.rounds[f"{size} {name}"]) for size in sorted(sizes)])
        for name, sizes in calls.items()
    ]


def point(size: float, values: Sequence[float]) -> Point:
    """Return the median of the rounds, with their quartiles."""
    return Point(size, statistics.median(values), quartiles(values))


def _point(size: int, seconds: Sequence[float]) -> Point:
    return point(size, [one * MICROSECONDS for one in seconds])


def worst(lines: Sequence[Line]) -> Line:
    """Return the line that grows most over its sizes."""
    return max(lines, key=lambda line: line.factor)


def times(line: Line) -> str:
    """Return what the whole growth costs, to read."""
    if line.factor < 2:
        return f"{line.factor:.2f} times"
    return f"{line.factor:.2g} times" if line.factor < 100 else f"{line.factor:,.0f} times"
