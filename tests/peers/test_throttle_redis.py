"""Login attempts counted in a real Redis that may be down, slow, full or odd (RULES 40, 44, 47)."""

import contextlib
import json
import logging
import os
import re
import signal
import socket
import threading
from pathlib import Path

import pytest
from redis_server import RedisServer

from tokenward.cli import main
from tokenward.errors import TooManyAttempts
from tokenward.testing import FakeClock
from tokenward.throttle import LoginThrottle, on_redis, outage

HERE = "192.0.2.1"
PASSWORD = "pw-/#@:x"
# For what answers, on a machine that does other things too.
PATIENCE = 90.0


@pytest.fixture(autouse=True)
def _loud(monkeypatch):
    monkeypatch.setattr(outage.seldom, "_last", {})


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    monkeypatch.setattr(on_redis, "TIMEOUT", PATIENCE)


@pytest.fixture
def redis(tmp_path):
    """Run a Redis that the test may kill."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def clock():
    """Return the clock of the throttles; the windows are the Redis's own."""
    return FakeClock(1_000_000)


@pytest.fixture
def process(clock):
    """Return a function that makes the throttle of one process."""
    with contextlib.ExitStack() as closing:

        def make(url, **rates):
            rates = {"per_name_and_address": "3/hour", "per_address": "20/hour"} | rates
            throttle = LoginThrottle.open(
                url, counters=None, **rates, clock=clock, sleep=lambda _seconds: None
            )
            return closing.enter_context(contextlib.closing(throttle))

        yield make


def looked_at(throttle, times, name="ada"):
    """Return how many of so many attempts are looked at."""
    return [refusal(throttle, name) for _ in range(times)].count(None)


def refusal(throttle, name="ada"):
    """Return how long one has to wait; `None`: the attempt is looked at."""
    try:
        throttle.attempt("login", name, HERE)
    except TooManyAttempts as error:
        return error.retry_after
    return None


def command(redis, *parts):
    """Send a command as anybody else would; return the first kilobytes of the answer."""
    with socket.create_connection(("127.0.0.1", redis.port), timeout=PATIENCE) as connection:
        connection.sendall(" ".join(parts).encode() + b"\r\n")
        return connection.recv(65_536)


def test_processes_share_one_limit(redis, process):
    """What one has counted, the other knows, and how long it lasts."""
    one, other = process(redis.url), process(redis.url)
    assert (2, 1, 0) == (looked_at(one, 2), looked_at(other, 3), looked_at(one, 1))
    assert 3_000 < refusal(other) <= 3_600


def test_a_success_forgives_in_every_process(redis, process):
    """Name and address start anew; the address gets its own attempt back and no more."""
    one, other = process(redis.url), process(redis.url)
    looked_at(one, 2)
    other.attempt("login", "ada", HERE).succeeded()
    assert 3 == looked_at(one, 3)
    assert 15 == sum(looked_at(other, 1, f"user{n}") for n in range(30))


def test_counters_end_by_themselves(redis, process):
    """Each was given its end with its beginning: nothing has to tidy up, and it is not put off."""
    rates = {"per_name_and_address": "1/hour", "per_name": "1/hour", "per_address": "20/day"}
    throttle = process(redis.url, **rates)
    looked_at(throttle, 1)
    keys = [k for k in command(redis, "KEYS", "*").split(b"\r\n") if k.startswith(b"LIMITS")]
    assert 3 == len(keys)
    ends = [int(command(redis, "PTTL", key.decode())[1:]) for key in keys]
    assert all(0 < end <= 86_400_000 for end in ends)
    assert 2 == sum(end <= 3_600_000 for end in ends)
    assert b"ada" not in b"".join(keys)


def test_an_end_is_not_put_off(redis, process):
    """Attempts that are refused do not make the wait longer."""
    throttle = process(redis.url)
    looked_at(throttle, 1)
    for key in command(redis, "KEYS", "*").split(b"\r\n"):
        if key.startswith(b"LIMITS"):
            command(redis, "PEXPIRE", key.decode(), "600000")
    looked_at(throttle, 3)
    assert 0 < refusal(throttle) <= 600


