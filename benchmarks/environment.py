"""The environment of the peers, ``build/bench-env``: made when it is first needed.

It is made anew when what belongs into it, or the interpreter, has changed. tokenward is in it too,
as this very source tree, so that it and a peer can be timed in one process.

``BENCH_PEERS=none`` in the environment leaves every peer out.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

from benchmarks.findings import Result

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).with_name("peers.txt")
WANTED = "BENCH_PEERS"

_SECONDS = 600


class Unavailable(Exception):
    """The environment cannot be made; the text says why, in a line."""


def interpreter(environment: Path = ROOT / "build" / "bench-env", *, peers: Path = PEERS) -> Path:
    """Return the interpreter of the environment, which is made if it is not there.

    Args:
        environment: Where it is.
        peers: What belongs into it beside tokenward, for pip to read.

    Raises:
        Unavailable: It cannot be made.
    """
    if os.environ.get(WANTED) == "none":
        raise Unavailable(f"{WANTED} is none")
    python, stamp = environment / "bin" / "python", environment / "stamp"
    wanted = _wanted(peers)
    # Two runs at the same time must not make it over each other's heads.
    with _alone(environment.with_suffix(".lock")):
        if not stamp.is_file() or stamp.read_text("ascii") != wanted:
            print(f"      making {environment} ...", file=sys.stderr, flush=True)
            _run(sys.executable, "-m", "venv", "--clear", str(environment))
            pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet")
            # Without a network the reason should come soon.
            install = ("install", "--retries", "1", "--timeout", "15")
            _run(*pip, *install, "--requirement", str(peers), "--editable", str(ROOT))
            stamp.write_text(wanted, "ascii")
    return python


def measured(
    what: str, module: str, *arguments: str, made: Callable[[], Path] = interpreter
) -> Iterator[Result]:
    """Yield what a module of `benchmarks.peers` measures, in the environment; say where that fails.

    Args:
        what: What is measured, for the row that says so.
        module: The module's name.
        arguments: What it is called with.
        made: Returns the environment's interpreter, or raises `Unavailable`.
    """
    python = _attempt(made)
    if isinstance(python, Unavailable):
        yield _missing(what, str(python))
        return
    command = (str(python), "-m", f"benchmarks.peers.{module}", *arguments)
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
        told = process.stdout.read().splitlines()
    for line in told:
        yield Result.from_dict(json.loads(line))
    if process.returncode != 0:
        yield _missing(what, last_line("".join(said)))


def last_line(errors: str) -> str:
    """Return what a program that failed said last, or last called an error."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if line.startswith("ERROR:")),
        lines[-1] if lines else "it said nothing",
    )


@cache
def _attempt(made: Callable[[], Path]) -> Path | Unavailable:
    # Once for all rows: without a network every attempt would take as long as the first.
    try:
        return made()
    except Unavailable as why:
        return why


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise Unavailable(str(error)) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _missing(what: str, why: str) -> Result:
    return Result(what, None, "", None, detail=f"not measured: {why}")


def _wanted(peers: Path) -> str:
    # Of the project, what pip reads; the linters' settings are no reason to install anew.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    installed = json.dumps([project["build-system"], project["project"]], sort_keys=True)
    wanted = (sys.version.encode(), peers.read_bytes(), installed.encode())
    return sha256(b"\0".join(wanted)).hexdigest()


def _run(*command: str) -> None:
    try:
        subprocess.run(  # noqa: S603 - our own interpreter
            command, check=True, capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise Unavailable(last_line(error.stderr)) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from None
