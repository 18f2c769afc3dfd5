"""What an import costs, over importing what it cannot do without."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, Taken, interleaved

TOPIC = "import-time"
BESIDE = "beside the peers"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Start interpreters in turn; the start of a bare one is taken off each."""
    net = imported(
        {
            "requests": "import requests",
            "requests, PyJWT and cryptography": "import requests, jwt, cryptography",
            "IntrospectionVerifier": "from tokenward import IntrospectionVerifier",
            "JWKSVerifier": "from tokenward import JWKSVerifier",
            "tokenward": "import tokenward",
        },
        rounds=effort.rounds(15),
    )

    def over(name: str, needed: str, bar: float) -> Result:
        what = "import tokenward" if name == "tokenward" else f"from tokenward import {name}"
        took = f"{net[name] * 1e3:.1f} ms over {net[needed] * 1e3:.0f} ms"
        return Result(
            what,
            net.over(name, needed),
            f"x import {needed}",
            bar,
            detail=took,
            topic=TOPIC,
            spread=net.spread(name, needed),
            case=what,
        )

    return [
        over("IntrospectionVerifier", "requests", 1.3),
        over("JWKSVerifier", "requests, PyJWT and cryptography", 1.3),
        over("tokenward", "requests", 0.1),
        *measured("import: peers", "import_peers", f"--rounds={effort.rounds(7)}", made=made),
    ]


def imported(statements: Mapping[str, str], *, rounds: int) -> Taken:
    """Return what each statement takes in an interpreter of its own, less a bare one's start."""
    with tempfile.TemporaryDirectory() as compiled:
        calls = {name: _importing(compiled, what) for name, what in statements.items()}
        bare = _importing(compiled, "pass")
        taken = interleaved(calls | {"bare": bare}, number=1, rounds=rounds, clock=_children)
    started = taken.rounds["bare"]
    return Taken(
        {
            name: [one - none for one, none in zip(taken.rounds[name], started, strict=True)]
            for name in statements
        }
    )


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
