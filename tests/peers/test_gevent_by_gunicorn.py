"""`gunicorn --preload -k gevent`, with the configuration of docs/verifiers/introspection.md."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tokenward.config import Settings
from tokenward.config.build import initialize_store

PAGE = Path(__file__).parents[2] / "docs/verifiers/introspection.md"
PATIENCE = 90
CALLERS = 6
APPLICATION = """
import os

from tokenward import ClientSecretBasic, IntrospectionVerifier
from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.introspection import IntrospectionClient
from tokenward.wsgi import PRINCIPAL, AuthMiddleware


def whoami(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ[PRINCIPAL].subject.encode()]


client = IntrospectionClient(
    os.environ["ENDPOINT"],
    client_auth=ClientSecretBasic("orders", "9f8a-77e1-quartz-lantern"),
    timeout=float(os.environ["PATIENCE"]),
)
verifier = IntrospectionVerifier(client, audience="orders")
credential = Credential(authorization(), verifier, ambient=False)
app = AuthMiddleware(whoami, Authenticator(credential, default_access="deny"))
"""


@pytest.fixture
def folder(tmp_path):
    """Where gunicorn works, with the configuration that the page gives."""
    (conf,) = re.findall(r"```python\n(# gunicorn\.conf\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "gunicorn.conf.py").write_text(conf)
    return tmp_path


@contextlib.contextmanager
def gunicorn(folder, app, **environment):
    """Run an application in one worker; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", f"--bind=fd://{listener.fileno()}"),
                *("--preload", "--worker-class=gevent", "--workers=1", "--timeout=600"),
                *("--worker-tmp-dir", str(folder), "--log-level=warning", app),
            ],
            env={**os.environ, **environment},
            cwd=folder,
            pass_fds=[listener.fileno()],
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield url
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.fixture
def endpoint():
    """An introspection endpoint that answers nobody until all callers have been asked about."""
    together = threading.Barrier(CALLERS)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            together.wait(PATIENCE / 3)
            body = json.dumps({"active": True, "sub": "alice", "aud": "orders"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/introspect"
        server.shutdown()


def test_greenlets_ask_side_by_side(folder, endpoint):
    """Of an application that was made before the fork: none waits for another's answer."""
    (folder / "shop.py").write_text(APPLICATION)
    environment = {"ENDPOINT": endpoint, "PATIENCE": str(PATIENCE)}
    with (
        gunicorn(folder, "shop:app", **environment) as url,
        ThreadPoolExecutor(CALLERS) as pool,
    ):

        def ask(number):
            token = {"Authorization": f"Bearer token{number}"}
            return requests.get(url, headers=token, timeout=PATIENCE).text

        assert ["alice"] * CALLERS == list(pool.map(ask, range(CALLERS)))


def test_a_service_with_mongodb_starts(folder, mongo):
    """A client of pymongo's was made and closed before the fork."""
    config = folder / "tokenward.toml"
    config.write_text(
        '[service]\nissuer = "http://127.0.0.1:8000"\naudience = "orders"\n'
        f'store = "{mongo.new_url()}"\n'
    )
    initialize_store(Settings.from_file(config))
    app = "tokenward.wsgi:service_app()"
    with gunicorn(folder, app, TOKENWARD_CONFIG=str(config)) as url:
        assert 200 == requests.get(f"{url}/health/ready", timeout=PATIENCE).status_code
