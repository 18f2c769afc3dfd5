"""A thread's connection to a SQLite store, and what a fork does with it."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from tokenward.errors import AuthServiceUnavailable
from tokenward.repositories.sqlite._open import primary_code, reopen, unavailable

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tokenward.repositories.sqlite._files import FileId
    from tokenward.repositories.sqlite._open import Writing

_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
# After these a connection is as good as before; after any other error a new one is made.
_HARMLESS = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CONSTRAINT,
)


class Taken(Exception):
    """A unique index has this value already."""


class Connection:
    """A thread's connection, opened when it is needed; as a context, the thread's hold on it."""

    def __init__(
        self, path: Path, file: FileId, busy_timeout: float, writing: Writing = "durable"
    ) -> None:
        self._path = path
        self._name = str(path)
        self._file = file
        self._busy_timeout = busy_timeout
        self._writing = writing
        self._raw: sqlite3.Connection | None = None
        # Each thread has its own: nobody waits here but close(), which a fork calls too.
        self._lock = threading.Lock()

    def __enter__(self) -> sqlite3.Connection:
        while True:
            self._see_to_it()
            self._lock.acquire()
            if self._raw is not None:
                return self._raw
            self._lock.release()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
        if isinstance(error, sqlite3.Error):
            if getattr(error, "sqlite_errorcode", None) in _TAKEN:
                raise Taken from None
            if primary_code(error) not in _HARMLESS:
                self.close()
            raise unavailable(self._path, error) from error

    def __del__(self) -> None:
        # The thread has ended, or the store has gone.
        if self._raw is not None:
            self._raw.close()

    def close(self) -> None:
        """Close it once the thread has finished what it is doing."""
        if self._lock.acquire(timeout=self._busy_timeout):
            try:
                if self._raw is not None:
                    self._raw.close()
                    self._raw = None
            finally:
                self._lock.release()

    def _see_to_it(self) -> None:
        # SQLite itself would go on in a file that was deleted or replaced, and a new connection
        # would lay the write-ahead log of the old file over the new one.
        try:
            status = os.stat(self._name)  # noqa: PTH116 - on every call; half of Path.stat's time
        except OSError as error:
            raise self._gone(f"is gone ({error.strerror}): put it back") from None
        if (status.st_dev, status.st_ino) != self._file:
            raise self._gone("was replaced: stop, delete the old file's -wal and -shm, start again")
        if self._raw is None:
            try:
                with forks.held():
                    self._raw = reopen(self._path, self._busy_timeout, self._writing)
            except sqlite3.Error as error:
                raise unavailable(self._path, error) from error

    def _gone(self, what: str) -> AuthServiceUnavailable:
        self.close()
        hint = f"the store {self._path} {what}"
        return AuthServiceUnavailable(hint, reason="store_unavailable")


class _Closable(Protocol):
    def close(self) -> None: ...
    def after_fork(self) -> None: ...


class _Forks:
    """Sees that no connection is open while the process forks.

    SQLite keeps account of the locks it holds on a file in the memory of the process, and a fork
    copies that: a child, even on a connection of its own, would take its parent's locks for its
    own and write where it must not. So connections are closed before, and opened again by whoever
    needs one next. Opening, which must not happen meanwhile, holds the same lock.
    """

    def __init__(self) -> None:
        self.stores: weakref.WeakSet[_Closable] = weakref.WeakSet()
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before,
                after_in_parent=self._after_in_parent,
                after_in_child=self._after_in_child,
            )

    def held(self) -> threading.RLock:
        return self._lock

    def _before(self) -> None:
        self._lock.acquire()
        for store in list(self.stores):
            store.close()

    def _after_in_parent(self) -> None:
        self._lock.release()

    def _after_in_child(self) -> None:
        self._lock = threading.RLock()
        for store in list(self.stores):
            store.after_fork()


forks = _Forks()
