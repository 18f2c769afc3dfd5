"""benchmarks/report: plots say what was measured, in a form that reads anywhere."""

import re
from xml.etree import ElementTree as ET

import pytest

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def findings(benchmarks):
    return benchmarks("findings")


@pytest.fixture
def draw(benchmarks):
    """Draw findings of one benchmark; return each plot's SVG by its name."""
    document, plots = benchmarks("report.document"), benchmarks("report.plots")

    def drawn(*found):
        run = document.Run("login", "2026-01-02T03:04:05Z", "abc", 1, 2.5, {}, {}, found)
        return {plot.name: plot.svg() for plot in plots.drawn([run])}

    return drawn


@pytest.fixture
def curve(findings):
    """Make a curve of these points."""

    def make(points, name="growth-x", title="A title"):
        line = findings.Line("tokenward", [findings.Point(*point) for point in points])
        return findings.Curve(name, title, "sizes", "seconds", (line,), "Measured.")

    return make


def parsed(svg):
    return ET.fromstring(svg)  # noqa: S314 - our own


def texts(svg):
    """Return what is written in a plot."""
    return ["".join(text.itertext()).strip() for text in parsed(svg).iter(f"{SVG}text")]


def test_a_topic_is_a_plot_of_bars(findings, draw):
    """Ours and the peers by name, each with its figure; ours with its bar and the verdict."""
    found = (
        findings.Result("a", 1.19, "x floor", 1.3, topic="login", spread=(1.1, 1.25)),
        findings.Result("b", 8.4, "x floor", None, by="peer 1.0", topic="login"),
        findings.Result("c", None, "", None, by="gone 2.0", topic="login", detail="no network"),
        findings.Result("d", 3, "x", 1, topic=""),
    )
    plots = draw(*found)
    assert ["login"] == list(plots)
    written = texts(plots["login"])
    assert {"tokenward", "peer 1.0", "gone 2.0", "not measured", "8.4", "x floor"} <= set(written)
    assert "1.19  (bar: at most 1.3)" in written
    assert "d" not in written


def test_a_missed_bar_is_called_so(findings, draw):
    """In words, not by a colour alone."""
    missed = findings.Result("a", 0.87, "x", 0.95, ">=", topic="login")
    assert "0.87  (bar: at least 0.95, missed)" in texts(draw(missed)["login"])


def test_each_case_and_unit_has_a_panel(findings, benchmarks):
    """What has another floor stands in another panel; ours first, the peers by their figures."""
    bars = benchmarks("report.bars")

    def result(figure, unit, by, case):
        return findings.Result("r", figure, unit, None, by=by, topic="t", case=case)

    found = [
        result(9, "calls", "slow 1", "200"),
        result(2, "calls", "quick 1", "200"),
        result(5, "calls", "tokenward", "200"),
        result(1, "x latency", "tokenward", "200"),
        result(1, "calls", "tokenward", "503"),
        result(None, "", "gone 1", "503"),
    ]
    panels = bars.panelled(found)
    assert {
        ("200", "calls"): ["tokenward", "quick 1", "slow 1"],
        ("200", "x latency"): ["tokenward"],
        ("503", "calls"): ["tokenward", "gone 1"],
    } == {key: [one.by for one in panel] for key, panel in panels.items()}


def test_a_bar_that_would_be_ambiguous_has_the_row(findings, benchmarks):
    """Two figures of one candidate in one panel are told apart."""
    two = [findings.Result(row, 1, "x", None) for row in ("plain", "hit")]
    peer = findings.Result("row", 1, "x", None, by="peer 1")
    assert ["plain", "hit", "peer 1"] == benchmarks("report.bars").labels([*two, peer])


@pytest.mark.parametrize(
    ("figures", "expected"),
    [([1, 2], False), ([1, 500], True), ([0, 500], False), ([], False)],
)
def test_a_wide_range_is_drawn_on_a_logarithmic_axis(benchmarks, figures, expected):
    """Not where there is a zero, which it could not show."""
    assert expected == benchmarks("report.bars").is_logarithmic(figures)


def test_a_logarithmic_axis_is_called_so(findings, draw):
    """A bar twice as long is not twice as much there."""
    wide = [findings.Result("r", n, "x", None, by=f"peer {n}", topic="login") for n in (1, 400)]
    assert "x (logarithmic axis)" in texts(draw(*wide)["login"])


def test_logarithmic_axes_of_a_curve_are_called_so(draw, curve):
    """Each of them, and none that is not."""
    both = texts(draw(curve([(10, 1), (100, 10), (1_000, 100)]))["growth-x"])
    assert {"sizes (logarithmic axis)", "seconds (logarithmic axis)"} <= set(both)
    one = texts(draw(curve([(10, 1), (100, 1.5), (1_000, 2)]))["growth-x"])
    assert {"sizes (logarithmic axis)", "seconds"} <= set(one)
    neither = texts(draw(curve([(10, 1), (20, 2)]))["growth-x"])
    assert {"sizes", "seconds"} <= set(neither)


@pytest.mark.parametrize(
    ("values", "label"), [([1, 2_000], "ms (logarithmic axis)"), ([1, 20], "ms")]
)
def test_a_logarithmic_axis_of_a_timeline_is_called_so(findings, draw, values, label):
    """As one that spans milliseconds and seconds is."""
    written = texts(draw(findings.Timeline("t", "Title", "ms", [0, 1], {"p99": values}))["t"])
    assert label in written


