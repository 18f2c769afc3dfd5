"""A fleet under load: gunicorn with worker processes and threads, Redis, and an auth service.

The fleet answers thousands of requests while tokens are revoked, Redis is killed and comes back,
and a worker is killed and replaced (RULES 25, 45, 47, 48).
"""

import collections
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

import pytest
from fleet.guarded import CLIENT_ID, SECRETS
from redis_server import RedisServer
from werkzeug.serving import WSGIRequestHandler, make_server

from tokenward.clients import Client
from tokenward.keys import KeyRing
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest
from tokenward.service import AuthService
from tokenward.wsgi import auth_service_app

SUPPORT = Path(__file__).parent.parent / "support"
PASSWORD = "correct horse battery"
CLIENT_SECRET = "9f8a-77e1-quartz-lantern"
REQUESTS = 10_000
TOKENS = 50
WORKERS = 2
CALLERS = 6
PATIENCE = 20
A_SECOND = 1.0


# --- the issuer


class Issuer:
    """An auth service in this process, on a loopback port, that counts what it is asked."""

    def __init__(self, redis_url):
        self.asked = collections.Counter()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        stores = open_repositories("memory://", bcrypt_cost=4)
        options = {
            "keys": KeyRing.generate(),
            "tokens": stores.tokens,
            "issuer": self.url,
            "audience": CLIENT_ID,
            "clients": [Client(CLIENT_ID, CLIENT_SECRET)],
            "access_token_lifetime": 3_600,
        }
        self.quiet = AuthService(stores.users, **options)
        self.service = AuthService(
            stores.users,
            shared_cache=RedisSharedCache(redis_url, secrets=SECRETS),
            revocation_bus=RedisRevocationBus(redis_url, secrets=SECRETS),
            **options,
        )
        self._app = auth_service_app(self.service)
        self._server = make_server(
            "127.0.0.1",
            0,
            self._count,
            threaded=True,
            fd=listener.detach(),
            request_handler=Silent,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()

    def _count(self, environ, start_response):
        self.asked[environ["PATH_INFO"]] += 1
        return self._app(environ, start_response)

    def sign_in(self, name):
        """Return a new user's token, and the user's identifier."""
        user = self.service.create_user(name, email=f"{name}@example.com", password=PASSWORD)
        request = LoginRequest(username=name, password=PASSWORD)
        return self.service.login_user(request).access_token, user.id

    def log_out(self, token):
        """POST to the issuer's own endpoint, as a program would."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE)
        try:
            connection.request("POST", "/logout", headers=bearer(token))
            assert 200 == connection.getresponse().status
        finally:
            connection.close()


class Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        """Say nothing: standard error belongs to the test run."""


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


# --- the fleet


@contextlib.contextmanager
def gunicorn(folder, issuer, redis, token, *options):
    """Run the guarded application; yield its address. No crash and no token may be in its log."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    complaints = folder / "stderr.txt"
    with complaints.open("wb") as stderr:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", f"--bind=fd://{listener.fileno()}"),
                *(f"--workers={WORKERS}", "--worker-class=gthread", "--threads=4"),
                *("--keep-alive=30", "--worker-tmp-dir", str(folder), "--log-level=warning"),
                *options,
                "fleet.guarded:make_app()",
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(SUPPORT),
                "FLEET_ENDPOINT": f"{issuer.url}/introspect",
                "FLEET_REDIS": redis.url,
                "FLEET_SECRET": CLIENT_SECRET,
                "FLEET_TOKEN": token,
            },
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

    def seconds_until_all_say(self, status, number):
        """Return how long it takes until every worker's last word on a token is this status."""
        began, said = time.monotonic(), {}
        while len(said) < WORKERS or set(said.values()) != {status}:
            answer = self.ask(number)
            said[answer.worker] = answer.status
            assert time.monotonic() < began + PATIENCE, said
        return time.monotonic() - began

    def workers(self):
        """Return the worker processes that answer now."""
        return {self.ask(0).worker for _ in range(40)}

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
        target, deadline = len(self.answers) + count, time.monotonic() + PATIENCE
        while len(self.answers) < target:
            assert not self.errors
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def redis(tmp_path):
    with RedisServer(tmp_path) as redis:
        yield redis


