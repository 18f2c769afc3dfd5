"""Places for calls: how many there are, who gets one, and when nobody waits for one (RULES 25)."""

import threading
import time

import pytest

from tokenward._http.breaker import Breaker
from tokenward._http.bulkhead import Bulkhead
from tokenward.errors import AuthServiceUnavailable
from tokenward.testing import FakeClock

PATIENCE = 90
LONG = 600  # seconds that no test waits


@pytest.fixture
def breaker():
    return Breaker("https://auth.example.com", failures=1, seconds=LONG, clock=time.monotonic)


@pytest.fixture
def bulkhead(breaker):
    return Bulkhead(breaker, places=2)


def soon(seconds=LONG):
    """Return a deadline."""
    return time.monotonic() + seconds


class Caller(threading.Thread):
    """Enters on a thread of its own, and tells how that ended."""

    def __init__(self, bulkhead, seconds=LONG, log=None):
        super().__init__(daemon=True)
        self.bulkhead = bulkhead
        self.seconds = seconds
        self.log = [] if log is None else log
        self.waited = None
        self.error = None
        self.start()

    def run(self):
        try:
            self.waited = self.bulkhead.enter(soon(self.seconds))
            self.log.append(self)
        except BaseException as error:  # noqa: BLE001 - what is raised is what is looked at
            self.error = error

    def ended(self):
        self.join(PATIENCE)
        assert not self.is_alive()
        return self


def waiting(bulkhead, count):
    """Wait until so many threads wait for a place."""
    deadline = soon(PATIENCE)
    while bulkhead._waiting != count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_as_many_enter_as_there_are_places(bulkhead):
    """Without a wait, and again when one has left."""
    assert [False, False] == [bulkhead.enter(soon()), bulkhead.enter(soon())]
    bulkhead.leave()

    assert bulkhead.enter(soon()) is False


def test_one_more_waits_for_a_place(bulkhead):
    """It is told that it waited."""
    bulkhead.enter(soon())
    bulkhead.enter(soon())
    caller = Caller(bulkhead)
    waiting(bulkhead, 1)
    bulkhead.leave()

    assert caller.ended().waited is True


def test_half_of_the_time_is_for_waiting(bulkhead, monkeypatch):
    """Later, the server would not have enough of it left; the thread is free again."""
    bulkhead.enter(soon())
    bulkhead.enter(soon())
    clock = FakeClock(began := 100.0)
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(bulkhead._changed, "wait", clock.advance)
    with pytest.raises(AuthServiceUnavailable) as caught:
        bulkhead.enter(soon(8))

    assert ("busy", 4.0) == (caught.value.reason, clock() - began)


def test_no_time_is_no_wait(bulkhead):
    """A deadline that has passed is not waited for."""
    bulkhead.enter(soon())
    bulkhead.enter(soon())
    with pytest.raises(AuthServiceUnavailable) as caught:
        bulkhead.enter(soon(-1))

    assert "busy" == caught.value.reason


def test_giving_up_leaves_everything_as_it_was(bulkhead):
    """Whoever gave up is not counted, as waiting or as under way."""
    bulkhead.enter(soon())
    bulkhead.enter(soon())
    for _ in range(3):
        assert "busy" == Caller(bulkhead, 0.02).ended().error.reason
    bulkhead.leave()
    bulkhead.leave()

    assert [False, False] == [bulkhead.enter(soon()), bulkhead.enter(soon())]


def test_first_come_first_served(breaker):
    """Nobody is overtaken while waiting."""
    bulkhead = Bulkhead(breaker, places=1)
    bulkhead.enter(soon())
    log, callers = [], []
    for number in range(5):
        callers.append(Caller(bulkhead, log=log))
        waiting(bulkhead, number + 1)
    for number in range(5):
        bulkhead.leave()
        callers[number].ended()

    assert callers == log


@pytest.mark.parametrize(
    ("taken", "woken", "waits"), [(0, 1, False), (1, 1, True), (0, 2, True), (1, 0, False)]
)
def test_a_newcomer_leaves_free_places_to_those_who_were_woken(
    bulkhead, monkeypatch, taken, woken, waits
):
    """Who leaves and comes back at once overtakes nobody, and waits for no more than that."""
    bulkhead._taken, bulkhead._waiting = taken, woken
    waited = []
    monkeypatch.setattr(bulkhead._changed, "wait", waited.append)

    assert (waits, waits) == (bulkhead.enter(soon()), len(waited) == 1)


def test_nobody_waits_for_a_server_that_is_left_alone(bulkhead, breaker):
    """All who wait go at once when its breaker opens, however much time they have."""
    bulkhead.enter(soon())
    bulkhead.enter(soon())
    callers = [Caller(bulkhead) for _ in range(8)]
    waiting(bulkhead, 8)
    breaker.enter().fail()
    bulkhead.leave()

    assert {"circuit_open"} == {caller.ended().error.reason for caller in callers}


def test_nobody_enters_while_it_is_left_alone(bulkhead, breaker):
    """With places free as well."""
    breaker.enter().fail()
    with pytest.raises(AuthServiceUnavailable) as caught:
        bulkhead.enter(soon())

    assert "circuit_open" == caught.value.reason


class Whimsical:
    """A breaker that refuses one thread only."""

    is_open = False

    def __init__(self):
        self.refused = None

    def check(self):
        if threading.current_thread() is self.refused:
            raise AuthServiceUnavailable(reason="circuit_open")


def test_a_place_that_is_not_taken_is_the_next_ones():
    """Whoever was woken for one and gives up wakes the next."""
    breaker = Whimsical()
    bulkhead = Bulkhead(breaker, places=1)
    bulkhead.enter(soon())
    first = Caller(bulkhead)
    waiting(bulkhead, 1)
    second = Caller(bulkhead)
    waiting(bulkhead, 2)
    breaker.refused = first
    bulkhead.leave()

    assert "circuit_open" == first.ended().error.reason
    assert second.ended().waited is True
