"""`tokenward.wsgi:service_app()` in gunicorn, with two worker processes over one SQLite file."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests

from tokenward.config import Settings, build_service
from tokenward.config.build import initialize_store

PASSWORD = "correct horse battery"
CLIENT = ("orders", "9f8a-77e1-quartz-lantern")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=[[], ["--preload"]], ids=["loaded", "preloaded"])
def issuer(request, tmp_path_factory):
    """A running service: its application made in each worker, or once and then forked."""
    folder = tmp_path_factory.mktemp("service")
    listener = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = folder / "tokenward.toml"
    config.write_text(
        f"""
        [service]
        issuer = "{issuer}"
        audience = "orders"
        store = "sqlite:///{folder}/tokenward.db"
        registration = "open"
        password = {{ bcrypt_cost = 4 }}
        clients = [{{ client_id = "{CLIENT[0]}", client_secret = "{CLIENT[1]}" }}]
        """
    )
    settings = Settings.from_file(config)
    initialize_store(settings)
    build_service(settings).create_user("alice", email="a@example.com", password=PASSWORD)
    fd = listener.fileno()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", f"--bind=fd://{fd}", "--workers=2"),
            *("--worker-tmp-dir", str(folder), "--log-level=warning", "--timeout=600"),
            *request.param,
            "tokenward.wsgi:service_app()",
        ],
        env={**os.environ, "TOKENWARD_CONFIG": str(config)},
        cwd=folder,
        pass_fds=[fd],
        stderr=subprocess.PIPE,
    )
    listener.close()
    yield issuer
    server.send_signal(signal.SIGTERM)
    _, complaints = server.communicate(timeout=90)
    assert complaints == b""


def post(issuer, path, *, token=None, **arguments):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(issuer + path, headers=headers, timeout=90, **arguments)


def me(issuer, token):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{issuer}/me", headers=headers, timeout=90)


def test_token_of_one_worker_is_known_to_the_other(issuer):
    """Keys, users and revocations are the store's: it never matters who answers."""
    credentials = {"username": "alice", "password": PASSWORD}
    tokens = [post(issuer, "/login", json=credentials).json()["access_token"] for _ in range(5)]
    for token in tokens:
        assert {me(issuer, token).status_code for _ in range(4)} == {200}
        assert post(issuer, "/logout", token=token).status_code == 200
        assert {me(issuer, token).status_code for _ in range(4)} == {401}
        answer = post(issuer, "/introspect", data={"token": token}, auth=CLIENT)
        assert answer.json() == {"active": False}


def test_name_is_registered_once(issuer):
    """Two workers, one unique index."""
    account = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    statuses = [post(issuer, "/register", json=account).status_code for _ in range(4)]
    assert statuses == [201, 409, 409, 409]


@pytest.mark.parametrize(("size", "status"), [(70, 200), (1_000_000, 413)])
def test_chunked_body_is_capped(issuer, size, status):
    """Gunicorn hands chunks over as they come, without a length."""
    body = json.dumps({"username": "alice", "password": PASSWORD}).encode().ljust(size)
    host = issuer.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=90)
    chunks = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    try:
        # Whoever is refused early may find the connection closed before all was sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/login", chunks, JSON, encode_chunked=True)
        assert connection.getresponse().status == status
    finally:
        connection.close()


@pytest.mark.parametrize("chunks", [b"ZZ\r\n", b"2\r\n{}XX", b"2\r\n{}\r\n"])
def test_malformed_chunks_are_a_400(issuer, chunks):
    """No size, no end of a chunk, no last chunk: none is our error, and none is complained of."""
    host, port = issuer.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=90) as connection:
        connection.sendall(
            b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + chunks
        )
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_doubled_authorization_is_a_400(issuer):
    """Gunicorn joins repeated headers by a comma."""
    connection = http.client.HTTPConnection(issuer.removeprefix("http://"), timeout=90)
    try:
        connection.putrequest("GET", "/me")
        connection.putheader("Authorization", "Bearer a.b.c")
        connection.putheader("Authorization", "Bearer a.b.c")
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]) == (400, "invalid_request")
    finally:
        connection.close()


def test_peer_that_goes_away_in_mid_body_harms_nobody(issuer):
    """Half a login; the worker goes on, and complains of nothing."""
    host, port = issuer.removeprefix("http://").split(":")
    for _ in range(4):
        with socket.create_connection((host, int(port)), timeout=90) as connection:
            connection.sendall(
                b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b'Content-Length: 1000\r\n\r\n{"username":'
            )
    deadline = time.monotonic() + 90
    while requests.get(f"{issuer}/health/ready", timeout=90).status_code != 200:
        assert time.monotonic() < deadline
