"""A copy of a SQLite store, made while the store is in use."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING

from tokenward.errors import ConfigurationError
from tokenward.repositories.sqlite import _files as files
from tokenward.repositories.sqlite._open import check_copy, connect

if TYPE_CHECKING:
    from pathlib import Path


def copy(source: sqlite3.Connection, path: Path, target: Path) -> None:
    """Copy the store at ``path`` into a new file; see `SQLiteStore.backup`.

    The copy grows under a name of its own and gets the one it was asked for when it is whole, in
    one step that fails where there is something: whoever finds a backup finds a whole one. What a
    process leaves behind that is killed meanwhile ends in ``.unfinished``.

    Args:
        source: A connection that is reading.
        path: Of the store.
        target: Of the copy.

    Raises:
        ConfigurationError: See `SQLiteStore.backup`.
    """
    if os.path.lexists(target):
        raise _is_there(target)
    unfinished = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.unfinished")
    try:
        files.make_private(unfinished)
        _fill(source, unfinished)
        check_copy(unfinished, path)
        _sync(unfinished)
        os.link(unfinished, target)
        _sync(target.parent)
    except FileExistsError:
        raise _is_there(target) from None
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        msg = (
            f"The backup {target} cannot be made ({why}); choose a folder in which this process "
            "may make files, on a disk with room for one."
        )
        raise ConfigurationError(msg) from None
    finally:
        for name in files.of_store(unfinished):
            with contextlib.suppress(OSError):
                name.unlink()


def _fill(source: sqlite3.Connection, unfinished: Path) -> None:
    with contextlib.closing(connect(unfinished, 0)) as target:
        # Nobody needs the copy before it is whole: it is synced then, once.
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_there(target: Path) -> ConfigurationError:
    msg = f"There is something at {target} already; choose another path for the backup."
    return ConfigurationError(msg)
