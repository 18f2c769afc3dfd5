"""Which plots there are to draw, from everything that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.findings import Curve, Result, Timeline
from benchmarks.report.topics import topic

if TYPE_CHECKING:
    from benchmarks.report.document import Run


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, not yet drawn.

    Attributes:
        name: Of the file, without its suffix.
        benchmark: The name of the benchmark that measures it.
        title: Above the plot.
        about: What it shows.
        shows: A curve, a timeline, or the results of one topic.
    """

    name: str
    benchmark: str
    title: str
    about: str
    shows: Curve | Timeline | tuple[Result, ...]

    def svg(self) -> str:
        """Draw it; return the file's text."""
        # Whoever only tabulates needs no plotting library.
        from benchmarks.report import bars, curves, timelines  # noqa: PLC0415
        from benchmarks.report.style import styled, svg  # noqa: PLC0415

        with styled():
            if isinstance(self.shows, Curve):
                figure = curves.figure(self.shows)
            elif isinstance(self.shows, Timeline):
                figure = timelines.figure(self.shows)
            else:
                figure = bars.figure(self.title, self.shows)
            return svg(figure, title=self.title, about=self.about)


def drawn(runs: Sequence[Run]) -> list[Plot]:
    """Return the plots of all runs, in the order of the runs.

    A topic's plot belongs to the first run that has a figure of it.
    """
    return [plot for run in runs for plot in _plots(run, runs)]


def _plots(run: Run, runs: Sequence[Run]) -> list[Plot]:
    results = [one for other in runs for one in other.findings if isinstance(one, Result)]
    first = {name: next(other for other in runs if name in _topics(other)) for name in _topics(run)}
    plots = [
        Plot(
            name,
            run.name,
            topic(name).title,
            topic(name).about,
            tuple(one for one in results if one.topic == name),
        )
        for name, owner in first.items()
        if owner is run
    ]
    others = (one for one in run.findings if isinstance(one, (Curve, Timeline)))
    return plots + [Plot(one.name, run.name, one.title, one.detail, one) for one in others]


def _topics(run: Run) -> list[str]:
    results = (one for one in run.findings if isinstance(one, Result))
    return list(dict.fromkeys(one.topic for one in results if one.topic))
