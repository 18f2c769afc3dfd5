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
from dataclasses import asdict, dataclass
from typing import Any, Literal


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
class Result:
    """One figure beside its bar.

    Attributes:
        row: What was measured.
        figure: The ratio, count or size; ``None``: it could not be measured, and ``detail`` says
            why.
        unit: What the figure is of.
        bar: What it must not miss; ``None``: it is somebody else's figure, to compare with.
        side: Whether the figure must be at most or at least the bar.
        detail: The absolute values behind the ratio.
    """

    row: str
    figure: float | None
    unit: str
    bar: float | None
    side: Literal["<=", ">="] = "<="
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; ``None``: there is nothing to tell."""
        if self.figure is None or self.bar is None:
            return None
        return self.figure <= self.bar if self.side == "<=" else self.figure >= self.bar

    def as_dict(self) -> dict[str, Any]:
        """Return every field and the verdict."""
        return asdict(self) | {"met": self.met}


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
        rounds = zip(self.rounds[name], self.rounds[floor], strict=True)
        return statistics.median(one / other for one, other in rounds)


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


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    lines = ["| row | measured | bar | | behind it |", "|---|---|---|---|---|"]
    for r in results:
        figure = "-" if r.figure is None else f"{r.figure:.4g} {r.unit}"
        bar = "" if r.bar is None else f"{r.side} {r.bar:g}"
        verdict = {True: "met", False: "MISSED", None: ""}[r.met]
        lines.append(f"| {r.row} | {figure} | {bar} | {verdict} | {r.detail} |")
    return "\n".join(lines)
