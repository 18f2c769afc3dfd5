"""cache.py: one state machine, single flight, two bounded caches (RULES 23, 45, 46)."""

import contextlib
import copy
import dataclasses
import gc
import itertools
import math
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tokenward.cache import CacheStats, Entry, LookupCache, State
from tokenward.cache._flight import Flight
from tokenward.errors import AuthServiceUnavailable, InsufficientScope, InvalidToken, TokenRevoked
from tokenward.testing import FakeClock

KEY, OTHER = b"k", b"o"
PATIENCE = 90.0


class Source:
    """Answers look-ups with what a test has put in; counts them."""

    def __init__(self, clock, *, used=True, **times):
        self.clock = clock
        self.used = used
        self.times = {"ends": 10.0} | times
        self.answer = "v"
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if isinstance(self.answer, AuthServiceUnavailable):
            raise self.answer
        times = {name: self.clock.now + seconds for name, seconds in self.times.items()}
        if isinstance(self.answer, InvalidToken):
            return Entry(None, stored=self.clock.now, ends=times["ends"], refusal=self.answer)
        return Entry(self.answer, stored=self.clock.now, used=self.used, **times)


class Held:
    """A look-up that does not end before the test says so."""

    def __init__(self, load):
        self.load = load
        self.begun = threading.Event()
        self.release = threading.Event()

    def __call__(self):
        self.begun.set()
        assert self.release.wait(PATIENCE)
        return self.load()


@pytest.fixture
def clock():
    return FakeClock(1_000.0)


@pytest.fixture
def source(clock):
    return Source(clock)


@pytest.fixture
def cache(clock):
    return LookupCache(max_entries=100, clock=clock)


@pytest.fixture
def threads():
    """Run calls in other threads; every one of them must have ended when the test has."""
    with ThreadPoolExecutor(40) as pool:
        yield pool


def until(condition):
    """Wait for what another thread is about to do."""
    pause = threading.Event()
    for _ in range(20_000):
        if condition():
            return
        pause.wait(0.001)
    pytest.fail("it did not happen")


def look_up(cache, load, *, key=KEY, live=False, patience=PATIENCE):
    """Look one key up."""
    return cache.look_up(key, load, patience=patience, live=live)


def held(cache, threads, load, **options):
    """Start a look-up in another thread and return it with its future once it is under way."""
    slow = Held(load)
    future = threads.submit(look_up, cache, slow, **options)
    assert slow.begun.wait(PATIENCE)
    return slow, future


# --- the state machine


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (999.9, State.GONE),
        (1_000, State.FRESH),
        (1_004.9, State.FRESH),
        (1_005, State.DUE),
        (1_009.9, State.DUE),
        (1_010, State.STALE),
        (1_019.9, State.STALE),
        (1_020, State.GONE),
    ],
)
def test_states_follow_each_other(now, state):
    """Fresh, due, stale, gone; each from its first moment on, and gone before it was stored."""
    entry = Entry("v", stored=1_000, fresh_until=1_005, ends=1_010, stale_until=1_020)

    assert state is entry.state(now)


@given(*[st.floats(0, 100) for _ in range(5)])
def test_no_state_outlives_the_next(stored, fresh, ends, stale, now):
    """Whatever is asked for, fresh ends by the end, and stale begins no earlier."""
    entry = Entry("v", stored=stored, fresh_until=fresh, ends=ends, stale_until=stale)
    state = entry.state(now)

    assert entry.fresh_until <= entry.ends <= entry.stale_until
    if state is not State.GONE:
        assert stored <= now < max(ends, stale)
    if state is State.FRESH:
        assert now < ends


def test_without_more_there_is_fresh_and_gone():
    """An entry that names its end only is never due and never stale."""
    entry = Entry("v", stored=0, ends=10)

    assert [State.FRESH, State.GONE] == [entry.state(9.9), entry.state(10)]


def test_back_off_grows_and_is_bounded():
    """Each failure puts the next attempt off longer, with jitter, up to half a minute."""
    entry = Entry("v", stored=0, ends=1, stale_until=1e9)
    pauses = []
    for _ in range(12):
        entry.back_off(100)
        pauses.append(entry.retry_at - 100)

    for number, pause in enumerate(pauses):
        longest = min(2**number, 30)
        assert longest / 2 <= pause <= longest


def test_back_off_of_a_due_entry_ends_with_it():
    """A due entry counts as fresh until the next attempt, and not beyond its end."""
    entry = Entry("v", stored=0, fresh_until=5, ends=5.1)
    for _ in range(5):
        entry.back_off(5)

    assert (State.FRESH, State.GONE) == (entry.state(5.05), entry.state(5.1))


# --- hits and misses


