"""What more users cost in each store: every operation that a login, a session or a page needs."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.findings import Curve, Result
from benchmarks.growth.sizes import of_effort, tenfold, timed, times, worst
from benchmarks.growth.users.filling import filled
from benchmarks.growth.users.operations import PAGE, operations
from benchmarks.mongo import Unavailable, running

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.harness import Effort

FEW = 1_000
_ONCE = (10, 20)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of store.

    Attributes:
        name: Of the plot.
        called: What people call it.
        sizes: How many users.
        number: Calls a round.
        rounds: At most.
        batch: Users that are stored in one step.
        note: What a reader must know about these figures.
        stops: Whether it could not go on to as many users as the others.
    """

    name: str
    called: str
    sizes: tuple[int, ...]
    number: int
    rounds: int = 155
    batch: int = 20_000
    note: str = ""
    stops: bool = False


def measure(
    effort: Effort,
    *,
    server: Callable[[], AbstractContextManager[Callable[[], str]]] = running,
) -> Iterator[Curve | Result]:
    """Fill stores of each kind with 1,000 users and more, a session each; time every operation.

    Args:
        effort: As everywhere.
        server: Runs what speaks MongoDB's protocol; see `benchmarks.mongo.running`.
    """
    yield in_sqlite(effort)
    yield in_memory(effort)
    yield in_mongodb(effort, server)


def in_sqlite(effort: Effort) -> Curve:
    """Measure users in files."""
    kind = Kind(
        "sqlite",
        "SQLite",
        of_effort(effort, once=_ONCE, short=tenfold(FEW, 100_000), full=tenfold(FEW, 1_000_000)),
        of_effort(effort, once=2, short=20, full=20),
        note=" What writes waits for the disk.",
    )
    with tempfile.TemporaryDirectory() as folder:
        urls = (f"sqlite:///{Path(folder) / str(size)}.db" for size in kind.sizes)
        return _curve(kind, partial(next, urls), effort)


def in_memory(effort: Effort) -> Curve:
    """Measure users in the memory of this process."""
    kind = Kind(
        "memory",
        "memory",
        of_effort(effort, once=_ONCE, short=tenfold(FEW, 100_000), full=tenfold(FEW, 1_000_000)),
        of_effort(effort, once=2, short=20, full=20),
    )
    return _curve(kind, lambda: "memory://", effort)


def in_mongodb(
    effort: Effort, server: Callable[[], AbstractContextManager[Callable[[], str]]]
) -> Curve | Result:
    """Measure users in what stands in for MongoDB; say why where it does not run."""
    kind = Kind(
        "mongodb",
        "what stands in for MongoDB",
        of_effort(effort, once=_ONCE, short=(FEW, 3_000), full=(FEW, 10_000, 30_000)),
        number=1,
        rounds=11,
        batch=1_000,
        note=" SecantusDB stands in for MongoDB: it reads a whole collection for an order, for "
        "`$ne` and for findAndModify, where MongoDB itself goes by an index.",
        stops=True,
    )
    try:
        with server() as new_url:
            return _curve(kind, new_url, effort)
    except Unavailable as why:
        return Result("users in MongoDB", None, "", None, detail=f"not measured: {why}")


def _curve(kind: Kind, new_url: Callable[[], str], effort: Effort) -> Curve:
    rounds = min(kind.rounds, effort.rounds(31))
    with contextlib.ExitStack() as stack:
        calls: dict[str, dict[int, Callable[[], object]]] = {}
        for size in kind.sizes:
            began = time.monotonic()
            kept = stack.enter_context(filled(new_url(), size, batch=kind.batch))
            filling = time.monotonic() - began
            for operation, call in operations(kept, size).items():
                calls.setdefault(operation, {})[size] = call
        lines = [
            # Apart: what is written for one must not push what another one reads out of the
            # processor's caches.
            *(
                line
                for name, sizes in calls.items()
                for line in timed({name: sizes}, number=kind.number, rounds=rounds)
            )
        ]
    grown = worst(lines)
    few, many = kind.sizes[0], kind.sizes[-1]
    stops = ""
    if kind.stops:
        slowest = max(lines, key=lambda line: line.points[-1].y)
        stops = (
            f" It stops at {many:,} users: storing them took {filling:,.0f} s there, and "
            f"{slowest.name!r} {slowest.points[-1].y / 1_000:,.0f} ms a call."
        )
    return Curve(
        f"growth-users-{kind.name}",
        f"Users in {kind.called}: among {many:,} no operation takes more than {times(grown)} as "
        f"long as among {few:,} ({grown.name})",
        "users, with a session each",
        "µs a call",
        lines,
        detail=f"Ids and digests at random, somebody else at each call; a page is of {PAGE}; "
        f"medians and quartiles.{kind.note}{stops}",
    )
