"""An introspection endpoint in a process of its own, so that its work is not measured as ours.

``python benchmarks/upstream.py`` prints its port and serves until its standard input closes.
``POST /introspect?delay=SECONDS&status=STATUS`` answers with an active token; ``GET /calls`` says
how many were asked so far.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ANSWER = {
    "active": True,
    "sub": "alice",
    "aud": "bench",
    "iss": "https://issuer.example",
    "client_id": "bench",
    "scope": "orders:read orders:write",
    "token_type": "Bearer",
    "exp": 4_102_444_800,
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running endpoint."""

    port: int

    def url(self, *, delay: float = 0, status: int = 200) -> str:
        """Return the endpoint's URL, with the behaviour it is to show."""
        return f"http://127.0.0.1:{self.port}/introspect?delay={delay}&status={status}"

    def calls(self) -> int:
        """Return how many tokens were asked about so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/calls")
            return int(connection.getresponse().read())
        finally:
            connection.close()


@contextlib.contextmanager
def running() -> Iterator[Upstream]:
    """Start the endpoint; it ends with the block."""
    with subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the endpoint has no pipes")
        try:
            yield Upstream(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(10)


class _Server:
    def __init__(self) -> None:
        self._calls = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            connection, _peer = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        # As little work as a server can do, so that it is clients that are compared.
        with connection, contextlib.suppress(OSError):
            received = b""
            while more := connection.recv(65_536):
                received += more
                head, end, body = received.partition(b"\r\n\r\n")
                found = _length(head)
                if end and len(body) >= (int(found[1]) if found else 0):
                    received = b""
                    connection.sendall(self._answer(head.split(b" ", 2)[1].decode()))

    def _answer(self, target: str) -> bytes:
        if not target.startswith("/introspect"):
            return _response(200, str(self._calls).encode())
        self._calls += 1
        status, delay = _behaviour(target)
        if delay:
            time.sleep(delay)
        return _response(status, _BODY)


_BODY = json.dumps(ANSWER).encode()
_length = re.compile(rb"content-length: *(\d+)", re.IGNORECASE).search


@cache
def _behaviour(target: str) -> tuple[int, float]:
    query = parse_qs(urlsplit(target).query)
    return int(query.get("status", ["200"])[0]), float(query.get("delay", ["0"])[0])


@cache
def _response(status: int, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    server = _Server()
    threading.Thread(target=server.serve, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()
