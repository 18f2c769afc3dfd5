"""A server that speaks MongoDB's protocol, as the tests run it: SecantusDB, on a loopback port."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAM = Path(__file__).parent.parent / "build/peers/secantus/bin/secantusd-py"

_PATIENCE = 30.0


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
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "empty.toml").touch()
        command = [str(PROGRAM), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--cache-size", "512M", "--log-level", "WARNING"]
        command += ["--storage-path", f"{folder}/data", "--config", f"{folder}/empty.toml"]
        with subprocess.Popen(  # noqa: S603 - our own server
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                _wait_for(process, port)
                numbers = itertools.count(1)
                yield (
                    lambda: f"mongodb://127.0.0.1:{port}/bench{next(numbers)}?directConnection=true"
                )
            finally:
                process.kill()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise Unavailable("the server does not start")
