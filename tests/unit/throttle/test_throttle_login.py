"""Login attempts are counted first of all, and nobody is locked out by others (RULES 40)."""

import contextlib
import threading

import pytest

from tokenward.errors import ConfigurationError, TooManyAttempts
from tokenward.repositories import CounterRepository, MemoryCounterRepository
from tokenward.testing import FakeClock
from tokenward.throttle import LoginThrottle, delays
from tokenward.throttle.counting import StoreStorage
from tokenward.throttle.on_redis import open_redis

HERE = "192.0.2.1"
RATES = {
    "per_name_and_address": "3/minute",
    "per_address": "6/minute",
    "per_name": "5/minute",
}


@pytest.fixture
def clock():
    """Return the clock of the throttle."""
    return FakeClock(1_000_000)


@pytest.fixture
def slept():
    """Return for how many seconds attempts were held back, in order."""
    return []


@pytest.fixture
def throttle(clock, slept):
    """Return a throttle of small rates, in memory."""
    return LoginThrottle.open("memory", counters=None, **RATES, clock=clock, sleep=slept.append)


def refused(throttle, name, address, action="login", **options):
    """Return the refusal of an attempt; `None`: it is looked at."""
    try:
        throttle.attempt(action, name, address, **options)
    except TooManyAttempts as error:
        return error
    return None


def looked_at(throttle, attempts, action="login", **options):
    """Return how many of the attempts, (name, address), are looked at."""
    return [refused(throttle, *attempt, action, **options) for attempt in attempts].count(None)


class TestNameAndAddress:
    """One name from one address."""

    def test_beyond_the_rate_it_is_refused(self, throttle):
        """The last of four is not looked at."""
        assert [True, True, True, False] == [
            refused(throttle, "ada", HERE) is None for _ in range(4)
        ]

    def test_retry_after_is_what_is_left_of_the_window(self, throttle, clock):
        """It began with the first attempt; when it is over the next one is looked at."""
        looked_at(throttle, [("ada", HERE)] * 3)
        clock.advance(20)
        refusal = refused(throttle, "ada", HERE)
        assert 40 == refusal.retry_after
        assert "per_name_and_address" in refusal.hint
        clock.advance(39.5)
        assert 0.5 == refused(throttle, "ada", HERE).retry_after
        clock.advance(0.5)
        assert refused(throttle, "ada", HERE) is None

    def test_another_name_or_address_is_not_concerned(self, throttle):
        """Only the two together are counted."""
        looked_at(throttle, [("ada", HERE)] * 4)
        assert refused(throttle, "bob", HERE) is None
        assert refused(throttle, "ada", "192.0.2.2") is None

    def test_a_success_forgives_what_was_counted(self, throttle):
        """Who gets it right in the end starts anew."""
        looked_at(throttle, [("ada", HERE)] * 2)
        throttle.attempt("login", "ada", HERE).succeeded()
        assert 3 == looked_at(throttle, [("ada", HERE)] * 4)

    def test_a_success_elsewhere_forgives_nothing_here(self, throttle):
        """What somebody guesses from here is not forgiven because the owner logs in there."""
        looked_at(throttle, [("ada", HERE)] * 3)
        throttle.attempt("login", "ada", "192.0.2.2").succeeded()
        assert refused(throttle, "ada", HERE) is not None

    @pytest.mark.parametrize(
        "spelling", ["ADA", " ada ", "\uff41da", "Ada\n", pytest.param("ada" + " " * 999, id="pad")]
    )
    def test_spellings_of_one_name_are_one(self, throttle, spelling):
        """Whoever the store finds under both is counted under both (RULES 35)."""
        looked_at(throttle, [("ada", HERE)] * 3)
        assert refused(throttle, spelling, HERE) is not None

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("", id="empty"),
            pytest.param("x" * 300, id="300 characters"),
            pytest.param("x" * 60_000, id="60,000 characters"),
            pytest.param("\ufdfa" * 300, id="long when normalized"),
            pytest.param("a\x00b", id="NUL"),
            pytest.param("\ud800", id="lone surrogate"),
            pytest.param("two words", id="white space"),
            pytest.param("10/1/minute/LIMITER", id="like a key"),
        ],
    )
    def test_names_that_nobody_has_are_counted_alike(self, throttle, name):
        """A name that cannot be registered is refused after as many attempts as any other."""
        assert 3 == looked_at(throttle, [(name, HERE)] * 5)

    def test_names_of_odd_characters_are_different_names(self, throttle):
        """What cannot be encoded is not taken for one and the same."""
        looked_at(throttle, [("\ud800", HERE)] * 3)
        assert refused(throttle, "\ud801", HERE) is None

    def test_name_and_address_are_not_run_together(self, throttle):
        """A name that ends like an address is another pair."""
        looked_at(throttle, [("ada1", "92.0.2.1")] * 3)
        assert refused(throttle, "ada", "192.0.2.1") is None

    @pytest.mark.parametrize("action", ["password", "one_time", "forgot", "register"])
    def test_each_action_is_counted_apart(self, throttle, action):
        """Who cannot log in any more can still ask for a new password."""
        looked_at(throttle, [("ada", HERE)] * 4)
        assert 3 == looked_at(throttle, [("ada", HERE)] * 4, action)


