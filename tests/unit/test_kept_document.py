"""`KeptDocument`: fresh, due, stale, gone, and how often its source is asked (RULES 16, 46)."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sites import down

from tokenward.cache import Fetched, KeptDocument, NotTried
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.testing import FakeClock

PATIENCE = 90


class Source:
    """Counts up; fails, waits or raises as it is told to."""

    def __init__(self):
        self.fetches = 0
        self.failure = None
        self.max_age = None
        self.deadlines = []
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()

    def __call__(self, deadline):
        self.fetches += 1
        number = self.fetches
        self.deadlines.append(deadline)
        failure = self.failure
        self.began.release()
        assert self.go.wait(PATIENCE)
        if failure is not None:
            raise failure
        return Fetched(number, self.max_age)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def source():
    found = Source()
    yield found
    found.go.set()


@pytest.fixture
def make(source, clock):
    """Return a function that makes a document of the source."""

    def make(**options):
        known = {
            "ttl": 900,
            "refresh_ahead": 60,
            "cooldown": 30,
            "stale_for": 3_600,
            "timeout": 60,
            "clock": clock,
        }
        return KeptDocument(source, **known | options)

    return make


@pytest.fixture
def document(make):
    return make()


def outage(call, *args, **options):
    with pytest.raises(AuthServiceUnavailable) as caught:
        call(*args, **options)
    return caught.value


def value(document):
    return document.get().value


@contextmanager
def nobody_waits(seconds=50):
    """Assert that what is done takes no time to speak of; whoever waits does so for longer."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


# --- fresh and due


def test_it_is_fetched_once(document, source, clock):
    """At the first use, and then not before it is due."""
    assert (0, None, 0) == (source.fetches, document.known, document.begun)
    kept = document.get()
    clock.advance(839.9)

    assert (1, 1, 1_700_000_000) == (kept.value, kept.number, kept.asked_at)
    assert kept is document.get() is document.known
    assert 1 == document.begun


def test_it_is_fetched_anew_ahead_of_its_end(document, source, clock):
    """By the first use of it when it is due."""
    value(document)
    clock.advance(840)

    assert (2, 2, 2) == (value(document), value(document), source.fetches)


def test_others_go_on_while_one_fetches_anew(document, source, clock):
    """Nobody but the one waits."""
    value(document)
    clock.advance(840)
    source.go.clear()
    with ThreadPoolExecutor(1) as threads:
        source.began.acquire()
        one = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        with nobody_waits():
            assert [1] * 5 == [value(document) for _ in range(5)]
        source.go.set()
        assert 2 == one.result(PATIENCE)

    assert (2, 2) == (value(document), source.fetches)


def test_a_failed_refresh_changes_nothing(document, source, clock):
    """Neither the one nor the others notice; the next attempt waits a little longer each time."""
    value(document)
    source.failure = down()
    clock.advance(840)
    assert [1] * 3 == [value(document) for _ in range(3)]
    assert 2 == source.fetches
    clock.advance(1)
    assert (1, 1, 3) == (value(document), value(document), source.fetches)
    clock.advance(0.9)
    assert (1, 3) == (value(document), source.fetches)
    clock.advance(1.1)

    assert (1, 4) == (value(document), source.fetches)


@pytest.mark.parametrize(
    ("max_age", "due"),
    [(None, 840), (10_000, 840), (900, 840), (600, 540), (100, 40), (60, 30), (1, 30), (0, 30)],
)
def test_max_age_is_kept_within_bounds(document, source, clock, max_age, due):
    """Never longer than the ttl, and never asked more often than once in a cooldown."""
    source.max_age = max_age
    value(document)
    clock.advance(due - 0.1)
    assert 1 == value(document)
    clock.advance(0.1)

    assert 2 == value(document)


def test_a_short_life_makes_nobody_wait(document, source, clock):
    """Also where there is no time ahead of the end, the others have a document meanwhile."""
    source.max_age = 0
    value(document)
    clock.advance(30)
    source.go.clear()
    with ThreadPoolExecutor(1) as threads:
        source.began.acquire()
        one = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        with nobody_waits():
            assert 1 == value(document)
        source.go.set()
        assert 2 == one.result(PATIENCE)


def test_a_ttl_below_the_cooldown(make, source, clock):
    """The ttl is the user's word."""
    document = make(ttl=5)
    value(document)
    clock.advance(5)

    assert 2 == value(document)


# --- stale and gone


def test_stale_is_served_while_the_source_fails(document, source, clock):
    """To its last second, and then no more."""
    value(document)
    source.failure = down(hint="first")
    clock.advance(900 + 3_599)
    assert 1 == value(document)
    assert document.known is not None
    clock.advance(1)

    assert document.known is None
    assert "first" == outage(document.get).hint


