"""benchmarks/registry.py: the names are all there is, and each can be measured."""

from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_benchmark_has_a_module(benchmarks):
    """No name of the command line leads nowhere."""
    missing = [
        one.name for one in benchmarks("registry").BENCHMARKS if find_spec(one.module) is None
    ]
    assert [] == missing


def test_every_row_has_a_name(benchmarks):
    """No row is forgotten."""
    rows = set(benchmarks("registry").ROWS)
    assert rows == {path.stem for path in (ROOT / "benchmarks" / "rows").glob("[!_]*.py")}


def test_a_benchmark_is_imported_when_it_is_measured(benchmarks, monkeypatch):
    """By its module, with the effort."""
    registry, effort = benchmarks("registry"), object()
    module = benchmarks("rows.login")
    monkeypatch.setattr(module, "measure", lambda given: [given])
    benchmark = registry.Benchmark("login", "benchmarks.rows.login", "Section")
    assert [effort] == benchmark.measure(effort)


def test_each_name_has_a_command(benchmarks):
    """The soak has one of its own."""
    command = benchmarks("registry").command
    assert ("python -m benchmarks login", "python -m benchmarks.soak") == (
        command("login"),
        command("soak"),
    )