def test_a_counter_without_an_end_gets_one(redis, process):
    """Whatever somebody did to it, nobody is locked out for ever."""
    throttle = process(redis.url)
    looked_at(throttle, 1)
    for key in command(redis, "KEYS", "*").split(b"\r\n"):
        if key.startswith(b"LIMITS"):
            command(redis, "PERSIST", key.decode())
    looked_at(throttle, 3)
    assert 3_000 < refusal(throttle) <= 3_600


def test_no_counter_goes_below_zero(redis, process):
    """A success whose window is over leaves nothing in advance."""
    throttle = process(redis.url)
    attempt = throttle.attempt("login", "ada", HERE)
    command(redis, "FLUSHALL")
    attempt.succeeded()
    other = process(redis.url)
    assert 3 == looked_at(other, 5)


def test_scripts_that_are_forgotten_are_told_again(redis, process):
    """A Redis that was restarted or flushed knows no scripts."""
    throttle = process(redis.url)
    looked_at(throttle, 1)
    command(redis, "SCRIPT", "FLUSH")
    assert 1 == looked_at(process(redis.url), 1)
    assert 1 == looked_at(throttle, 1)
    assert 0 == looked_at(throttle, 1)


def test_a_redis_that_is_down_and_comes_back(redis, process, clock, caplog):
    """Each process goes on by itself, and together again when it is back."""
    caplog.set_level(logging.INFO, "tokenward.throttle")
    throttle = process(redis.url)
    assert 1 == looked_at(throttle, 1)
    redis.kill()
    assert 2 == looked_at(throttle, 9)
    redis.start()
    clock.advance(outage.PAUSE)
    assert 3 == looked_at(throttle, 3, "bob")
    assert 0 == looked_at(process(redis.url), 3, "bob")
    assert ["ERROR", "INFO"] == [record.levelname for record in caplog.records]


def test_a_redis_that_is_not_there_at_the_start(tmp_path, process, clock):
    """A throttle is made, and counts; the Redis joins it later (RULES 50)."""
    redis = RedisServer(tmp_path)
    throttle = process(redis.url)
    assert 3 == looked_at(throttle, 5)
    with redis:
        clock.advance(outage.PAUSE)
        assert 1 == looked_at(throttle, 1, "bob")
        assert b"LIMITS" in command(redis, "KEYS", "*")


