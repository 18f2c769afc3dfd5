"""Whether something is flat: how fast it grew once everything was warm, beside what it may.

What counts is the smaller of two estimates that noise misleads in different ways: the median of
the slopes between all pairs of samples (Theil 1950, Sen 1968), which outliers do not move, and the
difference between the medians of the first and the last quarter, which a single early step does.
A leak shows in both.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from benchmarks.soak.sampling import BYTES, DESCRIPTORS, MEMORY, ROWS, THREADS, Reading
from benchmarks.soak.terms import HOUR

SHORTEST = 240
"""Seconds that a soak lasts at least if it is to tell: a leak of one a minute, or of three
descriptors, has to outgrow what comes and goes."""

WARM_UP = 0.2
"""Of the run: first uses fill caches, pools and the interpreter's own tables."""

LONGEST_WARM_UP = 0.5
"""Of the run: what is still growing by then is judged by its growth."""

_MOST_SAMPLES = 120
_QUARTER = 4


@dataclass(frozen=True, slots=True)
class Bound:
    """How much something may grow.

    Attributes:
        unit: Of the values.
        hourly: Of the trend, an hour.
        noise: What may come and go: a run that is too short for the trend to outgrow it is allowed
            this much besides, over the whole of what is judged.
        reason: Why these.
        share: Of the median value, what may come and go besides.
    """

    unit: str
    hourly: float
    noise: float
    reason: str
    share: float = 0

    def bar(self, hours: float, level: float) -> float:
        """Return what it may grow by an hour, seen for so many hours at such a median."""
        return self.hourly + (self.noise + self.share * level) / hours


BOUNDS: Mapping[str, Bound] = {
    MEMORY: Bound(
        "MiB",
        hourly=4,
        noise=1.5,
        reason="the interpreter takes memory by the MiB and gives it back seldom; what was revoked "
        "is remembered, in lists that are bounded and not full within an hour",
    ),
    DESCRIPTORS: Bound(
        "descriptors",
        hourly=1,
        noise=5,
        reason="callers, the pool and Redis are connected, or not, at the moment of the sample; on "
        "a machine that gets busier each thread waits with a connection of its own",
    ),
    THREADS: Bound(
        "threads",
        hourly=0.5,
        noise=1,
        reason="a pool starts its threads when they are first needed: the last one may come late",
    ),
    ROWS: Bound(
        "rows",
        hourly=0,
        noise=15,
        share=0.25,
        reason="what expired stays until the next clean-up: the sum goes up and down with it",
    ),
    BYTES: Bound(
        "bytes",
        hourly=0,
        noise=2**20,
        share=0.25,
        reason="a file keeps the room that rows have left, for the next ones; its log is written "
        "back by the megabyte",
    ),
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one measure of one subject.

    Attributes:
        measure: A key of `BOUNDS`.
        subject: Such as ``flask worker 1``.
        growth: An hour.
        bar: What it may be at most.
        first: The median of the first quarter of what was judged.
        last: That of the last.
    """

    measure: str
    subject: str
    growth: float
    bar: float
    first: float
    last: float

    @property
    def flat(self) -> bool:
        """Whether it grew by no more than it may."""
        return self.growth <= self.bar

    def sentence(self, *, tried: bool = False) -> str:
        """Return what happened, to read; of a soak that is too short to tell, that it was tried."""
        unit = BOUNDS[self.measure].unit
        if tried:
            return (
                f"{self.measure} of {self.subject} was tried: {self.first:.4g} to {self.last:.4g} "
                f"{unit}; whether it grows takes {SHORTEST} s to tell"
            )
        verdict = "stayed flat" if self.flat else "GREW"
        return (
            f"{self.measure} of {self.subject} {verdict}: {self.growth:+.3g} {unit} an hour, at "
            f"most {self.bar:.3g} ({self.first:.4g} to {self.last:.4g})"
        )


def warm_from(seconds: float, entries: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    """Return when everything was warm: after the first fifth, and not before caches are full.

    Args:
        seconds: How long the run was.
        entries: Of each process, how many entries its caches held when; full is nearly as many as
            they ever held.
    """
    full = [
        next(at for at, held in series if held >= 0.95 * max(held for _, held in series))
        for series in entries.values()
        if series
    ]
    return min(max([seconds * WARM_UP, *full]), seconds * LONGEST_WARM_UP)


def judge(
    readings: Iterable[Reading], *, warm: float, late: Mapping[str, float] = {}
) -> list[Judgement]:
    """Judge every measure that has a bound, of every subject that was there all the time.

    Args:
        readings: In order of time.
        warm: From when on they count, in seconds.
        late: Of some subjects, from when on theirs count, if that is later; where too little is
            left then, they are not judged.
    """
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    last = 0.0
    for reading in readings:
        last = max(last, reading.at)
        if reading.at >= max(warm, late.get(reading.subject, 0)):
            for measure in reading.values.keys() & BOUNDS.keys():
                key = (measure, reading.subject)
                series.setdefault(key, []).append((reading.at, reading.values[measure]))
    return [
        _judgement(measure, subject, points)
        for (measure, subject), points in sorted(series.items())
        if len(points) >= 2 * _QUARTER and _lasts(points) >= _least(subject, warm, last, late)
    ]


def _lasts(points: Sequence[tuple[float, float]]) -> float:
    return points[-1][0] - points[0][0]


def _least(subject: str, warm: float, last: float, late: Mapping[str, float]) -> float:
    # Who was replaced is counted elsewhere, and one half of a trend is none.
    whole = 0.8 * (last - warm)
    return min(whole, SHORTEST * (1 - LONGEST_WARM_UP)) if subject in late else whole


def _judgement(measure: str, subject: str, points: Sequence[tuple[float, float]]) -> Judgement:
    quarter = len(points) // _QUARTER
    head, tail = points[:quarter], points[-quarter:]
    first, last = (statistics.median(value for _, value in part) for part in (head, tail))
    between = statistics.fmean(at for at, _ in tail) - statistics.fmean(at for at, _ in head)
    growth = min((last - first) / between, slope(points)) * HOUR
    level = statistics.median(value for _, value in points)
    bar = BOUNDS[measure].bar(between / HOUR, level)
    return Judgement(measure, subject, growth, bar, first, last)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the median slope between all pairs of points, by the second."""
    # Of an hour every few samples will do: pairs go with the square.
    thinned = points[:: len(points) // _MOST_SAMPLES + 1]
    return statistics.median(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in combinations(thinned, 2)
    )
