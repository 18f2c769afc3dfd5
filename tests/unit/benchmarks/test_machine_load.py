"""benchmarks/machine: the load is bounded and records what it gets; programs start and end."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
from importlib import import_module
from itertools import count
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def machine(monkeypatch):
    """Import a module of the machine, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.machine.{name}")


# --- the load


class Server:
    """Answers each request with what a function makes of its path and token, on loopback."""

    def __init__(self, answer):
        self.seen = []
        self.connections = 0
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(90)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            request = []
            for line in lines:
                request.append(line.decode().strip())
                if request[-1]:
                    continue
                token = next(
                    (x.split()[-1] for x in request if x.startswith("Authorization")), None
                )
                self.seen.append(token)
                status, body = self._answer(token)
                if not status:
                    return
                connection.sendall(
                    f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                )
                request.clear()


def greeting(token):
    return 200, json.dumps({"username": f"name of {token}"})


def asks(machine, *tokens, kind="hit"):
    return [machine("asking").Ask(kind, "/", token, f"name of {token}") for token in tokens]


def wait_for(condition):
    """Wait for another process, and not for ever."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_load_asks_in_turn_and_records_every_answer(machine, tmp_path):
    """Each with its stream, kind, status and verdict; the last one when it has ended."""
    load = machine("load")
    with Server(greeting) as server:
        stream = load.Stream("one", server.port, asks(machine, "a", "b"), connections=1)
        with load.Load(tmp_path, [stream], 600) as running:
            wait_for(lambda: len(server.seen) > 150)
        answers = running.answers()
        assert len(server.seen) == len(answers)
        assert ["a", "b", "a", "b"] == server.seen[:4]
        assert {("one", "hit", 200, "right")} == {one[2:] for one in answers}
        # A hundred requests, and the connection is opened anew.
        assert -(-len(server.seen) // 100) == server.connections


def test_answers_are_returned_once_and_whole(machine, tmp_path):
    """Whoever reads while the load goes on sees a line when its end is there."""
    load = machine("load").Load(tmp_path, [], 1)
    records = tmp_path / "load.records"
    records.write_text("1.0 0.1 one hit 200 right\n2.0 0.1 one hi")
    assert [1.0] == [one.start for one in load.answers()]
    assert [] == load.answers()
    with records.open("a") as file:
        file.write("t 200 right\n")
    assert [(2.0, 0.1, "one", "hit", 200, "right")] == load.answers()


def test_the_load_asks_no_faster_than_it_is_told(machine, tmp_path):
    """However quick the answers are, and however many connections it has."""
    load = machine("load")
    with Server(greeting) as server:
        stream = load.Stream("one", server.port, asks(machine, "a"), rate=50, connections=4)
        with load.Load(tmp_path, [stream], 600) as running:
            wait_for(lambda: len(server.seen) > 50)
        starts = sorted(one.start for one in running.answers())
        # One may have been late, the first above all; of four that know nothing of each other a
        # quarter would be left.
        assert (starts[-1] - starts[0]) * 50 > 0.5 * (len(starts) - 1)


def test_the_load_ends_by_itself(machine, tmp_path):
    """When its time is over."""
    load = machine("load")
    with Server(greeting) as server:
        stream = load.Stream("one", server.port, asks(machine, "a"), rate=20)
        with load.Load(tmp_path, [stream], 0.2) as running:
            running.wait()
        assert running.answers()


def test_tokens_that_come_once_come_once(machine, tmp_path):
    """And more when the load is fed."""
    load = machine("load")
    with Server(greeting) as server:
        stream = load.Stream("one", server.port, asks(machine, "a", "b"), once=True)
        with load.Load(tmp_path, [stream], 600) as running:
            wait_for(lambda: len(server.seen) == 2)
            running.feed("one", asks(machine, "c"))
            wait_for(lambda: len(server.seen) == 3)
        assert {"a": 1, "b": 1, "c": 1} == {token: server.seen.count(token) for token in "abc"}


def test_a_withdrawn_token_is_borne_no_more(machine, tmp_path):
    """Its last answer has come when that is said, so that what is done next comes after it."""
    load, under_way = machine("load"), threading.Event()

    def slow(token):
        if token == "a" and not under_way.is_set():
            under_way.set()
            time.sleep(0.2)
        return greeting(token)

    with Server(slow) as server:
        stream = load.Stream("one", server.port, asks(machine, "a", "b"), connections=3)
        with load.Load(tmp_path, [stream], 600) as running:
            under_way.wait(90)
            running.withdraw("a")
            before = len(server.seen)
            assert any(one.seconds > 0.2 for one in running.answers())
            wait_for(lambda: len(server.seen) > before + 50)
        assert "a" not in server.seen[before:]


def test_a_connection_that_ends_is_a_reset_and_another_is_opened(machine, tmp_path):
    """Which is no answer of any status."""
    load, numbers = machine("load"), count()
    with Server(lambda token: (0, "") if next(numbers) == 3 else greeting(token)) as server:
        stream = load.Stream("one", server.port, asks(machine, "a"), connections=1)
        with load.Load(tmp_path, [stream], 600) as running:
            wait_for(lambda: len(server.seen) > 6)
        found = [(one.status, one.verdict) for one in running.answers()]
        assert [(0, "reset")] == [one for one in found if one != (200, "right")]


def test_a_load_that_fails_says_so(machine, tmp_path):
    """Its own process has what went wrong."""
    load = machine("load")
    with Server(greeting) as server:
        stream = load.Stream("one", server.port, asks(machine, "a"), rate=5)
        with (
            pytest.raises(RuntimeError, match=r"(?s)the load failed.*KeyError"),
            load.Load(tmp_path, [stream], 600) as running,
        ):
            running.feed("another", [])


def test_a_load_that_does_not_start_says_so(machine, tmp_path):
    """And its process is gone, though the block was never entered."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    load, before = machine("load"), children.read_text("ascii")
    with (
        pytest.raises(RuntimeError, match=r"(?s)the load has ended.*TypeError"),
        load.Load(tmp_path, [load.Stream("one", 1, connections="many")], 600),
    ):
        pytest.fail("it has no streams")
    assert set(children.read_text("ascii").split()) <= set(before.split())


