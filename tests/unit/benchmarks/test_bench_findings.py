"""benchmarks/findings.py: a slope is reckoned, and everything can be written down and read."""

import json
import math

import pytest


@pytest.fixture
def findings(benchmarks):
    return benchmarks("findings")


@pytest.mark.parametrize(
    ("figure", "bar", "side", "met"),
    [
        (1.2, 1.2, "<=", True),
        (1.3, 1.2, "<=", False),
        (1.3, 1.2, ">=", True),
        (1.1, 1.2, ">=", False),
        (None, 1.2, "<=", None),
        (1.1, None, "<=", None),
    ],
)
def test_a_figure_has_a_verdict(findings, figure, bar, side, met):
    """Where there is a figure and a bar."""
    assert met == findings.Result("row", figure, "x", bar, side).met


@pytest.mark.parametrize(
    ("by", "ours"),
    [
        ("tokenward", True),
        ("tokenward, SQLite", True),
        ("tokenwardish 1.0", False),
        ("PyJWT", False),
    ],
)
def test_ours_is_told_from_a_peers(findings, by, ours):
    """By what stands before the comma."""
    assert ours == findings.Result("row", 1, "x", None, by=by).ours


@pytest.mark.parametrize(("power", "factor"), [(0, 1), (1, 1_000), (2, 1_000_000), (-1, 0.001)])
def test_a_slope_is_the_exponent(findings, power, factor):
    """Whatever the unit."""
    points = [findings.Point(x, 7 * x**power) for x in (10, 100, 1_000, 10_000)]
    line = findings.Line("line", points)
    assert power == pytest.approx(line.slope)
    assert factor == pytest.approx(line.factor)


@pytest.mark.parametrize(
    "points", [[(1, 1)], [(1, 0), (10, 5)], [(0, 1), (10, 5)], [(3, 1), (3, 2)]]
)
def test_a_line_without_a_slope_has_none(findings, points):
    """One size, or nothing: no exponent says how it grows, and none is written down."""
    line = findings.Line("line", [findings.Point(*point) for point in points])
    assert math.isnan(line.slope)
    assert line.as_dict()["slope"] is None


def test_what_grew_from_nothing_has_no_factor(findings):
    """It is written down as none."""
    line = findings.Line("line", [findings.Point(1, 0), findings.Point(2, 3)])
    assert line.as_dict()["factor"] is None


def test_every_finding_can_be_read_again(findings):
    """From JSON, to the same value."""
    result = findings.Result(
        "row", 1.5, "x", 2, ">=", "why", by="peer 1", topic="t", spread=(1, 2), case="c"
    )
    points = (findings.Point(1, 2.0, (1.5, 2.5)), findings.Point(10, 3.0))
    curve = findings.Curve("name", "title", "x", "y", (findings.Line("line", points),), "how")
    marks = (findings.Mark(1, 2, "killed"),)
    timeline = findings.Timeline("name", "t", "y", [0, 1], {"200": [1, 2]}, marks, stacked=True)
    for one in (result, curve, timeline):
        assert one == type(one).from_dict(json.loads(json.dumps(one.as_dict())))
