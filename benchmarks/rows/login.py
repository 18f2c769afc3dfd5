"""A login, over the one bcrypt hash that it cannot do without."""

from __future__ import annotations

import bcrypt

from benchmarks.findings import Result
from benchmarks.harness import Effort, interleaved
from tokenward import AuthService, KeyRing, LoginRequest, RegisterRequest
from tokenward.repositories import open_repositories

COST = 12
PASSWORD = "correct horse battery"  # noqa: S105 - of a user that lives for one measurement


def measure(effort: Effort) -> list[Result]:
    """Compare with ``bcrypt.checkpw`` at the same cost."""
    repositories = open_repositories("memory://")
    service = AuthService(
        repositories.users,
        keys=KeyRing.generate(),
        tokens=repositories.tokens,
        issuer="https://auth.example",
        audience="bench",
        registration="open",
    )
    service.register_user(
        RegisterRequest(username="alice", email="alice@example.org", password=PASSWORD)
    )
    login = LoginRequest(username="alice", password=PASSWORD)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST))
    taken = interleaved(
        {
            "login": lambda: service.login_user(login),
            "bcrypt": lambda: bcrypt.checkpw(PASSWORD.encode(), hashed),
        },
        number=1,
        rounds=effort.rounds(9),
    )
    return [
        Result(
            "login at bcrypt cost 12",
            taken.over("login", "bcrypt"),
            "x raw bcrypt",
            1.02,
            detail=f"{taken['login'] * 1e3:.1f} ms over {taken['bcrypt'] * 1e3:.1f} ms",
            topic="login",
            spread=taken.spread("login", "bcrypt"),
        )
    ]
