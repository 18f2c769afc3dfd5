"""shared_cache: what is shared is sealed, and a failure costs one question (RULES 48)."""

import hashlib
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import MappingProxyType

import pytest

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.shared_cache import (
    LONGEST_TTL,
    MAX_VALUE_BYTES,
    MESSAGE_SECONDS,
    TOMBSTONE_SECONDS,
    Revocations,
    SharedAnswers,
    careful,
)
from tokenward.shared_cache.careful import Careful
from tokenward.testing import FakeClock, MemoryRevocationBus, MemorySharedCache

NOW = 1_700_000_000.0
NEW = "kq3V-new-8fJ2_0pTzXw7Lm"
OLD = "R9d!old-c41Hs6vQe+bYtUa"
OTHER = "zz-other-5nW8gKx1PjE3mC"
DIGEST = hashlib.sha256(b"the token").digest()
NESTED = json.loads("[" * 900 + "]" * 900)
for _ in range(200):
    NESTED = [[[[[[NESTED]]]]]]
CLAIMS = {"active": True, "sub": "ålice", "exp": 1_700_000_600, "n": [1, {"a": None}]}


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def cache(clock):
    return MemorySharedCache(secrets=[NEW], clock=clock)


@pytest.fixture
def counted():
    """How often something failed, one entry each."""
    return []


@pytest.fixture(autouse=True)
def _loud(monkeypatch):
    # Every test may log what another one has logged a moment ago.
    monkeypatch.setattr(careful.seldom, "_last", {})


@pytest.fixture
def answers(cache, clock, counted):
    """Return the answers of one endpoint to one client."""

    def make(endpoint="https://as.example", client="orders", **options):
        known = {"cache": cache, "failed": lambda: counted.append("failed"), "clock": clock}
        known |= options
        return SharedAnswers(known.pop("cache"), endpoint=endpoint, client=client, **known)

    return make


def put(answers, digest=DIGEST, **options):
    answers.put(digest, CLAIMS, **{"asked_at": NOW, "ttl": 60} | options)


# --- answers -------------------------------------------------------------------------------------


def test_an_answer_is_found_by_another_process(answers):
    """All of it, and when it was asked."""
    put(answers(), asked_at=NOW - 1.25)

    assert (CLAIMS, NOW - 1.25) == answers().get(DIGEST)


def test_nobody_has_asked_about_it(answers, counted):
    """A miss is no failure."""
    assert answers().get(DIGEST) is None
    assert [] == counted


def test_a_dropped_answer_is_gone(answers):
    """The next one asks."""
    put(answers())
    answers().drop(DIGEST)

    assert answers().get(DIGEST) is None


@pytest.mark.parametrize(
    "other",
    [
        {"endpoint": "https://other.example"},
        {"client": "payments"},
        {"endpoint": "https://as.exampleo", "client": "rders"},
    ],
)
def test_an_answer_is_for_one_endpoint_and_client(answers, other):
    """Other clients may be told other things, and other servers know other tokens."""
    put(answers())

    assert answers(**other).get(DIGEST) is None


@pytest.mark.parametrize(
    "other",
    [{"endpoint": "https://other.example"}, {"client": "payments"}, {"digest": b"\x01" * 32}],
)
def test_a_moved_answer_does_not_open(answers, cache, counted, caplog, other):
    """Whoever can write to the store cannot give one token the answer of another."""
    digest = other.pop("digest", DIGEST)
    put(answers(**other), digest)
    ((there, moved),) = cache.values.items()
    put(answers())
    (here,) = set(cache.values) - {there}
    cache.values[here] = moved

    assert answers().get(DIGEST) is None
    assert ["failed"] == counted
    assert "does not open" in caplog.text


def test_nothing_readable_leaves_the_process(answers, cache, clock):
    """Neither the token, nor a claim, nor who asked whom stands in a name or a value."""
    bus = MemoryRevocationBus(secrets=[NEW])
    put(answers())
    Revocations(cache, bus, clock=clock).publish(DIGEST)
    everything = b"\n".join([*cache.values, *cache.values.values(), *bus.messages])

    assert 2 == len(cache.values)
    for known in ("ålice", "active", "sub", "orders", "as.example", NEW):
        assert known.encode() not in everything
    for known in (DIGEST, DIGEST.hex().encode(), b"the token"):
        assert known not in everything


