"""Interleaved measurements and their verdicts.

Two candidates are timed in turn, round after round, so that a machine which slows down slows both;
what is reported is the ratio of the medians. Times by themselves do not carry over to another
machine, ratios do.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time a row may take."""

    full: bool = False

    def rounds(self, short: int) -> int:
        """Return ``short`` rounds, or five times as many."""
        return short * 5 if self.full else short


@dataclass(frozen=True, slots=True)
class Result:
    """One figure beside its bar.

    Attributes:
        row: What was measured.
        figure: The ratio, count or size.
        unit: What the figure is of.
        bar: What it must not miss.
        side: Whether the figure must be at most or at least the bar.
        detail: The absolute values behind the ratio.
    """

    row: str
    figure: float
    unit: str
    bar: float
    side: Literal["<=", ">="] = "<="
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.figure <= self.bar if self.side == "<=" else self.figure >= self.bar

    def as_dict(self) -> dict[str, Any]:
        """Return every field and the verdict."""
        return asdict(self) | {"met": self.met}


def interleaved(
    candidates: Mapping[str, Callable[[], object]], *, number: int, rounds: int
) -> dict[str, float]:
    """Return the median seconds of one call, by candidate.

    Args:
        candidates: What to time, by name.
        number: Calls a round.
        rounds: Rounds; each times every candidate once.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        call()
    gc.collect()
    for _ in range(rounds):
        for name, call in candidates.items():
            loop = range(number)
            started = time.perf_counter()
            for _ in loop:
                call()
            times[name].append((time.perf_counter() - started) / number)
    return {name: statistics.median(taken) for name, taken in times.items()}


def micro(seconds: float) -> str:
    """Return seconds as microseconds, to read."""
    return f"{seconds * 1e6:.2f} µs"


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    lines = ["| row | measured | bar | | behind it |", "|---|---|---|---|---|"]
    lines += [
        f"| {r.row} | {r.figure:.3g} {r.unit} | {r.side} {r.bar:g} "
        f"| {'met' if r.met else 'MISSED'} | {r.detail} |"
        for r in results
    ]
    return "\n".join(lines)