@pytest.fixture
def issuer(redis):
    with Issuer(redis.url) as issuer:
        yield issuer


def invalidate_elsewhere(issuer, redis, token):
    """Have another process forget a token."""
    program = (
        "import sys; from fleet.guarded import make_verifier;"
        "verifier = make_verifier(*sys.argv[1:]); verifier.invalidate(input()); verifier.close()"
    )
    subprocess.run(
        [sys.executable, "-c", program, f"{issuer.url}/introspect", redis.url, CLIENT_SECRET],
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        input=token.encode(),
        check=True,
        timeout=PATIENCE,
    )


def revoke_and_see(fleet, revoked, number, revoke):
    """Revoke a token, and assert that every worker refuses it within a second."""
    began = time.monotonic()
    revoke(fleet.tokens[number])
    revoked[number] = (began, time.monotonic() + A_SECOND)
    assert fleet.seconds_until_all_say(401, number) < A_SECOND


def assert_right(answers, subjects, revoked):
    """Assert of each answer that it is the right one for its token at its time."""
    never = (float("inf"), float("inf"))
    for answer in answers:
        since, until = revoked.get(answer.token, never)
        if answer.status == 200:
            assert answer.began < until
            assert subjects[answer.token] == answer.body
        else:
            assert 401 == answer.status
            assert answer.ended > since
            assert "invalid_token" in answer.body


@pytest.mark.parametrize("options", [["--preload"], []], ids=["preloaded", "loaded"])
def test_a_fleet_stays_fast_and_right(options, tmp_path, issuer, redis):
    """No wrong answer, no outage and few questions, whatever is revoked, killed or restarted."""
    signed_in = [issuer.sign_in(f"user{number}") for number in range(TOKENS)]
    tokens, subjects = [token for token, _ in signed_in], [subject for _, subject in signed_in]
    revoked = {}
    with gunicorn(tmp_path, issuer, redis, tokens[0], *options) as address:
        fleet = Fleet(address, tokens)
        for number in range(TOKENS):
            assert subjects[number] == fleet.ask(number).body
        first = fleet.workers()
        assert WORKERS == len(first)

        with Load(fleet) as load:
            load.wait_for(2_000)
            assert TOKENS == issuer.asked["/introspect"]  # one for all workers and threads

            revoke_and_see(fleet, revoked, 1, issuer.log_out)
            load.wait_for(500)
            assert TOKENS + WORKERS == issuer.asked["/introspect"]

            issuer.quiet.logout_user(tokens[2])
            load.wait_for(500)
            assert {200} == {fleet.ask(2).status for _ in range(10)}  # nobody was told
            revoke_and_see(fleet, revoked, 2, lambda t: invalidate_elsewhere(issuer, redis, t))
            load.wait_for(500)
            assert TOKENS + 2 * WORKERS == issuer.asked["/introspect"]

            redis.kill()
            load.wait_for(1_000)
            logged_out = time.monotonic()
            issuer.log_out(tokens[3])  # nobody can be told
            load.wait_for(500)
            redis.start()
            fleet.seconds_until_all_say(401, 3)  # but all ask again when it is back
            revoked[3] = (logged_out, time.monotonic())
            load.wait_for(1_000)
            revoke_and_see(fleet, revoked, 4, issuer.log_out)

            killed = min(first)
            os.kill(killed, signal.SIGKILL)
            fleet.wait_for_a_new_worker(first)
            revoke_and_see(fleet, revoked, 5, issuer.log_out)
            load.wait_for(max(1_000, REQUESTS - len(load.answers)))

    assert not load.errors
    assert REQUESTS <= len(load.answers)
    assert_right(load.answers, subjects, revoked)
    # Whoever was being answered by the worker that was killed was answered by nobody.
    assert len(load.lost) <= CALLERS
    assert set(load.lost) <= {killed, None}
    # Each worker asks about each token when Redis goes, and may do so when it is back.
    bound = TOKENS + 2 * WORKERS + 2 * WORKERS * TOKENS + 2 * WORKERS + len(revoked)
    assert issuer.asked["/introspect"] <= bound