class TestAddress:
    """One address, whatever names come from it."""

    def test_beyond_the_rate_it_is_refused(self, throttle, clock):
        """Guessing one password for many names has an end too."""
        assert 6 == looked_at(throttle, [(f"user{n}", HERE) for n in range(9)])
        clock.advance(15)
        refusal = refused(throttle, "another", HERE)
        assert 45 == refusal.retry_after
        assert "per_address" in refusal.hint

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
            ("2001:db8:1:2::1", "2001:DB8:1:2:0:0:0:5"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::2%eth1"),
        ],
    )
    def test_one_household_is_one_address(self, throttle, one, other):
        """IPv6 by /64, and IPv4 in whatever form."""
        looked_at(throttle, [(f"user{n}", one) for n in range(6)])
        assert refused(throttle, "another", other) is not None

    def test_the_next_network_is_another(self, throttle):
        """A /64 ends at its 64th bit."""
        looked_at(throttle, [(f"user{n}", "2001:db8:1:2::1") for n in range(9)])
        assert refused(throttle, "another", "2001:db8:1:3::1") is None

    def test_a_household_is_one_address_for_one_name_too(self, throttle):
        """Another address out of the same /64 brings no more attempts on a name."""
        attempts = [("ada", f"2001:db8::{n}") for n in range(1, 6)]
        assert 3 == looked_at(throttle, attempts)

    def test_a_success_gives_its_own_attempt_back(self, throttle):
        """An office behind one address can log in, one after the other."""
        for n in range(20):
            throttle.attempt("login", f"user{n}", HERE).succeeded()
        assert 6 == looked_at(throttle, [(f"guess{n}", HERE) for n in range(9)])

    def test_a_success_gives_back_no_more_than_that(self, throttle):
        """An account of one's own makes no room for guessing other people's passwords."""
        guesses = 0
        for n in range(9):
            guesses += looked_at(throttle, [(f"user{n}", HERE)])
            with contextlib.suppress(TooManyAttempts):
                throttle.attempt("login", "mine", HERE).succeeded()
        assert 6 == guesses

    def test_successes_at_once_give_back_what_they_counted(self, throttle):
        """Many of one name under way together give back one each, however often they say so."""
        assert 2 == looked_at(throttle, [(f"guess{n}", HERE) for n in range(2)])
        attempts = [throttle.attempt("login", "mine", HERE) for _ in range(3)]
        for attempt in attempts:
            attempt.succeeded()
            attempt.succeeded()
        assert 4 == looked_at(throttle, [(f"user{n}", HERE) for n in range(9)])

    @pytest.mark.parametrize("action", ["register", "forgot"])
    def test_what_costs_something_is_not_given_back(self, throttle, action):
        """Accounts and messages are bounded for those who succeed as well."""
        looked = 0
        for n in range(9):
            if refused(throttle, f"user{n}", HERE, action) is None:
                looked += 1
        assert 6 == looked
        throttle.attempt(action, "ada", "192.0.2.9").succeeded()
        assert 5 == looked_at(throttle, [(f"u{n}", "192.0.2.9") for n in range(9)], action)

    def test_without_a_name_the_address_is_counted(self, throttle):
        """One-time tokens name nobody."""
        assert 6 == looked_at(throttle, [(None, HERE)] * 9, "one_time")

    def test_a_client_that_vouches_has_no_limit_of_its_address(self, throttle):
        """A site that passes on its people's passwords is one address for all of them."""
        attempts = [(f"user{n}", HERE) for n in range(9)]
        assert 9 == looked_at(throttle, attempts, vouched=True)

    def test_through_such_a_client_a_name_is_limited_all_the_same(self, throttle):
        """Guessing one person's password through the site has an end."""
        assert 3 == looked_at(throttle, [("ada", HERE)] * 5, vouched=True)

    def test_a_client_that_vouches_does_not_use_up_its_address(self, throttle):
        """What it passes on is not counted as the address's own."""
        looked_at(throttle, [(f"user{n}", HERE) for n in range(9)], vouched=True)
        assert 6 == looked_at(throttle, [(f"guess{n}", HERE) for n in range(9)])