def test_a_fresh_entry_is_not_asked_for(cache, source, clock):
    """Within its time an answer is served; at its end the source is asked again."""
    assert "v" == look_up(cache, source)
    clock.now += 9.9
    assert ("v", "v", 1) == (look_up(cache, source), cache.cached(KEY), source.calls)
    clock.now += 0.1
    assert (None, "v", 2) == (cache.cached(KEY), look_up(cache, source), source.calls)


def test_cached_asks_nobody(cache):
    """What is not there is None."""
    assert cache.cached(KEY) is None


@pytest.mark.parametrize("jump", [-0.1, -1_000, 10, 1e9])
def test_a_clock_that_jumps_is_a_miss(cache, source, clock, jump):
    """An entry is valid only from when it was stored: a clock put back must not revive it."""
    look_up(cache, source)
    clock.now += jump

    assert cache.cached(KEY) is None
    look_up(cache, source)
    assert 2 == source.calls
    assert "v" == cache.cached(KEY)


def test_a_clock_that_jumps_and_returns(cache, source, clock):
    """An answer stored in a future that never was is not served when the clock is right again."""
    clock.now += 1e6
    look_up(cache, source)
    clock.now -= 1e6

    assert cache.cached(KEY) is None


def test_an_answer_that_has_ended_is_given_and_not_kept(cache, clock):
    """What must not be stored answers those who asked, and nobody after them."""
    source = Source(clock, ends=0.0)

    assert ("v", "v", 2) == (look_up(cache, source), look_up(cache, source), source.calls)
    assert 0 == cache.stats().entries


def test_keys_do_not_meet(cache, source, clock):
    """Each key has its own entry."""
    look_up(cache, source)
    source.answer = "w"
    look_up(cache, source, key=OTHER)

    assert ("v", "w") == (cache.cached(KEY), cache.cached(OTHER))


# --- refusals


def test_a_refusal_is_remembered_apart(cache, source, clock):
    """A refusal is raised from the cache for its own time, and counted apart."""
    source.answer = TokenRevoked("gone")
    with pytest.raises(TokenRevoked):
        look_up(cache, source)
    for ask in (lambda: look_up(cache, source), lambda: cache.cached(KEY)):
        with pytest.raises(TokenRevoked) as caught:
            ask()
        assert "gone" == caught.value.hint
    clock.now += 10

    assert (1, None) == (source.calls, cache.cached(KEY))
    assert (0, 2, 1) == (cache.hits, cache.negative_hits, cache.misses)


def test_each_caller_gets_a_refusal_of_its_own(cache, source):
    """A shared exception would collect the tracebacks, and so the frames, of every request."""
    with pytest.raises(TokenRevoked) as raised:
        raise TokenRevoked
    source.answer = raised.value
    caught = []
    for _ in range(3):
        with pytest.raises(TokenRevoked) as info:
            look_up(cache, source)
        caught.append(info.value)

    assert 3 == len({id(error) for error in caught})
    assert cache.refusals[KEY].refusal.__traceback__ is None


def test_a_refusal_with_arguments_of_its_own(cache, clock):
    """A subclass of an application's can be cached, whatever its constructor asks for."""

    class Suspended(InvalidToken):
        def __init__(self, tenant):
            super().__init__("suspended")
            self.tenant = tenant

    source = Source(clock)
    source.answer = Suspended("acme")
    for _ in range(2):
        with pytest.raises(Suspended) as caught:
            look_up(cache, source)
        assert "acme" == caught.value.tenant


def test_the_newest_answer_replaces_the_other_kind(cache, source):
    """A token is accepted or refused, never both."""
    look_up(cache, source)
    source.answer = TokenRevoked()
    with pytest.raises(TokenRevoked):
        look_up(cache, source, live=True)
    assert (0, 1) == (len(cache.entries), len(cache.refusals))
    source.answer = "v"
    look_up(cache, source, live=True)

    assert (1, 0) == (len(cache.entries), len(cache.refusals))


def test_refused_keys_cannot_push_out_accepted_ones(clock, source):
    """A flood of made-up tokens costs the good ones nothing."""
    cache = LookupCache(max_entries=10, clock=clock)
    look_up(cache, source)
    source.answer = InvalidToken()
    for number in range(1_000):
        with pytest.raises(InvalidToken):
            look_up(cache, source, key=str(number).encode())

    assert ("v", 10, 990) == (cache.cached(KEY), len(cache.refusals), cache.evictions)


# --- bounds


@pytest.mark.parametrize("kind", ["accepted", "refused"])
def test_entries_are_bounded(clock, source, kind):
    """The bound is one of each kind, and what goes is counted."""
    cache = LookupCache(max_entries=3, clock=clock)
    source.answer = "v" if kind == "accepted" else InvalidToken()
    for number in range(10):
        try:
            look_up(cache, source, key=bytes([number]))
        except InvalidToken:
            assert "refused" == kind

    assert (3, 7) == (cache.stats().entries, cache.stats().evictions)


