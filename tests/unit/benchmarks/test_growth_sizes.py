"""benchmarks/growth: how lines over sizes are made."""

import json
import sys
from pathlib import Path

import pytest


def test_sizes_grow_tenfold(benchmarks):
    """From the first to the last, both among them."""
    assert (100, 1_000, 10_000) == benchmarks("growth.sizes").tenfold(100, 10_000)
    assert (1,) == benchmarks("growth.sizes").tenfold(1, 9)


@pytest.mark.parametrize(("scale", "size"), [(0, 1), (0.5, 2), (1, 2), (5, 3)])
def test_an_effort_has_its_sizes(benchmarks, scale, size):
    """Tiny ones where only whether it runs is asked for, all there are where an hour is given."""
    effort = benchmarks("harness").Effort(scale)
    assert size == benchmarks("growth.sizes").of_effort(effort, once=1, short=2, full=3)


def test_every_line_is_timed_at_each_of_its_sizes(benchmarks):
    """In microseconds a call, in the order of the sizes, with quartiles."""
    findings, now = benchmarks("findings"), [0.0]

    def call(seconds):
        return lambda: now.__setitem__(0, now[0] + seconds)

    lines = benchmarks("growth.sizes").timed(
        {"a": {10: call(3), 1: call(2)}, "b": {1: call(5)}},
        number=4,
        rounds=3,
        clock=lambda: now[0],
    )
    points = [[findings.Point(x, x_y, (x_y, x_y)) for x, x_y in at] for at in _TIMED]
    assert [("a", points[0]), ("b", points[1])] == [(line.name, line.points) for line in lines]


_TIMED = [[(1, 2e6), (10, 3e6)], [(1, 5e6)]]


def test_a_point_is_the_median_of_its_rounds(benchmarks):
    """With the quartiles; one round has none."""
    sizes, point = benchmarks("growth.sizes"), benchmarks("findings").Point
    assert point(7, 3, (2, 4)) == sizes.point(7, [5, 1, 3, 2, 4])
    assert point(7, 5, None) == sizes.point(7, [5])


@pytest.mark.parametrize(
    ("last", "said"),
    [(0.5, "0.50 times"), (1.002, "1.00 times"), (3.14, "3.1 times"), (1234.5, "1,234 times")],
)
def test_growth_is_said_in_words(benchmarks, last, said):
    """A few digits of it, or whole numbers."""
    findings = benchmarks("findings")
    line = findings.Line("a", [findings.Point(1, 1), findings.Point(10, last)])
    assert said == benchmarks("growth.sizes").times(line)


def test_the_line_that_grows_most_is_the_worst(benchmarks):
    """By what the whole growth costs, not by its height."""
    findings = benchmarks("findings")
    high = findings.Line("high", [findings.Point(1, 50), findings.Point(10, 51)])
    steep = findings.Line("steep", [findings.Point(1, 1), findings.Point(10, 3)])
    assert steep == benchmarks("growth.sizes").worst([high, steep])


def test_lines_of_the_peers_environment_are_read(benchmarks, tmp_path):
    """Each line of JSON is one; nothing is missing then."""
    findings, python = benchmarks("findings"), tmp_path / "python"
    told = findings.Line("joserfc", (findings.Point(1, 2.0, (1.0, 3.0)), findings.Point(2, 2.5)))
    python.write_text(f"#!/bin/sh\necho '{json.dumps(told.as_dict())}'\n")
    python.chmod(0o700)
    inside = benchmarks("growth.inside")
    effort = benchmarks("harness").Effort(0)
    assert ([told], "") == inside.with_peers("token_sizes", effort, made=lambda: python)


def test_what_fails_in_the_peers_environment_is_measured_without_them(benchmarks):
    """In this one the peers are missing: the lines are ours, and the reason is told."""
    inside, effort = benchmarks("growth.inside"), benchmarks("harness").Effort(0)
    lines, missing = inside.with_peers("token_sizes", effort, made=lambda: Path(sys.executable))
    assert "tokenward, first verify" == lines[0].name
    assert "The peers were not measured: ModuleNotFoundError" in missing
