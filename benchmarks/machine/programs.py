"""The programs of the machine: gunicorn, Redis, and a server that speaks MongoDB's protocol."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from benchmarks.machine.gunicorn_conf import DELAY
from benchmarks.machine.program import Program, Unavailable
from benchmarks.mongo import PROGRAM as MONGO
from benchmarks.ports import HOST, free_port

__all__ = ["Mongo", "Program", "Redis", "Server", "Unavailable"]

_CONFIG = Path(__file__).with_name("gunicorn_conf.py")


class Server(Program):
    """A WSGI application under gunicorn, with threads.

    Args:
        name: Of it, and of its log.
        folder: Where it works and logs.
        application: As gunicorn takes it: ``module:name``.
        environ: More of the environment.
        workers: Processes.
        threads: Of each.
        health: The path that answers 200 once it can be used.
        chdir: Where the application's modules are.
        preload: Whether the application is made before the processes part.

    Attributes:
        url: Of it, without a slash at its end.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        application: str,
        *,
        port: int,
        environ: Mapping[str, str],
        workers: int = 2,
        threads: int = 4,
        health: str = "/health",
        chdir: Path | None = None,
        preload: bool = True,
    ) -> None:
        self._health = health
        self._delay = folder / f"{name}.delay"
        self._access = folder / f"{name}.access"
        self.url = f"http://{HOST}:{port}"
        command = [sys.executable, "-m", "gunicorn", f"--bind={HOST}:{port}"]
        command += [f"--workers={workers}", f"--threads={threads}", "--worker-class=gthread"]
        command += ["--keep-alive=75", "--graceful-timeout=3", "--log-level=warning"]
        command += [f"--config={_CONFIG}", f"--worker-tmp-dir={folder}"]
        # Paths and answers alone: what people send stands in no log.
        command += [f"--access-logfile={self._access}", "--access-logformat=%(U)s %(s)s"]
        command += ["--preload"] if preload else []
        command += [f"--chdir={chdir}"] if chdir else []
        more = {DELAY: str(self._delay)}
        super().__init__(
            name, folder, [*command, application], port=port, environ=more | dict(environ)
        )

    def answers(self) -> bool:
        """Tell whether it is healthy."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", self._health)
            return connection.getresponse().status == http.client.OK
        return False

    def workers(self) -> list[int]:
        """Return the processes of its workers, oldest first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("ascii")
        return [int(pid) for pid in children.split()]

    def kill_worker(self) -> int:
        """Kill its oldest worker, as the kernel does when memory is short; return its process."""
        worker = self.workers()[0]
        os.kill(worker, signal.SIGKILL)
        return worker

    def slow(self, seconds: float) -> None:
        """Let each request wait for so long before it is looked at; 0: no longer."""
        if seconds:
            self._delay.write_text(str(seconds), "ascii")
        else:
            self._delay.unlink(missing_ok=True)

    def calls(self) -> Counter[str]:
        """Return how many requests each path was asked, as gunicorn's access log has them."""
        if not self._access.exists():
            return Counter()
        lines = self._access.read_text("utf-8").splitlines()
        return Counter(line.rpartition(" ")[0] for line in lines)


class Redis(Program):
    """A Redis that keeps nothing on the disk.

    Attributes:
        url: Of it.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise Unavailable("no redis-server: run tools/install_peers.sh")
        port = free_port()
        self.url = f"redis://{HOST}:{port}/0"
        command = [program, "--bind", HOST, "--port", str(port), "--dir", str(folder)]
        super().__init__("redis", folder, [*command, "--save", "", "--appendonly", "no"], port=port)

    def answers(self) -> bool:
        """Tell whether it answers a PING."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.host, self.port), timeout=1) as connection,
        ):
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+")
        return False


class Mongo(Program):
    """A server that speaks MongoDB's protocol, and keeps its data when it is started again.

    Attributes:
        url: Of a database on it.
    """

    def __init__(self, folder: Path) -> None:
        if not MONGO.exists():
            raise Unavailable("no server that speaks MongoDB's protocol: tools/install_peers.sh")
        port = free_port()
        self.url = f"mongodb://{HOST}:{port}/machine?directConnection=true"
        # No settings that lie around on this machine.
        settings = folder / "secantusd.toml"
        settings.touch()
        command = [str(MONGO), "--host", HOST, "--port", str(port), "--cache-size", "256M"]
        command += ["--storage-path", str(folder / "data"), "--log-level", "WARNING"]
        super().__init__("mongo", folder, [*command, "--config", str(settings)], port=port)

    def answers(self) -> bool:
        """Tell whether it answers a ping."""
        with (
            contextlib.suppress(PyMongoError),
            pymongo.MongoClient[dict[str, object]](
                self.url, serverSelectionTimeoutMS=500
            ) as client,
        ):
            client.admin.command("ping")
            return True
        return False
