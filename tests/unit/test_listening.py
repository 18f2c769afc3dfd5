"""One subscription at a time, begun on first use (RULES 47, 51)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokenward.shared_cache.listening import RETRY_SECONDS, Listening
from tokenward.testing import FakeClock

PATIENCE = 90


class Subscriptions:
    """Counts what begins and ends."""

    def __init__(self):
        self.begun = 0
        self.ended = 0
        self.failed = 0
        self.failure = None
        self.during = None
        self.end_failure = None

    def subscribe(self):
        """Begin one."""
        self.begun += 1
        if self.during is not None:
            self.during()
        if self.failure is not None:
            raise self.failure
        return self.end

    def end(self):
        """End one."""
        self.ended += 1
        if self.end_failure is not None:
            raise self.end_failure

    def fail(self):
        """Count a failure."""
        self.failed += 1


@pytest.fixture
def clock():
    return FakeClock(0)


@pytest.fixture
def subscriptions():
    return Subscriptions()


@pytest.fixture
def listening(subscriptions, clock):
    return Listening(subscriptions.subscribe, failed=subscriptions.fail, clock=clock)


def test_it_begins_once(listening, subscriptions):
    """However often it is begun, there is one subscription."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: listening.begin(), range(64)))

    assert (1, 0) == (subscriptions.begun, subscriptions.ended)


def test_no_thread_waits_for_another_to_subscribe(listening, subscriptions):
    """While one subscribes, the others go on: no lock is held meanwhile."""
    begun, release = threading.Event(), threading.Event()

    def wait():
        begun.set()
        assert release.wait(PATIENCE)

    subscriptions.during = wait
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(listening.begin)
        assert begun.wait(PATIENCE)
        listening.begin()
        assert not first.done()
        release.set()
        first.result(PATIENCE)

    assert 1 == subscriptions.begun


def test_an_end_during_the_beginning_ends_it(listening, subscriptions):
    """What was ended before it had begun is not left behind."""
    subscriptions.during = listening.end
    listening.begin()

    assert (1, 1) == (subscriptions.begun, subscriptions.ended)


def test_it_can_begin_again(listening, subscriptions):
    """Ended is not for ever, and nothing is ended twice."""
    listening.begin()
    listening.end()
    listening.end()
    listening.begin()

    assert (2, 1) == (subscriptions.begun, subscriptions.ended)


def test_a_failure_is_tried_again_later(listening, subscriptions, clock):
    """A bus that cannot be reached is asked once in a while, not by every request."""
    subscriptions.failure = OSError()
    for _ in range(5):
        listening.begin()
    assert (1, 1) == (subscriptions.begun, subscriptions.failed)
    clock.advance(RETRY_SECONDS)
    subscriptions.failure = None
    for _ in range(5):
        listening.begin()

    assert (2, 1) == (subscriptions.begun, subscriptions.failed)


def test_a_failing_end_changes_nothing(listening, subscriptions):
    """Closing never raises."""
    listening.begin()
    subscriptions.end_failure = OSError()
    listening.end()

    assert 1 == subscriptions.ended


def test_a_child_subscribes_for_itself(listening, subscriptions):
    """A fork leaves the parent its subscription, and the lock that a thread of it may hold."""
    listening.begin()
    listening._lock.acquire()
    listening.after_fork()
    listening.end()
    assert 0 == subscriptions.ended
    listening.begin()

    assert 2 == subscriptions.begun
