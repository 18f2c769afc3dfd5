"""docs/benchmarks: everything there is was measured, is drawn, and compares like with like."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "docs" / "benchmarks"


@pytest.fixture
def runs(benchmarks):
    """Return the runs that are published."""
    return benchmarks("report").load(FOLDER)


def test_every_benchmark_is_published(benchmarks, runs):
    """The soak too; a name that was given up leaves no figures behind."""
    assert list(benchmarks("registry").NAMES) == [run.name for run in runs]


def test_nothing_is_published_that_was_only_tried(runs):
    """One round tells that a benchmark runs, and no figure."""
    assert [] == [run.name for run in runs if run.effort < 1]


def test_every_plot_is_published(benchmarks, runs):
    """It is there, beside its caption, and no other one is."""
    names = {f"{plot.name}.svg" for plot in benchmarks("report.plots").drawn(runs)}
    assert names == {path.name for path in FOLDER.glob("*.svg")}
    figures = (FOLDER / "figures.md").read_text("utf-8")
    assert [] == [name for name in sorted(names) if f"]({name})" not in figures]


def test_no_panel_mixes_floors(benchmarks, runs):
    """A bar's floor is of the row's own process; beside peers stands ours of their rounds.

    A latency and a deadline are no floor that is measured: they are the same for everybody.
    """
    panelled, plots = benchmarks("report.bars").panelled, benchmarks("report.plots").drawn(runs)
    wrong = []
    for plot in plots:
        if not isinstance(plot.shows, tuple):
            continue
        for (case, unit), panel in panelled(plot.shows).items():
            theirs = [one for one in panel if not one.ours and not one.by.startswith("the floor")]
            if not unit.startswith("x ") or unit in ("x latency", "x deadline") or not theirs:
                continue
            ours = [one for one in panel if one.ours]
            if not ours or any(one.bar is not None for one in ours):
                wrong.append((plot.name, case))
    assert [] == wrong
