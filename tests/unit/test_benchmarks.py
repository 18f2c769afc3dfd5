"""benchmarks/: the figures are told as they are, and what could not be measured is told too."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmarks(monkeypatch):
    """Import a module of the benchmarks, which are no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.{name}")


def test_a_ratio_is_that_of_a_round(benchmarks):
    """One that fell into a slow stretch alone does not count for more than one round."""
    taken = benchmarks("harness").Taken({"one": [2, 20, 2], "floor": [1, 10, 10]})
    assert (2, 2.0) == (taken["one"], taken.over("one", "floor"))


def test_every_candidate_is_timed_in_every_round(benchmarks):
    """By the clock that was handed in, whatever the order of a round."""
    harness, now, calls = benchmarks("harness"), [0.0], {"a": 0, "b": 0}

    def candidate(name, seconds):
        def call():
            calls[name] += 1
            now[0] += seconds

        return call

    taken = harness.interleaved(
        {"a": candidate("a", 1), "b": candidate("b", 3)},
        number=2,
        rounds=5,
        clock=lambda: now[0],
    )
    assert {"a": 11, "b": 11} == calls
    assert {"a": [1.0] * 5, "b": [3.0] * 5} == taken.rounds


@pytest.mark.parametrize(
    ("figure", "bar", "line"),
    [
        (1.1, 1.2, "| row | 1.1 x | <= 1.2 | met | why |"),
        (1.3, 1.2, "| row | 1.3 x | <= 1.2 | MISSED | why |"),
        (3.5, None, "| row | 3.5 x |  |  | why |"),
        (None, None, "| row | - |  |  | why |"),
    ],
)
def test_a_figure_stands_in_the_table(benchmarks, figure, bar, line):
    """With its verdict if it has a bar; a peer's figure has none."""
    harness = benchmarks("harness")
    result = harness.Result("row", figure, "x", bar, detail="why")
    assert line == harness.table([result]).splitlines()[-1]


def test_an_environment_that_cannot_be_made_says_why(benchmarks, tmp_path):
    """The reason is that of the program which failed."""
    (tmp_path / "file").write_text("in the way")
    environment = benchmarks("environment")
    with pytest.raises(environment.Unavailable, match="Not a directory"):
        environment.interpreter(tmp_path / "file" / "env")


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ("WARNING: slow\nERROR: no such release\nnotice: a new pip\n", "ERROR: no such release"),
        ("Traceback\n  File\nKeyError: 'x'\n\n", "KeyError: 'x'"),
        ("", "it said nothing"),
    ],
)
def test_a_reason_is_one_line(benchmarks, errors, said):
    """It is what pip calls an error, or else the last line."""
    assert said == benchmarks("environment").last_line(errors)


def test_peers_without_an_environment_are_told_of(benchmarks):
    """No row is left out in silence."""
    environment, effort = benchmarks("environment"), benchmarks("harness").Effort(0)

    def made():
        raise environment.Unavailable("no network")

    results = benchmarks("rows.peers").measure(effort, made=made)
    assert [
        ("peers of flask", None, "not measured: no network"),
        ("peers of django", None, "not measured: no network"),
    ] == [(result.row, result.figure, result.detail) for result in results]


def test_peers_that_fail_are_told_of(benchmarks):
    """Here they are not installed, and so each framework has the reason in the place of figures."""
    effort = benchmarks("harness").Effort(0)
    results = benchmarks("rows.peers").measure(effort, made=lambda: Path(sys.executable))
    reason = "not measured: ModuleNotFoundError: No module named "
    assert [None, None] == [result.figure for result in results]
    assert [reason, reason] == [result.detail[: len(reason)] for result in results]


def test_the_rows_of_the_frameworks_run(tmp_path):
    """One round of each, in a process of their own: every view answers 200."""
    figures = tmp_path / "bench.json"
    command = ["-m", "benchmarks", "--once", "--output", str(figures)]
    rows = ["flask_view", "django_view", "drf_view"]
    subprocess.run([sys.executable, *command, *rows], cwd=ROOT, check=True, capture_output=True)
    results = json.loads(figures.read_text("utf-8"))["results"]
    assert [
        "Flask, protected view on a hit",
        "Django, protected view on a hit",
        "DRF, protected view on a hit",
    ] == [result["row"] for result in results]
