"""Runs a soak: starts the machine and the callers, does an operator's chores, and takes samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.findings import Mark
from benchmarks.machine.stack import stack
from benchmarks.soak.apps import TARGETS
from benchmarks.soak.judging import SHORTEST
from benchmarks.soak.ledger import Counts
from benchmarks.soak.load import Load, fill_pools
from benchmarks.soak.watching import Watch, ask_all, settled, size_of
from tokenward.commands import store
from tokenward.config import Settings

if TYPE_CHECKING:
    from benchmarks.machine.stack import Stack
    from benchmarks.soak.sampling import Reading
    from benchmarks.soak.terms import Terms

Progress = Callable[[float, int], None]
"""Told of the seconds that have passed and the requests that were made."""


_THREADS = 4


@dataclass(frozen=True, slots=True)
class Record:
    """What was seen of a soak.

    Attributes:
        terms: What was asked for.
        seconds: How long the load went on.
        readings: Every sample, in the order of time.
        entries: Of each worker, how many entries its caches held when.
        replaced: Workers that ended, and that gunicorn had to replace.
        marks: The chores, and when they were done.
        counts: What everybody counted.
        wrong: How many answers were not what they must be, by what they were.
        lost: How many requests were not answered, by what became of them.
    """

    terms: Terms
    seconds: float
    readings: list[Reading]
    entries: dict[str, list[tuple[float, float]]]
    replaced: list[str]
    marks: list[Mark]
    counts: Counts
    wrong: dict[str, int]
    lost: dict[str, int]


def soak(
    terms: Terms, folder: Path, *, progress: Progress = lambda _seconds, _count: None
) -> Record:
    """Run the machine under the load, and return what was seen.

    Args:
        terms: How long, how hard.
        folder: Where the machine keeps everything; empty.
        progress: Told at each sample.

    Raises:
        Unavailable: A program is not installed, or does not start.
        Silent: A worker did not say what it counted.
    """
    lifetimes = {
        "access_token_lifetime": terms.access_lifetime,
        "refresh_token_lifetime": terms.refresh_lifetime,
    }
    running = stack(
        folder,
        store=terms.store,
        ttl=terms.ttl,
        entries=terms.max_entries,
        service=lifetimes,
        targets=TARGETS,
        threads=_THREADS,
    )
    with running as machine, size_of(machine) as size:
        if terms.seconds >= SHORTEST:
            fill_pools(machine, threads=_THREADS)
        watch, load = Watch(machine, size), Load(terms, machine)
        with load:
            marks, seconds = _pass_time(
                terms, machine, watch, lambda at: progress(at, load.tally.requests)
            )
        figures = {name: ask_all(app) for name, app in machine.apps.items()}
        calls = settled(machine.upstream_calls)
    tally = load.tally
    return Record(
        terms,
        seconds,
        watch.readings,
        watch.entries,
        watch.roster.replaced,
        marks,
        Counts(tally.answered, tally.sent, figures, calls),
        dict(tally.wrong),
        dict(tally.lost),
    )


def _pass_time(
    terms: Terms, machine: Stack, watch: Watch, progress: Callable[[float], None]
) -> tuple[list[Mark], float]:
    """Take samples and do the chores until it is over; return these, and how long it was."""
    chores, marks = _chores(terms, machine), []
    started = time.monotonic()
    passed, due = 0.0, 0.0
    while passed < terms.seconds:
        watch.look(passed)
        progress(passed)
        while chores and chores[-1][0] <= passed:
            _, label, do = chores.pop()
            began = time.monotonic() - started
            do()
            if label:
                marks.append(Mark(began, time.monotonic() - started, label))
        # What a chore held up is not made up for.
        due = max(due + terms.interval, passed)
        time.sleep(max(0.0, min(due, terms.seconds) - (time.monotonic() - started)))
        passed = time.monotonic() - started
    progress(passed)
    return marks, passed


Chore = tuple[float, str, Callable[[], object]]
"""When it is due, what the plot calls it (nothing: it is not shown), and what does it."""


def _chores(terms: Terms, machine: Stack) -> list[Chore]:
    """Return what an operator does, the last first."""
    settings = Settings.from_file(machine.config)

    def clean_up() -> None:
        store.cleanup(settings)

    times = range(1, int(terms.seconds / terms.cleanup_every) + 1)
    chores: list[Chore] = [(n * terms.cleanup_every, "", clean_up) for n in times]
    chores += [(at, "keys rotated", machine.rotate_keys) for at in terms.rotations]
    chores += [(at, "Redis restarted", machine.redis.restart) for at in terms.restarts]
    return sorted(chores, key=lambda chore: chore[0], reverse=True)
