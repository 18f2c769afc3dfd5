"""The auth service as a process: under `tokenward serve` and under gunicorn, stopped and killed."""

import http.client
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import requests

from tokenward.cli.serve import Server, listen
from tokenward.config import Settings
from tokenward.config.build import initialize_store

PATIENCE = 90
PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
CONFIG = """
[service]
issuer = "https://auth.example"
audience = "orders"
store = "sqlite:///{folder}/store.db"
registration = "open"
throttle = false
password = {{ bcrypt_cost = 4 }}

[[service.clients]]
client_id = "orders"
client_secret = "9f8a-77e1-quartz-lantern"
"""


@pytest.fixture
def config(tmp_path):
    """The configuration of a store that was made."""
    path = tmp_path / "tokenward.toml"
    path.write_text(CONFIG.format(folder=tmp_path), "utf-8")
    initialize_store(Settings.from_file(str(path)))
    return path


@contextmanager
def process(log, *command, ready=rb"(http://127\.0\.0\.1:\d+)", **options):
    """Run a server that says where it listens; yield the process and its URL; kill it at last."""
    with log.open("wb") as writing:
        options = {"stdout": writing, "stderr": subprocess.STDOUT, **options}
        server = subprocess.Popen(command, **options)
    try:
        found = None
        while found is None:
            assert server.poll() is None, log.read_text("utf-8")
            found = re.search(ready, log.read_bytes())
            time.sleep(0.02)
        yield server, found[1].decode()
    finally:
        server.kill()
        server.wait()


def serve(config, *options, name="serve"):
    command = [sys.executable, "-m", "tokenward", "serve", "--config", config]
    ready = rb"^Serving https://auth\.example at (http://[^ \n]+)\n"
    log = config.with_name(f"{name}.log")
    return process(log, *command, "--bind", "127.0.0.1:0", *options, ready=ready)


def gunicorn(config, *, workers):
    command = [sys.executable, "-m", "gunicorn", "tokenward.wsgi:service_app()"]
    options = ["--bind", "127.0.0.1:0", "--workers", str(workers), "--threads", "4"]
    options += ["--timeout", "600"]
    # gunicorn names its address before its workers have made the application.
    ready = rb"(?s)at: (http://\S+).*" + rb".*".join([rb"Booting worker"] * workers)
    environment = {**os.environ, "TOKENWARD_CONFIG": str(config)}
    log = config.with_name("gunicorn.log")
    return process(log, *command, *options, ready=ready, env=environment)


def register(url, name):
    account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    return requests.post(f"{url}/register", json=account, timeout=PATIENCE).status_code


def log_in(url, name):
    account = {"username": name, "password": PASSWORD}
    return requests.post(f"{url}/login", json=account, timeout=PATIENCE)