class TestName:
    """One name, from wherever."""

    def test_beyond_the_rate_it_is_held_back_and_looked_at(self, throttle, slept):
        """Never refused: else who knows a name could lock its owner out."""
        attempts = [("ada", f"192.0.2.{n}") for n in range(1, 9)]
        assert 8 == looked_at(throttle, attempts)
        assert [0.1, 0.2, pytest.approx(0.3)] == slept

    def test_it_is_held_back_for_two_seconds_at_most(self, throttle, slept):
        """However many attempts there were."""
        looked_at(throttle, [("ada", f"192.0.2.{n}") for n in range(1, 101)])
        assert 2.0 == max(slept)

    def test_unknown_names_are_held_back_alike(self, throttle, slept):
        """How long it takes says nothing about who there is: the throttle knows nobody."""
        for name in ("ada", "nobody\x00", "x" * 400):
            slept.clear()
            looked_at(throttle, [(name, f"192.0.2.{n}") for n in range(1, 8)])
            assert [0.1, 0.2] == slept

    def test_the_owner_gets_in_while_others_guess(self, throttle, slept):
        """A flood from everywhere costs the owner two seconds."""
        looked_at(throttle, [("ada", f"198.51.100.{n}") for n in range(1, 200)])
        slept.clear()
        throttle.attempt("login", "ada", HERE).succeeded()
        assert [2.0] == slept

    def test_its_own_successes_do_not_slow_a_name_down(self, throttle, slept):
        """A success gives its attempt back to the name too."""
        for n in range(1, 20):
            throttle.attempt("login", "ada", f"192.0.2.{n}").succeeded()
        assert [] == slept

    def test_what_is_refused_waits_for_nothing(self, throttle, slept):
        """A refusal takes no thread's time."""
        looked_at(throttle, [("ada", f"192.0.2.{n}") for n in range(1, 9)] + [("ada", HERE)] * 3)
        slept.clear()
        assert refused(throttle, "ada", HERE) is not None
        assert [] == slept

    @pytest.mark.parametrize("address", [None, "", "localhost", "no address"])
    def test_without_an_address_nobody_is_refused(self, throttle, slept, address):
        """Everybody would come from the same nowhere."""
        assert 20 == looked_at(throttle, [("ada", address)] * 20)
        assert 15 == len(slept)

    def test_with_neither_there_is_nothing_to_count(self, throttle, slept):
        """And nothing to refuse."""
        throttle.attempt("one_time", None, None).succeeded()
        assert 20 == looked_at(throttle, [(None, None)] * 20, "one_time")
        assert [] == slept


def test_only_a_few_wait_at_a_time(clock):
    """The others are looked at without waiting: a server has more to do than hold threads back."""
    waiting, go_on = threading.Semaphore(0), threading.Event()
    held = []

    def sleep(seconds):
        held.append(seconds)
        waiting.release()
        go_on.wait(150)

    throttle = LoginThrottle.open(
        "memory", counters=None, per_name="1/minute", clock=clock, sleep=sleep
    )
    throttle.attempt("login", "ada", None)
    threads = [
        threading.Thread(target=throttle.attempt, args=("login", "ada", None))
        for _ in range(delays.MAX_WAITING)
    ]
    for thread in threads:
        thread.start()
    try:
        assert all(waiting.acquire(timeout=90) for _ in range(delays.MAX_WAITING))
        another = threading.Thread(target=throttle.attempt, args=("login", "ada", None))
        another.start()
        threads.append(another)
        another.join(90)
        assert not another.is_alive()
        assert delays.MAX_WAITING == len(held)
    finally:
        go_on.set()
        for thread in threads:
            thread.join(90)
    throttle.attempt("login", "ada", None)
    assert delays.MAX_WAITING + 1 == len(held)


