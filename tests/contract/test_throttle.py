"""A throttle counts the same in every store (RULES 40)."""

import contextlib
import socket
import sys
import threading

import pytest

from tokenward.errors import ConfigurationError, TooManyAttempts
from tokenward.testing import FakeClock
from tokenward.throttle import LoginThrottle, outage

HERE = "192.0.2.1"
ODD_NAMES = ["", "x" * 5_000, "\ud800", "a\x00b", "$where", "a.b", "' OR 1=1 --", '{"$ne": null}']


@pytest.fixture(autouse=True)
def _loud(monkeypatch):
    monkeypatch.setattr(outage.seldom, "_last", {})


@pytest.fixture
def clock():
    """Return the clock of the stores and of the throttles."""
    return FakeClock(1_000_000)


@pytest.fixture
def process(repositories, clock):
    """Return a function that makes the throttle of one process."""
    return lambda **rates: LoginThrottle.open(
        "store",
        counters=repositories.counters,
        **{"per_name_and_address": "3/minute", "per_address": "6/minute"} | rates,
        clock=clock,
        sleep=lambda _seconds: None,
    )


def refusal(throttle, name="ada", address=HERE):
    """Return how long one has to wait; `None`: the attempt is looked at."""
    try:
        throttle.attempt("login", name, address)
    except TooManyAttempts as error:
        return error.retry_after
    return None


def test_processes_share_one_limit(process):
    """What one has counted, the other knows."""
    one, other = process(), process()
    assert [None] * 3 == [refusal(t) for t in (one, other, one)]
    assert [60, 60] == [pytest.approx(refusal(t), abs=0.01) for t in (one, other)]


def test_a_window_ends(process, clock):
    """Then the attempts are looked at again."""
    throttle = process()
    for _ in range(4):
        refusal(throttle)
    clock.advance(59)
    assert pytest.approx(1, abs=0.01) == refusal(throttle)
    clock.advance(1)
    assert [None] * 3 == [refusal(throttle) for _ in range(3)]
    assert refusal(throttle) is not None


def test_a_success_forgives_in_every_process(process):
    """Name and address start anew, and the address gets its attempt back."""
    one, other = process(), process()
    refusal(one)
    refusal(one)
    other.attempt("login", "ada", HERE).succeeded()
    assert [True, True, True, False] == [refusal(one) is None for _ in range(4)]


def test_a_success_leaves_what_others_counted(process):
    """Guesses from one address add up, whoever logs in from it in between."""
    one, other = process(), process()
    for n in range(5):
        assert refusal(one, f"user{n}") is None
        other.attempt("login", "ada", HERE).succeeded()
    assert refusal(one, "user5") is None
    assert refusal(one, "user6") is not None


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_can_be_counted(process, name):
    """Nothing that is typed reaches a query, or fails."""
    throttle = process()
    assert [True, True, True, False] == [refusal(throttle, name) is None for _ in range(4)]


def test_threads_share_one_limit(process):
    """So many are looked at, however many ask at once of two processes."""
    throttles = [process(per_name_and_address="5/minute", per_address="90/minute") for _ in "ab"]
    barrier, results = threading.Barrier(8), []

    def ask(throttle):
        barrier.wait(120)
        results.extend(refusal(throttle) is None for _ in range(2))

    threads = [threading.Thread(target=ask, args=(throttles[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert (16, 5) == (len(results), sum(results))


@pytest.mark.peer
class TestMongoURL:
    """A MongoDB of the throttle's own."""

    def test_processes_share_one_limit(self, mongo, clock):
        """Named by a URL, it needs no store of a service."""
        url = mongo.new_url()
        mongo.keep_expired(url)
        with contextlib.ExitStack() as closing:
            rates = {"per_name_and_address": "3/minute", "clock": clock}
            one, other = (
                closing.enter_context(
                    contextlib.closing(LoginThrottle.open(url, counters=None, **rates))
                )
                for _ in "ab"
            )
            assert [None] * 3 == [refusal(t) for t in (one, other, one)]
            assert [True, True] == [refusal(t) is not None for t in (one, other)]

    def test_one_that_is_down_stops_nothing(self, clock, caplog):
        """The throttle is made, and counts by itself (RULES 50)."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        url = f"mongodb://user:s3cret-pw@127.0.0.1:{port}/throttle"
        rates = {"per_name_and_address": "3/minute", "clock": clock}
        with contextlib.closing(LoginThrottle.open(url, counters=None, **rates)) as throttle:
            assert [True, True, True, False] == [refusal(throttle) is None for _ in range(4)]
        assert "do not answer" in caplog.text
        assert "s3cret-pw" not in caplog.text

    @pytest.mark.parametrize("url", ["mongodb://:s3cret-pw@/x", "mongodb://s3cret-pw.example"])
    def test_a_url_that_cannot_be_used_is_refused(self, url):
        """Without a database or malformed; the message does not show it."""
        with pytest.raises(ConfigurationError) as refused:
            LoginThrottle.open(url, counters=None)
        assert "s3cret-pw" not in str(refused.value)

    def test_a_missing_driver_is_named(self, monkeypatch):
        """With the extra that brings it."""
        for name in [n for n in sys.modules if n.startswith("tokenward.repositories.mongo")]:
            monkeypatch.delitem(sys.modules, name)
        import tokenward.repositories

        monkeypatch.delattr(tokenward.repositories, "mongo", raising=False)
        monkeypatch.setitem(sys.modules, "pymongo", None)
        with pytest.raises(ConfigurationError, match=r"install tokenward\[mongo\]"):
            LoginThrottle.open("mongodb://localhost/throttle", counters=None)
