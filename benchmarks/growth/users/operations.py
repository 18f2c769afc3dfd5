"""What a service does with a store, for somebody else at each call."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable

from benchmarks.growth.users.filling import END, NOW, digest, jti, name, sid, user_id
from tokenward.repositories import Family, Repositories, Rotation

PAGE = 10
"""Users on a page."""

# A large prime walks over all of them, in an order that no cache of pages likes.
_STEP = 7_919


def operations(repositories: Repositories, users: int) -> dict[str, Callable[[], object]]:
    """Return what is timed, by what it is.

    Args:
        repositories: A store as `filling.filled` leaves it.
        users: How many are in it.
    """
    people, tokens = repositories.users, repositories.tokens
    anybody = (n * _STEP % users for n in itertools.count())
    digests: dict[int, bytes] = {}

    def log_in() -> object:
        user = people.get_by_username(name(next(anybody)))
        if user is None:
            raise RuntimeError("there is no such user")
        return tokens.families(user.id)

    def rotate() -> object:
        n = next(anybody)
        before = digests.get(n) or digest(n)
        digests[n] = secrets.token_bytes(32)
        rotation = tokens.rotate(before, digests[n], END)
        if rotation is not Rotation.ROTATED:
            raise RuntimeError(f"the refresh token is {rotation}")
        return rotation

    return {
        "find a user by name": lambda: people.get_by_username(name(next(anybody))),
        "find a user by id": lambda: people.get_by_id(user_id(next(anybody))),
        "what a login reads": log_in,
        "start a session": lambda: tokens.start_family(_session(), secrets.token_bytes(32)),
        "rotate a refresh token": rotate,
        "is a token over": lambda: tokens.is_over(jti(-1), sid(next(anybody))),
        "a page of users": lambda: people.get_active_users(0, PAGE),
    }


def _session() -> Family:
    # Of nobody who is asked about: what a login reads would grow.
    new = secrets.token_urlsafe(16)
    return Family(
        id=new,
        subject=new,
        client_id="tokenward",
        scopes=(),
        version=0,
        created_at=NOW,
        used_at=NOW,
        expires_at=END,
    )
