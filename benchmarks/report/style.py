"""How every plot looks, and how it becomes SVG.

The colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which people with any
kind of colour vision tell apart; ours is one of them everywhere. The card is light and opaque, so
that a plot reads the same on a dark page.
"""

from __future__ import annotations

import io
import re
import textwrap
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS = "#0072b2"
PEER = "#b4b4b4"
BAR = "#d55e00"
INK = "#1f2328"
MUTED = "#59636e"
CARD = "#fcfcfa"
GRID = "#e3e3df"
LINES = (OURS, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#000000", "#8c6d1f", "#7f7f7f")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

WIDTH = 8.0
"""Inches."""

_TITLE = 76
"""Characters that a title has room for in a line."""

# Text stays text: it can be selected, searched and read aloud, and is a third of the size. A reader
# without the first font gets a narrower one, which fits where the first one did.
_FONTS = "'DejaVu Sans', Verdana, 'Liberation Sans', Arial, sans-serif"
_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tokenward",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.facecolor": CARD,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "figure.facecolor": CARD,
    "savefig.facecolor": CARD,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_FONT = "; font-family: 'DejaVu Sans'"

_metadata = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_unturned = re.compile(r' transform="rotate\(-0 [^"]*"')
_place = re.compile(r'(?<= [dxy]=")[^"]*')
_number = re.compile(r"-?\d+\.\d{2,}")


def styled() -> Any:
    """Return a context in which figures get this look."""
    return rc_context(_RC)


def canvas(height: float, *, panels: int = 1, ratios: list[float] | None = None) -> Any:
    """Return a figure and its axes, one above the other.

    Args:
        height: Inches.
        panels: How many axes.
        ratios: Their heights, as shares.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, hspace=0.03)
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    axes = figure.subplots(
        panels, 1, squeeze=False, gridspec_kw={"height_ratios": ratios or [1] * panels}
    )
    return figure, [row[0] for row in axes]


def headed(figure: Figure, title: str) -> None:
    """Put the title above everything, from the left."""
    figure.suptitle(
        textwrap.fill(title, _TITLE), x=0.016, ha="left", fontsize=11.5, fontweight="bold"
    )


def plain_number(value: float, _position: object = None) -> str:
    """Return a number for an axis: 0.3, 20, 10,000."""
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def logarithmic(label: str, *, is_so: bool) -> str:
    """Return an axis's label, which says so where the axis is logarithmic."""
    return f"{label} (logarithmic axis)".strip() if is_so else label


def quiet(axes: Axes, *, grid: str) -> None:
    """Leave the grid of one direction, and no line where nothing is read off."""
    axes.grid(visible=False, axis="both")
    axes.grid(visible=True, axis=grid)  # type: ignore[arg-type] # "x" or "y"
    axes.tick_params(length=0)


def svg(figure: Figure, *, title: str, about: str) -> str:
    """Return a figure as SVG: the same figure is always the same text.

    Args:
        figure: What to draw, made in `styled`.
        title: For whoever does not see it: what it is.
        about: What it shows.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # The font once, places to a tenth of a point, no turn by nothing: that is half the size.
    text = _unturned.sub("", _metadata.sub("", file.getvalue()).replace(_FONT, ""))
    text = _place.sub(lambda place: _number.sub(_short, place[0]), text)
    before, attributes, after = re.split(r"<svg([^>]*)>", text, maxsplit=1)
    named = 'role="img" aria-labelledby="title desc"'
    return (
        f'{before}<svg {named} font-family="{_FONTS}"{attributes}>\n'
        f' <title id="title">{escape(title)}</title>\n'
        f' <desc id="desc">{escape(about)}</desc>{after}'
    )


def _short(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")