def test_a_title_has_no_number_that_depends_on_the_run(benchmarks):
    """A short run lets fewer tokens pass than a full one."""
    titles = [topic.title for topic in benchmarks("report.topics").TOPICS.values()]
    assert [] == [title for title in titles if re.search(r"\d{3}", title)]


@pytest.mark.parametrize(
    ("sizes", "are_whole"), [((1, 2), True), ((1, 3), True), ((0.5, 1.5), False)]
)
def test_there_is_no_part_of_a_host(benchmarks, curve, sizes, are_whole):
    """Where sizes are whole numbers, so are the axis's."""
    drawn = benchmarks("report.curves").figure(curve([(size, 1) for size in sizes]))
    ticks = drawn.axes[0].get_xticks()
    assert are_whole == all(tick == int(tick) for tick in ticks)


def test_a_curve_names_its_slope(draw, curve):
    """As what tenfold costs, and as an exponent."""
    written = texts(draw(curve([(10, 1), (100, 10), (1_000, 100)]))["growth-x"])
    assert "tokenward: \N{MULTIPLICATION SIGN}10 per tenfold, exponent 1.00" in written
    assert {"10", "100", "1,000"} <= set(written)


def test_a_curve_without_a_slope_is_drawn(draw, curve):
    """A zero has no logarithm; the line has its name alone."""
    written = texts(draw(curve([(10, 0), (100, 10, (9, 11))]))["growth-x"])
    assert "tokenward" in written


@pytest.mark.parametrize("stacked", [True, False])
def test_a_timeline_names_what_was_done(findings, draw, stacked):
    """And every kind of answer, those too that nobody got."""
    marks = (findings.Mark(1, 2, "server killed"), findings.Mark(1.2, 1.2, "keys rotated"))
    kinds = {"200": [5, 4, 5], "500": [0, 0, 0]}
    found = findings.Timeline("t", "Title", "answers", [0, 1, 2], kinds, marks, stacked)
    written = texts(draw(found)["t"])
    assert {"Title", "answers", "server killed", "keys rotated", "200"} <= set(written)
    assert ("500 (none)" if stacked else "500") in written


def test_labels_that_would_meet_stand_above_each_other(findings, benchmarks):
    """The next one that has room stands low again."""
    levels = benchmarks("report.timelines")._levels
    marks = [findings.Mark(at, at, "a label of it") for at in (10, 12, 60)]
    assert [0, 1, 0] == levels(marks, [0, 100])


def test_a_long_timeline_stays_small(findings, benchmarks, draw):
    """Neighbours become their mean, and the file stays under 60 kB."""
    seconds = list(range(7_200))
    kinds = {
        name: [float(n % 17) for n in seconds] for name in ("200", "401", "503", "reset", "500")
    }
    found = findings.Timeline("t", "Title", "answers", seconds, kinds, stacked=True)
    thin, values = benchmarks("report.timelines").thinned(found)
    assert len(thin) == len(values["200"]) <= 240
    assert 8 == pytest.approx(sum(values["200"]) / len(thin), rel=0.05)
    assert len(draw(found)["t"].encode()) < 60_000


def test_few_points_are_drawn_as_they_are(findings, benchmarks):
    """Nothing is averaged that has room."""
    found = findings.Timeline("t", "Title", "answers", [0, 1], {"200": [3, 4]})
    assert ([0, 1], {"200": [3, 4]}) == benchmarks("report.timelines").thinned(found)


def test_the_same_figures_are_the_same_file(draw, curve):
    """A redrawn plot is no change in the repository."""
    points = [(10, 1, (0.9, 1.1)), (100, 2)]
    assert draw(curve(points)) == draw(curve(points))


def test_a_plot_can_be_read_aloud(draw, curve):
    """It has a title and a description, its text is text, and nothing is fetched."""
    svg = draw(curve([(10, 1), (100, 2)], title="A < B & C"))["growth-x"]
    root = parsed(svg)
    assert ("img", "title desc") == (root.get("role"), root.get("aria-labelledby"))
    assert "A < B & C" == root.find(f"{SVG}title").text
    assert "Measured." == root.find(f"{SVG}desc").text
    assert "A < B & C" in texts(svg)
    assert "<metadata" not in svg
    assert "sans-serif" in svg


def test_a_plot_has_a_card_of_its_own(draw, curve, benchmarks):
    """Light and opaque, so that it reads on a dark page."""
    style = benchmarks("report.style")
    assert f"fill: {style.CARD}" in draw(curve([(10, 1), (100, 2)]))["growth-x"]


def test_a_topic_of_two_benchmarks_is_one_plot(findings, benchmarks):
    """It belongs to the first of them."""
    document, plots = benchmarks("report.document"), benchmarks("report.plots")

    def run(name, by):
        result = findings.Result("r", 1, "x", None, by=by, topic="login")
        return document.Run(name, "", "", 1, 1, {}, {}, (result,))

    (plot,) = plots.drawn([run("login", "tokenward"), run("issuing", "peer 1")])
    assert ("login", ["tokenward", "peer 1"]) == (plot.benchmark, [one.by for one in plot.shows])
