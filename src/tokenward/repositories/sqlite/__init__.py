"""Repositories in one SQLite file: the embedded default."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tokenward.passwords import DEFAULT_COST
from tokenward.repositories.base import Repositories
from tokenward.repositories.sqlite._counters import SQLiteCounterRepository
from tokenward.repositories.sqlite._keys import SQLiteKeyRepository
from tokenward.repositories.sqlite._store import SQLiteStore
from tokenward.repositories.sqlite._tokens import SQLiteTokenRepository
from tokenward.repositories.sqlite._users import SQLiteUserRepository

if TYPE_CHECKING:
    import os

    from tokenward.protocols import Clock

__all__ = [
    "SQLiteCounterRepository",
    "SQLiteKeyRepository",
    "SQLiteStore",
    "SQLiteTokenRepository",
    "SQLiteUserRepository",
    "open_sqlite",
]


def open_sqlite(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    bcrypt_cost: int = DEFAULT_COST,
    clock: Clock = time.time,
) -> Repositories:
    """Open the store in a file; see `tokenward.repositories.open_repositories`."""
    users = SQLiteUserRepository(path, create=create, bcrypt_cost=bcrypt_cost, clock=clock)
    return Repositories(
        users=users,
        tokens=SQLiteTokenRepository(users.store, clock=clock),
        keys=SQLiteKeyRepository(users.store),
        counters=SQLiteCounterRepository(users.store),
        store=users.store,
    )
