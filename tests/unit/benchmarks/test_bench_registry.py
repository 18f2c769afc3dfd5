"""benchmarks/registry.py: the names are all there is, and each can be measured."""

from importlib.util import find_spec
from pathlib import Path

import pytest

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
    assert ("make bench NAMES=login", "make soak") == (command("login"), command("soak"))


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("login", "-m benchmarks $(NAMES)"), ("soak", "-m benchmarks.soak --output")],
)
def test_a_command_works_in_a_fresh_clone(benchmarks, name, recipe):
    """The Makefile knows its target, which installs what is missing before it measures."""
    target = benchmarks("registry").command(name).split()[1]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    head, *recipes = makefile[makefile.index(f"\n{target}:") :].strip().split("\n\t")
    assert head.startswith(f"{target}: $(DEV)")
    assert any(recipe in line for line in recipes)
