"""One token that nobody has asked about, presented by 32 threads at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.crowd import CASES, DEADLINE, Ask, one_cold_token
from benchmarks.environment import interpreter, measured
from benchmarks.parts import client_for
from benchmarks.upstream import running
from tokenward import IntrospectionVerifier

if TYPE_CHECKING:
    from benchmarks.findings import Result
    from benchmarks.harness import Effort


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Count the calls that reach the endpoint, and time the last thread to be answered."""
    rounds = effort.rounds(9)
    results: list[Result] = []
    with running() as upstream, contextlib.ExitStack() as open_verifiers:

        def make(url: str) -> Ask:
            verifier = IntrospectionVerifier(client_for(url, timeout=DEADLINE), audience="bench")
            open_verifiers.callback(verifier.close)
            return verifier.verify

        for case in CASES:
            results += one_cold_token(upstream, case, make, rounds=rounds, bars=(1, 1.5))
    results += measured(
        "32 threads, one cold token: peers",
        "introspection_peers",
        "cold_token",
        f"--rounds={effort.rounds(5)}",
        made=made,
    )
    return results