def test_a_sleep_that_fails_leaves_its_place(clock):
    """Whatever ends a wait, the next one can wait."""
    asked = []

    def sleep(seconds):
        asked.append(seconds)
        raise KeyboardInterrupt

    throttle = LoginThrottle.open(
        "memory", counters=None, per_name="1/minute", clock=clock, sleep=sleep
    )
    throttle.attempt("login", "ada", None)
    for _ in range(delays.MAX_WAITING + 1):
        with pytest.raises(KeyboardInterrupt):
            throttle.attempt("login", "ada", None)
    assert delays.MAX_WAITING + 1 == len(asked)


class TestKeys:
    """What is stored."""

    def test_keys_tell_neither_name_nor_address(self, clock):
        """They are digests of one length, whatever was typed."""
        counters = MemoryCounterRepository()
        throttle = LoginThrottle.open("store", counters=counters, clock=clock)
        for name in ("gwyn", "gwyn@example.org", "x" * 5_000, "\ud800"):
            throttle.attempt("login", name, HERE)
        keys = list(counters._counters)
        assert 9 == len(keys)
        assert not any(said in key for key in keys for said in ("gwyn", "xx", "192.", "\ud800"))
        assert max(map(len, keys)) <= 255

    def test_a_flood_of_names_from_one_address_leaves_few(self, clock):
        """Beyond the address's limit nothing is stored."""
        counters = MemoryCounterRepository()
        throttle = LoginThrottle.open(
            "store", counters=counters, per_address="6/minute", clock=clock
        )
        looked_at(throttle, [(f"user{n}", HERE) for n in range(1_000)])
        assert 1 + 2 * 6 == len(counters._counters)

    def test_another_rate_is_counted_anew(self, clock):
        """A window of five minutes says nothing about an hour."""
        counters = MemoryCounterRepository()
        for rate in ("1/minute", "1/hour"):
            throttle = LoginThrottle.open(
                "store", counters=counters, per_name_and_address=rate, clock=clock
            )
            assert 1 == looked_at(throttle, [("ada", HERE)] * 2)


class TestWindows:
    """The windows themselves."""

    def test_limits_of_different_lengths_end_apart(self, clock, slept):
        """Each begins and ends for itself."""
        throttle = LoginThrottle.open(
            "memory",
            counters=None,
            per_name_and_address="1/minute",
            per_address="2/hour",
            clock=clock,
            sleep=slept.append,
        )
        assert 1 == looked_at(throttle, [("ada", HERE)] * 2)
        clock.advance(60)
        refusal = refused(throttle, "ada", HERE)
        assert "per_address" in refusal.hint
        assert 3_540 == refusal.retry_after

    def test_a_clock_that_was_far_ahead_locks_nobody_out(self, throttle, clock):
        """What it began would be there for as long as it was ahead."""
        clock.advance(86_400)
        looked_at(throttle, [("ada", HERE)] * 4)
        clock.advance(-86_400)
        assert 3 == looked_at(throttle, [("ada", HERE)] * 4)
        assert 60 == refused(throttle, "ada", HERE).retry_after

    def test_a_clock_that_was_a_little_ahead_forgives_nothing(self, throttle, clock):
        """The clocks of two machines differ; going back and forth between them wins nothing."""
        clock.advance(2)
        looked_at(throttle, [("ada", HERE)] * 3)
        clock.advance(-2)
        assert 60 == refused(throttle, "ada", HERE).retry_after


