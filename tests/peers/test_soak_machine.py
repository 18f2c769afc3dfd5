"""benchmarks/soak: the real machine, for as long as it takes to see that everything agrees."""

import dataclasses
from importlib import import_module
from pathlib import Path

import pytest

from tokenward.repositories import open_repositories

ROOT = Path(__file__).parents[2]


@pytest.fixture
def soak(monkeypatch):
    """Import a module of the soak, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.soak.{name}")


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


def test_collections_are_judged_as_the_tables_are(soak, mongo, tmp_path):
    """One name for what both stores keep, so that what is late in one is late in the other."""
    url = mongo.new_url()
    server = dataclasses.make_dataclass("Server", ["url"])(url)
    machine = dataclasses.make_dataclass("Machine", ["folder", "mongo"])(tmp_path, server)
    open_repositories(url, bcrypt_cost=4).close()
    with soak("watching").size_of(machine) as size:
        rows, taken = size()

    assert None is taken
    assert soak("watching").REVOCATIONS in {f"store, {name}" for name in rows}
    assert {"users", "families", "revocations"} <= set(rows)
