"""What was measured, kept in one document and shown.

``results.json`` alone holds the figures. From it come the plots, ``figures.md`` with their captions
and ``results.md`` with the tables, which can be drawn again at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import plots
from benchmarks.report.document import Run, load, measured_now, save, written
from benchmarks.report.markdown import figures, page

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Run", "draw", "load", "measured_now", "publish", "save"]


def publish(folder: Path, run: Run) -> None:
    """Put a run in the place of the last one of its name, and draw everything anew.

    Args:
        folder: Where ``results.json`` is, or is to be.
        run: What was measured.
    """
    save(folder, run)
    draw(folder)


def draw(folder: Path) -> list[str]:
    """Write the pages and the plots from the document.

    Args:
        folder: Where ``results.json`` is.

    Returns:
        The names of the files: the pages, then the plots in the order in which they are shown.

    Raises:
        FileNotFoundError: There is no document.
        ValueError: The document cannot be read; the text says what is wrong with it.
    """
    runs = load(folder)
    drawn = plots.drawn(runs)
    for plot in drawn:
        written(folder / f"{plot.name}.svg", plot.svg())
    written(folder / "figures.md", figures(runs, drawn))
    written(folder / "results.md", page(runs))
    return ["figures.md", "results.md", *(f"{plot.name}.svg" for plot in drawn)]
