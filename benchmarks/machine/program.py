"""A program: started, killed, held up, and started again on its port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from benchmarks.ports import HOST

_PATIENCE = 30.0


class Unavailable(Exception):
    """A program is not installed, or does not start; the text says why."""


class Program:
    """A server on a loopback port of its own; a context manager that ends it.

    Args:
        name: Of it, and of its log.
        folder: Where it works and logs.
        command: To start it.
        port: Where it listens.
        environ: More of the environment.

    Attributes:
        name: As given.
        host: Always the loopback address.
        port: As given, each time it is started.
        log: What it said, each time it was started.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str],
        *,
        port: int,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.host = HOST
        self.port = port
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._command = command
        self._environ = os.environ | dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process; of gunicorn, the master.

        Raises:
            Unavailable: It does not run.
        """
        if self._process is None:
            raise Unavailable(f"{self.name} does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._process is not None

    def start(self) -> None:
        """Start it on its port, and wait until it answers.

        Raises:
            Unavailable: It has ended instead, or does not answer; the text ends with its log.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it on its port, and do not wait."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                self._command,
                stdout=log,
                stderr=log,
                env=self._environ,
                cwd=self._folder,
                # A group of its own: to be killed with all its workers, and not by Ctrl-C.
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            Unavailable: It has ended instead, or does not answer; the text ends with its log.
        """
        deadline = time.monotonic() + _PATIENCE
        while not self.answers():
            if (
                self._process is None
                or self._process.poll() is not None
                or time.monotonic() > deadline
            ):
                self.kill()
                raise Unavailable(f"{self.name} does not start; it said:\n{last_of(self.log)}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end, as a deployment does, and wait; kill what is left of it then."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE / 2)
            self.kill()

    def kill(self) -> None:
        """End it and its workers at once, as a crash of their machine would."""
        if self._process is not None:
            # The workers may be gone already, with the one that they belong to.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_PATIENCE)
            self._process = None

    def restart(self) -> None:
        """Kill it, and start it again on its port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Hold it and its workers up: connections stay, and nothing answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)

    def answers(self) -> bool:
        """Tell whether it answers now."""
        raise NotImplementedError


def last_of(log: Path) -> str:
    """Return the end of a log, for an error's text."""
    return log.read_text("utf-8", "replace")[-2000:]
