"""What every store must be able to do, and what is the same for all of them.

============  ===================================================================
`users`       `UserRepository`: who there is, and what opens their account
`tokens`      `TokenRepository`: refresh families, revocations, what is good once
`keys`        `KeyRepository`: signing keys under one version number
`counters`    `CounterRepository`: what a throttle counts
`store`       `Repositories`: all of them together; `Portable`: carried elsewhere
============  ===================================================================
"""

from tokenward.repositories.base.counters import CounterRepository
from tokenward.repositories.base.keys import KeyRepository, StoredKey
from tokenward.repositories.base.store import KINDS, Kind, Portable, Record, Repositories, Store
from tokenward.repositories.base.tokens import MAX_ROTATIONS, Family, Rotation, TokenRepository
from tokenward.repositories.base.users import UserRepository

__all__ = [
    "KINDS",
    "MAX_ROTATIONS",
    "CounterRepository",
    "Family",
    "KeyRepository",
    "Kind",
    "Portable",
    "Record",
    "Repositories",
    "Rotation",
    "Store",
    "StoredKey",
    "TokenRepository",
    "UserRepository",
]