class TestServe:
    def test_it_serves_the_round_trip(self, config):
        """Register, log in, introspect, log out, introspect."""
        with serve(config) as (_, url):
            assert 201 == register(url, "alice")
            token = log_in(url, "alice").json()["access_token"]

            def is_active():
                answer = requests.post(
                    f"{url}/introspect", {"token": token}, auth=("orders", SECRET), timeout=PATIENCE
                )
                return answer.json()["active"]

            assert is_active()
            headers = {"Authorization": f"Bearer {token}"}
            assert requests.post(f"{url}/logout", headers=headers, timeout=PATIENCE).ok
            assert not is_active()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_well(self, config, number):
        """Exit 0 and no traceback, with a connection that is kept open by the client."""
        with serve(config) as (server, url), requests.Session() as session:
            assert session.get(f"{url}/health/ready", timeout=PATIENCE).ok
            server.send_signal(number)
            assert 0 == server.wait(PATIENCE)
        assert "Traceback" not in config.with_name("serve.log").read_text("utf-8")

    def test_sigterm_waits_for_a_request_in_flight(self, config):
        """Ready turns 503, what is being sent is read to its end and answered, then exit 0."""
        with serve(config) as (server, url):
            slow = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
            body = b'{"username":"alice","email":"a@example.com","password":"correct horse"}'
            slow.putrequest("POST", "/register")
            slow.putheader("Content-Type", "application/json")
            slow.putheader("Content-Length", str(len(body)))
            slow.endheaders(body[:20])
            assert 200 == requests.get(f"{url}/health/ready", timeout=PATIENCE).status_code
            server.send_signal(signal.SIGTERM)
            ready = 200
            while ready == 200:
                ready = requests.get(f"{url}/health/ready", timeout=PATIENCE).status_code
            assert 503 == ready
            assert server.poll() is None
            slow.send(body[20:])
            assert 201 == slow.getresponse().status
            slow.close()
            assert 0 == server.wait(PATIENCE)

    def test_a_proxy_that_is_trusted_says_whose_address_it_is(self, config):
        """One address behind it is throttled, and another is not; others cannot say so."""
        trusting = 'trusted_proxies = "127.0.0.1"\nthrottle = { per_address = "2/hour" }'
        text = config.read_text("utf-8").replace("throttle = false", trusting)
        config.write_text(text, "utf-8")

        def attempt(address):
            headers = {"X-Forwarded-For": f"198.51.100.7, {address}"}
            account = {"username": "nobody", "password": PASSWORD}
            answer = requests.post(f"{url}/login", json=account, headers=headers, timeout=PATIENCE)
            return answer.status_code

        with serve(config) as (_, url):
            assert [401, 401, 429] == [attempt("192.0.2.1") for _ in range(3)]
            assert 401 == attempt("192.0.2.2")
        config.write_text(text.replace('"127.0.0.1"', '"10.0.0.1"'), "utf-8")
        with serve(config, name="another") as (_, url):
            assert [401, 401, 429] == [attempt(f"192.0.2.{n}") for n in range(3, 6)]

    def test_what_is_being_delivered_is_delivered_before_it_ends(self, config, tmp_path):
        """A message takes its time; the server that is stopped meanwhile waits for it."""
        (tmp_path / "slow_post.py").write_text(
            "import pathlib, time\n"
            "def deliver(purpose, user, token):\n"
            "    pathlib.Path('begun').write_text(purpose)\n"
            "    deadline = time.monotonic() + 150\n"
            "    while not pathlib.Path('go').exists() and time.monotonic() < deadline:\n"
            "        time.sleep(0.01)\n"
            "    pathlib.Path('delivered').write_text(purpose)\n"
        )
        text = config.read_text("utf-8")
        deliver = 'deliver = "slow_post:deliver"\nregistration ='
        config.write_text(text.replace("registration =", deliver), "utf-8")
        command = [sys.executable, "-m", "tokenward", "serve", "--config", config]
        command += ["--bind", "127.0.0.1:0"]
        with process(tmp_path / "serve.log", *command, cwd=tmp_path) as (server, url):
            assert 201 == register(url, "alice")
            while not (tmp_path / "begun").exists():
                assert server.poll() is None
                time.sleep(0.02)
            server.send_signal(signal.SIGTERM)
            with suppress(requests.ConnectionError):
                while True:
                    requests.get(f"{url}/health/live", timeout=PATIENCE)
                    # While somebody asks again and again, the server goes on for ten seconds.
                    time.sleep(1)
            assert not (tmp_path / "delivered").exists()
            assert server.poll() is None
            (tmp_path / "go").touch()
            assert 0 == server.wait(PATIENCE)
        assert "verify_email" == (tmp_path / "delivered").read_text()

    def test_it_warns_when_others_can_reach_it(self, config):
        """Without TLS, beyond this machine."""
        command = [sys.executable, "-m", "tokenward", "serve", "--config", config]
        log = config.with_name("serve.log")
        ready = rb"(?s)warning: .*TLS.*at (http://0\.0\.0\.0:\d+)"
        with process(log, *command, "--bind", "0.0.0.0:0", ready=ready):
            pass

    def test_nothing_acknowledged_is_lost_when_it_is_killed(self, config):
        """Kill -9 among registrations: each 201 can log in later, and nothing is half there."""
        acknowledged = []

        def registrations(url, number):
            for name in (f"user-{number}-{i}" for i in range(1_000)):
                try:
                    status = register(url, name)
                except requests.RequestException:
                    return
                assert 201 == status
                acknowledged.append(name)
                if len(acknowledged) >= 40:
                    enough.set()

        for round_ in range(2):
            enough = threading.Event()
            acknowledged_before = list(acknowledged)
            with serve(config, name=f"serve-{round_}") as (server, url):
                threads = [
                    threading.Thread(target=registrations, args=(url, f"{round_}-{n}"))
                    for n in range(4)
                ]
                for thread in threads:
                    thread.start()
                assert enough.wait(PATIENCE)
                server.kill()
                for thread in threads:
                    thread.join()
            assert len(acknowledged) > len(acknowledged_before)
        with serve(config, name="after") as (_, url):
            for name in acknowledged:
                assert 200 == log_in(url, name).status_code
                assert 409 == register(url, name)
        doctor = [sys.executable, "-m", "tokenward", "doctor", "--config", config]
        done = subprocess.run(doctor, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert 0 == done.returncode, done.stdout

    def test_logins_by_the_hundred_leave_the_rest_answering(self, config):
        """Hashing is bounded to some of the threads, and who finds them taken is told so."""
        text = config.read_text("utf-8").replace("bcrypt_cost = 4", "bcrypt_cost = 12")
        config.write_text(text, "utf-8")
        with serve(config, "--threads", "8") as (_, url):
            assert 201 == register(url, "alice")
            token = log_in(url, "alice").json()["access_token"]
            with ThreadPoolExecutor(20) as pool:
                logins = [pool.submit(log_in, url, "alice") for _ in range(40)]
                answers = set()
                while not all(login.done() for login in logins):
                    headers = {"Authorization": f"Bearer {token}"}
                    answers.add(
                        requests.get(f"{url}/me", headers=headers, timeout=PATIENCE).status_code
                    )
                statuses = {login.result().status_code for login in logins}
            assert {200} == answers
            assert {200, 503} == statuses


class TestManyProcesses:
    NAMES = 5
    TRIES = 32

    def compete(self, urls):
        for number in range(self.NAMES):
            barrier = threading.Barrier(self.TRIES)

            def attempt(at, name=f"user-{number}", barrier=barrier):
                barrier.wait(PATIENCE)
                deadline = time.monotonic() + PATIENCE
                while (status := register(urls[at % len(urls)], name)) == 503:
                    # The queue of those who wait for a hash is full; the crowd is finite.
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                return status

            with ThreadPoolExecutor(self.TRIES) as pool:
                statuses = sorted(pool.map(attempt, range(self.TRIES)))
            assert [201] + [409] * (self.TRIES - 1) == statuses

    def test_two_processes_on_one_store_register_a_name_once(self, config):
        """One 201, every other one 409, never a 500: the store's index decides."""
        with serve(config, name="one") as (_, one), serve(config, name="two") as (_, two):
            self.compete([one, two])
            token = log_in(one, "user-0").json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            assert requests.get(f"{two}/me", headers=headers, timeout=PATIENCE).ok
            assert requests.post(f"{one}/logout", headers=headers, timeout=PATIENCE).ok
            assert 401 == requests.get(f"{two}/me", headers=headers, timeout=PATIENCE).status_code

    def test_workers_of_gunicorn_register_a_name_once(self, config):
        """The same under a server that forks, from the application that the docs name."""
        with gunicorn(config, workers=2) as (server, url):
            self.compete([url])
            assert 200 == log_in(url, "user-0").status_code
            server.terminate()
            assert 0 == server.wait(PATIENCE)


# The rest is about the server around waitress itself, in this process.


@pytest.fixture
def started():
    """Start servers in threads; stop and join each."""
    running = []

    def start(application, *, host="127.0.0.1", **options):
        server = Server(application, listen(host, 0), threads=2, **options)
        result = []
        thread = threading.Thread(target=lambda: result.append(server.run()))
        thread.start()
        running.append((server, thread))
        return server, thread, result

    yield start
    for server, thread in running:
        if thread.is_alive():
            server.stop()
        thread.join()


def hello(environ, start_response):
    body = environ["wsgi.input"].read() or b"hello"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def connect(server):
    return http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (b"Content-Length: 1048576\r\n", 413, "payload_too_large"),
        (b"Content-Length: 99999999999\r\n", 413, "payload_too_large"),
        (b"Content-Length: abc\r\n", 400, "invalid_request"),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501, "invalid_request"),
        (b"X: " + b"x" * 70_000 + b"\r\n", 431, "invalid_request"),
    ],
    ids=["1 MiB", "beyond any", "no number", "unknown coding", "header"],
)
def test_what_the_server_refuses_has_the_body_of_every_error(started, headers, status, code):
    """Whatever never reaches the application is answered in JSON too."""
    server, *_ = started(hello)
    address = (server.host, int(server.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
        with http.client.HTTPResponse(connection) as answer:
            answer.begin()
            assert (status, "application/json") == (answer.status, answer.headers["Content-Type"])
            assert "close" == answer.headers["Connection"]
            assert code == json.loads(answer.read())["error"]


def test_it_answers_and_ends(started):
    """Nothing in flight: it ends at once, and nobody listens any more."""
    server, thread, result = started(hello)
    connection = connect(server)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (200, b"hello", "tokenward") == (answer.status, answer.read(), answer.headers["Server"])
    server.stop()
    thread.join()
    assert [True] == result
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, int(server.url.rpartition(":")[2])))
    connection.close()


