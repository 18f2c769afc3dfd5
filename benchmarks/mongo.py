"""A server that speaks MongoDB's protocol, as the tests run it: SecantusDB, on a loopback port."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.ports import free_port, listens

PROGRAM = Path(__file__).parent.parent / "build/peers/secantus/bin/secantusd-py"


class Unavailable(Exception):
    """There is no such server; the text says why, in a line."""


@contextlib.contextmanager
def running() -> Iterator[Callable[[], str]]:
    """Run a server; what is yielded returns the URL of another empty database at each call.

    Raises:
        Unavailable: It is not installed, or does not start.
    """
    if not PROGRAM.exists():
        raise Unavailable("no server: run tools/install_peers.sh")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "empty.toml").touch()
        command = [str(PROGRAM), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--cache-size", "512M", "--log-level", "WARNING"]
        command += ["--storage-path", f"{folder}/data", "--config", f"{folder}/empty.toml"]
        with subprocess.Popen(  # noqa: S603 - our own server
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                if not listens(process, port):
                    raise Unavailable("the server does not start")
                numbers = itertools.count(1)
                yield (
                    lambda: f"mongodb://127.0.0.1:{port}/bench{next(numbers)}?directConnection=true"
                )
            finally:
                process.kill()