def test_what_has_ended_makes_room_before_it_is_needed(clock):
    """Memory follows what is good: the oldest that are past everything go as others come."""
    cache = LookupCache(max_entries=1_000, clock=clock)
    source = Source(clock, ends=10, stale_until=20)
    for number in range(300):
        look_up(cache, source, key=number.to_bytes(4, "big"))
        clock.now += 1

    assert list(range(280, 300)) == [int.from_bytes(key, "big") for key in cache.entries]
    assert (20, 0) == (cache.stats().entries, cache.stats().evictions)


def test_a_crowd_that_has_ended_goes_by_and_by(clock, source):
    """Each that comes takes two with it, so none holds the lock for long."""
    cache = LookupCache(max_entries=1_000, clock=clock)
    for number in range(400):
        look_up(cache, source, key=number.to_bytes(4, "big"))
    clock.now += 10
    left = []
    for number in range(400, 700):
        look_up(cache, source, key=number.to_bytes(4, "big"))
        left.append(len(cache.entries))

    assert [399, 398, 397] == left[:3]
    assert (200, 300) == (min(left), left[-1])


def test_what_is_good_is_not_dropped_with_what_has_ended(clock, source):
    """The oldest may have long to live: nobody behind it goes before its place is needed."""
    cache = LookupCache(max_entries=3, clock=clock)
    look_up(cache, Source(clock, ends=100), key=b"long")
    look_up(cache, source, key=b"brief")
    clock.now += 50
    look_up(cache, source, key=b"new")
    assert [b"long", b"brief", b"new"] == list(cache.entries)


def test_a_refusal_that_has_ended_is_remembered(clock, source):
    """An answer that others share counts only if it is newer, so its moment is not forgotten."""
    cache = LookupCache(max_entries=3, clock=clock)
    source.answer = InvalidToken()
    with pytest.raises(InvalidToken):
        look_up(cache, source)
    refused, source.answer = clock.now, "v"
    clock.now += 50
    look_up(cache, source, key=OTHER)
    assert refused == cache.refused_at(KEY)


def test_no_entries_at_all(clock, source):
    """With room for none, every look-up asks."""
    cache = LookupCache(max_entries=0, clock=clock)

    assert ("v", "v", 2) == (look_up(cache, source), look_up(cache, source), source.calls)
    assert 0 == cache.stats().entries


def test_what_was_used_has_a_second_chance(clock, source):
    """The oldest goes, unless it was used since it was last looked at."""
    source.used = False
    cache = LookupCache(max_entries=3, clock=clock)
    for key in (b"a", b"b", b"c"):
        look_up(cache, source, key=key)
    cache.cached(b"a")
    look_up(cache, source, key=b"d")
    assert [b"c", b"a", b"d"] == list(cache.entries)
    look_up(cache, source, key=b"e")

    # The chance is used up: nobody asked for a since.
    look_up(cache, source, key=b"f")
    assert [b"d", b"e", b"f"] == list(cache.entries)


def test_a_cache_of_used_entries_still_makes_room(clock, source):
    """Where every entry was used, chances run out before the lock is held for long."""
    cache = LookupCache(max_entries=500, clock=clock)
    keys = [str(number).encode() for number in range(500)]
    for key in keys:
        look_up(cache, source, key=key)
        cache.cached(key)
    look_up(cache, source, key=b"new")

    assert (500, 1, "v") == (len(cache.entries), cache.evictions, cache.cached(b"new"))
    assert sum(entry.used for entry in cache.entries.values()) > 400


# --- forgetting


@pytest.mark.parametrize("forget", [lambda c: c.invalidate(KEY), lambda c: c.clear()])
@pytest.mark.parametrize("answer", ["v", InvalidToken()], ids=["accepted", "refused"])
def test_forgotten_means_asked_again(cache, source, forget, answer):
    """After `invalidate` or `clear` nothing is served from before."""
    source.answer = answer
    for _ in range(2):
        try:
            look_up(cache, source)
        except InvalidToken:
            assert answer != "v"
        forget(cache)
        assert cache.cached(KEY) is None

    assert 2 == source.calls


def test_invalidate_forgets_one(cache, source):
    """Other keys stay, and forgetting the unknown is no error."""
    look_up(cache, source)
    look_up(cache, source, key=OTHER)
    cache.invalidate(KEY)
    cache.invalidate(b"unknown")

    assert (None, "v") == (cache.cached(KEY), cache.cached(OTHER))


@pytest.mark.parametrize("forget", [lambda c: c.invalidate(KEY), lambda c: c.clear()])
def test_a_look_up_begun_before_is_not_stored(cache, source, threads, forget):
    """An answer from before an invalidation serves who waits for it, and nobody who came later."""
    slow, first = held(cache, threads, source)
    waiting = threads.submit(look_up, cache, source)
    until(lambda: cache.misses == 2)
    forget(cache)
    newer = Source(cache.clock)
    newer.answer = "new"

    assert "new" == look_up(cache, newer)
    slow.release.set()
    assert ("v", "v") == (first.result(PATIENCE), waiting.result(PATIENCE))
    assert ("new", 1, 1) == (cache.cached(KEY), source.calls, newer.calls)


