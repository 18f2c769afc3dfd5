"""The demo's processes: started, waited for, and stopped whatever happens."""

from __future__ import annotations

import errno
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tokenward.errors import AuthServiceUnavailable

HOST = "127.0.0.1"
READY_SECONDS = 30.0
STOP_SECONDS = 15.0

_POLL_SECONDS = 0.05
_SHOWN_LINES = 15
# What a program says that finds its port taken: `tokenward serve`, and everybody else.
_TAKEN = ("another program listens there", os.strerror(errno.EADDRINUSE))


class PortTaken(AuthServiceUnavailable):
    """Another program was quicker with the port."""


def free_ports(*wanted: int) -> list[int]:
    """Return each wanted port that is free, and another free one in place of each that is not."""
    with ExitStack() as held:
        return [_free_port(port, held) for port in wanted]


def _free_port(wanted: int, held: ExitStack) -> int:
    for port in (wanted, 0):
        listener = held.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError:
            continue
        found: int = listener.getsockname()[1]
        return found
    raise AuthServiceUnavailable(f"no port of {HOST} is free", reason="no_port")


class Process:
    """A program of the demo; a context manager that stops it.

    Args:
        name: What it is called.
        arguments: What `tokenward.commands.tether` is to run.
        bind: Where it will listen, HOST:PORT; it says "Serving …" and its URL once it does.
        health: The path that answers 200 once it is ready.
        log: Where its output goes.
        environment: Variables beside those of this process.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        bind: str,
        health: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.url = f"http://{bind}"
        self._arguments = arguments
        self._bind = bind
        self._health = health
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._says_it_listens = re.compile(
            rb"^Serving .*%b$" % re.escape(self.url).encode(), re.MULTILINE
        ).search
        self._process: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        pid = "not started" if self._process is None else f"process {self._process.pid}"
        return f"{self.name} at {self.url} ({pid}, log {self._log})"

    def __enter__(self) -> Self:
        command = [sys.executable, "-P", "-m", "tokenward.commands.tether", *self._arguments]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # Ctrl-C is for the demo, which then stops this one in its own way.
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask_to_stop(self) -> None:
        """Let go of the tether; do not wait."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def check_alive(self) -> None:
        """Raise `AuthServiceUnavailable`, with what it said last, when it has ended."""
        status = None if self._process is None else self._process.poll()
        if status is not None:
            words = self._last_words()
            hint = f"{self.name} has ended (exit status {status}); it said:\n{words}"
            kind = PortTaken if any(t in words for t in _TAKEN) else AuthServiceUnavailable
            raise kind(hint, reason="ended")

    def wait_until_ready(self) -> None:
        """Wait until it answers its health check with 200.

        Raises:
            AuthServiceUnavailable: It ended, or is still not ready after 30 seconds.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            self.check_alive()
            if time.monotonic() > deadline:
                hint = (
                    f"{self.name} is not ready after {READY_SECONDS:.0f} s; it said:\n"
                    f"{self._last_words()}"
                )
                raise AuthServiceUnavailable(hint, reason="not_ready")
            time.sleep(_POLL_SECONDS)

    def _is_ready(self) -> bool:
        # Its own word first: another program may have been quicker with the port, and healthy.
        if not self._says_it_listens(self._log.read_bytes()):
            return False
        connection = http.client.HTTPConnection(self._bind, timeout=5)
        try:
            connection.request("GET", self._health)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        text = self._log.read_text("utf-8", errors="replace")
        return "\n".join(f"    {line}" for line in text.splitlines()[-_SHOWN_LINES:])
