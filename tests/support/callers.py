"""Ways to ask an application: called as a server would, or over a real socket."""

import asyncio
import io
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from asgiref.sync import async_to_sync
from werkzeug.serving import make_server

MAX_HEAD_BYTES = 1_000_000


@dataclass(frozen=True)
class Answer:
    """A response; headers by name in lower case."""

    status: int
    headers: dict = field(repr=False)
    body: bytes

    @property
    def challenge(self):
        return self.headers.get("www-authenticate")


@contextmanager
def by_call(app):
    """Call a WSGI application as a server would: repeated headers joined, bytes as Latin-1."""

    def ask(method, target, lines):
        path, _, query = target.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in lines:
            key = "HTTP_" + name.upper().replace("-", "_")
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        begun = []
        body = app(environ, lambda status, headers, _exc=None: begun.append((status, headers)))
        try:
            content = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        status, headers = begun[0]
        return Answer(int(status[:3]), {k.lower(): v for k, v in headers}, content)

    yield ask


@contextmanager
def by_socket(app):
    """Serve a WSGI application on a free port, and speak HTTP to it byte by byte."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    # It looks so often whether it is to stop.
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield lambda *request: _spoken(server.server_address, *request)
    finally:
        server.shutdown()
        thread.join(120)
        server.server_close()


@contextmanager
def by_asgi(app):
    """Call an ASGI application as a server would: headers as they came, one after the other."""

    def ask(method, target, lines, body=b""):
        begun, content = [], []

        async def send(message):
            (begun if message["type"] == "http.response.start" else content).append(message)

        async_to_sync(app)(_scope(method, target, lines), _receiver(body), send)
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in begun[0]["headers"]}
        sent = b"".join(message.get("body", b"") for message in content)
        # What PEP 3333 leaves to the application, ASGI leaves to the server.
        return Answer(begun[0]["status"], headers, b"" if method == "HEAD" else sent)

    yield ask


@contextmanager
def by_asgi_socket(app):
    """Serve an ASGI application on a free port, and speak HTTP to it byte by byte."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start():
        return await asyncio.start_server(
            lambda reader, writer: _serve(app, reader, writer),
            "127.0.0.1",
            0,
            limit=MAX_HEAD_BYTES,
        )

    async def stop(server):
        server.close()
        await server.wait_closed()
        await loop.shutdown_default_executor()

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(120)
    try:
        yield lambda *request: _spoken(server.sockets[0].getsockname(), *request)
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(120)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(120)
        loop.close()


async def _serve(app, reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split()
    lines = [line.split(":", 1) for line in rest]

    async def send(message):
        if message["type"] == "http.response.start":
            writer.write(b"HTTP/1.1 %d Answered\r\n" % message["status"])
            for name, value in message["headers"]:
                writer.write(name + b": " + value + b"\r\n")
            writer.write(b"\r\n")
        elif method != "HEAD":
            writer.write(message.get("body", b""))

    scope = _scope(method, target, [(name, value.strip()) for name, value in lines])
    await app(scope, _receiver(), send)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def _scope(method, target, lines):
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in lines],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 50_000),
    }


def _receiver(body=b""):
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if messages:
            return messages.pop()
        # The client stays until it is answered.
        return await asyncio.Event().wait()

    return receive


def _spoken(address, method, target, lines):
    request = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    request += [f"{name}: {value}" for name, value in lines]
    with socket.create_connection(address, timeout=120) as connection:
        connection.sendall("\r\n".join([*request, "", ""]).encode("latin-1"))
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    head, _, content = received.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in rest)
    return Answer(int(first.split()[1]), {k.lower(): v for k, v in headers.items()}, content)