class TestOpening:
    """What a throttle is made from."""

    def test_the_stores_own_memory_is_counted_in_once(self, clock):
        """A store in memory is this process's own already."""
        counters = MemoryCounterRepository()
        throttle = LoginThrottle.open("store", counters=counters, **RATES, clock=clock)
        looked_at(throttle, [("ada", HERE)] * 4)
        counters.clear(list(counters._counters))
        assert 3 == looked_at(throttle, [("ada", HERE)] * 4)

    @pytest.mark.parametrize("storage", ["memcached://localhost", "", "redis", "Store", "file:x"])
    def test_no_other_storage_is_known(self, storage):
        """The message says which there are, and not what was written: it may hold a password."""
        with pytest.raises(ConfigurationError, match="redis://HOST:PORT/DB") as refusal:
            LoginThrottle.open(storage, counters=MemoryCounterRepository())
        assert not storage or f"{storage!r}" not in str(refusal.value)

    def test_a_store_that_cannot_count_is_refused(self):
        """Silently counting in each process would not be what was configured."""
        with pytest.raises(ConfigurationError, match="cannot count in this store"):
            LoginThrottle.open("store", counters=None)

    @pytest.mark.parametrize("name", ["per_name_and_address", "per_address", "per_name"])
    @pytest.mark.parametrize("rate", ["often", "", None, 5])
    def test_a_rate_that_is_none_is_refused(self, name, rate):
        """The message names the setting."""
        with pytest.raises(ConfigurationError, match=f"{name} is .*COUNT/PERIOD"):
            LoginThrottle.open("memory", counters=None, **{name: rate})

    @pytest.mark.parametrize(
        "url",
        [
            "redis://",
            "redis:///0",
            "redis://:s3cret-pw@/0",
            "redis://user:s3cret-pw@host:port/0",
            "redis://:s3cret-pw@host:0/0",
            "redis://:s3cret-pw@host:6379/zero",
            "redis://:s3cret-pw@host:6379/0#x",
            "redis://:s3cret-pw@host:6379/0?socket_timeout=60",
            "redis://:s3cret-pw@host:6379/0?ssl_ca_certs=/x",
            "rediss://:s3cret-pw@host:6379/0?ssl_cert_reqs=none",
            "rediss://:s3cret-pw@host:6379/0?ssl_ca_certs",
            "redis://:s3cret-pw@[host:6379/0",
        ],
    )
    def test_a_url_that_is_none_of_a_redis_is_refused(self, url):
        """The message says what would be one, and shows no password (RULES 44)."""
        with pytest.raises(ConfigurationError, match="redis://HOST:PORT/DB") as refusal:
            LoginThrottle.open(url, counters=None)
        assert "s3cret-pw" not in str(refusal.value)
        assert refusal.value.__context__ is None or "s3cret-pw" not in str(
            refusal.value.__context__
        )

    @pytest.mark.parametrize(
        "url",
        [
            "redis://localhost",
            "redis://user:p%40ss@localhost:6379/3",
            "rediss://localhost:6379/0?ssl_ca_certs=/etc/ca.pem",
            "redis://[::1]:6379/",
        ],
    )
    def test_a_url_of_a_redis_connects_to_nothing_yet(self, url):
        """A Redis that is down does not stop a start (RULES 50)."""
        LoginThrottle.open(url, counters=None).close()

    def test_over_tls_the_host_is_verified(self):
        """Whatever redis-py takes for granted: a certificate is one for this host (RULES 22)."""
        options = open_redis("rediss://localhost").storage.connection_pool.connection_kwargs
        assert options["ssl_check_hostname"] is True

    @pytest.mark.parametrize("missing", ["limits", "redis"])
    def test_a_missing_library_is_named(self, monkeypatch, missing):
        """With the extra that brings it."""
        import sys

        for name in [n for n in sys.modules if n.startswith(("limits", "tokenward.throttle."))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, missing, None)
        extra = {"limits": "throttle", "redis": "redis"}[missing]
        with pytest.raises(ConfigurationError, match=rf"install tokenward\[{extra}\]"):
            LoginThrottle.open("redis://localhost", counters=None)


class Recording(CounterRepository):
    """Counters that note which calls they get."""

    def __init__(self):
        self.memory = MemoryCounterRepository()
        self.calls = []

    def add(self, keys, amount, *, now, expires_at):
        self.calls.append(("add", len(keys), amount))
        return self.memory.add(keys, amount, now=now, expires_at=expires_at)

    def read(self, keys, *, now):
        return self.memory.read(keys, now=now)

    def clear(self, keys):
        self.calls.append(("clear", len(keys)))
        self.memory.clear(keys)

    def purge_expired(self, now):
        return self.memory.purge_expired(now)