def test_a_failure_begun_before_does_not_end_a_newer_look_up(cache, source, threads):
    """The old flight that ends leaves the one registered after it alone."""
    source.answer = AuthServiceUnavailable()
    old, first = held(cache, threads, source)
    cache.invalidate(KEY)
    newer = Source(cache.clock)
    new, second = held(cache, threads, newer)
    old.release.set()
    with pytest.raises(AuthServiceUnavailable):
        first.result(PATIENCE)
    third = threads.submit(look_up, cache, newer)
    until(lambda: cache.misses == 3)
    new.release.set()

    assert ("v", "v", 1) == (second.result(PATIENCE), third.result(PATIENCE), newer.calls)


# --- single flight


def test_one_asks_for_all(cache, source, threads):
    """Look-ups of one key that meet become one."""
    slow, first = held(cache, threads, source)
    others = [threads.submit(look_up, cache, source) for _ in range(15)]
    until(lambda: cache.misses == 16)
    slow.release.set()

    assert ["v"] * 16 == [f.result(PATIENCE) for f in (first, *others)]
    assert (1, {}) == (source.calls, cache._flights)


def test_keys_do_not_wait_for_each_other(cache, source, threads):
    """A slow look-up holds up its own key only, and no lock."""
    slow, first = held(cache, threads, source)

    assert "v" == look_up(cache, source, key=OTHER)
    slow.release.set()
    first.result(PATIENCE)


