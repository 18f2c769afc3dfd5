"""Under which circumstances something is measured: machine, versions, revision."""

from __future__ import annotations

import os
import platform
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from benchmarks.environment import PEERS, ROOT
from benchmarks.mongo import PROGRAM

_OURS = ("tokenward",)
_BESIDE = (
    "bcrypt",
    "cryptography",
    "Django",
    "djangorestframework",
    "Flask",
    "gunicorn",
    "PyJWT",
    "pymongo",
    "redis",
    "requests",
    "urllib3",
    "Werkzeug",
)
_PATIENCE = 10
_REVISION = 12


@cache
def machine() -> Mapping[str, str]:
    """Return the processor, its cores, memory, kernel and Python, as far as they are known."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


@cache
def versions() -> Mapping[str, str]:
    """Return the version of everything that takes part: ours, theirs, libraries, servers."""
    found = {name: _installed(name) for name in (*_OURS, *_BESIDE)}
    found |= {f"{name} (peers)": version for name, version in _pinned(PEERS).items()}
    found |= {"OpenSSL": ssl.OPENSSL_VERSION.removeprefix("OpenSSL ").split()[0]}
    found |= {"redis-server": _redis(), "SecantusDB": _secantus()}
    return found


@cache
def revision(root: Path = ROOT) -> str:
    """Return the revision of the source, with "+" if the tree differs from it."""
    head = _said("git", "-C", str(root), "rev-parse", f"--short={_REVISION}", "HEAD")
    if not head:
        return "unknown"
    # What was measured is the source; the figures themselves are no change of it.
    pathspec = ("--", "src", "benchmarks", "examples")
    changed = _said("git", "-C", str(root), "status", "--porcelain", *pathspec)
    return f"{head}+" if changed else head


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _pinned(peers: Path) -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in peers.read_text("utf-8").splitlines())
    pairs = (line.partition("==") for line in lines if line)
    pinned = {name: version for name, _equals, version in pairs}
    return {name: pinned[name] for name in sorted(pinned, key=str.lower)}


def _redis() -> str:
    said = _said("redis-server", "--version")
    found = next((word for word in said.split() if word.startswith("v=")), "")
    return found.removeprefix("v=") or "not installed"


def _secantus() -> str:
    python = PROGRAM.with_name("python")
    ask = "from importlib import metadata; print(metadata.version('SecantusDB'))"
    return _said(str(python), "-c", ask) or "not installed"


def _memory() -> str:
    kib = _field("/proc/meminfo", "MemTotal").split()
    return f"{int(kib[0]) / 2**20:.1f} GiB" if kib else "unknown"


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(found, "")


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        answer = subprocess.run(  # noqa: S603 - of this machine
            command, check=True, capture_output=True, text=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