def test_stale_is_not_served_where_the_source_works(document, clock):
    """What nobody used for a long time is fetched before it is used."""
    value(document)
    clock.advance(1_000)

    assert 2 == value(document)


def test_nobody_waits_for_a_source_that_is_known_to_fail(document, source, clock):
    """While one tries again, the others are served what there is."""
    value(document)
    source.failure = down()
    clock.advance(1_000)
    value(document)
    clock.advance(1)
    source.go.clear()
    with ThreadPoolExecutor(1) as threads:
        while source.began.acquire(blocking=False):
            pass
        one = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        with nobody_waits():
            assert [1] * 5 == [value(document) for _ in range(5)]
        source.go.set()
        assert 1 == one.result(PATIENCE)
    assert 3 == source.fetches


def test_who_can_be_served_better_waits(document, source, clock):
    """Past its end, and with nothing against the source, the document is one to wait for."""
    value(document)
    clock.advance(1_000)
    source.go.clear()
    source.began.acquire()
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        other = threads.submit(value, document)
        with pytest.raises(TimeoutError):
            other.result(0.1)
        source.go.set()
        assert (2, 2) == (one.result(PATIENCE), other.result(PATIENCE))


def test_what_is_gone_is_served_to_nobody(make, source, clock):
    """However long the source takes to fail once more."""
    document = make(timeout=0.3)
    value(document)
    source.failure = down()
    clock.advance(1_000)
    value(document)
    clock.advance(4_000)
    source.go.clear()
    with ThreadPoolExecutor(1) as threads:
        while source.began.acquire(blocking=False):
            pass
        one = threads.submit(outage, document.get)
        assert source.began.acquire(timeout=PATIENCE)
        outage(document.get)
        source.go.set()
        one.result(PATIENCE)


def test_what_failed_just_now_is_not_asked_again(document, source, clock):
    """Not even by one who came between the failure and the back-off it leads to."""
    value(document)
    source.failure = down()
    clock.advance(850)
    value(document)
    (entry,) = document._cache.entries.values()
    entry.fresh_until = entry.stored
    clock.advance(0.4)
    assert (1, 2) == (value(document), source.fetches)
    entry.fresh_until = entry.stored
    clock.advance(0.1)

    assert (1, 3) == (value(document), source.fetches)


def test_back_off_ends_when_the_source_answers(document, source, clock):
    """And the failures before it are forgotten."""
    value(document)
    source.failure = down()
    for _ in range(5):
        clock.advance(100)
        value(document)
    clock.advance(1_000)
    source.failure = None
    fetched = value(document)

    assert source.fetches == fetched
    clock.advance(839)
    assert fetched == value(document)


def test_a_clock_that_jumps_back_is_a_miss(document, clock):
    """What was stored in the future is not served."""
    value(document)
    clock.advance(-10)

    assert document.known is None
    assert 2 == value(document)


# --- nothing to serve


def test_a_failure_with_nothing_to_serve_starts_the_cooldown(document, source, clock):
    """Measured from the last attempt; each gets an error of its own, with what is left of it."""
    source.failure = down(hint="why")
    first = outage(document.get)
    source.failure = None
    clock.advance(29.5)
    again = outage(document.get)

    assert (1, "why", "why") == (source.fetches, first.hint, again.hint)
    assert (30, 1) == (first.retry_after, again.retry_after)
    assert first is not again
    clock.advance(0.5)
    assert 2 == value(document)


def test_a_clock_that_jumps_back_ends_the_cooldown(document, source, clock):
    """A failure in the future says nothing about now."""
    source.failure = down()
    outage(document.get)
    source.failure = None
    clock.advance(-1)

    assert 2 == value(document)


@pytest.mark.parametrize("reason", ["busy", "circuit_open"])
def test_what_was_not_tried_starts_no_cooldown(document, source, reason):
    """Our own bulkhead and breaker are not the source."""
    source.failure = down(reason, retry_after=2)
    assert 2 == outage(document.get).retry_after
    source.failure = None

    assert 2 == value(document)


def test_a_fetch_that_could_not_begin_starts_no_cooldown(document, source):
    """Whoever raises it has a cooldown of its own."""
    source.failure = NotTried(down("no_metadata"))
    error = outage(document.get)
    assert ("no_metadata", None) == (error.reason, error.__context__)
    source.failure = None

    assert 2 == value(document)


