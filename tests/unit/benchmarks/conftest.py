"""The benchmarks as modules, and a world without peers."""

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def benchmarks(monkeypatch):
    """Import a module of the benchmarks, which are no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.{name}")


@pytest.fixture
def nowhere(benchmarks):
    """Fail to make an environment for the peers."""

    def made():
        raise benchmarks("environment").Unavailable("no network")

    return made