@pytest.mark.parametrize(
    "error",
    [
        AuthServiceUnavailable("down", reason="deadline", retry_after=7),
        TokenRevoked("gone"),
        InsufficientScope(["a"], "narrow"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_failure_is_shared_as_fresh_exceptions(cache, threads, error):
    """One call upstream, and an exception object of its own for each who waited."""

    def fail():
        raise error

    slow, first = held(cache, threads, fail)
    others = [threads.submit(look_up, cache, fail) for _ in range(7)]
    until(lambda: cache.misses == 8)
    slow.release.set()
    caught = [f.exception(PATIENCE) for f in (first, *others)]

    assert {type(error)} == {type(e) for e in caught}
    assert [vars(error)] * 8 == [vars(e) for e in caught]
    assert 8 == len({id(e) for e in caught})


def test_an_outage_is_never_stored(cache, source):
    """The next request asks again, at once."""
    source.answer = AuthServiceUnavailable()
    for _ in range(3):
        with pytest.raises(AuthServiceUnavailable):
            look_up(cache, source)

    assert (3, 0) == (source.calls, cache.stats().entries)
    source.answer = "v"
    assert "v" == look_up(cache, source)


@pytest.mark.parametrize(
    "killer", [KeyboardInterrupt, SystemExit, GeneratorExit, ZeroDivisionError, MemoryError]
)
def test_a_killed_leader_leaves_nobody_waiting(cache, source, threads, killer):
    """Whatever ends the leader, those who wait are told at once, and the next one asks."""

    def die():
        raise killer

    slow, first = held(cache, threads, die)
    waiting = threads.submit(look_up, cache, source)
    until(lambda: cache.misses == 2)
    slow.release.set()

    assert isinstance(first.exception(PATIENCE), killer)
    told = waiting.exception(PATIENCE)
    assert (AuthServiceUnavailable, "interrupted") == (type(told), told.reason)
    assert ("v", 1) == (look_up(cache, source), source.calls)


def test_followers_have_a_deadline(cache, source, threads):
    """Who waits longer than the patience is told so; the answer comes to those who still wait."""
    slow, first = held(cache, threads, source)
    with pytest.raises(AuthServiceUnavailable) as caught:
        look_up(cache, source, patience=0.001)
    slow.release.set()

    assert "deadline" == caught.value.reason
    assert "v" == first.result(PATIENCE)


def test_a_leader_that_never_lands_is_replaced(cache, source):
    """A leader killed before it could begin blocks its key for one patience, not for ever."""
    cache._flights[KEY] = Flight()
    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source, patience=0.001)

    assert "v" == look_up(cache, source, patience=0.001)


def test_a_flight_ends_for_all_who_wait_and_who_come_later(threads):
    """Nobody takes the end away from the next one."""
    flight = Flight()
    flight.join()
    waiting = [threads.submit(flight.wait, PATIENCE) for _ in range(4)]

    assert (False, False) == (flight.wait(0), flight.wait(-1))

    flight.end()

    assert [True] * 4 == [one.result() for one in waiting]
    assert (True, True) == (flight.wait(0), flight.wait(math.inf))


class Interrupted(Exception):
    """What a signal handler raises."""


@pytest.fixture
def interrupt():
    """Return what interrupts this thread, wherever it is."""

    def interrupted(*_):
        raise Interrupted

    main, interval = threading.get_ident(), sys.getswitchinterval()
    before = signal.signal(signal.SIGUSR1, interrupted)
    yield lambda: signal.pthread_kill(main, signal.SIGUSR1)
    sys.setswitchinterval(interval)
    signal.signal(signal.SIGUSR1, before)


def test_who_is_interrupted_strands_nobody(cache, threads, interrupt):
    """A follower that is interrupted as the answer comes takes nothing from those behind it."""
    behind = []

    def wait_for_misses(count):
        while cache.misses < count:
            time.sleep(0.001)

    def refuse():
        wait_for_misses(2)
        time.sleep(0.01)  # until this test waits, before the others do
        behind.extend(threads.submit(look_up, cache, refuse, patience=PATIENCE) for _ in range(3))
        wait_for_misses(5)
        # From here on no thread runs until this one waits, so that the interruption comes with
        # the answer, and never after it.
        sys.setswitchinterval(PATIENCE)
        time.sleep(0.01)
        raise TokenRevoked

    def lead():
        try:
            look_up(cache, refuse)
        finally:
            interrupt()

    leader = threads.submit(lead)
    wait_for_misses(1)
    with pytest.raises(Interrupted):
        look_up(cache, refuse, patience=PATIENCE)

    assert [TokenRevoked] * 4 == [type(one.exception(PATIENCE)) for one in [leader, *behind]]


def test_only_who_waits_is_asked_how_long(cache, source):
    """Who leads asks the source, and looks at nothing else."""
    asked = []

    def wait():
        asked.append("wait")
        return 0.001

    def ask():
        return cache.look_up(KEY, source, patience=5, wait=wait, live=False)

    assert ("v", []) == (ask(), asked)

    cache.clear()
    cache._flights[KEY] = Flight()
    with pytest.raises(AuthServiceUnavailable) as caught:
        ask()

    assert (["wait"], True) == (asked, "0.001 s" in caught.value.hint)


def test_no_lock_is_held_while_asking(cache, clock):
    """A source that calls back into the cache does not wait for itself."""

    def load():
        assert not cache._lock.locked()
        cache.invalidate(OTHER)
        cache.stats()
        return Entry("v", stored=clock.now, ends=clock.now + 1)

    assert "v" == look_up(cache, load)


# --- live


def test_live_asks_whatever_is_cached(cache, source):
    """A live answer replaces what was stored, and serves those who come later."""
    look_up(cache, source)
    source.answer = "new"

    assert ("new", 2) == (look_up(cache, source, live=True), source.calls)
    assert "new" == cache.cached(KEY)


def test_live_never_joins(cache, source, threads):
    """An answer asked for before the live request may be older than what it must know."""
    slow, first = held(cache, threads, source)
    newer = Source(cache.clock)
    newer.answer = "new"

    assert "new" == look_up(cache, newer, live=True)
    slow.release.set()
    assert "v" == first.result(PATIENCE)
    assert ("new", 1) == (cache.cached(KEY), newer.calls)


def test_others_join_the_live_one(cache, source, threads):
    """Who comes after a live look-up began may wait for it."""
    slow, first = held(cache, threads, source, live=True)
    waiting = threads.submit(look_up, cache, source)
    until(lambda: cache.misses == 2)
    slow.release.set()

    assert ("v", "v", 1) == (first.result(PATIENCE), waiting.result(PATIENCE), source.calls)


def test_a_live_refusal_outlives_an_older_acceptance(cache, source, threads):
    """A token found revoked stays so, whatever a look-up from before still brings."""
    slow, first = held(cache, threads, source)
    newer = Source(cache.clock)
    newer.answer = TokenRevoked()
    with pytest.raises(TokenRevoked):
        look_up(cache, newer, live=True)
    slow.release.set()
    first.result(PATIENCE)

    with pytest.raises(TokenRevoked):
        cache.cached(KEY)


def test_live_is_never_served_stale(clock):
    """An outage is an outage to whoever must know."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=100)
    look_up(cache, source)
    source.answer = AuthServiceUnavailable()

    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source, live=True)
    assert "v" == cache.cached(KEY)


# --- due and stale


def test_one_refreshes_what_is_due(clock, threads):
    """While one request asks ahead of the end, the others are served."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, fresh_until=5.0)
    look_up(cache, source)
    clock.now += 5
    assert cache.cached(KEY) is None
    source.answer = "new"
    slow, first = held(cache, threads, source)

    assert ("v", 1) == (look_up(cache, source), source.calls)
    slow.release.set()
    assert ("new", "new", 2) == (first.result(PATIENCE), cache.cached(KEY), source.calls)


def test_a_failed_refresh_of_what_is_due(clock):
    """What is due is served on, and the source left alone for a while."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, fresh_until=5.0)
    look_up(cache, source)
    clock.now += 5
    source.answer = AuthServiceUnavailable()

    assert ("v", "v", "v", 2) == (
        look_up(cache, source),
        look_up(cache, source),
        cache.cached(KEY),
        source.calls,
    )
    clock.now += 1
    assert ("v", 3) == (look_up(cache, source), source.calls)
    clock.now += 4
    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source)
    assert 0 == cache.stats().stale_served


def test_stale_is_served_only_while_the_source_fails(clock):
    """After its end an entry serves an outage, with back-off, until it is gone."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=100.0)
    look_up(cache, source)
    clock.now += 10
    assert cache.cached(KEY) is None
    source.answer = AuthServiceUnavailable("down")
    served = [look_up(cache, source) for _ in range(5)]
    assert (["v"] * 5, 2, 5) == (served, source.calls, cache.stats().stale_served)

    clock.now += 1
    source.answer = "new"
    assert ("new", 3) == (look_up(cache, source), source.calls)


def test_stale_ends(clock):
    """When even the stale time is over, the outage is said."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=100.0)
    look_up(cache, source)
    clock.now += 100
    source.answer = AuthServiceUnavailable("down")

    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source)


def test_a_refusal_ends_what_is_stale(clock):
    """A source that says no is not failing."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=100.0)
    look_up(cache, source)
    clock.now += 10
    source.answer = TokenRevoked()
    with pytest.raises(TokenRevoked):
        look_up(cache, source)
    clock.now += 10
    source.answer = AuthServiceUnavailable()

    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source)


@pytest.mark.parametrize("forget", [lambda c: c.invalidate(KEY), lambda c: c.clear()])
def test_what_was_forgotten_is_not_served_stale(clock, forget):
    """An invalidation during an outage leaves nothing to serve."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=100.0)
    look_up(cache, source)
    clock.now += 10
    forget(cache)
    source.answer = AuthServiceUnavailable()

    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source)


def test_followers_of_a_failure_are_served_stale_too(clock, threads):
    """One asks, fails, and everybody who waited is served."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=100.0)
    look_up(cache, source)
    clock.now += 10
    source.answer = AuthServiceUnavailable()
    slow, first = held(cache, threads, source)
    others = [threads.submit(look_up, cache, source) for _ in range(5)]
    until(lambda: cache.misses == 7)
    slow.release.set()

    assert ["v"] * 6 == [f.result(PATIENCE) for f in (first, *others)]
    assert (2, 6) == (source.calls, cache.stats().stale_served)
    assert 1 == cache.entries[KEY].failures


def test_an_unused_entry_is_not_refreshed(clock):
    """What nobody was served from since it came is no reason to ask ahead of the end."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, fresh_until=5.0)
    source.used = False
    look_up(cache, source)
    clock.now += 5

    assert ("v", 1) == (look_up(cache, source), source.calls)
    assert ("v", 2) == (look_up(cache, source), source.calls)


def test_one_failure_is_one_question(clock, threads):
    """The next attempt is put off before anybody who waited is told of the failure."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=100.0)
    look_up(cache, source)
    clock.now += 10
    source.answer = AuthServiceUnavailable()
    told = []

    class Told(Flight):
        def end(self):
            told.append(cache.entries[KEY].retry_at > clock.now)
            super().end()

    cache._flights[KEY] = flight = Told()
    with pytest.raises(AuthServiceUnavailable):
        cache._lead(KEY, flight, source)

    assert [True] == told


def test_a_failure_does_not_put_off_what_is_fresh(cache, clock, source):
    """A live question that fails leaves a fresh answer as it was."""
    look_up(cache, source)
    source.answer = AuthServiceUnavailable()
    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source, live=True)

    assert (1_010.0, 0) == (cache.entries[KEY].fresh_until, cache.entries[KEY].failures)


