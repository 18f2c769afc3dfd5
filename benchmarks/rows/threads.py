"""The same hits from eight threads and from one: a lock on the way would show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.crowd import throughput
from benchmarks.environment import interpreter, measured
from benchmarks.parts import canned_verifier, floor_of, new_token
from benchmarks.signed import pinned_verifier, signer

if TYPE_CHECKING:
    from benchmarks.harness import Effort, Result

ROUNDS = 11


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
            "": lambda: verifier.verify(header[7:]),
            ", a signed token": lambda: jwks_verifier.verify(signed[7:]),
            "floor": floor_of(header),
        },
        rounds=rounds,
    )
    floor = found.pop("floor").figure
    return [
        *(
            replace(
                ours,
                row=f"cached verify, 8 threads over 1{what}",
                bar=0.95,
                detail=f"{ours.detail}; the floor {floor:.3g} x",
            )
            for what, ours in found.items()
        ),
        *measured(
            "cached verify, 8 threads over 1: peers",
            "introspection_peers",
            "threads",
            f"--rounds={rounds}",
            made=made,
        ),
    ]
