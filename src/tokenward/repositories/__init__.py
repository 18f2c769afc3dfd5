"""Where users, the state of tokens and signing keys are kept."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tokenward._log import shown
from tokenward.errors import ConfigurationError
from tokenward.passwords import DEFAULT_COST
from tokenward.repositories.base import (
    KeyRepository,
    Repositories,
    Store,
    StoredKey,
    TokenRepository,
    UserRepository,
)

if TYPE_CHECKING:
    from tokenward.protocols import Clock
    from tokenward.repositories.memory import (
        MemoryKeyRepository,
        MemoryTokenRepository,
        MemoryUserRepository,
    )
    from tokenward.repositories.sqlite import (
        SQLiteKeyRepository,
        SQLiteTokenRepository,
        SQLiteUserRepository,
    )

__all__ = [
    "KeyRepository",
    "MemoryKeyRepository",
    "MemoryTokenRepository",
    "MemoryUserRepository",
    "Repositories",
    "SQLiteKeyRepository",
    "SQLiteTokenRepository",
    "SQLiteUserRepository",
    "Store",
    "StoredKey",
    "TokenRepository",
    "UserRepository",
    "check_store_url",
    "open_repositories",
]

# A store's module, and the driver it needs, is loaded when one of its names is asked for.
_HOMES = {"Memory": "tokenward.repositories.memory", "SQLite": "tokenward.repositories.sqlite"}


def __getattr__(name: str) -> Any:
    home = next((home for prefix, home in _HOMES.items() if name.startswith(prefix)), None)
    if home is None or name not in __all__:
        msg = f"module 'tokenward.repositories' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(home), name)


_SUPPORTED = (
    "sqlite:///file.db (from the working directory), sqlite:////path/of/file.db "
    "or memory:// (ends with the process)"
)


def open_repositories(
    url: str,
    *,
    create: bool = True,
    bcrypt_cost: int = DEFAULT_COST,
    clock: Clock = time.time,
) -> Repositories:
    """Open the store at ``url`` and what is kept in it.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute/path.db`` or ``memory://``.
        create: Make a store where there is none.
        bcrypt_cost: See `tokenward.passwords.PasswordHasher`.
        clock: Returns epoch seconds.

    Raises:
        ConfigurationError: There is no such kind of store, none at that place, or it cannot be
            used as it is; the message says what to do.
        AuthServiceUnavailable: The store is busy.
    """
    scheme, rest = check_store_url(url)
    if scheme == "sqlite":
        from tokenward.repositories.sqlite import open_sqlite  # noqa: PLC0415 - see _HOMES

        return open_sqlite(rest, create=create, bcrypt_cost=bcrypt_cost, clock=clock)
    from tokenward.repositories.memory import open_memory  # noqa: PLC0415 - see _HOMES

    return open_memory(bcrypt_cost=bcrypt_cost, clock=clock)


def check_store_url(url: str) -> tuple[str, str]:
    """Return the scheme of a store's URL, and the path behind it.

    Raises:
        ConfigurationError: No store has such a URL.
    """
    scheme, separator, rest = str(url).partition("://")
    if separator and scheme == "sqlite":
        return scheme, _path(rest)
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
