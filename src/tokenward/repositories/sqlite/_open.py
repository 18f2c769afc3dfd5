"""Opening a SQLite store, and everything SQLite can say turned into our errors."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.repositories.sqlite import _files as files
from tokenward.repositories.sqlite._schema import APPLICATION_ID, MIGRATIONS, identify, migrate

if TYPE_CHECKING:
    from pathlib import Path

Writing = Literal["durable", "quick", "bulk"]
"""How a connection commits: row by row, without waiting for the disk, or thousands of rows."""

_OLDEST_SQLITE = (3, 37, 0)
_RETRY_SECONDS = 0.01
_PRIMARY_CODE = 0xFF
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

# How a connection has to be, beyond what the file itself remembers. What is deleted is
# overwritten, since it is keys and hashes.
_SETTINGS = (
    "PRAGMA secure_delete = ON",
    "PRAGMA trusted_schema = OFF",
)

# A commit is on the disk before it is acknowledged; or, where that is not asked for, before the
# write-ahead log is laid over the file. Less would put the whole file at risk. Thousands of rows
# in one commit touch as many pages of every index: those are not pushed out half-way, and are laid
# over the file once for many commits, but not for so many that whoever commits next pays for it.
_WRITING: dict[Writing, tuple[str, ...]] = {
    "durable": ("PRAGMA synchronous = FULL",),
    "quick": ("PRAGMA synchronous = NORMAL",),
    "bulk": (
        "PRAGMA synchronous = FULL",
        "PRAGMA cache_size = -65536",
        "PRAGMA wal_autocheckpoint = 4000",
    ),
}

_ADVICE = {
    sqlite3.SQLITE_BUSY: "another process kept the write lock too long",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_READONLY: "let this process write the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "let this process write the file and its folder",
    sqlite3.SQLITE_IOERR: "see whether its disk is full or failing",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore a backup",
    sqlite3.SQLITE_NOTADB: "it is damaged: restore a backup",
}


def primary_code(error: sqlite3.Error) -> int | None:
    """Return SQLite's primary result code; ``None``: the error is not SQLite's own."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY_CODE


def unavailable(path: Path, error: sqlite3.Error) -> AuthServiceUnavailable:
    """Return our error for what went wrong while the store was in use."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    advice = _ADVICE.get(primary_code(error) or 0, "see the log of this process")
    hint = f"the store {path} cannot be used ({name}: {error}): {advice}"
    return AuthServiceUnavailable(hint, reason="store_unavailable")


def reopen(path: Path, busy_timeout: float, writing: Writing = "durable") -> sqlite3.Connection:
    """Open another connection to a store that was prepared.

    Args:
        path: The store's file.
        busy_timeout: Seconds to wait for another writer.
        writing: How it commits.

    Raises:
        AuthServiceUnavailable: What is there now is no store, or one of another version.
        sqlite3.Error: It cannot be opened.
    """
    connection = connect(path, busy_timeout, writing)
    ours = False
    try:
        ours = identify(connection)[:2] == (APPLICATION_ID, len(MIGRATIONS))
    finally:
        if not ours:
            connection.close()
    if ours:
        return connection
    hint = f"what is at {path} now is not the store of before: put it back, or restart"
    raise AuthServiceUnavailable(hint, reason="store_unavailable")


def prepare(path: Path, *, create: bool, busy_timeout: float) -> files.FileId:
    """Make, migrate and check the store; return which file it is.

    Raises:
        ConfigurationError: It cannot be used as it is; nothing was changed then.
        AuthServiceUnavailable: It is busy.
    """
    check_sqlite(sqlite3.sqlite_version_info)
    if not files.exists(path):
        if not create:
            raise files.no_store(path)
        files.make(path)
    file = files.check_private(path)
    try:
        connection = connect(path, busy_timeout)
        try:
            _check_owner(path, connection, create=create)
            _use_wal(path, connection, time.monotonic() + busy_timeout)
            migrate(connection)
            _check_integrity(path, connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _refusal(path, error) from None
    return file


def connect(path: Path, busy_timeout: float, writing: Writing = "durable") -> sqlite3.Connection:
    """Open a connection to a file that is there, whatever it is.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode=rw",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for setting in (*_SETTINGS, *_WRITING[writing]):
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def settle(connection: sqlite3.Connection) -> None:
    """Lay the write-ahead log over the file, and empty it unless somebody uses it just now.

    The connection waits for nobody any more: close it.

    Raises:
        sqlite3.Error: It cannot be done; what is in the log stays there.
    """
    # Nobody waits for the first, which is the work; the second is short, and needs it done.
    for step in ("wal_checkpoint(PASSIVE)", "busy_timeout = 0", "wal_checkpoint(TRUNCATE)"):
        connection.execute(f"PRAGMA {step}").fetchone()


def check_copy(path: Path, source: Path) -> None:
    """See that what was copied from the store ``source`` is a store, and whole.

    Raises:
        ConfigurationError: It is not.
        sqlite3.Error: It cannot be read.
    """
    try:
        with contextlib.closing(connect(path, 0)) as connection:
            _check_owner(source, connection, create=False)
            _check_integrity(source, connection, "integrity_check")
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in _DAMAGE:
            raise
        raise _damaged(source, error) from None


def check_sqlite(version: tuple[int, ...]) -> None:
    """Raise `ConfigurationError` when SQLite is too old."""
    if version < _OLDEST_SQLITE:
        needed, found = (".".join(map(str, numbers)) for numbers in (_OLDEST_SQLITE, version))
        msg = f"A SQLite store needs SQLite {needed} or newer; this Python brings {found}."
        raise ConfigurationError(msg)


def _check_owner(path: Path, connection: sqlite3.Connection, *, create: bool) -> None:
    application, version, tables = identify(connection)
    if application == version == tables == 0:
        if not create:
            raise files.no_store(path)
    elif application != APPLICATION_ID or version < 1:
        msg = f"{path} is a SQLite database of another program; choose another path for the store."
        raise ConfigurationError(msg)
    elif version > len(MIGRATIONS):
        msg = (
            f"The store {path} was written by a newer tokenward (version {version} of its schema, "
            f"and this one knows {len(MIGRATIONS)}); upgrade tokenward."
        )
        raise ConfigurationError(msg)


def _use_wal(path: Path, connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # SQLite does not wait here, however long the busy timeout.
            if primary_code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
            continue
        if mode != "wal":
            msg = f"The store {path} cannot use a write-ahead log; put it on a local disk."
            raise ConfigurationError(msg)
        return


def _check_integrity(path: Path, connection: sqlite3.Connection, how: str = "quick_check") -> None:
    (found,) = connection.execute(f"PRAGMA {how}(1)").fetchone()
    if found != "ok":
        raise _damaged(path, found.splitlines()[-1])


def _damaged(path: Path, what: object) -> ConfigurationError:
    return ConfigurationError(f"The store {path} is damaged ({what}); restore a backup of it.")


def _refusal(path: Path, error: sqlite3.Error) -> ConfigurationError | AuthServiceUnavailable:
    code = primary_code(error)
    if code in _BUSY:
        return unavailable(path, error)
    if code == sqlite3.SQLITE_NOTADB:
        msg = f"{path} is not a SQLite database; choose another path for the store."
        return ConfigurationError(msg)
    if code == sqlite3.SQLITE_CORRUPT:
        return _damaged(path, error)
    advice = _ADVICE.get(code or 0, "choose another path for it")
    return ConfigurationError(f"The store {path} cannot be used ({error}): {advice}.")
