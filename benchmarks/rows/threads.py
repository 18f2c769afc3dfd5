"""The same hits from eight threads and from one: a lock on the way would show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.crowd import throughput
from benchmarks.environment import interpreter, measured
from benchmarks.parts import canned_verifier, floor_of, new_token

if TYPE_CHECKING:
    from benchmarks.harness import Effort, Result

ROUNDS = 11


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Compare the throughput of eight threads with that of one."""
    header = f"Bearer {new_token()}"
    verifier = canned_verifier()
    verifier.verify(header[7:])
    rounds = effort.rounds(ROUNDS)
    found = throughput(
        {"tokenward": lambda: verifier.verify(header[7:]), "floor": floor_of(header)}, rounds=rounds
    )
    ours, floor = found["tokenward"], found["floor"]
    detail = f"{ours.detail}; the floor {floor.figure:.3g} x"
    return [
        replace(ours, row="cached verify, 8 threads over 1", bar=0.95, detail=detail),
        *measured(
            "cached verify, 8 threads over 1: peers",
            "introspection_peers",
            "threads",
            f"--rounds={rounds}",
            made=made,
        ),
    ]
