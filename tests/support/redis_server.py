"""A real Redis on a free loopback port, which a test may kill and start again."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path

from benchmarks.ports import free_port

PATIENCE = 90.0


class RedisServer:
    """Runs ``redis-server`` in a folder of the test's; a context manager.

    Args:
        folder: Where it keeps its log and, if it is to, its data.
        options: Further options of ``redis-server``, such as ``"--maxmemory", "1mb"``.
        password: What clients must say.
    """

    def __init__(self, folder, *options, password=None):
        self.folder = Path(folder)
        self.password = password
        self.port = free_port()
        self._options = options
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def url(self):
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def start(self):
        """Start it, on the same port as before, and wait until it answers."""
        program = shutil.which("redis-server")
        assert program, "these tests need redis-server: run tools/install_peers.sh"
        log = (self.folder / "redis.log").open("ab")
        command = [program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder]
        command += ["--save", "", "--appendonly", "no", *self._options]
        if self.password:
            command += ["--requirepass", self.password]
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def kill(self):
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def _answers(self):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection,
        ):
            connection.sendall(b"PING\r\n")
            # With a password the answer is -NOAUTH, and it answers all the same.
            return connection.recv(16)[:1] in (b"+", b"-")
        return False
