"""Stores with many users in them, each of whom is logged in."""

from __future__ import annotations

import contextlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256

from tokenward.repositories import Portable, Repositories, open_repositories

NOW = 1_800_000_000
END = 4_000_000_000


@contextlib.contextmanager
def filled(url: str, users: int, *, batch: int) -> Iterator[Repositories]:
    """Open a new store with so many users in it, a session of each, and as many revocations.

    Args:
        url: Where no store is yet.
        users: How many.
        batch: Users that are stored in one step.
    """
    repositories = open_repositories(url)
    try:
        store: object = repositories.store
        if not isinstance(store, Portable):
            raise TypeError("this store cannot be filled")
        for first in range(0, users, batch):
            numbers = range(first, min(first + batch, users))
            store.put("users", [user(n) for n in numbers])
            store.put("families", [family(n) for n in numbers])
            store.put("revocations", [{"id": jti(n), "expires_at": END} for n in numbers])
        yield repositories
    finally:
        repositories.close()


def name(n: int) -> str:
    """Return the name of user ``n``; names come in no order."""
    return f"{_hash('name', n).hex()[:8]}-{n}"


def user_id(n: int) -> str:
    """Return the id of user ``n``, as random as real ones."""
    return _random_id("user", n)


def sid(n: int) -> str:
    """Return the id of the session of user ``n``."""
    return _random_id("session", n)


def jti(n: int) -> str:
    """Return the id of the revoked token ``n``."""
    return _random_id("token", n)


def digest(n: int) -> bytes:
    """Return the digest of the refresh token of user ``n``."""
    return _hash("refresh", n)


def user(n: int) -> dict[str, object]:
    """Return the record of user ``n``."""
    email = f"{name(n)}@example.org"
    return {
        "id": user_id(n),
        "username": name(n),
        "username_key": name(n),
        "email": email,
        "email_key": email,
        "hashed_password": None,
        "is_active": True,
        "email_verified": False,
        "roles": [],
        "token_version": 0,
        "created_at": NOW,
        "updated_at": NOW,
    }


def family(n: int) -> dict[str, object]:
    """Return the record of the session of user ``n``."""
    return {
        "id": sid(n),
        "subject": user_id(n),
        "client_id": "tokenward",
        "scopes": [],
        "version": 0,
        "created_at": NOW,
        "used_at": NOW,
        "expires_at": END,
        "ended": False,
        "current": digest(n).hex(),
        "used": [],
    }


def _hash(what: str, n: int) -> bytes:
    return sha256(f"{what} {n}".encode()).digest()


def _random_id(what: str, n: int) -> str:
    return urlsafe_b64encode(_hash(what, n)[:16]).decode("ascii").rstrip("=")
