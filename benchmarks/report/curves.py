"""How a cost grows: lines over a size, the slope of each in the legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from benchmarks.report.style import (
    LINES,
    MARKERS,
    canvas,
    headed,
    logarithmic,
    plain_number,
    quiet,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.findings import Curve, Line

_HEIGHT, _ENTRY = 3.7, 0.21
_TICKS = 8
_WIDE = 5.0
"""Over this, largest over smallest, an axis becomes logarithmic."""


def figure(curve: Curve) -> Figure:
    """Return the figure of a curve."""
    made, (ax,) = canvas(_HEIGHT + _ENTRY * len(curve.lines))
    headed(made, curve.title)
    for number, line in enumerate(curve.lines):
        _line(ax, number, line)
    points = [point for line in curve.lines for point in line.points]
    _scale(ax, sorted({point.x for point in points}), [point.y for point in points])
    ax.set_xlabel(logarithmic(curve.x, is_so=ax.get_xscale() == "log"))
    ax.set_ylabel(logarithmic(curve.y, is_so=ax.get_yscale() == "log"))
    quiet(ax, grid="both")
    # Below, where it hides nothing whichever way the lines go.
    made.legend(loc="outside lower left", ncols=1)
    return made  # type: ignore[no-any-return]


def named(line: Line) -> str:
    """Return a line's name and its slope, in words."""
    if math.isnan(line.slope):
        return line.name
    growth = f"\N{MULTIPLICATION SIGN}{10**line.slope:.3g} per tenfold"
    return f"{line.name}: {growth}, exponent {line.slope:.2f}"


def _line(ax: Axes, number: int, line: Line) -> None:
    colour, marker = LINES[number % len(LINES)], MARKERS[number % len(MARKERS)]
    xs, ys = [point.x for point in line.points], [point.y for point in line.points]
    ax.plot(xs, ys, color=colour, marker=marker, markersize=5, linewidth=1.8, label=named(line))
    for point in line.points:
        if point.spread is not None:
            ax.vlines(point.x, *point.spread, color=colour, linewidth=1)


def _scale(ax: Axes, xs: Sequence[float], ys: Sequence[float]) -> None:
    if is_wide(xs):
        ax.set_xscale("log")
        if len(xs) <= _TICKS:
            ax.xaxis.set_major_locator(FixedLocator(xs))
            ax.xaxis.set_minor_locator(NullLocator())
    elif all(x == int(x) for x in xs):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if is_wide(ys):
        ax.set_yscale("log")
        several = max(ys) / min(ys) > 100
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if several else (1.0, 2.0, 5.0)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_ylim(min(0.0, *ys), 1.15 * max(ys) or 1)
    ax.xaxis.set_major_formatter(FuncFormatter(plain_number))
    ax.yaxis.set_major_formatter(FuncFormatter(plain_number))


def is_wide(values: Sequence[float]) -> bool:
    """Whether values need a logarithmic axis, and can have one."""
    return min(values) > 0 and max(values) / min(values) > _WIDE
