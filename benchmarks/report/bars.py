"""Results of one topic as horizontal bars: ours in its colour, peers in grey, the bar as a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.report.style import (
    BAR,
    INK,
    MUTED,
    OURS,
    PEER,
    canvas,
    headed,
    logarithmic,
    plain_number,
    quiet,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.findings import Result

Panel = list["Result"]

_ROW, _HEAD, _TOP = 0.25, 0.62, 0.45
_WIDE = 20.0
"""Over this, largest over smallest, an axis becomes logarithmic."""


def figure(title: str, results: Sequence[Result]) -> Figure:
    """Return the figure: a panel for each case and unit."""
    panels = panelled(results)
    heights = [_HEAD + _ROW * len(panel) for panel in panels.values()]
    made, axes = canvas(_TOP + sum(heights), panels=len(panels), ratios=heights)
    headed(made, title)
    for ax, ((case, unit), panel) in zip(axes, panels.items(), strict=True):
        if case:
            ax.set_title(case)
        _panel(ax, unit, panel)
    return made  # type: ignore[no-any-return]


def panelled(results: Sequence[Result]) -> dict[tuple[str, str], Panel]:
    """Return the panels by case and unit: ours above, then the others as their figures rise."""
    units = {one.case: one.unit for one in results if one.figure is not None}
    panels: dict[tuple[str, str], Panel] = {}
    for one in results:
        # What was not measured has no unit of its own to say.
        unit = one.unit or units.get(one.case, "")
        panels.setdefault((one.case, unit), []).append(one)
    return {key: sorted(panel, key=_order) for key, panel in panels.items()}


def labels(panel: Panel) -> list[str]:
    """Return what stands beside each bar: whose it is; if that is ambiguous, the row."""
    often = Counter(one.by for one in panel)
    return [one.by if often[one.by] == 1 else one.row for one in panel]


def is_logarithmic(figures: Sequence[float]) -> bool:
    """Whether figures lie so far apart that a linear axis would hide the small ones."""
    return bool(figures) and min(figures) > 0 and max(figures) / min(figures) > _WIDE


def _order(one: Result) -> tuple[bool, bool, float]:
    return not one.ours, one.figure is None, 0 if one.ours else one.figure or 0


def _panel(ax: Axes, unit: str, panel: Panel) -> None:
    shown = [value for one in panel for value in (one.figure, *(one.spread or ())) if value]
    zeros = any(one.figure == 0 for one in panel)
    bars = [one.bar for one in panel if one.bar is not None]
    wide = is_logarithmic(shown) and not zeros
    if wide:
        ax.set_xscale("log")
        left = 0.6 * min([*shown, *(bar for bar in bars if bar > 0)])
        ax.set_xlim(left, 3 * max(shown + bars))
        ax.xaxis.set_major_formatter(FuncFormatter(plain_number))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        left = min(0.0, *shown, 0.0)
        ax.set_xlim(1.1 * left, 1.22 * (max([*shown, *bars], default=1) or 1))
        ax.xaxis.set_major_formatter(FuncFormatter(plain_number))
        left = 0.0
    ax.set_xlabel(logarithmic(unit, is_so=wide), loc="left")
    for place, one in enumerate(panel):
        _bar(ax, place, one, left)
    ax.set_yticks(range(len(panel)), labels(panel))
    for label, one in zip(ax.get_yticklabels(), panel, strict=True):
        label.set_fontweight("bold" if one.ours else "normal")
    ax.set_ylim(len(panel) - 0.4, -0.6)
    quiet(ax, grid="x")
    ax.spines["left"].set_visible(False)


def _bar(ax: Axes, place: int, one: Result, left: float) -> None:
    if one.figure is None:
        _beside(ax, ax.get_xlim()[0], place, "not measured", color=MUTED, fontstyle="italic")
        return
    colour = OURS if one.ours else PEER
    ax.barh(place, one.figure - left, height=0.66, left=left, color=colour)
    end = one.figure
    if one.spread is not None:
        ax.hlines(place, *one.spread, color=INK, linewidth=1.1)
        end = max(end, *one.spread)
    said = f"{one.figure:,.3g}" if one.figure < 1_000 else f"{one.figure:,.0f}"
    if one.bar is None:
        _beside(ax, end, place, said)
        return
    ax.vlines(one.bar, place - 0.5, place + 0.5, color=BAR, linewidth=1.6)
    side = "at most" if one.side == "<=" else "at least"
    missed = "" if one.met else ", missed"
    weight = "normal" if one.met else "bold"
    beside = f"{said}  (bar: {side} {one.bar:g}{missed})"
    _beside(ax, max(end, one.bar), place, beside, fontweight=weight)


def _beside(ax: Axes, x: float, place: int, text: str, **more: Any) -> None:
    ax.annotate(
        text,
        (x, place),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        annotation_clip=False,
        **more,
    )
