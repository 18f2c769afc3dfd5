"""What an import costs, over importing what it cannot do without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from benchmarks.harness import Effort, Result, interleaved


def measure(effort: Effort) -> list[Result]:
    """Start interpreters in turn; the start of a bare one is taken off each."""
    taken = interleaved(
        {
            "bare": _importing("pass"),
            "needed": _importing("import requests"),
            "verifier": _importing("from tokenward import IntrospectionVerifier"),
            "root": _importing("import tokenward"),
        },
        number=1,
        rounds=effort.rounds(11),
    )
    needed = taken["needed"] - taken["bare"]
    verifier = taken["verifier"] - taken["bare"]
    root = taken["root"] - taken["bare"]
    return [
        Result(
            "from tokenward import IntrospectionVerifier",
            verifier / needed,
            "x import requests",
            1.3,
            detail=f"{verifier * 1e3:.0f} ms over {needed * 1e3:.0f} ms",
        ),
        Result(
            "import tokenward",
            root / needed,
            "x import requests",
            0.1,
            detail=f"{root * 1e3:.1f} ms",
        ),
    ]


def _importing(statement: str) -> Callable[[], object]:
    command = [sys.executable, "-c", statement]

    def run() -> object:
        return subprocess.run(command, check=True)  # noqa: S603 - our own interpreter

    return run