def test_names_are_printable_and_in_one_slot(answers, cache, clock):
    """For stores that want text, and clusters that keep together what stands in braces."""
    put(answers())
    Revocations(cache, None, clock=clock).publish(DIGEST)
    names = [name.decode("ascii") for name in cache.values]

    assert 1 == len({name.partition("}")[0] for name in names})
    assert all(name.startswith("{") and name.isprintable() and len(name) < 150 for name in names)


@pytest.mark.parametrize(
    "stands", [b"", b"x", b"x" * 500, b"\x00" * (MAX_VALUE_BYTES + 1)], ids=len
)
def test_what_was_changed_is_a_miss_and_counted(answers, cache, counted, stands):
    """Garbage, however long; the next answer replaces it, and nobody waits in the meantime."""
    put(answers())
    (name,) = cache.values
    cache.values[name] = stands
    reader = answers()

    assert (None, None) == (reader.get(DIGEST), reader.get(DIGEST))
    assert ["failed", "failed"] == counted
    put(reader)
    assert reader.get(DIGEST) is not None


def test_a_value_that_is_too_large_is_not_read(answers, cache, counted):
    """Not even one that opens: reading it is what costs."""
    reader = answers()
    claims = CLAIMS | {"filler": "x" * MAX_VALUE_BYTES}
    reader.put(DIGEST, claims, asked_at=NOW, ttl=60)

    assert {} == cache.values
    put(reader)
    (name,) = cache.values
    text = b"\x00" * 16 + json.dumps(claims).encode()
    cache.values[name] = reader._places.box.seal(text, reader._asked + DIGEST)
    assert reader.get(DIGEST) is None
    assert ["failed"] == counted


def test_what_opens_and_is_no_object_is_a_miss(answers, cache, counted):
    """As another version may have written it."""
    reader = answers()
    put(reader)
    (name,) = cache.values
    cache.values[name] = reader._places.box.seal(b"\x00" * 16 + b"[]", reader._asked + DIGEST)

    assert reader.get(DIGEST) is None
    assert ["failed"] == counted


@pytest.mark.parametrize(
    ("ttl", "seconds"), [(60, 60), (LONGEST_TTL, LONGEST_TTL), (86_400, LONGEST_TTL)]
)
def test_an_answer_ends(answers, cache, clock, ttl, seconds):
    """With its ttl, an hour at the latest; also if the store keeps it for longer."""
    put(answers(), ttl=ttl)
    kept = dict(cache.values)
    clock.advance(seconds - 0.5)
    assert answers().get(DIGEST) is not None
    clock.advance(1)
    assert answers().get(DIGEST) is None
    cache._ends.clear()
    assert kept == cache.values
    assert answers().get(DIGEST) is None


# --- tombstones ----------------------------------------------------------------------------------


def test_a_tombstone_beats_what_stands_there_and_what_comes_late(answers, cache, clock):
    """A look-up that began before the revocation may write its answer after it."""
    put(answers())
    Revocations(cache, None, clock=clock).publish(DIGEST)
    assert answers().get(DIGEST) is None
    put(answers())
    assert answers().get(DIGEST) is None


def test_a_tombstone_stands_longer_than_any_answer(answers, cache, clock):
    """One that was written minutes after it, with the longest ttl, is gone before."""
    Revocations(cache, None, clock=clock).publish(DIGEST)
    clock.advance(TOMBSTONE_SECONDS - LONGEST_TTL - 1)
    put(answers(), ttl=86_400)
    clock.advance(LONGEST_TTL - 1)
    assert answers().get(DIGEST) is None
    clock.advance(1)
    assert answers().get(DIGEST) is None


def test_a_tombstone_is_for_every_endpoint_and_client(answers, cache, clock):
    """Whoever revokes knows the token, and not who asked whom about it."""
    others = [answers(endpoint="https://b.example"), answers(client="payments")]
    for other in others:
        put(other)
    Revocations(cache, None, clock=clock).publish(DIGEST)

    assert [None, None] == [other.get(DIGEST) for other in others]


def test_a_changed_tombstone_still_stands(answers, cache, clock):
    """Nobody gains by writing to it."""
    put(answers())
    Revocations(cache, None, clock=clock).publish(DIGEST)
    (stone,) = [name for name in cache.values if name.endswith(b"t")]
    for value in (b"", b"x"):
        cache.values[stone] = value
        assert answers().get(DIGEST) is None


