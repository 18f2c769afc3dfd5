"""A small HTTP server on a loopback port: starts and stops at once, leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request that the server received.

    Attributes:
        method: The HTTP method.
        path: The path, without a query.
        headers: Names in lower case.
        form: The fields of a form body.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    form: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: Any, **headers: str) -> Answer:
        """Return an answer with a JSON body; an underscore in a header's name is a hyphen."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(
            status, json.dumps(value).encode(), {"Content-Type": "application/json", **named}
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet
    server: LoopbackServer

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        form = dict(parse_qsl(self.rfile.read(length).decode("utf-8", "replace")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = RecordedRequest(self.command, urlsplit(self.path).path, headers, form)
        answer = self.server.answer(request)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_HEAD = _serve  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in http.server
        """Keep the test's output clean; whoever wants to know records the requests."""


class LoopbackServer(ThreadingHTTPServer):
    """Answers each request with what ``answer`` returns for it.

    Args:
        answer: Called on a thread of its own for every connection.
    """

    daemon_threads = False  # so that server_close() waits for every one of them
    request_queue_size = 128  # tests start many threads at once; a full queue costs a second

    def __init__(self, answer: Callable[[RecordedRequest], Answer]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name="loopback-server"
        )
        super().__init__(("127.0.0.1", 0), _Handler)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def server_bind(self) -> None:
        # HTTPServer would ask the name service for this machine's name.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away is its own affair; anything else is a mistake in a test.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop serving, close every connection and wait for every thread."""
        self.shutdown()
        self._thread.join()
        for connection in list(self._open):
            # A kept connection would hold its thread until its client closes it.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
