"""Commands as somebody types them, against servers on this machine."""

import io
import json
import socketserver
import sys
import threading
from contextlib import contextmanager

import pytest

from tokenward.cli import main
from tokenward.testing import FakeAuthorizationServer
from tokenward.testing._loopback import Answer, LoopbackServer


class Stdin(io.TextIOWrapper):
    """Standard input that holds some bytes."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))

    def isatty(self):
        return False


@pytest.fixture
def run(capsys, monkeypatch):
    """Run one command; return its exit status, standard output and standard error."""
    monkeypatch.delenv("TOKENWARD_CONFIG", raising=False)

    def run(*argv, stdin=""):
        monkeypatch.setattr(sys, "stdin", Stdin(stdin.encode()))
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def server():
    with FakeAuthorizationServer() as running:
        yield running


@pytest.fixture
def publishing():
    """Serve documents at their paths.

    A document may be an `Answer`; a callable is given the issuer and returns either.
    """

    @contextmanager
    def publishing(documents):
        def answer(request):
            found = documents.get(request.path)
            if callable(found):
                found = found(f"http://127.0.0.1:{running.server_port}")
            if found is None:
                return Answer.json(404, {"error": "not_found"})
            return found if isinstance(found, Answer) else Answer.json(200, found)

        running = LoopbackServer(answer)
        running.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.stop()

    return publishing


@pytest.fixture
def at_a_time():
    """Serve documents at their paths, saying that it is another time.

    The time is a header's value, or a function that returns it for each answer; a document is given
    the server's URL.
    """

    @contextmanager
    def at_a_time(date, documents, **headers):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                path = self.rfile.readline().split()[1].decode()
                while self.rfile.readline().strip():
                    pass
                url = f"http://127.0.0.1:{running.server_address[1]}"
                body = json.dumps(documents[path](url)).encode()
                head = {
                    "Content-Type": "application/json",
                    "Connection": "close",
                    "Content-Length": len(body),
                    "Date": date() if callable(date) else date,
                    **headers,
                }
                lines = [f"{name}: {value}" for name, value in head.items()]
                text = "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""])
                self.wfile.write(text.encode() + body)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        with Server(("127.0.0.1", 0), Handler) as running:
            thread = threading.Thread(target=running.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{running.server_address[1]}"
            finally:
                running.shutdown()
                thread.join()

    return at_a_time


@pytest.fixture
def config(tmp_path):
    """Write a configuration file that only its owner can read; return its path."""

    def write(text):
        path = tmp_path / "tokenward.toml"
        path.write_text(text, "utf-8")
        path.chmod(0o600)
        return path

    return write