def test_a_tombstone_is_no_answer(answers, cache, clock):
    """Moved to where an answer stands it does not open."""
    put(answers())
    (name,) = cache.values
    Revocations(cache, None, clock=clock).publish(DIGEST)
    (stone,) = set(cache.values) - {name}
    cache.values[name] = cache.values.pop(stone)

    assert answers().get(DIGEST) is None


# --- secrets -------------------------------------------------------------------------------------

CHANGES = [
    [[OLD], [NEW, OLD], [NEW]],
    [[OLD], [OLD, NEW], [NEW, OLD], [NEW]],
]


@pytest.mark.parametrize("change", CHANGES, ids=["new one first", "new one last"])
def test_no_revocation_is_missed_while_the_secrets_change(clock, answers, change):
    """Of any two processes that stand next to each other in the change, in either direction."""
    values, heard = {}, []

    def shared(secrets):
        cache = MemorySharedCache(secrets=secrets, clock=clock)
        cache.values = values
        return cache

    for before, after in pairwise(change):
        for revoker, reader in ((before, after), (after, before), (after, after)):
            values.clear()
            heard.clear()
            reads = answers(cache=shared(reader))
            put(reads)
            assert reads.get(DIGEST) is not None
            sends, hears = (MemoryRevocationBus(secrets=s) for s in (revoker, reader))
            Revocations(None, hears, clock=clock).subscribe(heard.append, missed=lambda: None)
            Revocations(shared(revoker), sends, clock=clock).publish(DIGEST)
            for message in sends.messages:
                hears.publish(message)
            assert reads.get(DIGEST) is None
            assert DIGEST in heard


def test_processes_with_other_secrets_share_nothing(clock, answers, cache, counted):
    """And take each other for nobody."""
    put(answers())
    stranger = MemorySharedCache(secrets=[OTHER], clock=clock)
    stranger.values = cache.values

    assert answers(cache=stranger).get(DIGEST) is None
    assert [] == counted


@pytest.mark.parametrize("secrets", [(), ["short"], ["changemechangeme"]])
def test_nothing_is_shared_without_secrets(secrets, clock):
    """A cache or a bus without real ones stops the program."""
    cache = MemorySharedCache(secrets=secrets)
    bus = MemoryRevocationBus(secrets=secrets)
    with pytest.raises(ConfigurationError):
        SharedAnswers(cache, endpoint="e", client="c", failed=lambda: None)
    with pytest.raises(ConfigurationError):
        Revocations(cache, None, clock=clock)
    with pytest.raises(ConfigurationError):
        Revocations(None, bus, clock=clock)


class Plain:
    """As little as a cache of one's own may have."""

    def __init__(self):
        self.kept = {}

    def get(self, key):
        return self.kept.get(key)

    def set(self, key, value, *, ttl):
        self.kept[key] = value

    def delete(self, key):
        self.kept.pop(key, None)


def test_a_cache_without_secrets_is_of_use_to_its_process(caplog):
    """It is sealed all the same, and the log says what it lacks."""
    plain = Plain()
    mine, other = (
        SharedAnswers(plain, endpoint="e", client="c", failed=lambda: None) for _ in range(2)
    )
    mine.put(DIGEST, {"active": True, "sub": "somebody"}, asked_at=time.time(), ttl=60)

    assert "somebody" == other.get(DIGEST).claims["sub"]
    assert b"somebody" not in b"".join(plain.kept.values())
    Revocations(plain, None, clock=time.time).publish(DIGEST)
    assert other.get(DIGEST) is None
    assert "an attribute 'secrets'" in caplog.text


def test_a_bus_that_tells_nothing_of_what_it_missed():
    """``subscribe`` with a callback alone will do; what came before counts as missed."""

    class Simple:
        def publish(self, message):
            self.callback(message)

        def subscribe(self, callback):
            self.callback = callback

    simple, forgotten, missed = Simple(), [], []
    revocations = Revocations(None, simple, clock=time.time)
    end = revocations.subscribe(forgotten.append, missed=lambda: missed.append(1))
    revocations.publish(DIGEST)
    end()

    assert ([DIGEST], [1]) == (forgotten, missed)


