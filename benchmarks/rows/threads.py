"""The same hits from eight threads and from one: a lock on the way would show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.crowd import CALLS, throughput
from benchmarks.environment import interpreter, measured
from benchmarks.findings import OURS
from benchmarks.parts import canned_verifier, floor_of, new_token
from benchmarks.signed import pinned_verifier, signer

if TYPE_CHECKING:
    from benchmarks.findings import Result
    from benchmarks.harness import Effort

ROUNDS = 11
FLOOR = "the floor: SHA-256, dict, expiry"
KEPT = "who keeps what was found out, beside the peers"
ANEW = "who verifies anew each time (RS256)"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Compare the throughput of eight threads with that of one."""
    header, by = f"Bearer {new_token()}", signer("RS256")
    signed = f"Bearer {by.token()}"
    verifier, jwks_verifier = canned_verifier(), pinned_verifier(by)
    verifier.verify(header[7:])
    jwks_verifier.verify(signed[7:])
    rounds = effort.rounds(ROUNDS)
    found = throughput(
        {
            OURS: lambda: verifier.verify(header[7:]),
            f"{OURS}, a signed token": lambda: jwks_verifier.verify(signed[7:]),
            FLOOR: floor_of(header),
        },
        rounds=rounds,
        calls=CALLS if effort.scale else CALLS // 20,
        floor=FLOOR,
    )
    return [
        *(replace(ours, bar=0.95) for ours in found.values() if ours.ours),
        found[FLOOR],
        *measured(
            "cached verify, 8 threads over 1: peers",
            "introspection_peers",
            "threads",
            f"--rounds={rounds}",
            made=made,
        ),
        *measured(
            "cached verify, a signed token, 8 threads over 1: peers",
            "jwks_peers",
            "threads",
            f"--rounds={effort.rounds(5)}",
            made=made,
        ),
    ]
