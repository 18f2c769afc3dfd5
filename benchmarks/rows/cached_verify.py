"""A token that was verified before, cut fresh from the header, its expiry checked again."""

from __future__ import annotations

import time
from hashlib import sha256

from benchmarks.harness import Effort, Result, interleaved, micro
from benchmarks.parts import canned_verifier, new_token


def measure(effort: Effort) -> list[Result]:
    """Compare with the least that any cache must do: hash, look up, compare the expiry."""
    header = f"Bearer {new_token()}"
    verifier = canned_verifier()
    verifier.verify(header[7:])
    cache = {sha256(header[7:].encode()).digest(): ("alice", time.time() + 3_600)}

    def floor() -> object:
        value, ends = cache[sha256(header[7:].encode()).digest()]
        return value if time.time() < ends else None

    def cached() -> object:
        return verifier.verify(header[7:])

    taken = interleaved({"floor": floor, "cached": cached}, number=2_000, rounds=effort.rounds(151))
    return [
        Result(
            "cached verify",
            taken.over("cached", "floor"),
            "x floor",
            1.3,
            detail=f"{micro(taken['cached'])} over {micro(taken['floor'])}",
        )
    ]
