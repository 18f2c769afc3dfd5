"""What was measured, kept in one document and shown: ``results.json``, ``results.md``, plots.

The document alone holds the figures; the tables and the plots are drawn from it and can be drawn
again at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import plots
from benchmarks.report.document import Run, load, measured_now, save, written
from benchmarks.report.markdown import page

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
    """Write the page and the plots from the document.

    Args:
        folder: Where ``results.json`` is.

    Returns:
        The names of the files, in the order of the page.

    Raises:
        FileNotFoundError: There is no document.
        ValueError: The document cannot be read; the text says what is wrong with it.
    """
    runs = load(folder)
    drawn = plots.drawn(runs)
    for plot in drawn:
        written(folder / f"{plot.name}.svg", plot.svg())
    written(folder / "results.md", page(runs, drawn))
    return ["results.md", *(f"{plot.name}.svg" for plot in drawn)]
