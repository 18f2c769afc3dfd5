"""A throttle whose counters are down goes on with its own: no 500 and no open door (RULES 40)."""

import json
import logging
import os
import signal
import threading

import pytest

from tokenward.errors import AuthServiceUnavailable, TooManyAttempts
from tokenward.repositories import MemoryCounterRepository
from tokenward.testing import FakeClock
from tokenward.throttle import LoginThrottle, outage

HERE = "192.0.2.1"
SECRET = "s3cret-pw"


class Failing(MemoryCounterRepository):
    """Counters that can be made to fail."""

    def __init__(self):
        super().__init__()
        self.failure = None
        self.asked = 0

    def add(self, keys, amount, **moments):
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return super().add(keys, amount, **moments)


class NotMemory:
    """What a store's counters look like that are outside of the process."""

    def __init__(self, counters):
        self._counters = counters

    def __getattr__(self, name):
        return getattr(self._counters, name)


@pytest.fixture(autouse=True)
def _loud(monkeypatch):
    monkeypatch.setattr(outage.seldom, "_last", {})


@pytest.fixture
def clock():
    """Return the clock of the throttle."""
    return FakeClock(1_000_000)


@pytest.fixture
def store():
    """Return counters that can be made to fail."""
    return Failing()


@pytest.fixture
def process(store, clock):
    """Return a function that makes the throttle of one process."""
    return lambda: LoginThrottle.open(
        "store", counters=NotMemory(store), per_name_and_address="3/hour", clock=clock
    )


def looked_at(throttle, times, action="login"):
    """Return how many of so many attempts are looked at."""
    looked = 0
    for _ in range(times):
        try:
            throttle.attempt(action, "ada", HERE)
        except TooManyAttempts:
            continue
        looked += 1
    return looked


FAILURES = [
    pytest.param(AuthServiceUnavailable("the file is busy"), id="of ours"),
    pytest.param(RuntimeError(f"cannot reach redis://:{SECRET}@host"), id="a driver's"),
    pytest.param(OSError(5, SECRET), id="the system's"),
    pytest.param(UnicodeDecodeError("utf-8", b"\xff", 0, 1, SECRET), id="of odd bytes"),
]


def test_processes_share_what_the_store_counts(process):
    """While it answers, two processes have one limit between them."""
    one, other = process(), process()
    assert (2, 1, 0) == (looked_at(one, 2), looked_at(other, 3), looked_at(one, 2))


def test_a_success_in_one_process_forgives_in_all(process):
    """Who gets it right starts anew, whichever process is asked next."""
    one, other = process(), process()
    looked_at(one, 2)
    other.attempt("login", "ada", HERE).succeeded()
    assert 3 == looked_at(one, 5)


def test_processes_share_the_bound_of_a_mailbox(process, store):
    """One sends what the other has left; without the store each goes on with what it has sent."""
    one, other = process(), process()
    asked = ((one, 3), (other, 4), (one, 1))
    assert [3, 2, 0] == [looked_at(throttle, times, "message") for throttle, times in asked]
    store.failure = AuthServiceUnavailable("down")
    assert (1, 1) == (looked_at(one, 9, "message"), looked_at(other, 9, "message"))


@pytest.mark.parametrize("failure", FAILURES)
def test_without_the_store_each_process_has_its_limit(process, store, failure):
    """No attempt fails because counting does, and guessing has an end."""
    throttle = process()
    store.failure = failure
    assert 3 == looked_at(throttle, 9)


def test_what_was_counted_before_the_outage_still_counts(process, store):
    """Who has used up their attempts gets no new ones by bringing the store down."""
    throttle = process()
    assert 2 == looked_at(throttle, 2)
    store.failure = AuthServiceUnavailable("down")
    assert 1 == looked_at(throttle, 5)


def test_a_success_before_the_outage_is_forgiven_during_it(process, store):
    """The process's own counters forget with the store's."""
    throttle = process()
    looked_at(throttle, 2)
    throttle.attempt("login", "ada", HERE).succeeded()
    store.failure = AuthServiceUnavailable("down")
    assert 3 == looked_at(throttle, 5)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_success_during_an_outage_raises_nothing(process, store, failure):
    """The login was right; whether that is counted changes nothing."""
    throttle = process()
    attempt = throttle.attempt("login", "ada", HERE)
    store.failure = failure
    attempt.succeeded()
    assert 3 == looked_at(throttle, 5)


