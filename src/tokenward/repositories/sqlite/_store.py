"""A SQLite store: one connection for each thread, none across a fork."""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tokenward.errors import AuthServiceUnavailable
from tokenward.repositories.sqlite import _backup, _portable
from tokenward.repositories.sqlite import _files as files
from tokenward.repositories.sqlite._connections import Connection, forks
from tokenward.repositories.sqlite._open import prepare, settle

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Iterator, Sequence

    from tokenward.repositories.base import Kind, Record
    from tokenward.repositories.sqlite._open import Writing

BUSY_SECONDS = 5.0


class SQLiteStore:
    """One file, with one connection to it for each thread.

    Args:
        path: The file.
        create: Make the store when there is none.
        busy_timeout: Seconds to wait for another writer; so long a fork waits for a thread of
            this process, too.

    Raises:
        ConfigurationError: The store cannot be used as it is; the message says what to do.
        AuthServiceUnavailable: It is busy.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        busy_timeout: float = BUSY_SECONDS,
    ) -> None:
        self.path = files.store_path(path)
        self._busy_timeout = busy_timeout
        self.after_fork()
        with forks.held():
            self._file = prepare(self.path, create=create, busy_timeout=busy_timeout)
            forks.stores.add(self)

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self.path)!r})"

    def row(self, sql: str, *parameters: Any) -> tuple[Any, ...] | None:
        """Return the first row of a query.

        Raises:
            AuthServiceUnavailable: The store cannot be asked.
        """
        with self._connection() as raw:
            row: tuple[Any, ...] | None = raw.execute(sql, parameters).fetchone()
            return row

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query.

        Raises:
            AuthServiceUnavailable: The store cannot be asked.
        """
        with self._connection() as raw:
            return raw.execute(sql, parameters).fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read in several statements what the store held at one moment.

        Raises:
            AuthServiceUnavailable: The store cannot be asked.
        """
        with self._connection() as raw, _transaction(raw, "BEGIN"):
            yield raw

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, or roll back when an exception passes.

        Args:
            durable: Wait until it is on the disk. What is not waited for may be lost when the
                machine fails, whole and never by halves.

        Raises:
            Taken: A unique index has a value already.
            AuthServiceUnavailable: The store cannot be written.
        """
        how: Writing = "durable" if durable else "quick"
        with self._connection(how) as raw, _transaction(raw, "BEGIN IMMEDIATE"):
            yield raw

    @contextmanager
    def carrying(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock as `writing` does, for thousands of rows: with memory for them.

        The memory is free again after the commit. What is left in the write-ahead log is laid over
        the file when this thread next does something else with the store.
        """
        local = self._local
        local.has_carried = False
        try:
            with self._connection("bulk") as raw:
                with _transaction(raw, "BEGIN IMMEDIATE"):
                    yield raw
                raw.execute("PRAGMA shrink_memory")
        finally:
            local.has_carried = True

    def write(self, sql: str, *parameters: Any) -> int:
        """Execute one statement as `writing` would; return the number of rows it changed."""
        with self.writing() as raw:
            return raw.execute(sql, parameters).rowcount

    def write_returning(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Execute one statement as `writing` would; return the rows that it returns."""
        with self.writing() as raw:
            return raw.execute(sql, parameters).fetchall()

    def ping(self) -> None:
        """Raise `AuthServiceUnavailable` unless the store can be read."""
        self.row("SELECT version FROM signing_keys_version")

    def close(self) -> None:
        """Close the connections of all threads; using the store again opens new ones."""
        with forks.held():
            for connection in list(self._connections):
                connection.close()

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the store, as it is at one moment, into a new file, while others go on using it.

        The copy is a store like this one, readable by its owner only, and was opened and checked
        before it got its name.

        Args:
            path: Of the copy; nothing may be there.

        Raises:
            ConfigurationError: Something is at ``path``, or no copy could be made there.
            AuthServiceUnavailable: The store is busy or down.
        """
        target = files.store_path(path)
        with self.reading() as raw:
            # Who is reading meets no lock any more; on one sqlite3's copying waits without an end.
            raw.execute("SELECT version FROM signing_keys_version").fetchone()
            _backup.copy(raw, self.path, target)

    def records(
        self, kind: Kind, *, after: str | None = None, limit: int = 500
    ) -> tuple[list[Record], str | None]:
        """See `Portable.records`."""
        return _portable.records(self, kind, after, limit)

    def put(self, kind: Kind, records: Sequence[Record]) -> None:
        """See `Portable.put`."""
        _portable.put(self, kind, records)

    def tally(self, kind: Kind) -> int:
        """See `Portable.tally`."""
        return _portable.tally(self, kind)

    def after_fork(self) -> None:
        """Start without connections.

        One that a thread of the parent would not let go is neither used nor closed in the child:
        the frames of that thread, which the child never runs, hold it for ever.
        """
        self._local = threading.local()
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()

    def _connection(self, writing: Writing = "durable") -> Connection:
        if writing != "bulk" and getattr(self._local, "has_carried", False):
            self._settle()
        return self._own(writing)

    def _settle(self) -> None:
        self._local.has_carried = False
        connection = self._own("bulk")
        # It is for later calls' sake: whatever is wrong, the call at hand meets it too.
        with suppress(AuthServiceUnavailable), connection as raw:
            settle(raw)
        connection.close()

    def _own(self, writing: Writing) -> Connection:
        connection: Connection | None = getattr(self._local, writing, None)
        if connection is None:
            connection = Connection(self.path, self._file, self._busy_timeout, writing)
            with forks.held():
                self._connections.add(connection)
            setattr(self._local, writing, connection)
        return connection


@contextmanager
def _transaction(raw: sqlite3.Connection, begin: str) -> Iterator[None]:
    try:
        raw.execute(begin)
        yield
        raw.execute("COMMIT")
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
