"""benchmarks/compare.py: two sources in turn, and what is beyond noise."""

import os
import subprocess
from pathlib import Path

import pytest
from unmeasured import unmeasured

ROOT = Path(__file__).parents[3]


@pytest.fixture
def compare(benchmarks):
    return benchmarks("compare")


@pytest.fixture
def effort(benchmarks):
    return benchmarks("harness").Effort(0)


@pytest.fixture
def repository(tmp_path):
    """Make a repository with one commit, and a tree that has gone on."""

    def git(*arguments):
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments],
            check=True,
            capture_output=True,
        )

    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "name.py").write_text("then")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "then")
    (tmp_path / "src" / "name.py").write_text("now")
    return tmp_path


def test_another_revision_is_laid_out_beside(compare, repository):
    """Its source as it was, whatever the tree is now; the second time it is there already."""
    for _ in range(2):
        source = compare.source_of("HEAD", root=repository)
        assert "then" == (source / "name.py").read_text()
    assert source.is_relative_to(repository / "build" / "compare")
    assert "now" == (repository / "src" / "name.py").read_text()


def test_a_revision_that_git_does_not_know_is_named(compare, repository):
    """And nothing is laid out."""
    with pytest.raises(compare.Impossible, match="git knows no revision nowhere"):
        compare.source_of("nowhere", root=repository)
    assert not (repository / "build").exists()


def test_a_side_is_measured_with_its_own_package(compare, effort):
    """In a process of its own, without the peers."""
    figures = compare.measured_by(ROOT / "src", name="long_token", effort=effort)
    assert ["5 kB token, RS256"] == list(figures)


def test_another_package_than_the_side_s_is_refused(compare, effort, tmp_path):
    """Nothing is told of a source that was not imported."""
    with pytest.raises(compare.Impossible, match=f"and not what is in {tmp_path}"):
        compare.measured_by(tmp_path, name="login", effort=effort)


def test_a_side_that_cannot_run_says_why(compare, effort, tmp_path, monkeypatch):
    """By what it said last."""
    # Coverage would look for this one when it reports, and it is gone by then.
    for name in os.environ.keys() - unmeasured().keys():
        monkeypatch.delenv(name)
    (tmp_path / "tokenward.py").write_text("")
    with pytest.raises(compare.Impossible, match="ImportError: cannot import name"):
        compare.measured_by(tmp_path, name="login", effort=effort)


def test_figures_are_compared_by_what_they_are_of(compare, benchmarks):
    """Results by their row, points by their line and size; what was not measured is left out."""
    findings = benchmarks("findings")
    line = findings.Line("ours", (findings.Point(10, 2.0), findings.Point(100, 3.0)))
    found = [
        findings.Result("row", 1.5, "x", None),
        findings.Result("gone", None, "", None),
        findings.Curve("growth-x", "t", "users", "seconds", (line,)),
    ]
    assert {
        "row": (1.5, "x"),
        "growth-x: ours, 10 users": (2.0, "seconds"),
        "growth-x: ours, 100 users": (3.0, "seconds"),
    } == compare.figures_of(found)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([0.5] * 6, "less"),
        ([1.5] * 6, "more"),
        ([0.5] * 5 + [1.1], "within the noise"),
        ([1.0] * 6, "within the noise"),
        ([0.5] * 5, "too few turns"),
    ],
)
def test_a_change_is_beyond_noise_when_every_turn_agrees(compare, after, verdict):
    """One turn that says otherwise is enough for doubt."""
    assert verdict == compare.Compared("x", [1.0] * len(after), after).verdict


def test_a_comparison_is_printed(compare, effort, capsys):
    """Each side begins in half of the turns; before, after and their ratio stand in a row."""
    sides = []

    def measure(source, *, name, effort):
        ours = source == ROOT / "src"
        sides.append("after" if ours else "before")
        only = {"new": (1.0, "x")} if ours else {"old": (1.0, "x")}
        return {name: (0.8 if ours else 1.0, "x floor")} | only

    assert 0 == compare.run("HEAD", ["login"], effort, measure=measure)
    assert ["after", "before", "before", "after"] * 3 == sides
    printed = capsys.readouterr().out
    assert "| login | 1 | 0.8 x floor | 0.800 | 0.800 to 0.800 | less |" in printed
    assert "| new | | | | | only in this tree |" in printed
    assert "| old | | | | | only in the other revision |" in printed


@pytest.mark.parametrize(("broken", "status"), [("before", 0), ("after", 1)])
def test_a_side_that_cannot_run_is_told_of(compare, effort, capsys, broken, status):
    """The other benchmarks are compared; only this tree's failure is a failure."""

    def measure(source, *, name, effort):
        side = "after" if source == ROOT / "src" else "before"
        if (side, name) == (broken, "login"):
            raise compare.Impossible("AttributeError: new")
        return {name: (1.0, "x")}

    assert status == compare.run("HEAD", ["login", "threads"], effort, measure=measure)
    printed = capsys.readouterr().out
    where = "in this tree" if broken == "after" else "in HEAD"
    assert f"login: cannot run {where}: AttributeError: new" in printed
    assert "| threads | 1 | 1 x | 1.000 |" in printed
