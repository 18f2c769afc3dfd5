"""What happened second by second: areas or lines, and what was done meanwhile as shaded spans."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter

from benchmarks.report.curves import is_wide
from benchmarks.report.style import (
    INK,
    LINES,
    MUTED,
    canvas,
    headed,
    logarithmic,
    plain_number,
    quiet,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.findings import Mark, Timeline

_HEIGHT, _ENTRY, _LEVEL = 3.3, 0.21, 0.19
_LEVELS = 4
_CHARACTER = 0.0105
"""Of a mark's label: its width as a share of the axis."""

_POINTS = 1_200
_VERY = 100.0
# An answer has the same colour in every plot.
_ANSWERS = {"200": LINES[0], "401": LINES[4], "503": LINES[1], "500": "#d55e00", "reset": LINES[7]}


def figure(timeline: Timeline) -> Figure:
    """Return the figure of a timeline."""
    levels = _levels(timeline.marks, timeline.seconds)
    rows = len(timeline.kinds)
    height = _HEIGHT + _LEVEL * (max(levels, default=-1) + 1) + _ENTRY * (rows / 2)
    made, (ax,) = canvas(height)
    headed(made, timeline.title)
    seconds, kinds = thinned(timeline)
    colours = _colours(list(kinds))
    if timeline.stacked:
        labels = [_labelled(kind, values) for kind, values in kinds.items()]
        ax.stackplot(seconds, *kinds.values(), labels=labels, colors=colours, linewidth=0)
    else:
        for colour, (kind, values) in zip(colours, kinds.items(), strict=True):
            ax.plot(seconds, values, color=colour, linewidth=1.4, label=kind)
    _scale(ax, timeline, [value for values in kinds.values() for value in values])
    for mark, level in zip(timeline.marks, levels, strict=True):
        _mark(ax, mark, level)
    quiet(ax, grid="y")
    made.legend(loc="outside lower left", ncols=2 if rows > 1 else 1)
    return made  # type: ignore[no-any-return]


def thinned(timeline: Timeline) -> tuple[list[float], dict[str, list[float]]]:
    """Return the seconds and the kinds with so few points that the file stays small.

    Neighbours become their mean.
    """
    size = len(timeline.seconds) * max(1, len(timeline.kinds))
    together = -(-size // _POINTS)
    return list(timeline.seconds[::together]), {
        kind: [statistics.fmean(part) for part in _parts(values, together)]
        for kind, values in timeline.kinds.items()
    }


def _labelled(kind: str, values: Sequence[float]) -> str:
    return kind if any(values) else f"{kind} (none)"


def _parts(values: Sequence[float], size: int) -> list[Sequence[float]]:
    return [values[first : first + size] for first in range(0, len(values), size)]


def _colours(kinds: list[str]) -> list[str]:
    free = [colour for colour in LINES if colour not in _ANSWERS.values()]
    others = (
        iter(free * len(kinds))
        if any(_answer(kind) for kind in kinds)
        else iter(LINES * len(kinds))
    )
    return [_answer(kind) or next(others) for kind in kinds]


def _answer(kind: str) -> str:
    return next((colour for word, colour in _ANSWERS.items() if kind.startswith(word)), "")


def _scale(ax: Axes, timeline: Timeline, values: Sequence[float]) -> None:
    first, last = timeline.seconds[0], timeline.seconds[-1]
    ax.set_xlim(first, last if last > first else first + 1)
    if not timeline.stacked and is_wide(values) and max(values) / min(values) > _VERY:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=min(0.0, *values, 0.0))
    ax.yaxis.set_major_formatter(FuncFormatter(plain_number))
    ax.xaxis.set_major_formatter(FuncFormatter(plain_number))
    ax.set_xlabel("seconds")
    ax.set_ylabel(logarithmic(timeline.y, is_so=ax.get_yscale() == "log"))


def _levels(marks: Sequence[Mark], seconds: Sequence[float]) -> list[int]:
    """Return how high each label stands, so that none is written over another."""
    whole = (seconds[-1] - seconds[0]) or 1
    ends = [-1.0] * _LEVELS
    levels = []
    for mark in marks:
        start = (mark.start - seconds[0]) / whole
        level = next((n for n, end in enumerate(ends) if end < start), _LEVELS - 1)
        ends[level] = start + _CHARACTER * (len(mark.label) + 2)
        levels.append(level)
    return levels


def _mark(ax: Axes, mark: Mark, level: int) -> None:
    ax.axvspan(mark.start, mark.end, color=INK, alpha=0.10, linewidth=0)
    ax.axvline(mark.start, color=MUTED, linewidth=0.8)
    ax.annotate(
        mark.label,
        (mark.start, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4 + 13 * level),
        textcoords="offset points",
        fontsize=8,
        color=INK,
        annotation_clip=False,
    )