def test_all_who_wait_share_one_failure(document, source):
    """One fetch, a fresh exception for each."""
    source.failure = down()
    source.go.clear()
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(outage, document.get) for _ in range(8)]
        assert source.began.acquire(timeout=PATIENCE)
        source.go.set()
        errors = [one.result(PATIENCE) for one in waiting]

    assert (1, 8) == (source.fetches, len({id(error) for error in errors}))


# --- on demand


def test_a_demand_fetches_at_once_and_once_in_a_cooldown(document, source, clock):
    """However new the document is that was fetched because it was due."""
    kept = document.get()
    assert 2 == document.renewed(document.begun).value
    for _ in range(5):
        assert 2 == document.renewed(document.begun).value
    clock.advance(29.9)
    assert 2 == document.renewed(document.begun).value
    clock.advance(0.1)

    assert 3 == document.renewed(document.begun).value
    assert (3, 1) == (source.fetches, kept.value)


def test_a_document_that_came_since_is_new_enough(document, source):
    """Who has just waited for a fetch does not ask for a second, and uses up the cooldown."""
    seen = document.begun
    value(document)

    assert 1 == document.renewed(seen).value
    assert 1 == document.renewed(document.begun).value
    assert 1 == source.fetches


def test_scheduled_fetches_stand_apart(document, source, clock):
    """They neither start a cooldown nor wait for its end."""
    value(document)
    clock.advance(839)
    document.renewed(document.begun)
    assert 2 == source.fetches
    source.max_age = 0
    clock.advance(840)
    assert 3 == value(document)
    assert 4 == document.renewed(document.begun).value
    clock.advance(30)

    assert 5 == document.renewed(document.begun).value


def test_a_demand_that_fails(document, source, clock):
    """It is an outage for the cooldown, and the document serves on."""
    value(document)
    source.failure = down(hint="no")
    first = outage(document.renewed, document.begun)
    clock.advance(10)
    again = outage(document.renewed, document.begun)

    assert (("no", 30), ("no", 20)) == (
        (first.hint, first.retry_after),
        (again.hint, again.retry_after),
    )
    assert (1, 2) == (value(document), source.fetches)


def test_a_demand_whose_fetch_could_not_begin_may_be_made_again(document, source):
    """Nothing was asked, so nothing is known."""
    value(document)
    source.failure = down("busy")
    assert "busy" == outage(document.renewed, document.begun).reason
    source.failure = None

    assert 3 == document.renewed(document.begun).value


def test_a_demand_while_nothing_can_be_had(document, source):
    """The failure is that of the last fetch."""
    source.failure = down(hint="no")
    outage(document.get)
    seen = document.begun

    assert "no" == outage(document.renewed, seen).hint


def test_many_demands_are_one_fetch(document, source):
    """Whoever makes them up."""
    value(document)
    source.go.clear()
    source.began.acquire()
    seen = document.begun
    with ThreadPoolExecutor(16) as threads:
        waiting = [threads.submit(document.renewed, seen) for _ in range(16)]
        assert source.began.acquire(timeout=PATIENCE)
        assert 1 == value(document)
        source.go.set()
        got = {one.result(PATIENCE).value for one in waiting}

    assert ({2}, 2) == (got, source.fetches)


def test_a_last_fetch_that_worked_ends_the_outage(document, source, clock):
    """In the cooldown of a demand that failed, a scheduled fetch may have worked."""
    value(document)
    clock.advance(820)
    source.failure = down()
    outage(document.renewed, document.begun)
    source.failure = None
    clock.advance(20)
    assert 3 == value(document)

    assert 3 == document.renewed(document.begun).value


def test_a_last_fetch_that_failed_is_an_outage(document, source, clock):
    """In the cooldown of a demand that worked, too: what is missing may be there by now."""
    value(document)
    document.renewed(document.begun)
    source.failure = down(hint="no")
    outage(document.refresh)
    clock.advance(1)

    assert "no" == outage(document.renewed, document.begun).hint


# --- refresh


def test_refresh_fetches_whatever_there_is(document, source):
    """Asked for explicitly, so it really asks."""
    assert 1 == document.refresh().value
    assert 2 == document.refresh().value
    assert 2 == value(document)


def test_a_refresh_that_fails_leaves_what_there_is(document, source):
    """It says so, and the document serves on."""
    value(document)
    source.failure = down()
    outage(document.refresh)

    assert 1 == value(document)


def test_an_older_fetch_does_not_replace_a_newer_one(document, source, clock):
    """A fetch that began before another one, and ends after it, is not kept."""
    value(document)
    clock.advance(840)
    source.go.clear()
    source.began.acquire()
    with ThreadPoolExecutor(1) as threads:
        older = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        first, source.go = source.go, threading.Event()
        source.go.set()
        assert 3 == document.refresh().value
        first.set()
        assert 2 == older.result(PATIENCE)

    assert 3 == value(document)


