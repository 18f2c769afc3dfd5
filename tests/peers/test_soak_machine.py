"""benchmarks/soak: the real machine, for as long as it takes to see that everything agrees."""

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def soak(monkeypatch):
    """Import a module of the soak, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.soak.{name}")


@pytest.mark.timeout(180)
def test_a_short_soak_adds_up(soak, tmp_path):
    """Every counter agrees with every other, nobody is wrongly let in, and no worker ends."""
    terms = soak("terms").Terms(seconds=3, rate=60)
    progress = []
    record = soak("running").soak(terms, tmp_path, progress=lambda *seen: progress.append(seen))
    equations = soak("ledger").equations(record.counts)
    assert [] == [one.sentence() for one in equations if not one.holds]
    assert ({}, {}, []) == (record.wrong, record.lost, record.replaced)
    assert all(answers["200"] for answers in record.counts.answered.values())
    assert all(figures["jwks.misses"] for figures in record.counts.figures.values())
    programs = {f"{name} worker {n}" for name in ("flask", "django", "auth") for n in (1, 2)}
    subjects = {reading.subject for reading in record.readings}
    assert programs | {"redis 1", "store", "store, families"} <= subjects
    assert ["keys rotated"] == [mark.label for mark in record.marks]
    assert [] == soak("__main__").complaints(soak("reporting").findings(record))
    assert record.seconds == progress[-1][0] >= 3