def test_the_load_ends_with_whoever_started_it(machine, tmp_path):
    """Its standard input ends then, whatever became of them."""
    load = machine("load")
    with Server(greeting) as server:
        stream = load.Stream("one", server.port, asks(machine, "a"), rate=20)
        said = {"seconds": 3600, "streams": [dataclasses.asdict(stream)]}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.machine.load", str(tmp_path / "records")],
            input=json.dumps(said) + "\n",
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=150,
            check=True,
        )
        assert "started\n" == done.stdout


# --- the programs


def test_a_server_is_slow_for_as_long_as_it_is_told(machine, tmp_path, monkeypatch):
    """By a file that gunicorn's hook reads before each request."""
    conf, slept = machine("gunicorn_conf"), []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setenv(conf.DELAY, str(tmp_path / "auth.delay"))
    server = machine("programs").Server("auth", tmp_path, "app:app", port=1, environ={})
    conf.pre_request(None, None)
    server.slow(2.5)
    conf.pre_request(None, None)
    server.slow(0)
    conf.pre_request(None, None)
    assert [2.5] == slept


def test_a_program_ends_with_its_block(machine, tmp_path):
    """However well it is."""
    programs = machine("programs")

    class Sleeper(programs.Program):
        def answers(self):
            return self.running

    with Sleeper("sleeper", tmp_path, ["sleep", "60"], port=1) as sleeper:
        pid = sleeper.pid
        os.kill(pid, 0)
    assert not sleeper.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_calls_are_counted_by_path(machine, tmp_path):
    """As the access log has them; before there is one, there were none."""
    server = machine("programs").Server("auth", tmp_path, "app:app", port=1, environ={})
    assert {} == server.calls()
    (tmp_path / "auth.access").write_text("/introspect 200\n/introspect 503\n/login 200\n")
    assert {"/introspect": 2, "/login": 1} == server.calls()


def test_a_program_that_does_not_start_says_why(machine, benchmarks, tmp_path):
    """With what it said itself, and nothing of it is left."""
    programs = machine("programs")
    server = programs.Server(
        "auth", tmp_path, "no_such_module:app", port=benchmarks("ports").free_port(), environ={}
    )
    with pytest.raises(programs.Unavailable, match=r"(?s)auth does not start.*no_such_module"):
        server.start()
    assert not server.running
    with pytest.raises(programs.Unavailable, match="auth does not run"):
        _ = server.pid
