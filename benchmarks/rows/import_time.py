"""What an import costs, over importing what it cannot do without."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial

from benchmarks.harness import Effort, Result, Taken, interleaved


def measure(effort: Effort) -> list[Result]:
    """Start interpreters in turn; the start of a bare one is taken off each."""
    with tempfile.TemporaryDirectory() as compiled:
        importing = partial(_importing, compiled)
        taken = interleaved(
            {
                "bare": importing("pass"),
                "requests": importing("import requests"),
                "requests, PyJWT and cryptography": importing("import requests, jwt, cryptography"),
                "IntrospectionVerifier": importing("from tokenward import IntrospectionVerifier"),
                "JWKSVerifier": importing("from tokenward import JWKSVerifier"),
                "tokenward": importing("import tokenward"),
            },
            number=1,
            rounds=effort.rounds(15),
            clock=_children,
        )
    alone = {
        name: [one - bare for one, bare in zip(times, taken.rounds["bare"], strict=True)]
        for name, times in taken.rounds.items()
    }
    net = Taken(alone)

    def over(name: str, needed: str, bar: float) -> Result:
        what = "import tokenward" if name == "tokenward" else f"from tokenward import {name}"
        took = f"{net[name] * 1e3:.1f} ms over {net[needed] * 1e3:.0f} ms"
        return Result(what, net.over(name, needed), f"x import {needed}", bar, detail=took)

    return [
        over("IntrospectionVerifier", "requests", 1.3),
        over("JWKSVerifier", "requests, PyJWT and cryptography", 1.3),
        over("tokenward", "requests", 0.1),
    ]


def _children() -> float:
    # The time that the interpreters themselves were at work, whatever the machine does besides.
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _importing(compiled: str, statement: str) -> Callable[[], object]:
    command = [sys.executable, "-c", statement]
    # The first of them compiles, as an installation does; wherever this one may not.
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    } | {"PYTHONPYCACHEPREFIX": compiled}

    def run() -> object:
        return subprocess.run(command, check=True, env=environment)  # noqa: S603 - our own

    return run
