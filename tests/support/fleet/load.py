"""Worker processes behind one port, and callers that keep them busy."""

import contextlib
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

SUPPORT = Path(__file__).parent.parent
WORKERS = 2
CALLERS = 6
PATIENCE = 90


@contextlib.contextmanager
def gunicorn(folder, app, token, *options, **environment):
    """Run an application of this folder; yield its address.

    No crash and no token may be in its log.

    Args:
        folder: Where it works.
        app: It, such as ``fleet.guarded:make_app()``.
        token: A token that it is sent.
        options: Further options of gunicorn's.
        environment: What it finds in its environment.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    complaints = folder / "stderr.txt"
    with complaints.open("wb") as stderr:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", f"--bind=fd://{listener.fileno()}"),
                *(f"--workers={WORKERS}", "--worker-class=gthread", "--threads=4"),
                *("--keep-alive=600", "--timeout=600"),
                *("--worker-tmp-dir", str(folder), "--log-level=warning"),
                *options,
                app,
            ],
            env={**os.environ, "PYTHONPATH": str(SUPPORT), **environment},
            cwd=folder,
            pass_fds=[listener.fileno()],
            stderr=stderr,
        )
    address = listener.getsockname()
    listener.close()
    try:
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)
    said = complaints.read_text()
    assert "Traceback" not in said
    assert token.partition(".")[0] not in said


@dataclass(frozen=True)
class Answer:
    """What a worker said of a token, and when."""

    token: int
    status: int
    body: str
    worker: int
    began: float
    ended: float


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class Fleet:
    """Asks the workers about tokens."""

    def __init__(self, address, tokens):
        self.address = address
        self.tokens = tokens

    def connect(self):
        host, port = self.address
        return http.client.HTTPConnection(host, port, timeout=PATIENCE)

    def ask(self, number, connection=None):
        """Return the answer to one request; on a connection of its own unless one is given."""
        mine = connection is None
        connection = connection or self.connect()
        began = time.monotonic()
        try:
            connection.request("GET", "/", headers=bearer(self.tokens[number]))
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            if mine:
                connection.close()
        worker = int(response.headers["X-Worker"])
        return Answer(number, response.status, body, worker, began, time.monotonic())

    def wait_until_all_say(self, status, number):
        """Wait until every worker's last word on a token is this status."""
        began, said = time.monotonic(), {}
        while len(said) < WORKERS or set(said.values()) != {status}:
            answer = self.ask(number)
            said[answer.worker] = answer.status
            assert time.monotonic() < began + PATIENCE, said

    def wait_for_all(self):
        """Wait until each worker has begun to answer; return their processes."""
        deadline, workers = time.monotonic() + PATIENCE, set()
        while len(workers) < WORKERS:
            workers.add(self.ask(0).worker)
            assert time.monotonic() < deadline
        return workers

    def wait_for_a_new_worker(self, before):
        """Wait until a process answers that was not there before."""
        deadline = time.monotonic() + PATIENCE
        worker = None
        while worker is None or worker in before:
            # What the one that was killed had taken from the queue is lost.
            with contextlib.suppress(OSError, http.client.HTTPException):
                worker = self.ask(0).worker
            assert time.monotonic() < deadline


class Load:
    """Callers that ask about all tokens in turn, over connections that they keep for a while."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.answers = []
        self.lost = []
        self.errors = []
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(CALLERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _call(self):
        try:
            while not self._stop.is_set():
                self._converse()
        except BaseException as error:
            self.errors.append(error)
            raise

    def _converse(self):
        connection, worker = self.fleet.connect(), None
        try:
            for _ in range(40):
                number = next(self._numbers) % len(self.fleet.tokens)
                answer = self.fleet.ask(number, connection)
                worker = answer.worker
                self.answers.append(answer)
        except (OSError, http.client.HTTPException):
            self.lost.append(worker)
        finally:
            connection.close()

    def wait_for(self, count):
        """Wait until so many requests were answered from now on."""
        target = len(self.answers) + count
        self.wait_until(lambda: len(self.answers) >= target)

    def wait_until(self, happened):
        """Wait for what the callers bring about."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert not self.errors
            assert time.monotonic() < deadline
            time.sleep(0.01)
