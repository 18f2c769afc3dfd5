"""An application behind one gunicorn worker, and one caller that keeps its connection."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlencode

from benchmarks.parts import CREDENTIALS
from benchmarks.ports import free_port, listens

FORM = "application/x-www-form-urlencoded"


def basic(client_id: str, client_secret: str) -> str:
    """Return the header by which a client authenticates itself (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()


BASIC = basic(*CREDENTIALS)

_PATIENCE = 30.0


@contextlib.contextmanager
def served(
    application: str, *, threads: int = 1, environ: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run an application; what is yielded is its port.

    Args:
        application: As gunicorn takes it: ``module:name``.
        threads: Of the one worker.
        environ: More of the environment.
    """
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--workers=1", f"--threads={threads}"]
    command += ["--worker-class=gthread", "--keep-alive=75", "--log-level=error"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [*command, f"--bind=127.0.0.1:{port}", application], env=os.environ | dict(environ or {})
    ) as process:
        try:
            if not listens(process, port):
                raise RuntimeError("gunicorn does not start")
            yield port
        finally:
            process.terminate()


def poster(port: int, path: str, form: Mapping[str, str]) -> Callable[[], object]:
    """Return a function that posts a form as a client would; it fails unless it answers 200."""
    headers = {"Content-Type": FORM, "Authorization": BASIC}
    return _caller(port, "POST", path, urlencode(form).encode(), headers)


def getter(port: int, path: str, token: str) -> Callable[[], object]:
    """Return a function that gets something with a token; it fails unless it answers 200."""
    return _caller(port, "GET", path, None, {"Authorization": f"Bearer {token}"})


def sender(port: int, path: str, document: bytes) -> Callable[[], object]:
    """Return a function that posts JSON; it fails unless it answers 200."""
    return _caller(port, "POST", path, document, {"Content-Type": "application/json"})


def _caller(
    port: int, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Callable[[], object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)

    def call() -> object:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path} answered {answer.status}: {content[:200]!r}")
        return content

    return call
