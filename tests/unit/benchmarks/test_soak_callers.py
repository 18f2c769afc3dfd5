"""benchmarks/soak: the callers turn everything over, and notice whoever is wrongly let in."""

import itertools
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GOOD = "good.{}.signature"


@pytest.fixture
def soak(monkeypatch):
    """Import a module of the soak, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.soak.{name}")


class Machine(BaseHTTPRequestHandler):
    """An auth service and an application in one: it knows whose each token is."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is sent whole, or the caller's acknowledgement is waited for

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        text = self.rfile.read(length).decode()
        state = self.server.state
        state["asked"][self.path] += 1
        if self.path == "/register":
            self.answer(201, {})
        elif self.path in ("/login", "/refresh"):
            sent = json.loads(text)
            name = sent.get("username") or sent["refresh_token"]
            token = GOOD.format(next(state["numbers"]))
            state["names"][token] = name
            self.answer(200, {"access_token": token, "refresh_token": name})
        else:
            token = self.headers["Authorization"].removeprefix("Bearer ")
            if self.path == "/revoke":
                token = text.removeprefix("token=")
            state["names"].pop(token)
            self.answer(200, {})

    def do_GET(self):
        state = self.server.state
        state["asked"][self.path] += 1
        signed = self.headers["X-Access-Token"]
        token = (signed or self.headers["Authorization"] or "").removeprefix("Bearer ")
        if self.path == "/":
            self.answer(state["plain"], {})
        elif '"' in token:
            self.answer(400, {})
        elif token in state["names"] or state["open"]:
            name = state["says"] or state["names"].get(token)
            self.answer(200, {"username": None if signed else name})
        else:
            self.answer(401, {})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def machine():
    """Run it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Machine)
    server.state = {
        "asked": Counter(),
        "names": {},
        "numbers": itertools.count(),
        "open": False,
        "says": None,
        "plain": 200,
    }
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(soak, machine, *, requests=120):
    """Have one caller make so many requests; return what it counted."""
    port = machine.server_address[1]
    tally, left, seconds = soak("load").Tally(), iter(range(requests)), itertools.count()
    caller = soak("callers").Caller(
        0,
        auth=port,
        applications={"flask": port, "django": port},
        client="Basic eA==",
        tally=tally,
        pace=lambda: next(left, None) is not None,
        settles=3.0,
        clock=lambda: next(seconds),
    )
    caller.register()
    caller.run()
    return tally


def test_callers_turn_everything_over(soak, machine):
    """Each session ends in its own way, at one application after the other."""
    tally = run(soak, machine)
    assert ({}, {}) == (dict(tally.wrong), dict(tally.lost))
    assert {"/register", "/login", "/refresh", "/logout", "/revoke"} == tally.sent.keys()
    assert (
        {"200", "400", "401"} == tally.answered["flask"].keys() == tally.answered["django"].keys()
    )
    assert 120 == tally.requests == machine.state["asked"].total()
    assert all(machine.state["asked"][path] == count for path, count in tally.sent.items())


@pytest.mark.parametrize(
    ("state", "wrong"),
    [
        ({"open": True, "says": None}, "200 instead of 401"),
        ({"says": "mallory"}, "somebody else's name"),
        ({"plain": 500}, "500 instead of 200"),
    ],
)
def test_whoever_is_answered_wrongly_notices(soak, machine, state, wrong):
    """A bad token that is let in, another one's name, an error where nobody asks who comes."""
    machine.state.update(state)
    assert run(soak, machine).wrong[wrong] > 0


def test_a_revoked_token_that_is_let_in_again_is_noticed(soak, machine):
    """Once the time is over for which it may be."""

    class Forgetful(dict):
        def pop(self, token):
            return self[token]

    machine.state["names"] = Forgetful()
    assert {"200 instead of 401"} == run(soak, machine).wrong.keys()


def test_a_request_that_nobody_answers_is_lost_and_the_caller_goes_on(soak):
    """By what became of it; nothing is counted as answered."""
    load, callers = soak("load"), soak("callers")
    tally, left = load.Tally(), iter(range(5))
    dead = import_module("benchmarks.ports").free_port()
    callers.Caller(
        0,
        auth=dead,
        applications={"flask": dead},
        client="",
        tally=tally,
        pace=lambda: next(left, None) is not None,
        settles=1.0,
    ).run()
    assert ({"ConnectionRefusedError": 5}, {}) == (dict(tally.lost), tally.answered)


def test_the_pace_is_bounded_at_every_moment(soak):
    """Whoever was held up does not hurry afterwards; the end is told at once."""
    now, waits = [0.0], []

    def wait(seconds):
        waits.append(round(seconds, 3))
        now[0] += seconds
        return now[0] > 10

    pace = soak("load").Pace(4, wait, clock=lambda: now[0])
    assert [True, True] == [pace(), pace()]
    now[0] = 9.0
    assert [True, True, True] == [pace(), pace(), pace()]
    now[0] = 11.0
    assert not pace()
    assert [0.25, 0.25, 0.0, 0.25, 0.25, 0.0] == waits
