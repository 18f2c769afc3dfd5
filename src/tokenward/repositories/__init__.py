"""Where users, the state of tokens and signing keys are kept."""

from __future__ import annotations

import re
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tokenward._log import shown
from tokenward.errors import ConfigurationError
from tokenward.passwords import DEFAULT_COST
from tokenward.repositories.base import (
    KINDS,
    MAX_ROTATIONS,
    CounterRepository,
    Family,
    KeyRepository,
    Portable,
    Repositories,
    Rotation,
    Store,
    StoredKey,
    TokenRepository,
    UserRepository,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenward.protocols import Clock
    from tokenward.repositories.memory import (
        MemoryCounterRepository,
        MemoryKeyRepository,
        MemoryTokenRepository,
        MemoryUserRepository,
    )
    from tokenward.repositories.mongo import (
        MongoCounterRepository,
        MongoKeyRepository,
        MongoStore,
        MongoTokenRepository,
        MongoUserRepository,
    )
    from tokenward.repositories.sqlite import (
        SQLiteCounterRepository,
        SQLiteKeyRepository,
        SQLiteStore,
        SQLiteTokenRepository,
        SQLiteUserRepository,
    )

__all__ = [
    "KINDS",
    "MAX_ROTATIONS",
    "REUSED",
    "ROTATED",
    "UNKNOWN",
    "CounterRepository",
    "Family",
    "KeyRepository",
    "MemoryCounterRepository",
    "MemoryKeyRepository",
    "MemoryTokenRepository",
    "MemoryUserRepository",
    "MongoCounterRepository",
    "MongoKeyRepository",
    "MongoStore",
    "MongoTokenRepository",
    "MongoUserRepository",
    "Portable",
    "Repositories",
    "Rotation",
    "SQLiteCounterRepository",
    "SQLiteKeyRepository",
    "SQLiteStore",
    "SQLiteTokenRepository",
    "SQLiteUserRepository",
    "Store",
    "StoredKey",
    "TokenRepository",
    "UserRepository",
    "check_store_url",
    "open_repositories",
]

ROTATED, REUSED, UNKNOWN = Rotation.ROTATED, Rotation.REUSED, Rotation.UNKNOWN

# A store's module, and the driver it needs, is loaded when one of its names is asked for.
_HOMES = {
    "Memory": "tokenward.repositories.memory",
    "Mongo": "tokenward.repositories.mongo",
    "SQLite": "tokenward.repositories.sqlite",
}


def __getattr__(name: str) -> Any:
    home = next((home for prefix, home in _HOMES.items() if name.startswith(prefix)), None)
    if home is None or name not in __all__:
        msg = f"module 'tokenward.repositories' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(home), name)


_SUPPORTED = (
    "sqlite:///file.db (from the working directory), sqlite:////path/of/file.db, "
    "mongodb://host/database, mongodb+srv://host/database or memory:// (ends with the process)"
)
_MONGO = ("mongodb", "mongodb+srv")
_MONGO_DRIVER = ("pymongo", "bson")
_MAX_DATABASE_BYTES = 63
_DATABASE = re.compile(r"[A-Za-z0-9_-]+")


def open_repositories(
    url: str,
    *,
    create: bool = True,
    bcrypt_cost: int = DEFAULT_COST,
    clock: Clock = time.time,
) -> Repositories:
    """Open the store at ``url`` and what is kept in it.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute/path.db``,
            ``mongodb://host/database``, ``mongodb+srv://host/database`` (both as pymongo takes
            them, and always with a database) or ``memory://``.
        create: Make a store where there is none.
        bcrypt_cost: See `tokenward.passwords.PasswordHasher`.
        clock: Returns epoch seconds.

    Raises:
        ConfigurationError: There is no such kind of store, none at that place, its driver is not
            installed, or it cannot be used as it is; the message says what to do.
        AuthServiceUnavailable: The store is busy or down.
    """
    scheme, rest = check_store_url(url)
    if scheme == "sqlite":
        from tokenward.repositories.sqlite import open_sqlite  # noqa: PLC0415 - see _HOMES

        return open_sqlite(rest, create=create, bcrypt_cost=bcrypt_cost, clock=clock)
    if scheme in _MONGO:
        open_mongo = _mongo()
        return open_mongo(url, create=create, bcrypt_cost=bcrypt_cost, clock=clock)
    from tokenward.repositories.memory import open_memory  # noqa: PLC0415 - see _HOMES

    return open_memory(bcrypt_cost=bcrypt_cost, clock=clock)


def check_store_url(url: str) -> tuple[str, str]:
    """Return the scheme of a store's URL, and what is behind it: a path, or a server's address.

    Raises:
        ConfigurationError: No store has such a URL.
    """
    scheme, separator, rest = str(url).partition("://")
    if separator and scheme == "sqlite":
        return scheme, _path(rest)
    if separator and scheme in _MONGO:
        _check_database(scheme, rest)
        return scheme, rest
    if separator and scheme == "memory" and not rest:
        return scheme, ""
    # The rest of the URL may hold a password.
    given = f"{shown(scheme)}://…" if separator else "What has no scheme"
    msg = f"{given} is no URL of a store; write {_SUPPORTED}."
    raise ConfigurationError(msg)


def _path(rest: str) -> str:
    path = rest.removeprefix("/")
    if path == rest or not path or path.endswith("/"):
        msg = f"sqlite://{shown(rest)} names no file; write {_SUPPORTED}."
        raise ConfigurationError(msg)
    if "?" in path or "#" in path:
        msg = f"sqlite://{shown(rest)} holds more than a path; leave out what follows it."
        raise ConfigurationError(msg)
    return path


def _check_database(scheme: str, rest: str) -> None:
    # A "/" in a password has to be written %2F, so the first one ends the address. Nothing of
    # the URL is shown: where somebody forgot that, what follows is a part of the password.
    address, _slash, path = rest.partition("/")
    database = path.partition("?")[0]
    if not address:
        msg = f"{scheme}://… names no server; write {scheme}://host/database."
        raise ConfigurationError(msg)
    if not database:
        msg = (
            f"{scheme}://… names no database, and the store must be in one of its own; "
            f"write {scheme}://host/database, options after it."
        )
        raise ConfigurationError(msg)
    if not _DATABASE.fullmatch(database) or len(database) > _MAX_DATABASE_BYTES:
        msg = (
            f"{scheme}://… does not end in the name of a database: that is of 1 to "
            f"{_MAX_DATABASE_BYTES} letters, digits, '-' and '_'. In a password write / as %2F, "
            "@ as %40, : as %3A and % as %25."
        )
        raise ConfigurationError(msg)


def _mongo() -> Callable[..., Repositories]:
    try:
        from tokenward.repositories.mongo import open_mongo  # noqa: PLC0415 - see _HOMES
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _MONGO_DRIVER:
            raise
        msg = "A MongoDB store needs pymongo: install tokenward[mongo]."
    else:
        return open_mongo
    raise ConfigurationError(msg)