# --- messages ------------------------------------------------------------------------------------


@pytest.fixture
def bus():
    return MemoryRevocationBus(secrets=[NEW])


@pytest.fixture
def heard(bus, clock):
    """What one process was told to forget."""
    told = []
    Revocations(None, bus, clock=clock).subscribe(told.append, missed=lambda: told.append("missed"))
    assert ["missed"] == told
    told.clear()
    return told


def test_a_message_has_a_token_forgotten(bus, heard, clock):
    """By its digest."""
    Revocations(None, bus, clock=clock).publish(DIGEST)

    assert [DIGEST] == heard


def test_the_cache_is_told_first(cache, clock):
    """Who is told to forget, and asks again, must not find the old answer."""
    bus = MemoryRevocationBus(secrets=[NEW])
    seen = []
    bus.subscribe(lambda _: seen.append(len(cache.values)), missed=lambda: None)
    Revocations(cache, bus, clock=clock).publish(DIGEST)

    assert [1] == seen


@pytest.mark.parametrize(
    ("ahead", "counts"),
    [(0, True), (-600, True), (600, True), (MESSAGE_SECONDS - 1, True), (MESSAGE_SECONDS, False)],
)
def test_an_old_message_counts_no_more(bus, heard, clock, ahead, counts):
    """Clocks may differ by many minutes; but nobody can make us ask again for ever."""
    Revocations(None, bus, clock=clock).publish(DIGEST)
    heard.clear()
    clock.advance(ahead)
    bus.publish(bus.messages[0])

    assert ([DIGEST] if counts else []) == heard


def test_an_old_message_is_told_of(bus, heard, clock, caplog):
    """It may be that the clocks of two machines are hours apart."""
    Revocations(None, bus, clock=clock).publish(DIGEST)
    clock.advance(7_200)
    bus.publish(bus.messages[0])

    assert "is 7200 s old and was dropped; do the clocks" in caplog.text


@pytest.mark.parametrize("message", [b"", b"x", b"\x00" * 100, b"x" * 1_000_000], ids=len)
def test_a_message_of_somebody_else_is_dropped(bus, heard, caplog, message):
    """Garbage takes nothing away, and is told of."""
    bus.publish(message)

    assert [] == heard
    assert "opens with none of the secrets" in caplog.text


@pytest.mark.parametrize("odd", [None, 5, "text", [1]], ids=str)
def test_a_bus_of_your_own_may_bring_anything(bus, heard, clock, caplog, odd):
    """The callback never raises: what is not bytes opens with none of the secrets."""
    Revocations(None, bus, clock=clock).publish(DIGEST)
    heard.clear()
    bus.publish(odd)

    assert [] == heard
    assert "opens with none of the secrets" in caplog.text


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_messages_of_any_kind_of_bytes_are_read(bus, heard, clock, kind):
    """As message queues hand them over; a revocation would be lost."""
    Revocations(None, bus, clock=clock).publish(DIGEST)
    heard.clear()
    bus.publish(kind(bus.messages[0]))
    assert [DIGEST] == heard


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_values_of_any_kind_of_bytes_are_read(answers, cache, kind):
    """As databases hand them over."""
    reader = answers()
    put(reader)
    cache.values = {name: kind(value) for name, value in cache.values.items()}
    assert CLAIMS == reader.get(DIGEST).claims


def test_a_message_of_another_deployment_is_dropped(bus, heard, clock):
    """It was sealed under other secrets."""
    other = MemoryRevocationBus(secrets=[OTHER])
    Revocations(None, other, clock=clock).publish(DIGEST)
    bus.publish(other.messages[0])

    assert [] == heard


def test_a_value_of_the_cache_is_no_message(bus, heard, answers, cache):
    """What was sealed for one purpose opens for no other."""
    put(answers())
    bus.publish(*cache.values.values())

    assert [] == heard


def test_without_a_bus_there_is_nothing_to_hear(cache, clock):
    """Subscribing is no error, and ending it neither."""
    Revocations(cache, None, clock=clock).subscribe(print, missed=print)()


# --- failures ------------------------------------------------------------------------------------


