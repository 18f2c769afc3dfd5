"""Looks at the machine at an interval: processes, the store, and what workers say they keep."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pymongo

from benchmarks.ports import HOST
from benchmarks.soak.observer import ENTRIES, FIGURES
from benchmarks.soak.sampling import BYTES, ROWS, Gone, Reading, Roster, read_process

if TYPE_CHECKING:
    from pymongo.database import Database

    from benchmarks.machine.programs import Server
    from benchmarks.machine.stack import Stack

STORE = "store"
REVOCATIONS = "store, revocations"
"""How tables are called: what was revoked is kept longer than everything else."""

_PATIENCE = 30.0

Size = Callable[[], tuple[dict[str, int], int | None]]
"""Returns how many rows each table of a store holds, and how many bytes it takes, if known."""


class Silent(Exception):
    """A worker did not say what it counted."""


class Watch:
    """Takes samples; `look` whenever one is due.

    Args:
        machine: What is looked at.
        size: Tells how large its store is.

    Attributes:
        readings: In the order of time.
        entries: Of each worker of an application, how many entries its caches held when.
        roster: The names of the processes.
    """

    def __init__(self, machine: Stack, size: Size) -> None:
        self.readings: list[Reading] = []
        self.entries: dict[str, list[tuple[float, float]]] = {}
        self.roster = Roster()
        self._machine = machine
        self._size = size

    def look(self, at: float) -> None:
        """Take a sample of everything.

        Args:
            at: Seconds since the load began.
        """
        machine = self._machine
        for kind, pids in (
            *((f"{name} worker", app.workers()) for name, app in machine.apps.items()),
            ("auth worker", machine.auth.workers()),
            ("redis", [machine.redis.pid]),
        ):
            for pid, subject in self.roster.names(kind, pids).items():
                # Whoever ends just now is missed the next time.
                with contextlib.suppress(Gone):
                    self.readings.append(Reading(at, subject, read_process(pid)))
        rows, size = self._size()
        self.readings += [Reading(at, f"{STORE}, {t}", {ROWS: count}) for t, count in rows.items()]
        if size is not None:
            self.readings.append(Reading(at, STORE, {BYTES: size}))
        for name, app in machine.apps.items():
            # Whichever worker takes the call: over time each of them does.
            pid, figures = ask(app)
            known = self.roster.names(f"{name} worker", app.workers())
            if pid in known:
                self.entries.setdefault(known[pid], []).append((at, figures[ENTRIES]))


def ask(server: Server) -> tuple[int, Counter[str]]:
    """Return the process of one of the workers, and what it counted."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=_PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", FIGURES)
        said = json.loads(connection.getresponse().read())
    return said["pid"], Counter(said["figures"])


def ask_all(server: Server) -> Counter[str]:
    """Return what all workers counted, added up.

    Raises:
        Silent: One of them does not take a call.
    """
    missing, found = set(server.workers()), Counter[str]()
    deadline = time.monotonic() + _PATIENCE
    while missing:
        pid, figures = ask(server)
        if pid in missing:
            missing.remove(pid)
            found.update(figures)
        if time.monotonic() > deadline:
            raise Silent(f"{server.name}: {len(missing)} workers do not say what they counted")
    return found


def settled(
    calls: Callable[[], Mapping[str, int]], *, wait: Callable[[float], object] = time.sleep
) -> Counter[str]:
    """Return the calls once there are no more: a log is written after its answer is sent."""
    before: Mapping[str, int] | None = None
    now = calls()
    while now != before:
        wait(0.2)
        before, now = now, calls()
    return Counter(now)


@contextlib.contextmanager
def size_of(machine: Stack) -> Iterator[Size]:
    """Yield what tells the size of the machine's store."""
    if machine.mongo is None:
        path = machine.folder / "tokenward.db"
        reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        with contextlib.closing(reader):
            yield lambda: _size_of_file(reader, path)
    else:
        with pymongo.MongoClient[dict[str, object]](machine.mongo.url) as client:
            database = client.get_default_database()
            yield lambda: (_size_of_database(database), None)


def _size_of_database(database: Database[dict[str, object]]) -> dict[str, int]:
    # Collections are named after the tables of SQLite's file, in a database that others may share.
    names = sorted(database.list_collection_names())
    return {
        name.removeprefix("tokenward_"): database[name].estimated_document_count() for name in names
    }


def _size_of_file(reader: sqlite3.Connection, path: Path) -> tuple[dict[str, int], int]:
    named = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [name for (name,) in reader.execute(named)]
    rows = {
        table: reader.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608 - its own
        for table in tables
    }
    files = (path, path.with_name(f"{path.name}-wal"))
    return rows, sum(file.stat().st_size for file in files if file.exists())
