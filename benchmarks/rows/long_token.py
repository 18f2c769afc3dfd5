"""A signed token of 5 kB, as issuers write them who list all groups of a person."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.signed import LONG_CHARACTERS, pinned_verifier, signer

TOPIC = "long-token"
BESIDE = "beside the peers"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Compare the first verification of a long token with that of one of 800 characters."""
    by = signer("RS256")
    verifier, short, long = (
        pinned_verifier(by, cache_entries=0),
        by.token(),
        by.token(characters=LONG_CHARACTERS),
    )
    taken = interleaved(
        {"short": lambda: verifier.verify(short), "long": lambda: verifier.verify(long)},
        number=50,
        rounds=effort.rounds(101),
        clock=time.thread_time,
    )
    return [
        Result(
            "5 kB token, RS256",
            taken.over("long", "short"),
            "x a 0.8 kB token",
            2,
            detail=f"{micro(taken['long'])} over {micro(taken['short'])}",
            topic=TOPIC,
            spread=taken.spread("long", "short"),
        ),
        *measured(
            "5 kB token: peers",
            "jwks_peers",
            "long_token",
            f"--rounds={effort.rounds(31)}",
            made=made,
        ),
    ]