def test_a_cache_that_is_down_is_a_miss(answers, cache, counted, caplog):
    """It is counted, told of once, and left alone; the text of an unknown error is not shown."""
    reader = answers()
    cache.down = True
    reader.get(DIGEST)
    put(reader)
    reader.drop(DIGEST)

    assert ["failed"] == counted
    assert 1 == cache.calls
    assert "the test wants it down" in caplog.text
    assert 1 == len(caplog.records)


@pytest.mark.parametrize(
    "found",
    [
        *([None], [None] * 3, 5, None, ["text", None], [b"x" * 100, None]),
        *([5, None], [[1], None], [bytearray(100), None], [memoryview(b"x" * 100), None]),
    ],
    ids=repr,
)
def test_a_cache_of_your_own_may_return_anything(answers, counted, found, caplog):
    """It is a miss, and counted."""

    class Odd:
        secrets = (NEW,)

        def get_many(self, keys):
            return found

    assert answers(cache=Odd()).get(DIGEST) is None
    assert ["failed"] == counted


def test_a_cache_of_your_own_may_return_any_series_of_values(answers, cache, counted):
    """One that can be gone through, whatever else it has not."""

    class Own:
        secrets = (NEW,)
        set, delete = cache.set, cache.delete

        def get_many(self, keys):
            return map(cache.get, keys)

    one = answers(cache=Own())
    one.put(DIGEST, {"active": True}, asked_at=1.0, ttl=60)

    assert ({"active": True}, 1.0, []) == (*one.get(DIGEST), counted)


def test_a_cache_of_your_own_may_raise_anything(answers, counted, caplog):
    """Its text, which may hold anything, goes nowhere."""

    class Broken:
        secrets = (NEW,)

        def get_many(self, keys):
            raise KeyError("redis://:PASSWORD@host")

    assert answers(cache=Broken()).get(DIGEST) is None
    assert ["failed"] == counted
    assert "KeyError" in caplog.text
    assert "PASSWORD" not in caplog.text


@pytest.mark.parametrize(
    "odd",
    [{"a"}, MappingProxyType({}), float("nan"), "\ud800", b"bytes", NESTED],
    ids=["set", "mapping", "nan", "surrogate", "bytes", "nested"],
)
def test_what_is_no_json_is_not_shared(answers, cache, counted, caplog, odd):
    """A client of your own may say anything; the cache is used on for what others say."""
    reader = answers()
    reader.put(DIGEST, {"odd": odd}, asked_at=NOW, ttl=60)

    assert ({}, ["failed"]) == (cache.values, counted)
    assert "an answer is not shared, for it is not JSON" in caplog.text
    put(reader)
    assert reader.get(DIGEST) is not None


def test_any_mapping_is_shared(answers):
    """As a client of your own may return it."""
    answers().put(DIGEST, MappingProxyType(CLAIMS), asked_at=NOW, ttl=60)

    assert CLAIMS == answers().get(DIGEST).claims


def test_a_revocation_is_tried_although_it_failed_a_moment_ago(cache, clock, counted):
    """Each is tried: a logout is not lost because another one was. Both ways are counted."""
    bus = MemoryRevocationBus(secrets=[NEW])
    revocations = Revocations(cache, bus, clock=clock, failed=lambda: counted.append("failed"))
    cache.down = bus.down = True
    revocations.publish(DIGEST)
    revocations.publish(DIGEST)
    assert 4 == len(counted)
    cache.down = bus.down = False
    revocations.publish(DIGEST)

    assert (1, 1) == (len(cache.values), len(bus.messages))


def test_a_cache_that_is_down_does_not_stop_the_message(cache, clock):
    """The processes are told all the same."""
    bus = MemoryRevocationBus(secrets=[NEW])
    cache.down = True
    Revocations(cache, bus, clock=clock).publish(DIGEST)

    assert 1 == len(bus.messages)


# --- being careful -------------------------------------------------------------------------------


class Flaky:
    """Something that may be down."""

    def __init__(self):
        self.down = True
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.down:
            raise AuthServiceUnavailable("down")
        return "well"


@pytest.fixture
def flaky():
    return Flaky()


@pytest.fixture
def cautious(counted):
    """Return what calls it, by a clock that stands still."""
    clock = FakeClock(0.0)
    clock.advance(100)
    made = Careful("it", lambda: counted.append("failed"), clock=clock)
    made.now = clock
    return made


