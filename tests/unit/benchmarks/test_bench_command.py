"""python -m benchmarks: what it measures it keeps and draws, and it says what failed."""

import io
import json
import sys
from types import ModuleType

import pytest
from rich.console import Console


@pytest.fixture
def main(benchmarks, monkeypatch, tmp_path):
    """Call the command with benchmarks of these names; one that fails is named so."""
    findings, registry = benchmarks("findings"), benchmarks("registry")
    efforts = []

    def measure(effort):
        efforts.append(effort.scale)
        yield findings.Result("row", 1.5, "x", 2, topic="login")

    def failing(_effort):
        raise RuntimeError("no server")

    for name, function in (("working", measure), ("failing", failing)):
        module = ModuleType(f"bench_{name}")
        module.measure = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
    known = [
        registry.Benchmark("login", "bench_working", "Section"),
        registry.Benchmark("broken", "bench_failing", "Section"),
        registry.Benchmark("issuing", "bench_working", "Section"),
    ]

    def call(*arguments):
        folder = ["--output", str(tmp_path / "out")]
        return benchmarks("__main__").main([*folder, *arguments], known)

    call.efforts = efforts
    call.folder = tmp_path / "out"
    return call


def test_figures_are_kept_printed_and_drawn(main, capsys):
    """In the folder, and on standard output."""
    assert 0 == main("login")
    assert {"results.json", "figures.md", "results.md", "login.svg"} == {
        path.name for path in main.folder.iterdir()
    }
    printed = capsys.readouterr()
    assert "| row | 1.5 x |  | <= 2 | met |  |" in printed.out
    assert ["[1/1] login ...", "      login took 0 s"] == printed.err.splitlines()[:2]


@pytest.mark.parametrize(("how", "scale"), [([], 1), (["--full"], 5), (["--once"], 0)])
def test_the_effort_is_the_command_line_s(main, how, scale):
    """And it is written down."""
    assert 0 == main(*how, "login")
    runs = json.loads((main.folder / "results.json").read_text("utf-8"))["benchmarks"]
    assert ([scale], scale) == (main.efforts, runs["login"]["effort"])


def test_one_that_fails_stops_no_other(main, capsys):
    """It is named, with the reason, and the exit status says so."""
    assert 1 == main()
    printed = capsys.readouterr()
    assert "broken failed: RuntimeError: no server" in printed.err
    assert "failed: broken" == printed.err.splitlines()[-1]
    runs = json.loads((main.folder / "results.json").read_text("utf-8"))["benchmarks"]
    assert ["login", "issuing"] == list(runs)


def test_one_that_fails_keeps_the_figures_it_had(main):
    """They say when they were measured."""
    main("login")
    before = json.loads((main.folder / "results.json").read_text("utf-8"))
    assert 1 == main("broken")
    assert before == json.loads((main.folder / "results.json").read_text("utf-8"))


def test_figures_are_kept_before_the_next_is_measured(main, benchmarks, monkeypatch):
    """A run that is interrupted loses what it was at, and nothing else."""

    def interrupted(_effort):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["bench_failing"], "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main()
    assert ["login"] == [run.name for run in benchmarks("report").load(main.folder)]


def test_plots_are_drawn_anew_from_the_figures_alone(main):
    """Nothing is measured for it, and the files are the same."""
    main("login")
    before = {path.name: path.read_bytes() for path in main.folder.iterdir()}
    for name in ("login.svg", "figures.md", "results.md"):
        (main.folder / name).unlink()
    assert 0 == main("--draw")
    assert before == {path.name: path.read_bytes() for path in main.folder.iterdir()}
    assert [1] == main.efforts


def test_nothing_can_be_drawn_of_nothing(main, capsys):
    """It says what to do."""
    assert 1 == main("--draw")
    assert "has no results.json; measure first" in capsys.readouterr().err


def test_a_document_that_cannot_be_read_is_named(main, capsys):
    """And stays as it is."""
    main.folder.mkdir()
    (main.folder / "results.json").write_text("{")
    assert 1 == main("--draw")
    assert "is no document of benchmarks" in capsys.readouterr().err


def test_an_unknown_name_is_refused(main, capsys):
    """Beside those there are."""
    assert 2 == main("logins")
    assert "no benchmark logins; there are login, broken, issuing" in capsys.readouterr().err


def test_an_unknown_revision_is_refused(main, capsys):
    """Before anything is measured."""
    assert 1 == main("--compare", "no-such-revision", "login")
    assert "git knows no revision no-such-revision" in capsys.readouterr().err


def test_a_terminal_gets_a_bar(benchmarks):
    """It counts those that are done, and names the one that runs."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system=None)
    with benchmarks("progress").progress(2, console=console) as bar:
        bar.begin("login")
        bar.end("login took 3 s")
        bar.begin("[issuing]")
        bar.end("[issuing] took 1 s")
    written = file.getvalue()
    assert "login took 3 s" in written
    assert "[issuing] took 1 s" in written
    assert "2/2" in written


def test_elsewhere_each_benchmark_is_a_line(benchmarks):
    """Without control characters, and none is broken in two."""
    file = io.StringIO()
    with benchmarks("progress").progress(1, console=Console(file=file, width=20)) as lines:
        lines.begin("a_name_longer_than_the_line_is_wide")
        lines.end("took 3 s")
    expected = "[1/1] a_name_longer_than_the_line_is_wide ...\n      took 3 s\n"
    assert expected == file.getvalue()
