"""Passwords: how they are hashed, and which of them everybody tries first.

===========  =============================================================
`hashing`    hashes, and how many are made at a time
`common`     the most common passwords, for those who choose a new one
===========  =============================================================
"""

from tokenward.passwords.common import is_common
from tokenward.passwords.hashing import (
    DEFAULT_COST,
    MAX_BYTES,
    MAX_COST,
    MIN_COST,
    PasswordHasher,
    check_password,
    hash_password,
    limit_hashing,
    needs_rehash,
    verify_password,
)
from tokenward.passwords.hashing import _gate as _gate  # for Django's own hashes of ours

__all__ = [
    "DEFAULT_COST",
    "MAX_BYTES",
    "MAX_COST",
    "MIN_COST",
    "PasswordHasher",
    "check_password",
    "hash_password",
    "is_common",
    "limit_hashing",
    "needs_rehash",
    "verify_password",
]