def test_what_works_is_called_each_time(cautious, flaky):
    """And its result returned."""
    flaky.down = False

    assert ["well"] * 3 == [cautious.call(flaky) for _ in range(3)]


def test_what_failed_is_left_alone_for_a_while(cautious, flaky):
    """A quarter of a second at least, half a second at most."""
    cautious.call(flaky)
    cautious.now.advance(0.24)
    cautious.call(flaky)
    assert 1 == flaky.calls
    cautious.now.advance(0.26)
    cautious.call(flaky)
    assert 2 == flaky.calls


def test_the_longer_it_fails_the_longer_it_is_left_alone(cautious, flaky):
    """Up to fifteen seconds, after which somebody always tries."""
    for _ in range(20):
        cautious.call(flaky)
        cautious.now.advance(15)
    assert 20 == flaky.calls
    cautious.now.advance(-15 + 7)
    cautious.call(flaky)
    assert 20 == flaky.calls


def test_it_is_used_again_as_soon_as_it_works(cautious, flaky):
    """One call that succeeds is enough, and the next outage begins with a short pause again."""
    for _ in range(10):
        cautious.call(flaky)
        cautious.now.advance(15)
    flaky.down = False
    assert ["well", "well"] == [cautious.call(flaky), cautious.call(flaky)]
    flaky.down = True
    cautious.call(flaky)
    cautious.now.advance(0.51)
    calls = flaky.calls
    cautious.call(flaky)
    assert calls + 1 == flaky.calls


def test_an_urgent_call_that_works_ends_the_pause(cautious, flaky):
    """What it found out, the others need not."""
    cautious.call(flaky)
    flaky.down = False
    assert "well" == cautious.call(flaky, urgent=True)
    assert "well" == cautious.call(flaky)


def test_one_call_tries_and_the_others_go_on(cautious, flaky):
    """While it does not know yet, nobody else waits for the same."""
    cautious.call(flaky)
    cautious.now.advance(1)
    begun, go_on = threading.Event(), threading.Event()

    def slow():
        begun.set()
        go_on.wait(90)
        return "well"

    with ThreadPoolExecutor(1) as threads:
        trial = threads.submit(cautious.call, slow)
        assert begun.wait(90)
        flaky.down = False
        calls = flaky.calls
        assert [None] * 8 == [cautious.call(flaky) for _ in range(8)]
        assert calls == flaky.calls
        go_on.set()
        assert "well" == trial.result(90)
    assert "well" == cautious.call(flaky)


def test_a_trial_that_never_ends_is_replaced(cautious, flaky):
    """A thread that was killed in the middle does not keep the cache away for ever."""
    cautious.call(flaky)
    cautious.now.advance(1)
    with pytest.raises(KeyboardInterrupt):
        cautious.call(_interrupted)
    assert cautious.call(flaky) is None
    flaky.down = False
    cautious.now.advance(15)
    assert "well" == cautious.call(flaky)


def _interrupted():
    raise KeyboardInterrupt


def test_many_that_fail_together_are_one_failure(cautious, flaky, counted):
    """Threads that were all under way when it went down do not make the pause any longer."""
    barrier = threading.Barrier(8)

    def fails():
        barrier.wait(90)
        raise AuthServiceUnavailable("down")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: cautious.call(fails), range(8)))
    assert 8 == len(counted)
    cautious.now.advance(0.5)
    flaky.down = False
    assert "well" == cautious.call(flaky)


def test_a_pause_is_not_the_same_for_everybody(counted):
    """Processes that saw one outage do not come back in step."""
    pauses = set()
    for _ in range(20):
        one = Careful("it", lambda: None, clock=lambda: 100.0)
        one.call(Flaky())
        pauses.add(one._again_at)

    assert len(pauses) > 10


def test_the_log_says_what_failed_once_a_minute(cautious, flaky, caplog):
    """At WARNING, with the hint."""
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            cautious.call(flaky, urgent=True)
    ((name, level, text),) = caplog.record_tuples

    assert ("tokenward.shared_cache", logging.WARNING) == (name, level)
    assert text.startswith("it failed and is left alone for 0.")
    assert text.endswith(": down")


def test_a_held_lock_is_replaced_after_a_fork(cautious, flaky):
    """What a thread of the parent's held is not waited for."""
    cautious._lock.acquire()
    cautious.after_fork()

    assert cautious.call(flaky) is None
