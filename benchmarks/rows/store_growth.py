"""What a store's operations cost among a thousand users, and among many more."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import Effort, Result, interleaved, micro
from benchmarks.mongo import Unavailable, running
from tokenward.repositories import Family, Repositories, open_repositories

FEW = 1_000
_BATCH = 1_000
# What stands in for MongoDB here reads a whole collection for an order, for `$ne` and for
# findAndModify, where MongoDB itself goes by an index.
_SCANNED = {("MongoDB", "a page of users"), ("MongoDB", "exchange a refresh token")}
_NOW = 1_800_000_000
_END = 4_000_000_000


class Kept(NamedTuple):
    """A store with so many users in it, and a refresh family of each."""

    repositories: Repositories
    users: int


def measure(effort: Effort, *, many: int | None = None) -> list[Result]:
    """Compare each operation among many users with the same one among few."""
    many = many or (1_000_000 if effort.scale > 1 else 20_000 if effort.scale else 2 * FEW)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        urls = [f"sqlite:///{Path(folder) / name}.db" for name in ("few", "many")]
        results += _compared("SQLite", urls, many, effort)
    try:
        with running() as server:
            # What stands in for MongoDB takes ever longer to be filled; a few show the slope, too.
            results += _compared("MongoDB", [server(), server()], min(many // 10, 2 * FEW), effort)
    except Unavailable as why:
        results.append(Result("MongoDB", None, "", None, detail=f"not measured: {why}"))
    return results


def _compared(name: str, urls: list[str], many: int, effort: Effort) -> Iterator[Result]:
    with contextlib.ExitStack() as stack:
        few, full = (
            stack.enter_context(_filled(url, users))
            for url, users in zip(urls, (FEW, many), strict=True)
        )
        small, large = _operations(few), _operations(full)
        for operation, call in small.items():
            taken = interleaved(
                {"few": call, "many": large[operation]}, number=20, rounds=effort.rounds(31)
            )
            yield Result(
                f"{name}, {many:,} users: {operation}",
                taken.over("many", "few"),
                f"x {FEW:,} users",
                None if (name, operation) in _SCANNED else 2.0,
                detail=f"{micro(taken['many'])} over {micro(taken['few'])}",
            )


@contextlib.contextmanager
def _filled(url: str, users: int) -> Iterator[Kept]:
    repositories = open_repositories(url)
    try:
        store: Any = repositories.store
        for first in range(0, users, _BATCH):
            numbers = range(first, min(first + _BATCH, users))
            store.put("users", [_user(n) for n in numbers])
            store.put("families", [_family(n) for n in numbers])
            store.put("revocations", [{"id": f"jti-{n}", "expires_at": _END} for n in numbers])
        yield Kept(repositories, users)
    finally:
        repositories.close()


def _operations(kept: Kept) -> dict[str, Callable[[], object]]:
    users, tokens = kept.repositories.users, kept.repositories.tokens
    store: Any = kept.repositories.store
    # A large prime walks over all of them, in an order that no cache of pages likes.
    anybody = (n * 7_919 % kept.users for n in itertools.count())
    new = itertools.count(kept.users)
    digests: dict[int, bytes] = {}

    def rotate() -> object:
        n = next(anybody)
        before = digests.get(n, _digest(n))
        digests[n] = secrets.token_bytes(32)
        return tokens.rotate(before, digests[n], _END)

    return {
        "find by name": lambda: users.get_by_username(f"user-{next(anybody)}"),
        "find by id": lambda: users.get_by_id(f"id-{next(anybody)}"),
        "is a token over": lambda: tokens.is_over("jti-unknown", f"sid-{next(anybody)}"),
        "sessions of a user": lambda: tokens.families(f"id-{next(anybody)}"),
        "a page of users": lambda: users.get_active_users(0, 10),
        "add a user": lambda: store.put("users", [_user(next(new))]),
        "start a session": lambda: tokens.start_family(_started(), secrets.token_bytes(32)),
        "exchange a refresh token": rotate,
    }


def _user(n: int) -> dict[str, object]:
    name, email = f"user-{n}", f"user-{n}@example.org"
    return {
        "id": f"id-{n}",
        "username": name,
        "username_key": name,
        "email": email,
        "email_key": email,
        "hashed_password": None,
        "is_active": True,
        "email_verified": False,
        "roles": [],
        "token_version": 0,
        "created_at": _NOW,
        "updated_at": _NOW,
    }


def _family(n: int) -> dict[str, object]:
    return {
        "id": f"sid-{n}",
        "subject": f"id-{n}",
        "client_id": "tokenward",
        "scopes": [],
        "version": 0,
        "created_at": _NOW,
        "used_at": _NOW,
        "expires_at": _END,
        "ended": False,
        "current": _digest(n).hex(),
        "used": [],
    }


def _started() -> Family:
    sid = secrets.token_urlsafe(16)
    return Family(
        id=sid,
        subject=sid,
        client_id="tokenward",
        scopes=(),
        version=0,
        created_at=_NOW,
        used_at=_NOW,
        expires_at=_END,
    )


def _digest(n: int) -> bytes:
    return n.to_bytes(32, "big")