def test_a_refusal_that_is_raised_puts_nothing_off(clock):
    """A source that says no has not failed: the next one asks again."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, fresh_until=5.0)
    look_up(cache, source)
    clock.now += 5

    def refuse():
        raise TokenRevoked

    for _ in range(2):
        with pytest.raises(TokenRevoked):
            look_up(cache, refuse)

    assert 0 == cache.entries[KEY].failures


def test_an_entry_that_backed_off_elsewhere_is_stale(clock):
    """A source that had nothing newer to give than an entry past its end serves it stale."""
    cache = LookupCache(max_entries=9, clock=clock)

    def load():
        entry = Entry("v", stored=900.0, ends=990.0, stale_until=1_100.0)
        entry.back_off(clock.now)
        return entry

    assert ("v", "v") == (look_up(cache, load), look_up(cache, load))
    assert (2, 2) == (cache.stats().misses, cache.stats().stale_served)


def test_an_answer_that_was_long_on_its_way_is_not_stale(cache, clock):
    """What the source said just now is no stale answer, even if its time is over already."""

    def load():
        return Entry("v", stored=900.0, ends=990.0, stale_until=1_100.0)

    assert ("v", 0) == (look_up(cache, load), cache.stats().stale_served)


# --- expiring


def test_expired_entries_serve_an_outage_only(clock):
    """What may be out of date is asked about again, and stands in while the source fails."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=30.0)
    look_up(cache, source)
    clock.now += 1
    cache.expire()
    assert cache.cached(KEY) is None
    source.answer = AuthServiceUnavailable()
    assert ("v", 2) == (look_up(cache, source), source.calls)
    # The grace is as long as it was, and counts from now.
    clock.now += 19.9
    assert "v" == look_up(cache, source)
    clock.now += 0.1

    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source)