def test_a_request_in_flight_is_answered_and_others_see_that_it_is_not_ready(started):
    """While one request is still being sent, ready is 503, and live still answers."""
    server, thread, result = started(hello)
    slow = connect(server)
    slow.putrequest("POST", "/slow")
    slow.putheader("Content-Length", "10")
    slow.endheaders(b"first")
    connection = connect(server)
    connection.request("GET", "/health/ready")
    assert 200 == connection.getresponse().status
    server.stop()
    ready = connect(server)
    ready.request("GET", "/auth/health/ready")
    answer = ready.getresponse()
    assert (503, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert int(answer.headers["Retry-After"]) >= 1
    assert b"temporarily_unavailable" in answer.read()
    ready.request("GET", "/health/live")
    assert 200 == ready.getresponse().status
    assert thread.is_alive()
    slow.send(b"later")
    assert b"firstlater" == slow.getresponse().read()
    thread.join()
    assert [True] == result
    for one in (slow, connection, ready):
        one.close()


def test_an_answer_on_its_way_is_sent_whole(started):
    """A thread is still working when the server is told to stop."""
    entered, leave = threading.Event(), threading.Event()

    def application(environ, start_response):
        entered.set()
        assert leave.wait(PATIENCE)
        start_response("200 OK", [("Content-Length", "900000")])
        return [b"x" * 900_000]

    server, thread, result = started(application)
    connection = connect(server)
    connection.request("GET", "/")
    assert entered.wait(PATIENCE)
    server.stop()
    thread.join(0.5)
    assert thread.is_alive()
    leave.set()
    assert 900_000 == len(connection.getresponse().read())
    thread.join()
    assert [True] == result
    connection.close()


def test_what_does_not_end_in_time_is_cut_off(started, caplog):
    """Half a request is held for so long and no longer."""
    server, thread, result = started(hello, drain_seconds=0.3)
    half = connect(server)
    half.putrequest("POST", "/")
    half.putheader("Content-Length", "10")
    half.endheaders(b"first")
    other = connect(server)
    other.request("GET", "/")
    assert b"hello" == other.getresponse().read()
    with caplog.at_level(logging.CRITICAL, "waitress"):
        server.stop()
        thread.join()
    assert [False] == result
    for one in (half, other):
        one.close()


def _has_ipv6():
    try:
        listen("::1", 0).close()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", *(["::1"] if _has_ipv6() else [])])
def test_its_url_can_be_called(started, host):
    """An IPv6 address stands in brackets."""
    server, _, _ = started(hello, host=host)
    assert b"hello" == requests.get(server.url, timeout=PATIENCE).content
