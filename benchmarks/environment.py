"""The environment of the peers, ``build/bench-env``: made when it is first needed.

It is made anew when what belongs into it, or the interpreter, has changed. tokenward is in it too,
as this very source tree, so that it and a peer can be timed in one process.
"""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).with_name("peers.txt")

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
    python, stamp = environment / "bin" / "python", environment / "stamp"
    wanted = _wanted(peers)
    if not stamp.is_file() or stamp.read_text("ascii") != wanted:
        print(f"      making {environment} ...", file=sys.stderr, flush=True)
        _run(sys.executable, "-m", "venv", "--clear", str(environment))
        pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet")
        # Without a network the reason should come soon.
        install = ("install", "--retries", "1", "--timeout", "15")
        _run(*pip, *install, "--requirement", str(peers), "--editable", str(ROOT))
        stamp.write_text(wanted, "ascii")
    return python


def last_line(errors: str) -> str:
    """Return what a program that failed said last, or last called an error."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if line.startswith("ERROR:")),
        lines[-1] if lines else "it said nothing",
    )


def _wanted(peers: Path) -> str:
    wanted = (sys.version.encode(), peers.read_bytes(), (ROOT / "pyproject.toml").read_bytes())
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
