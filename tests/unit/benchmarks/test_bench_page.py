"""benchmarks/report/markdown.py: the tables and the page say what was measured, and where."""

import pytest


@pytest.fixture
def run(benchmarks):
    """Make a run of these findings."""
    document = benchmarks("report.document")

    def make(name, *found, cores="2", version="1"):
        when = "2026-01-02T03:04:05Z"
        machine, versions = {"cores": cores}, {"tokenward": version}
        return document.Run(name, when, "abc+", 5, 61.2, machine, versions, found)

    return make


@pytest.fixture
def page(benchmarks):
    """Return the page of these runs."""
    return lambda *runs: benchmarks("report.markdown").page(runs)


@pytest.fixture
def figures(benchmarks):
    """Return the plots of these runs, with their captions."""
    markdown, plots = benchmarks("report.markdown"), benchmarks("report.plots")
    return lambda *runs: markdown.figures(runs, plots.drawn(runs))


@pytest.mark.parametrize(
    ("figure", "bar", "spread", "line"),
    [
        (1.1, 1.2, (1.0, 1.25), "| row | 1.1 x | 1 to 1.25 | <= 1.2 | met | why |"),
        (1.3, 1.2, None, "| row | 1.3 x |  | <= 1.2 | MISSED | why |"),
        (3.5, None, None, "| row | 3.5 x |  |  |  | why |"),
        (12_345.6, None, None, "| row | 12,346 x |  |  |  | why |"),
        (None, None, None, "| row | - |  |  |  | why |"),
    ],
)
def test_a_figure_stands_in_the_table(benchmarks, figure, bar, spread, line):
    """With its verdict if it has a bar; a peer's figure has none."""
    result = benchmarks("findings").Result("row", figure, "x", bar, detail="why", spread=spread)
    assert line == benchmarks("report.markdown").table([result]).splitlines()[-1]


def test_a_curve_stands_in_a_table_of_its_own(benchmarks):
    """First, last, and how it grew."""
    findings = benchmarks("findings")
    line = findings.Line("ours", (findings.Point(10, 2), findings.Point(1_000, 4)))
    curve = findings.Curve("growth-x", "t", "x", "y", (line,))
    expected = "| growth-x: ours | 2 at 10 | 4 at 1,000 | x 2 | x 1.41 | 0.15 |"
    assert expected == benchmarks("report.markdown").table([curve]).splitlines()[-1]


def test_nothing_is_no_table(benchmarks):
    """A timeline alone has none."""
    timeline = benchmarks("findings").Timeline("t", "t", "y", [0], {"a": [1]})
    assert "" == benchmarks("report.markdown").table([timeline])


def test_a_plot_is_shown_with_what_it_shows_and_the_command(benchmarks, run, figures):
    """In its section, without a table."""
    result = benchmarks("findings").Result("row", 1, "x", None, topic="login")
    text = figures(run("login", result))
    caption = (
        "*A login. Over the one bcrypt hash of cost 12 that it cannot do without.* "
        "`make bench NAMES=login` measures and draws it."
    )
    assert caption in text
    places = [
        text.index(part)
        for part in (
            "## The auth service",
            "### login",
            "![A login](login.svg)",
            caption,
        )
    ]
    assert sorted(places) == places
    assert "| row |" not in text


def test_a_table_stands_on_a_page_of_its_own(benchmarks, run, page, figures):
    """Without plots; what has no table is not named there, and what has no plot not beside them."""
    findings = benchmarks("findings")
    result = findings.Result("row", 1, "x", None)
    timeline = findings.Timeline("told", "Told", "answers", [0], {"200": [1]})
    runs = run("login", result), run("machine", timeline)
    tables, plots = page(*runs), figures(*runs)
    assert ("### login" in tables, "### machine" in tables) == (True, False)
    assert ("### login" in plots, "### machine" in plots) == (False, True)
    assert "](" not in tables


def test_a_section_has_one_heading(benchmarks, run, page):
    """However many benchmarks stand under it."""
    result = benchmarks("findings").Result("row", 1, "x", None)
    text = page(*(run(name, result) for name in ("cached_verify", "threads", "soak")))
    assert ["## Introspection", "## Endurance", "## Measured"] == [
        line for line in text.splitlines() if line.startswith("## ")
    ]


def test_each_run_says_when_and_where(run, page):
    """The machine and the versions stand once, however many runs they are of."""
    text = page(run("login"), run("soak"), run("threads", cores="64", version="2"))
    assert "| login | 2026-01-02T03:04:05Z | abc+ | 5 | 61 s | machine 1 |" in text
    assert "| threads | 2026-01-02T03:04:05Z | abc+ | 5 | 61 s | machine 2 |" in text
    assert ["Machine 1: cores 2.", "Machine 2: cores 64."] == [
        line for line in text.splitlines() if line.startswith("Machine")
    ]
    assert "Versions of login, soak: tokenward 1." in text


def test_what_a_table_would_take_for_its_own_is_literal(benchmarks):
    """A bar in a text is no cell."""
    result = benchmarks("findings").Result("a|b", 1, "x", None, detail="<c> *d* e_f")
    row = benchmarks("report.markdown").table([result]).splitlines()[-1]
    assert r"| a\|b | 1 x |  |  |  | &lt;c> \*d\* e\_f |" == row
