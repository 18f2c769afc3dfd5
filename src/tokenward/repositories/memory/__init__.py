"""Repositories in the memory of one process: for tests, demonstrations and tools."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tokenward.passwords import DEFAULT_COST
from tokenward.repositories.base import Repositories
from tokenward.repositories.memory._counters import MemoryCounterRepository
from tokenward.repositories.memory._keys import MemoryKeyRepository
from tokenward.repositories.memory._store import MemoryStore
from tokenward.repositories.memory._tokens import MemoryTokenRepository
from tokenward.repositories.memory._users import MemoryUserRepository

if TYPE_CHECKING:
    from tokenward.protocols import Clock

__all__ = [
    "MemoryCounterRepository",
    "MemoryKeyRepository",
    "MemoryStore",
    "MemoryTokenRepository",
    "MemoryUserRepository",
    "open_memory",
]


def open_memory(*, bcrypt_cost: int = DEFAULT_COST, clock: Clock = time.time) -> Repositories:
    """Return new, empty repositories."""
    users = MemoryUserRepository(bcrypt_cost=bcrypt_cost, clock=clock)
    tokens = MemoryTokenRepository(clock=clock)
    return Repositories(
        users=users,
        tokens=tokens,
        keys=MemoryKeyRepository(),
        counters=MemoryCounterRepository(),
        store=MemoryStore(users, tokens),
    )