# --- time


def test_time_is_left_for_what_the_document_is_needed_for(document, source, clock):
    """A refresh of what can be served gets half of what there is; the first fetch all of it."""
    deadline = time.monotonic() + 100
    document.get(deadline=deadline)
    assert [deadline] == source.deadlines
    clock.advance(850)
    before = time.monotonic()
    document.get(deadline=deadline)

    assert (before + deadline) / 2 <= source.deadlines[1] <= (time.monotonic() + deadline) / 2


def test_a_demand_gets_all_the_time(document, source):
    """What there is does not do."""
    value(document)
    deadline = time.monotonic() + 100
    document.renewed(document.begun, deadline=deadline)

    assert deadline == source.deadlines[1]


def test_a_killed_fetch_leaves_nobody_waiting(document, source):
    """A BaseException passes through, and the next user fetches."""
    source.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        document.get()
    source.failure = None

    assert 2 == value(document)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fetch_under_way_in_the_parent_is_forgotten(document, source, clock):
    """The child tries for itself, though the source was failing."""
    value(document)
    source.failure = down()
    clock.advance(1_000)
    value(document)
    clock.advance(1)
    source.go.clear()
    with ThreadPoolExecutor(1) as threads:
        while source.began.acquire(blocking=False):
            pass
        one = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        child = os.fork()
        if child == 0:
            source.failure = None
            source.go = threading.Event()
            source.go.set()
            os._exit(0 if document.get().value == 4 else 1)
        _, status = os.waitpid(child, 0)
        source.go.set()
        one.result(PATIENCE)

    assert 0 == os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("name", ["ttl", "refresh_ahead", "cooldown", "stale_for", "timeout"])
@pytest.mark.parametrize("number", [-1, float("nan"), float("inf"), "1", None, True])
def test_numbers_that_cannot_be_meant(make, name, number):
    """They stop start-up, by name."""
    with pytest.raises(ConfigurationError, match=name):
        make(**{name: number})


# --- a source that hangs

HANGS = 10
"""The timeout of a document whose source does; others wait for a tenth of it."""


def hang(document, source, clock):
    """Let a fetch run out of time, and the cooldown after it pass."""
    source.failure = source.failure or down("deadline")
    outage(document.get)
    source.failure = None
    clock.advance(31)
    source.go.clear()
    while source.began.acquire(blocking=False):
        pass


@pytest.mark.parametrize(
    "failure", [down("deadline"), NotTried(down("deadline"))], ids=["fetch", "not tried"]
)
def test_one_thread_that_waits_for_a_source_that_hangs_is_enough(make, source, clock, failure):
    """Whoever comes while it waits is told soon: its thread serves others (RULES 16)."""
    document = make(timeout=HANGS)
    source.failure = failure
    hang(document, source, clock)
    with ThreadPoolExecutor(8) as threads:
        one = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        with nobody_waits(HANGS - 2):
            others = [threads.submit(outage, document.get) for _ in range(7)]
            assert {"deadline"} == {other.result(PATIENCE).reason for other in others}
        source.go.set()
        assert 2 == one.result(PATIENCE)

    assert (2, 2) == (value(document), source.fetches)


def test_a_source_that_hung_is_one_that_hangs_until_it_answers(make, source, clock):
    """A quick failure in between does not make threads wait again."""
    document = make(timeout=HANGS)
    hang(document, source, clock)
    source.go.set()
    source.failure = down()
    hang(document, source, clock)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        with nobody_waits(HANGS - 2):
            assert "deadline" == threads.submit(outage, document.get).result(PATIENCE).reason
        source.go.set()
        one.result(PATIENCE)


def test_a_source_that_answers_again_is_waited_for(make, source, clock):
    """Its document once came, so that those without one wait for the next."""
    document = make(timeout=HANGS)
    hang(document, source, clock)
    source.go.set()
    assert 2 == value(document)
    clock.advance(10_000)
    source.go.clear()
    assert source.began.acquire(timeout=PATIENCE)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(value, document)
        assert source.began.acquire(timeout=PATIENCE)
        other = threads.submit(value, document)
        with pytest.raises(TimeoutError):
            other.result(HANGS / 5)
        source.go.set()

        assert (3, 3) == (one.result(PATIENCE), other.result(PATIENCE))


