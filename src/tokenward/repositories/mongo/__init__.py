"""Repositories in a MongoDB database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tokenward.passwords import DEFAULT_COST
from tokenward.repositories.base import Repositories
from tokenward.repositories.mongo._counters import MongoCounterRepository
from tokenward.repositories.mongo._keys import MongoKeyRepository
from tokenward.repositories.mongo._store import MongoStore
from tokenward.repositories.mongo._tokens import MongoTokenRepository
from tokenward.repositories.mongo._users import MongoUserRepository

if TYPE_CHECKING:
    from tokenward.protocols import Clock

__all__ = [
    "MongoCounterRepository",
    "MongoKeyRepository",
    "MongoStore",
    "MongoTokenRepository",
    "MongoUserRepository",
    "open_mongo",
]


def open_mongo(
    url: str,
    *,
    create: bool = True,
    bcrypt_cost: int = DEFAULT_COST,
    clock: Clock = time.time,
) -> Repositories:
    """Open the store in a database; see `tokenward.repositories.open_repositories`.

    A server that is down is no error here: what asks it is `AuthServiceUnavailable` until it is
    there.

    Raises:
        ConfigurationError: The store cannot be used as it is; the message says what to do.
    """
    store = MongoStore(url, create=create)
    return Repositories(
        users=MongoUserRepository(store, bcrypt_cost=bcrypt_cost, clock=clock),
        tokens=MongoTokenRepository(store, clock=clock),
        keys=MongoKeyRepository(store),
        counters=MongoCounterRepository(store),
        store=store,
    )
