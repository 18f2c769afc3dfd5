"""Lines that are measured in the environment of the peers, with tokenward beside them.

``python -m benchmarks.growth.inside NAME --scale=…`` prints one line of JSON for each line of a
curve; NAME is a module of this package that has ``lines(effort, peers=True)``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT, Unavailable, interpreter, last_line
from benchmarks.findings import Line
from benchmarks.harness import Effort

NAMES = ("thread_counts", "token_sizes")


def with_peers(
    name: str, effort: Effort, *, made: Callable[[], Path] = interpreter
) -> tuple[list[Line], str]:
    """Measure the lines of a module beside those of the peers, or alone where that is impossible.

    Args:
        name: Of the module; one of `NAMES`.
        effort: As everywhere.
        made: Returns the environment's interpreter, or raises `Unavailable`.

    Returns:
        The lines, and in a sentence why peers are missing; empty: they are not.
    """
    try:
        return _inside(made(), name, effort), ""
    except Unavailable as why:
        lines: list[Line] = _module(name).lines(effort, peers=False)
        return lines, f" The peers were not measured: {why}."


def _inside(python: Path, name: str, effort: Effort) -> list[Line]:
    command = (str(python), "-m", "benchmarks.growth.inside", name, f"--scale={effort.scale}")
    told = subprocess.run(  # noqa: S603 - the environment's own interpreter
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if told.returncode != 0:
        raise Unavailable(last_line(told.stderr))
    return [Line.from_dict(json.loads(line)) for line in told.stdout.splitlines()]


def _module(name: str) -> Any:
    return import_module(f"benchmarks.growth.{name}")


def main() -> None:
    """Print the lines of a module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--scale", type=float, required=True)
    options = parser.parse_args()
    # joserfc warns that some algorithms have another name by now.
    warnings.simplefilter("ignore")
    for line in _module(options.name).lines(Effort(options.scale), peers=True):
        print(json.dumps(line.as_dict()), flush=True)


if __name__ == "__main__":
    main()