def test_a_success_gives_back_only_where_it_was_counted(process, store, clock):
    """What the store never counted is not taken from it when it is back."""
    throttle, other = process(), process()
    looked_at(other, 2)
    store.failure = AuthServiceUnavailable("down")
    attempt = throttle.attempt("login", "ada", HERE)
    store.failure = None
    clock.advance(outage.PAUSE)
    attempt.succeeded()
    assert 1 == looked_at(other, 5)


def test_the_store_is_left_alone_for_a_moment(process, store, clock):
    """Logins do not queue up for what is down."""
    throttle = process()
    store.failure = AuthServiceUnavailable("down")
    looked_at(throttle, 1)
    store.asked = 0
    looked_at(throttle, 5)
    assert 0 == store.asked
    clock.advance(outage.PAUSE)
    looked_at(throttle, 5)
    assert 1 == store.asked


def test_the_store_counts_again_when_it_is_back(process, store, clock, caplog):
    """Nothing has to be restarted."""
    caplog.set_level(logging.INFO, "tokenward.throttle")
    throttle, other = process(), process()
    store.failure = AuthServiceUnavailable("down")
    assert 1 == looked_at(throttle, 1)
    store.failure = None
    clock.advance(outage.PAUSE)
    assert 2 == looked_at(throttle, 2)
    assert 1 == looked_at(other, 5)
    assert ["ERROR", "INFO"] == [record.levelname for record in caplog.records]


def test_a_clock_that_jumps_back_makes_no_long_pause(process, store, clock):
    """The pause is over as soon as it cannot be one."""
    throttle = process()
    store.failure = AuthServiceUnavailable("down")
    looked_at(throttle, 1)
    clock.advance(-86_400)
    store.asked = 0
    looked_at(throttle, 1)
    assert 1 == store.asked


def test_one_asks_while_the_others_go_on(process, store, clock):
    """After the pause a single thread finds out; nobody else waits for it."""
    throttle = process()
    store.failure = AuthServiceUnavailable("down")
    looked_at(throttle, 1)
    clock.advance(outage.PAUSE)
    asking, answer, asked, count = threading.Event(), threading.Event(), [], store.add

    def add(*args, **moments):
        asked.append(args)
        asking.set()
        answer.wait(150)
        return count(*args, **moments)

    store.failure, store.add = None, add
    one, other = (threading.Thread(target=looked_at, args=(throttle, 1)) for _ in "ab")
    one.start()
    try:
        assert asking.wait(90)
        other.start()
        other.join(90)
        assert (True, False, 1) == (one.is_alive(), other.is_alive(), len(asked))
    finally:
        answer.set()
        one.join(90)
        other.join(90)


@pytest.mark.parametrize("failure", FAILURES)
def test_an_outage_is_logged_once_a_minute_without_a_secret(process, store, clock, caplog, failure):
    """What a driver says is not repeated: it may hold the password (RULES 44)."""
    caplog.set_level(logging.DEBUG)
    throttle = process()
    store.failure = failure
    for _ in range(5):
        looked_at(throttle, 1)
        clock.advance(outage.PAUSE)
    assert ["ERROR"] == [record.levelname for record in caplog.records]
    assert "do not answer" in caplog.text
    assert SECRET not in caplog.text


def test_a_forked_child_counts_with_counters_of_its_own(process, store):
    """It neither waits for its parent's locks nor uses its parent's connections."""
    throttle = process()
    looked_at(throttle, 1)
    elsewhere = throttle._elsewhere
    before = elsewhere._windows
    reading, writing = os.pipe()
    elsewhere._lock.acquire()
    places = throttle._delays._places
    while places.acquire(blocking=False):
        pass
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)
        told = [elsewhere._windows is None, throttle._delays._places.acquire(blocking=False)]
        told.append(looked_at(throttle, 1))
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    elsewhere._lock.release()
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        assert [True, True, 1] == json.loads(answers.read())
    os.waitpid(pid, 0)
    assert before is elsewhere._windows
