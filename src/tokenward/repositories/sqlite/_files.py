"""The file of a SQLite store: where it is, how it is made, who may read it."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path

from tokenward._log import shown
from tokenward.errors import ConfigurationError

_PRIVATE = 0o600
_FOR_OTHERS = 0o077
_COMPANIONS = ("-wal", "-shm", "-journal")

FileId = tuple[int, int]
"""Device and inode."""


def store_path(path: object) -> Path:
    """Return the absolute path without symbolic links.

    Raises:
        ConfigurationError: It is not the path of a file.
    """
    text = os.fsdecode(path) if isinstance(path, str | os.PathLike) else ""
    if not text or "\0" in text or text.startswith(":"):
        msg = (
            f"A SQLite store needs the path of a file, not {shown(repr(path))}; "
            "for a store that ends with the process use memory://."
        )
        raise ConfigurationError(msg)
    return Path(os.path.realpath(text))


def no_store(path: Path) -> ConfigurationError:
    """Return the error for a store that is still to be made."""
    return ConfigurationError(f"There is no store at {path}; make one with `tokenward store init`.")


def make(path: Path) -> None:
    """Make an empty file that only its owner can read; leave alone what is there already.

    Raises:
        ConfigurationError: It cannot be made.
    """
    try:
        make_private(path)
    except FileExistsError:
        return
    except FileNotFoundError:
        msg = f"The folder {path.parent} does not exist; make it, and then the store."
        raise ConfigurationError(msg) from None
    except OSError as error:
        msg = (
            f"The store {path} cannot be made ({error.strerror}); "
            "choose a folder in which this process may make files."
        )
        raise ConfigurationError(msg) from None


def make_private(path: Path) -> None:
    """Make an empty file that only its owner can read.

    Raises:
        OSError: It cannot be made, or there is something.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _PRIVATE)
    try:
        os.fchmod(descriptor, _PRIVATE)  # whatever the umask took away
    finally:
        os.close(descriptor)


def of_store(path: Path) -> list[Path]:
    """Return the paths of all files that a store may consist of."""
    return [path, *(path.with_name(path.name + companion) for companion in _COMPANIONS)]


def exists(path: Path) -> bool:
    """Tell whether there is anything at ``path``.

    Raises:
        ConfigurationError: That cannot be found out.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        msg = f"The store {path} cannot be reached ({error.strerror}); correct its path."
        raise ConfigurationError(msg) from None
    return True


def check_private(path: Path) -> FileId:
    """See that only its owner can read what the store consists of; return which file it is.

    Raises:
        ConfigurationError: Others can read it, or it is no file.
    """
    store, *companions = of_store(path)
    status = _check(store)
    for companion in companions:
        with contextlib.suppress(OSError):
            _check(companion)
    return status.st_dev, status.st_ino


def _check(path: Path) -> os.stat_result:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        msg = f"{path} is not a file; a store is one file, so choose another path for it."
        raise ConfigurationError(msg)
    if status.st_mode & _FOR_OTHERS:
        msg = (
            f"The store {path} is open to other users and holds signing keys and password "
            f"hashes; run: chmod 600 {shlex.quote(str(path))}"
        )
        raise ConfigurationError(msg)
    return status