def test_expired_entries_without_a_grace_are_gone(cache, source):
    """Where nothing is served stale, expiring is forgetting."""
    look_up(cache, source)
    cache.expire()
    source.answer = AuthServiceUnavailable()

    with pytest.raises(AuthServiceUnavailable):
        look_up(cache, source)


def test_expiring_forgets_refusals(cache, source):
    """A refusal is never stale."""
    source.answer = TokenRevoked()
    with pytest.raises(TokenRevoked):
        look_up(cache, source)
    cache.expire()

    assert (None, 0) == (cache.cached(KEY), len(cache.refusals))


def test_expiring_twice_shortens_nothing(clock):
    """A subscription that is lost again and again takes no more than the first time."""
    entry = Entry("v", stored=1_000, fresh_until=1_005, ends=1_010, stale_until=1_030)
    for now in (1_001, 1_002, 1_003):
        entry.expire(now)

    assert (1_001, 1_001, 1_021) == (entry.fresh_until, entry.ends, entry.stale_until)


def test_expiring_while_the_clock_is_behind(clock):
    """An entry from a future that never was is a miss, and not stale."""
    entry = Entry("v", stored=1_000, ends=1_010, stale_until=1_030)
    entry.expire(900)

    assert (State.GONE, State.STALE) == (entry.state(950), entry.state(1_000))


def test_expiring_ends_a_back_off(clock):
    """A failure from before is no reason not to ask."""
    cache, source = LookupCache(max_entries=9, clock=clock), Source(clock, stale_until=100.0)
    look_up(cache, source)
    clock.now += 10
    source.answer = AuthServiceUnavailable()
    look_up(cache, source)
    source.answer = "new"
    cache.expire()

    assert ("new", 3) == (look_up(cache, source), source.calls)


def test_a_look_up_begun_before_expiring_is_not_stored(cache, source, threads):
    """Its answer may be older than what was missed: it serves those who asked for it."""
    slow, first = held(cache, threads, source)
    cache.expire()
    newer = Source(cache.clock)
    newer.answer = "new"

    assert "new" == look_up(cache, newer)
    slow.release.set()
    assert ("v", "new") == (first.result(PATIENCE), cache.cached(KEY))


# --- counting


def test_stats_count_each_once(cache, source):
    """Each look at the cache is one count."""
    look_up(cache, source)
    look_up(cache, source)
    cache.cached(KEY)
    cache.cached(OTHER)
    source.answer = InvalidToken()
    for _ in range(2):
        with pytest.raises(InvalidToken):
            look_up(cache, source, key=OTHER)

    assert CacheStats(hits=2, negative_hits=1, misses=2, entries=2) == cache.stats()


def test_no_count_is_lost_between_threads(cache, source, threads):
    """Counting takes no lock, and is exact all the same."""
    look_up(cache, source)
    refused = Source(cache.clock)
    refused.answer = InvalidToken()
    with pytest.raises(InvalidToken):
        look_up(cache, refused, key=OTHER)

    def work(_):
        for _ in range(2_000):
            cache.cached(KEY)
            with contextlib.suppress(InvalidToken):
                cache.cached(OTHER)
            look_up(cache, source)

    list(threads.map(work, range(8)))

    assert (2 * 16_000, 16_000, 2) == (cache.hits, cache.negative_hits, cache.misses)


def test_200_000_keys_leave_nothing_behind(clock):
    """However many tokens come by, what is kept is bounded: entries, refusals, flights, memory."""
    cache = LookupCache(max_entries=1_000, clock=clock)
    accepted, refused = Source(clock, used=False), Source(clock)
    refused.answer = InvalidToken()

    def come(numbers):
        for number in numbers:
            key = number.to_bytes(32, "big")
            if number % 2:
                look_up(cache, accepted, key=key)
            else:
                with contextlib.suppress(InvalidToken):
                    look_up(cache, refused, key=key)

    come(range(20_000))
    before = len(gc.get_objects())
    come(range(20_000, 200_000))

    assert (1_000, 1_000, 0) == (len(cache.entries), len(cache.refusals), len(cache._flights))
    assert 198_000 == cache.evictions
    assert len(gc.get_objects()) - before < 5_000