class TestCost:
    """What an attempt asks of the store."""

    def test_an_attempt_is_one_step_of_the_store(self, clock):
        """All limits are counted together, and a success gives all back together."""
        store = Recording()
        throttle = LoginThrottle.open("store", counters=store, clock=clock)
        attempt = throttle.attempt("login", "ada", HERE)
        assert [("add", 3, 1)] == store.calls
        attempt.succeeded()
        assert [("add", 3, 1), ("add", 3, -1)] == store.calls

    def test_only_failures_before_need_forgetting(self, clock):
        """One step more, for who got it wrong before."""
        store = Recording()
        throttle = LoginThrottle.open("store", counters=store, clock=clock)
        throttle.attempt("login", "ada", HERE)
        throttle.attempt("login", "ada", HERE).succeeded()
        assert [("add", 3, 1)] * 2 + [("add", 3, -1), ("clear", 1)] == store.calls

    def test_an_address_beyond_its_limit_does_not_reach_the_store(self, clock):
        """A flood costs the store nothing."""
        store = Recording()
        throttle = LoginThrottle.open("store", counters=store, **RATES, clock=clock)
        looked_at(throttle, [(f"user{n}", HERE) for n in range(100)])
        assert 6 == len(store.calls)


def test_the_storage_is_one_of_limits(clock):
    """Whatever else limits has works on a store's counters too."""
    from limits import parse
    from limits.strategies import FixedWindowRateLimiter

    storage = StoreStorage(MemoryCounterRepository(), clock=clock)
    limiter, rate = FixedWindowRateLimiter(storage), parse("2/minute")
    assert [True, True, False] == [limiter.hit(rate, "ada") for _ in range(3)]
    assert (1_000_060, 0) == limiter.get_window_stats(rate, "ada")
    limiter.clear(rate, "ada")
    assert limiter.test(rate, "ada") is True
    assert storage.check() is True
    with pytest.raises(NotImplementedError):
        storage.reset()


def test_sixteen_threads_share_one_limit(clock):
    """However many ask at once, so many are looked at and no more."""
    throttle = LoginThrottle.open(
        "memory", counters=None, per_name_and_address="10/minute", clock=clock
    )
    barrier, results = threading.Barrier(16), []

    def ask():
        barrier.wait(90)
        results.extend(looked_at(throttle, [("ada", HERE)]) for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert 10 == sum(results)


class TestMailbox:
    """Messages that anybody may ask for, to one e-mail address."""

    def test_beyond_five_in_an_hour_one_is_refused(self, throttle, clock):
        """From wherever they are asked for, however the address is spelled."""
        spellings = ["ada@a.example", "ADA@a.example", " ada@A.EXAMPLE", "\uff41da@a.example"]
        attempts = [(spellings[n % 4], f"192.0.2.{n}") for n in range(9)]
        assert 5 == looked_at(throttle, attempts, "message")
        clock.advance(3_599)
        refusal = refused(throttle, "ada@a.example", None, "message")
        assert (1, True) == (refusal.retry_after, "per_mailbox" in refusal.hint)
        clock.advance(1)
        assert refused(throttle, "ada@a.example", None, "message") is None

    def test_nobody_is_held_back_and_no_address_is_counted(self, throttle, slept):
        """Another mailbox has its own messages, whoever asks for them."""
        attempts = [(f"user{n}@example.org", HERE) for n in range(20)]
        assert 20 == looked_at(throttle, attempts, "message")
        assert 5 == looked_at(throttle, [("ada@example.org", HERE)] * 20, "message")
        assert [] == slept

    def test_a_message_is_never_given_back(self, throttle):
        """It was sent."""
        for _ in range(5):
            throttle.attempt("message", "ada@example.org", HERE).succeeded()
        assert refused(throttle, "ada@example.org", HERE, "message") is not None

    def test_asking_and_logging_in_are_counted_apart(self, throttle):
        """Who has used up their logins by the address can be sent a message, and the reverse."""
        looked_at(throttle, [("ada@example.org", HERE)] * 9)
        assert 5 == looked_at(throttle, [("ada@example.org", HERE)] * 9, "message")
        assert 3 == looked_at(throttle, [("ada@example.org", HERE)] * 9, "forgot")