def test_one_demand_of_a_source_that_hangs_is_enough(make, source, clock):
    """The others that miss something are told soon, and the document serves (RULES 16)."""
    document = make(timeout=HANGS)
    had = document.get()
    source.failure = down("deadline")
    outage(document.renewed, document.begun)
    source.failure = None
    clock.advance(31)
    source.go.clear()
    while source.began.acquire(blocking=False):
        pass
    seen = document.begun
    with ThreadPoolExecutor(8) as threads:
        one = threads.submit(document.renewed, seen)
        assert source.began.acquire(timeout=PATIENCE)
        with nobody_waits(HANGS - 2):
            others = [threads.submit(outage, document.renewed, seen) for _ in range(7)]
            assert {"deadline"} == {other.result(PATIENCE).reason for other in others}
            assert had is document.get()
        source.go.set()

        assert 3 == one.result(PATIENCE).value


# --- fetches that overtake each other


class Gated:
    """Each fetch ends when it is told to, as it is told to; it brings its number."""

    def __init__(self):
        self.numbers = iter(range(1, 100))
        self.began = {n: threading.Event() for n in range(1, 100)}
        self.gates = {n: threading.Event() for n in range(1, 100)}
        self.failures = {}

    def __call__(self, _deadline):
        number = next(self.numbers)
        self.began[number].set()
        assert self.gates[number].wait(PATIENCE)
        if number in self.failures:
            raise self.failures[number]
        return Fetched(number, None)

    def end(self, number, failure=None):
        """Let a fetch end."""
        if failure is not None:
            self.failures[number] = failure
        self.gates[number].set()


@pytest.fixture
def gated():
    found = Gated()
    yield found
    for gate in found.gates.values():
        gate.set()


@pytest.fixture
def overtaken(gated, clock):
    """Return a document with a demand's fetch (2) under way, and a refresh (3) that began later."""
    document = KeptDocument(
        gated,
        ttl=900,
        refresh_ahead=60,
        cooldown=30,
        stale_for=3_600,
        timeout=PATIENCE,
        clock=clock,
    )
    gated.end(1)
    had = document.get()
    with ThreadPoolExecutor(2) as threads:
        demand = threads.submit(document.renewed, document.begun, had=had)
        assert gated.began[2].wait(PATIENCE)
        refresh = threads.submit(document.refresh)
        assert gated.began[3].wait(PATIENCE)
        try:
            yield document, had, demand, refresh
        finally:
            for gate in gated.gates.values():
                gate.set()


def test_what_an_overtaken_fetch_brought_is_kept(gated, overtaken):
    """It is served, though the fetch that overtook it fails; it is no outage (RULES 16, 46)."""
    document, had, demand, refresh = overtaken
    gated.end(2)
    assert 2 == demand.result(PATIENCE).value
    assert 2 == value(document)
    gated.end(3, down(hint="no"))
    assert isinstance(refresh.exception(PATIENCE), AuthServiceUnavailable)
    assert 2 == value(document)
    # One that still has the first: there is a newer one.
    assert 2 == document.renewed(document.begun, had=had).value

    assert "no" == outage(document.renewed, document.begun, had=document.get()).hint


def test_what_an_overtaken_fetch_brings_too_late_is_dropped(gated, overtaken):
    """What began later is newer: a key that was withdrawn does not come back (RULES 16)."""
    document, _, demand, refresh = overtaken
    gated.end(3)
    assert 3 == refresh.result(PATIENCE).value
    gated.end(2)
    assert 3 == demand.result(PATIENCE).value

    assert (3, 3) == (value(document), document.known.number)


@pytest.mark.parametrize(
    "failure", [down(), down("busy"), NotTried(down())], ids=["failed", "busy", "not tried"]
)
def test_an_overtaken_fetch_that_fails_takes_nothing_away(gated, overtaken, failure):
    """There is a newer document, and nothing against its source."""
    document, _, demand, refresh = overtaken
    gated.end(3)
    refresh.result(PATIENCE)
    gated.end(2, failure)
    assert 3 == demand.result(PATIENCE).value

    assert 3 == document.renewed(document.begun).value


def test_who_waits_for_a_demand_takes_what_came_meanwhile(gated, clock):
    """The demand hangs, and another fetch has brought what its followers need."""
    document = KeptDocument(
        gated, ttl=900, refresh_ahead=60, cooldown=30, stale_for=0, timeout=PATIENCE, clock=clock
    )
    gated.end(1)
    had = document.get()
    seen = document.begun
    with ThreadPoolExecutor(2) as threads:
        threads.submit(document.renewed, seen, had=had)
        assert gated.began[2].wait(PATIENCE)
        gated.end(3)
        assert 3 == document.refresh().value
        soon = time.monotonic() + 0.2
        follower = threads.submit(document.renewed, seen, had=had, deadline=soon)
        assert 3 == follower.result(PATIENCE).value
        gated.end(2)