def test_a_redis_that_does_not_answer_costs_one_timeout(process, monkeypatch):
    """Then nobody waits for it for a while."""
    monkeypatch.setattr(on_redis, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        throttle = process(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        assert 3 == looked_at(throttle, 20)
        assert 1 == tried(deaf)


def tried(listener):
    """Return how many have connected, and are kept waiting."""
    listener.settimeout(0)
    number = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            number += 1
    return number


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe\r\n", b"+OK\r\n", b""]
)
def test_what_answers_is_no_redis(process, answer, caplog):
    """Whatever is there instead, attempts are counted and nothing escapes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(PATIENCE)
                        connection.recv(4_096)
                        connection.sendall(answer * 20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            throttle = process(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
            assert 3 == looked_at(throttle, 9)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
    assert "do not answer" in caplog.text


def test_a_wrong_password_is_shown_nowhere(tmp_path, process, caplog):
    """Attempts are counted, and the log says that something is wrong without saying it all."""
    caplog.set_level(logging.DEBUG)
    with RedisServer(tmp_path, password="another") as server:
        url = f"redis://:pw-%2F%23%40%3Ax@127.0.0.1:{server.port}/0"
        throttle = process(url)
        assert 3 == looked_at(throttle, 9)
    assert "AuthenticationError" in caplog.text
    assert PASSWORD not in caplog.text
    assert "pw-%2F" not in caplog.text


def documented_rights():
    """Return what the user is given in docs/service/throttling.md."""
    page = (Path(__file__).parents[2] / "docs/service/throttling.md").read_text()
    return re.search(r"^ACL SETUSER throttle on >PASSWORD (.+)$", page, re.MULTILINE)[1].split()


def as_user(redis, *rights):
    """Return the URL of a user who has these rights and no others."""
    assert b"+OK" in command(redis, "ACL", "SETUSER", "throttle", "reset", "on", ">pw", *rights)
    return f"redis://throttle:pw@127.0.0.1:{redis.port}/0"


def test_the_documented_rights_are_enough(redis, process, caplog):
    """To count, to share the limit, and to forgive."""
    url = as_user(redis, *documented_rights())
    one, other = process(url), process(url)
    assert (2, 1, 0) == (looked_at(one, 2), looked_at(other, 3), looked_at(one, 1))
    looked_at(one, 1, "bob")
    other.attempt("login", "bob", HERE).succeeded()
    assert 3 == looked_at(one, 4, "bob")
    assert "" == caplog.text


@pytest.mark.parametrize("missing", [*documented_rights()[1:], "~LIMITS:*"])
def test_a_right_that_is_missing_is_spoken_of(redis, process, missing, caplog):
    """Each is needed; the log says what is, and where that stands."""
    url = as_user(redis, *(right for right in documented_rights() if right != missing))
    throttle = process(url)
    looked_at(throttle, 1)
    throttle.attempt("login", "ada", HERE).succeeded()
    (record,) = caplog.records
    assert "may not run" in record.getMessage()
    assert "docs/service/throttling.md" in record.getMessage()
    assert "pw" not in record.getMessage()


def test_the_doctor_speaks_of_a_right_that_is_missing(redis, tmp_path, capsys):
    """In the words of the log."""
    url = as_user(redis, *documented_rights()[:-1])
    path = tmp_path / "tokenward.toml"
    path.write_text(
        f"""
        [service]
        issuer = "http://127.0.0.1:8000"
        audience = "orders"
        store = "sqlite:///{tmp_path}/tokenward.db"
        throttle = {{ storage = "{url}" }}
        """
    )
    path.chmod(0o600)
    assert 0 == main(["store", "init", "--config", str(path)])
    assert 3 == main(["doctor", "--config", str(path)])
    assert "FAIL service.throttle.storage: the user of the Redis may not" in capsys.readouterr().out


def test_a_password_is_percent_decoded(tmp_path, process):
    """As every other URL of a Redis has it."""
    with RedisServer(tmp_path, password=PASSWORD) as server:
        url = f"redis://:pw-%2F%23%40%3Ax@127.0.0.1:{server.port}/0"
        one, other = process(url), process(url)
        assert (3, 0) == (looked_at(one, 3), looked_at(other, 3))


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(("CONFIG", "SET", "maxmemory", "1"), id="full"),
        pytest.param(("REPLICAOF", "127.0.0.1", "1"), id="a replica"),
    ],
)
def test_a_redis_that_takes_nothing(redis, process, trouble, caplog):
    """Full or read-only: each process goes on by itself."""
    assert b"+OK" in command(redis, *trouble)
    assert 3 == looked_at(process(redis.url), 9)
    assert "do not answer" in caplog.text


def test_a_key_of_another_type_is_no_open_door(redis, process):
    """Whoever wrote it, attempts are counted."""
    throttle = process(redis.url)
    looked_at(throttle, 1)
    for key in command(redis, "KEYS", "*").split(b"\r\n"):
        if key.startswith(b"LIMITS"):
            command(redis, "DEL", key.decode())
            command(redis, "LPUSH", key.decode(), "x")
    assert 2 == looked_at(throttle, 9)


def test_a_forked_child_has_connections_of_its_own(redis, process):
    """Parent and child ask at once and get their own answers (RULES 47)."""
    throttle = process(redis.url, per_name_and_address="900/hour", per_address="900/hour")
    looked_at(throttle, 1)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(150)
        os.write(writing, json.dumps(looked_at(throttle, 100)).encode())
        os._exit(0)
    os.close(writing)
    mine = looked_at(throttle, 100)
    with os.fdopen(reading, "rb") as answers:
        assert (100, 100) == (mine, json.loads(answers.read()))
    os.waitpid(pid, 0)
    rest = looked_at(throttle, 800)
    assert 900 - 201 == rest


def test_threads_share_one_limit(redis, process):
    """So many are looked at, however many ask at once."""
    throttles = [process(redis.url, per_name_and_address="10/hour", per_address="90/hour")] * 2
    barrier, results = threading.Barrier(8), []

    def ask(throttle):
        barrier.wait(PATIENCE)
        results.append(looked_at(throttle, 4))

    threads = [threading.Thread(target=ask, args=(throttles[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (8, 10) == (len(results), sum(results))
