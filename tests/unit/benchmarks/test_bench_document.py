"""benchmarks/report/document.py: a run replaces the last one of its name, and no other."""

import dataclasses
import json
import stat

import pytest


@pytest.fixture
def report(benchmarks):
    return benchmarks("report")


@pytest.fixture
def run(benchmarks):
    """Make a run of one figure."""
    document, findings = benchmarks("report.document"), benchmarks("findings")

    def make(name, figure=1.5):
        result = findings.Result("row", figure, "x", 2, topic="login", spread=(1.0, 2.0))
        where = {"cores": "2"}, {"tokenward": "1"}
        return document.Run(name, "2026-01-02T03:04:05Z", "abc+", 1, 2.5, *where, (result,))

    return make


def test_a_run_is_kept_as_it_was(report, run, tmp_path):
    """Every field, every finding."""
    report.save(tmp_path, run("login"))
    assert [run("login")] == report.load(tmp_path)


def test_a_run_replaces_the_last_of_its_name(report, run, tmp_path):
    """The others stay, in the order of the registry; one that it does not name comes last."""
    for name in ("elsewhere", "login", "cached_verify", "soak"):
        report.save(tmp_path, run(name))
    report.save(tmp_path, run("login", 7.0))
    kept = {one.name: one.findings[0].figure for one in report.load(tmp_path)}
    assert [("cached_verify", 1.5), ("login", 7.0), ("soak", 1.5), ("elsewhere", 1.5)] == [
        *kept.items()
    ]


def test_a_finding_is_a_line(report, run, tmp_path):
    """So that what has changed can be read in a diff; six digits are enough."""
    report.save(tmp_path, run("login", 1.23456789))
    lines = (tmp_path / "results.json").read_text("utf-8").splitlines()
    (line,) = [line for line in lines if '"kind": "result"' in line]
    assert 1.23457 == json.loads(line.removesuffix(","))["figure"]


def test_a_document_is_written_whole_or_not_at_all(report, run, tmp_path):
    """A figure that is no number leaves what was there, and no other file beside it."""
    report.save(tmp_path, run("login"))
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        report.save(tmp_path, run("login", float("inf")))
    assert before == (tmp_path / "results.json").read_bytes()
    assert ["results.json"] == [path.name for path in tmp_path.iterdir()]
    assert 0o644 == stat.S_IMODE((tmp_path / "results.json").stat().st_mode)


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(benchmarks, tmp_path):
    """Here a folder of its name is in the way."""
    (tmp_path / "name").mkdir()
    with pytest.raises(IsADirectoryError):
        benchmarks("report.document").written(tmp_path / "name", "text")
    assert ["name"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"benchmarks": {"a": {}}}', '{"benchmarks": {"a": {"findings": [{}]}}}'],
)
def test_a_file_that_is_no_document_is_named(report, tmp_path, text):
    """With what to do."""
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=r"results\.json is no document.*delete it"):
        report.load(tmp_path)


def test_where_and_with_what_is_written_down(report):
    """The machine, every peer and every server; the moment in UTC."""
    run = report.measured_now("login", [], effort=5, seconds=1.0)
    assert {"processor", "cores", "memory", "kernel", "Python"} == set(run.machine)
    expected = {"tokenward", "cryptography", "joserfc (peers)", "redis-server", "SecantusDB"}
    assert expected <= set(run.versions)
    assert all(run.machine.values())
    assert all(run.versions.values())
    assert 20 == len(run.measured)
    assert "Z" == run.measured[-1]


def test_a_revision_says_whether_the_tree_differs(benchmarks, tmp_path):
    """Outside of a repository there is none."""
    assert "unknown" == benchmarks("report.circumstances").revision(tmp_path)


def test_a_run_cannot_be_changed(run):
    """What was measured, was measured."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        run("login").name = "other"
