"""An issuer's endpoints in a process of its own, so that its work is not measured as ours.

``python benchmarks/upstream.py`` prints its port and serves until its standard input closes.
``POST /introspect?delay=SECONDS&status=STATUS`` answers with an active token, or with an inactive
one after ``PUT /revoked`` with that token. ``PUT PATH`` with any other path keeps a document, which
``GET PATH?delay=SECONDS`` answers with. ``GET /calls`` says how often a token was asked about, or a
document fetched, so far.
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
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
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

    def publish(self, document: Mapping[str, Any], *, delay: float = 0) -> str:
        """Keep a document, and return its URL."""
        path = f"/documents/{uuid.uuid4()}"
        self._ask("PUT", path, json.dumps(dict(document)))
        return f"http://127.0.0.1:{self.port}{path}?delay={delay}"

    def revoke(self, token: str) -> None:
        """Answer from now on that a token is not active."""
        self._ask("PUT", _REVOKED, token)

    def calls(self) -> int:
        """Return how often a token was asked about, or a document fetched, so far."""
        return int(self._ask("GET", "/calls"))

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read()
        finally:
            connection.close()


_REVOKED = "/revoked"


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
        self._documents: dict[str, bytes] = {}
        self._revoked: set[bytes] = set()
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
                    method, target, _version = head.decode().split(" ", 2)
                    connection.sendall(self._answer(method, target, body))

    def _answer(self, method: str, target: str, body: bytes) -> bytes:
        if target == "/calls":
            return _response(200, str(self._calls).encode())
        path = target.partition("?")[0]
        if method == "PUT" and path == _REVOKED:
            self._revoked.add(body)
            return _response(200, b"{}")
        if method == "PUT":
            self._documents[path] = body
            return _response(200, b"{}")
        self._calls += 1
        status, delay = _behaviour(target)
        if delay:
            time.sleep(delay)
        if self._revoked and (found := _token(body)) and found[1] in self._revoked:
            return _response(status, _INACTIVE)
        return _response(status, self._documents.get(path, _BODY))


_BODY = json.dumps(ANSWER).encode()
_INACTIVE = b'{"active": false}'
_token = re.compile(rb"(?:^|&)token=([^&]*)").search
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
