"""What others charge for a protected view, beside what tokenward does in the same process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.environment import ROOT, Unavailable, interpreter, last_line
from benchmarks.harness import Effort, Result, micro

FRAMEWORKS = ("flask", "django")


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Have the peers measured in an environment of their own; say so where that fails.

    Args:
        effort: As everywhere.
        made: Returns the environment's interpreter, or raises `Unavailable`.
    """
    try:
        python = made()
    except Unavailable as why:
        return [_missing(framework, str(why)) for framework in FRAMEWORKS]
    return [
        result
        for framework in FRAMEWORKS
        for result in _measured(framework, python, effort.rounds(201))
    ]


def _measured(framework: str, python: Path, rounds: int) -> Iterator[Result]:
    command = (str(python), "-m", f"benchmarks.peers.{framework}_peers", "--rounds", str(rounds))
    with subprocess.Popen(  # noqa: S603 - the environment's own interpreter
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("the peers have no pipes")
        said = []
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            said.append(line)
        # A few lines, so that they fit into the pipe while the other one is read.
        measured = process.stdout.read().splitlines()
    yield from map(_result, measured)
    if process.returncode != 0:
        yield _missing(framework, last_line("".join(said)))


def _result(line: str) -> Result:
    found = json.loads(line)
    return Result(
        f"{found['framework']}, {found['name']} {found['version']}: {found['does']}",
        found["ratio"],
        "x plain view",
        None,
        detail=(
            f"{micro(found['peer'])} over {micro(found['plain'])}; "
            f"tokenward beside it {found['tokenward_ratio']:.3g} x"
        ),
    )


def _missing(framework: str, why: str) -> Result:
    return Result(f"peers of {framework}", None, "", None, detail=f"not measured: {why}")