def test_stats_have_the_contract_fields():
    """The fields are those of the public contract."""
    names = {
        *("hits", "negative_hits", "misses", "upstream_calls", "upstream_errors"),
        *("stale_served", "shared_hits", "evictions", "entries", "shared_errors"),
    }

    assert names == {f.name for f in dataclasses.fields(CacheStats)}


# --- after a fork


def test_a_child_waits_for_nobody(cache, source, threads):
    """A flight and a lock of the parent's threads mean nothing in the child; entries do."""
    look_up(cache, source, key=OTHER)
    slow, first = held(cache, threads, source)
    with cache._lock:
        child = copy.copy(cache)
        child.after_fork()

    assert ("v", "v") == (child.cached(OTHER), look_up(child, source))
    slow.release.set()
    first.result(PATIENCE)


# --- against a model


class CacheAgainstAModel(RuleBasedStateMachine):
    """Anything done in any order: nothing is served that its source did not say in time."""

    keys = st.sampled_from([b"a", b"b", b"c"])

    def __init__(self):
        super().__init__()
        self.clock = FakeClock(1_000.0)
        self.cache = LookupCache(max_entries=2, clock=self.clock)
        self.said = {}
        self.failing = set()
        self.numbers = itertools.count()
        self.events = Counter()
        self.cache._report = lambda event: self.events.update([event])
        self.served = 0

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.0, 5.0, 10.0, -1.0, -50.0]))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @rule(
        key=keys,
        live=st.booleans(),
        answer=st.sampled_from(["accept", "refuse", "fail"]),
        ends=st.sampled_from([0.0, 5.0, 10.0]),
        fresh=st.sampled_from([None, 3.0]),
        stale=st.sampled_from([None, 20.0]),
    )
    def looks_up(self, key, *, live, answer, ends, fresh, stale):
        now, asked = self.clock.now, []

        def load():
            asked.append(1)
            if answer == "fail":
                self.failing.add(key)
                raise AuthServiceUnavailable
            self.failing.discard(key)
            entry = Entry(
                next(self.numbers),
                stored=now,
                ends=now + ends,
                fresh_until=None if fresh is None else now + fresh,
                stale_until=None if stale is None else now + stale,
                refusal=InvalidToken() if answer == "refuse" else None,
            )
            self.said[key] = (entry.value, answer, now, entry.ends, entry.stale_until)
            return entry

        self.served += 1
        before = self.said.get(key)
        try:
            got = self.cache.look_up(key, load, patience=1, live=live)
        except AuthServiceUnavailable:
            assert asked
            assert "fail" == answer
        except InvalidToken:
            self._was_said("refuse", self.said[key], stale=False)
        else:
            said = self.said[key] if asked and answer != "fail" else before
            assert said[0] == got
            self._was_said("accept", said, stale=key in self.failing)
        assert asked or not live

    def _was_said(self, answer, said, *, stale):
        _, kind, stored, ends, stale_until = said
        now = self.clock.now
        assert answer == kind
        # What is given to the one who asks may be over at once; what is kept may not.
        assert stored == now or stored <= now < (stale_until if stale else ends)

    @rule(key=keys)
    def looks_at_what_is_cached(self, key):
        try:
            got = self.cache.cached(key)
        except InvalidToken:
            kind, value = "refuse", None
        else:
            if got is None:
                return
            kind, value = "accept", got
        self.served += 1
        said = self.said[key]
        assert kind == said[1]
        assert value is None or value == said[0]
        assert said[2] <= self.clock.now < said[3]

    @rule(key=keys)
    def forgets(self, key):
        self.cache.invalidate(key)
        assert self.cache.cached(key) is None

    @rule()
    def expires(self):
        self.cache.expire()
        assert [] == [key for key in self.said if self.cache.cached(key) is not None]
        # An entry from the future ends at its own beginning.
        self.said = {
            key: (value, kind, stored, max(stored, min(ends, self.clock.now)), stale_until)
            for key, (value, kind, stored, ends, stale_until) in self.said.items()
        }
        self.failing.update(self.said)

    @invariant()
    def counts_everything_once(self):
        cache = self.cache
        assert self.served == cache.hits + cache.negative_hits + cache.misses
        assert cache.stale_served <= cache.misses
        assert self.events == Counter(
            hit=cache.hits,
            negative_hit=cache.negative_hits,
            miss=cache.misses,
            stale=cache.stale_served,
            evicted=cache.evictions,
        )

    @invariant()
    def stays_bounded(self):
        assert len(self.cache.entries) <= 2
        assert len(self.cache.refusals) <= 2
        assert not self.cache.entries.keys() & self.cache.refusals.keys()
        assert not self.cache._flights


TestCacheAgainstAModel = CacheAgainstAModel.TestCase
