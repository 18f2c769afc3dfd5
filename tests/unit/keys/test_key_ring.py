from __future__ import annotations

import copy
import logging
import os
import pickle
import signal
import threading
from dataclasses import replace

import pytest
from key_stores import NOW, OLD_SECRET, SECRET, Clock, Store, stored

from tokenward import _jose
from tokenward._seal import Sealer
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.keys import REREAD_SECONDS, KeyRing
from tokenward.repositories import MemoryKeyRepository


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return Store([stored("current"), stored("next")])


# --- made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256", "EdDSA"])
def test_a_ring_in_memory_signs_and_verifies(algorithm):
    """The current key signs, and the published keys verify."""
    ring = KeyRing.generate(algorithm)
    unverified = _jose.parse(_jose.sign({"sub": "a"}, ring.current, typ="at+jwt"))
    _jose.verify(unverified, ring.key_set, algorithms=_jose.check_algorithms([algorithm]))
    assert (unverified.alg, unverified.kid) == (algorithm, ring.current.kid)


def test_a_ring_signs_with_es256_by_default():
    """Short signatures, and every resource server knows it."""
    assert KeyRing.generate().current.algorithm == "ES256"


def test_publishes_the_next_key_before_its_first_use():
    """The set has two keys, the current one first, with kid, alg and use."""
    ring = KeyRing.generate()
    keys = ring.public_jwks()["keys"]
    assert [key["kid"] for key in keys] == list(ring.kids())
    assert ring.kids()[0] == ring.current.kid
    assert len(set(ring.kids())) == 2
    assert {(key["alg"], key["use"]) for key in keys} == {("ES256", "sig")}


def test_publishes_nothing_private():
    """What is published reads as a set of public keys without an entry skipped."""
    for algorithm in ("ES256", "RS256", "EdDSA"):
        key_set = _jose.parse_key_set(KeyRing.generate(algorithm).public_jwks())
        assert (len(key_set.keys), key_set.skipped) == (2, ())


def test_what_is_published_is_a_copy():
    """A caller who changes the document changes their own."""
    ring = KeyRing.generate()
    ring.public_jwks()["keys"][0]["kid"] = "changed"
    ring.public_jwks()["keys"].clear()
    assert [key["kid"] for key in ring.public_jwks()["keys"]] == list(ring.kids())


def test_key_ids_are_thumbprints():
    """A kid names the key it is of (RFC 7638)."""
    ring = KeyRing.generate()
    assert [_jose.thumbprint(key) for key in ring.public_jwks()["keys"]] == list(ring.kids())


@pytest.mark.parametrize("algorithm", ["HS256", "none", "", "es256", None])
def test_the_algorithm_is_one_that_is_published(algorithm):
    """A shared secret signs nothing that others verify."""
    with pytest.raises(ConfigurationError, match="ES256"):
        KeyRing.generate(algorithm)


# --- stored --------------------------------------------------------------------------------------


def test_makes_the_first_keys_of_a_store(clock):
    """A current and a next key are stored, and load as they were made."""
    store = MemoryKeyRepository()
    ring = KeyRing.create(store, "ES256", clock=clock)
    version, keys = store.load()
    assert version == 1
    assert [(key.state, key.algorithm, key.created_at) for key in keys] == [
        ("current", "ES256", int(NOW)),
        ("next", "ES256", int(NOW)),
    ]
    assert KeyRing.load(store).kids() == ring.kids()


def test_makes_no_keys_beside_old_ones(store):
    """A store with keys, whatever their state, is left as it is."""
    before = (store.version, list(store.keys))
    with pytest.raises(ConfigurationError, match="already"):
        KeyRing.create(store)
    assert (store.version, store.keys) == before


def test_one_of_two_who_make_keys_at_once_is_first():
    """The other is told, and the store holds one set."""
    other = [stored("current"), stored("next")]

    class Raced(Store):
        def load(self):
            answer = super().load()
            self.replace(0, other)
            return answer

    raced = Raced()
    with pytest.raises(ConfigurationError, match="same moment"):
        KeyRing.create(raced)
    assert raced.keys == other


def test_an_empty_store_says_what_to_do():
    """No key is made silently."""
    store = MemoryKeyRepository()
    with pytest.raises(ConfigurationError, match="tokenward store init"):
        KeyRing.load(store)
    assert store.load() == (0, [])


@pytest.mark.parametrize("states", [["next"], ["retired"], ["current", "current"]])
def test_exactly_one_key_is_current(states):
    """None or two is a broken store, which stops the program."""
    with pytest.raises(ConfigurationError, match="exactly one current"):
        KeyRing.load(Store([stored(state) for state in states]))


# --- sealed --------------------------------------------------------------------------------------


def test_keys_at_rest_are_sealed():
    """No PEM is in the store, and the secret opens it."""
    store = MemoryKeyRepository()
    ring = KeyRing.create(store, sealer=Sealer([SECRET], "keys"))
    assert not any(b"PRIVATE" in key.material for key in store.load()[1])
    assert KeyRing.load(store, sealer=Sealer([SECRET], "keys")).kids() == ring.kids()


def test_an_old_secret_opens():
    """Secrets change without new keys, as long as the old one is in the list."""
    store = MemoryKeyRepository()
    ring = KeyRing.create(store, sealer=Sealer([OLD_SECRET], "keys"))
    sealer = Sealer([SECRET, OLD_SECRET], "keys")
    assert KeyRing.load(store, sealer=sealer).kids() == ring.kids()


@pytest.mark.parametrize("sealer", [None, Sealer([OLD_SECRET], "keys"), Sealer([SECRET], "other")])
def test_a_key_that_does_not_open_stops_start_up(sealer):
    """Without the secret there are no keys, and none are made; the message says what to do."""
    store = MemoryKeyRepository()
    KeyRing.create(store, sealer=Sealer([SECRET], "keys"))
    before = store.load()
    with pytest.raises(ConfigurationError, match=r"the one that sealed it|back into the list"):
        KeyRing.load(store, sealer=sealer)
    assert store.load() == before


def test_one_key_of_several_that_does_not_open_stops_start_up():
    """A retired key that does not open is missed as well: its tokens are still about."""
    keys = [stored(), stored("retired", sealer=Sealer([OLD_SECRET], "keys"))]
    with pytest.raises(ConfigurationError):
        KeyRing.load(Store(keys), sealer=Sealer([SECRET], "keys"))


def test_an_unsealed_key_beside_a_secret_is_told(caplog):
    """Keys from before there was a secret serve on, and the log says that they are readable."""
    keys = [stored()]
    with caplog.at_level(logging.WARNING, "tokenward.keys"):
        ring = KeyRing.load(Store(keys), sealer=Sealer([SECRET], "keys"))
    assert ring.current.kid == keys[0].kid
    assert [record.getMessage() for record in caplog.records] == [
        f"The signing key {keys[0].kid} is stored unsealed."
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"material": b""},
        {"material": b"-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n"},
        {"algorithm": "RS256"},
        {"algorithm": "HS256"},
        {"kid": "another"},
    ],
)
def test_a_key_that_is_not_what_its_row_says_stops_start_up(change):
    """Broken, exchanged and relabelled keys are refused."""
    with pytest.raises(ConfigurationError):
        KeyRing.load(Store([replace(stored(), **change)]))


# --- read again ----------------------------------------------------------------------------------


def test_the_store_is_read_once_a_minute(store, clock):
    """Not before, however often the keys are asked for."""
    ring = KeyRing.load(store, clock=clock)
    for _ in range(10):
        ring.kids()
    clock.now += REREAD_SECONDS - 1
    ring.kids()
    assert store.loads == 1
    clock.now += 1
    ring.kids()
    ring.kids()
    assert store.loads == 2


def test_a_clock_that_jumps_back_reads_again(store, clock):
    """The minute is not waited for a second time."""
    ring = KeyRing.load(store, clock=clock)
    clock.now -= 3_600
    ring.kids()
    ring.kids()
    assert store.loads == 2


def rotate(store):
    """Do what another process does when it rotates the keys."""
    current, following = store.keys
    store.replace(
        store.version,
        [replace(following, state="current"), stored("next"), replace(current, state="retired")],
    )


def test_a_rotation_elsewhere_is_seen_within_a_minute(store, clock):
    """The other process's current key signs here too, and the retired one still verifies."""
    ring = KeyRing.load(store, clock=clock)
    before = ring.kids()
    rotate(store)
    assert ring.kids() == before
    clock.now += REREAD_SECONDS
    assert ring.current.kid == before[1]
    assert ring.kids() == (before[1], store.keys[1].kid, before[0])


def test_the_key_set_is_the_same_object_until_it_changes(store, clock):
    """What was verified with it can be remembered by it."""
    ring = KeyRing.load(store, clock=clock)
    before = ring.key_set
    clock.now += REREAD_SECONDS
    assert ring.key_set is before
    rotate(store)
    clock.now += REREAD_SECONDS
    assert ring.key_set is not before


def test_a_retired_key_is_published_until_its_last_token_has_expired(clock):
    """At that second it is gone from what is published and from what verifies."""
    end = int(NOW) + 600
    retired = stored("retired", published_until=end)
    store = Store([stored(), stored("next"), retired])
    ring = KeyRing.load(store, clock=clock)
    assert retired.kid in ring.kids()
    clock.now = end - 1
    assert retired.kid in ring.kids()
    clock.now = end - 1 + REREAD_SECONDS
    assert retired.kid not in ring.kids()
    assert retired.kid not in {key["kid"] for key in ring.public_jwks()["keys"]}
    with pytest.raises(Exception, match="unknown_key"):
        ring.key_set.select("ES256", retired.kid)


def test_an_expired_retired_key_is_not_published_at_start(clock):
    """A key whose time was over before start-up is opened and not used."""
    retired = stored("retired", published_until=int(NOW))
    ring = KeyRing.load(Store([stored(), retired]), clock=clock)
    assert retired.kid not in ring.kids()


def test_only_retired_keys_go_out_of_date(clock):
    """A date on a current key does not take it away."""
    ring = KeyRing.load(Store([stored(published_until=1)]), clock=clock)
    assert len(ring.kids()) == 1


def test_a_key_that_is_removed_from_the_store_verifies_nothing(store, clock):
    """A compromised key goes within a minute."""
    ring = KeyRing.load(store, clock=clock)
    removed = store.keys.pop()
    clock.now += REREAD_SECONDS
    assert ring.kids() == (store.keys[0].kid,)
    assert removed.kid not in ring.kids()


@pytest.mark.parametrize("error", [AuthServiceUnavailable("down"), OSError("disk"), KeyError("x")])
def test_a_store_that_fails_leaves_the_loaded_keys(store, clock, caplog, error):
    """Verification and signing go on; the log says so; the next minute asks again."""
    ring = KeyRing.load(store, clock=clock)
    before = ring.kids()
    store.error = error
    clock.now += REREAD_SECONDS
    with caplog.at_level(logging.WARNING, "tokenward.keys"):
        assert ring.kids() == before
        assert ring.current.kid == before[0]
    assert store.loads == 2
    store.error = None
    rotate(store)
    clock.now += REREAD_SECONDS
    assert ring.current.kid == before[1]


def test_a_new_key_that_does_not_open_is_left_out(store, clock, caplog):
    """Known keys go on verifying; without the current one nothing is signed; the log says why."""
    ring = KeyRing.load(store, clock=clock)
    before = ring.kids()
    foreign = stored("current", sealer=Sealer([OLD_SECRET], "keys"))
    store.keys = [foreign, *(replace(key, state="retired") for key in store.keys)]
    clock.now += REREAD_SECONDS
    with caplog.at_level(logging.ERROR, "tokenward.keys"):
        assert ring.kids() == before
    assert foreign.kid in caplog.text
    with pytest.raises(AuthServiceUnavailable) as caught:
        _ = ring.current
    assert caught.value.reason == "no_signing_key"


def test_an_emptied_store_ends_all_keys(store, clock):
    """Somebody took them away: nothing verifies and nothing is signed."""
    ring = KeyRing.load(store, clock=clock)
    store.keys = []
    clock.now += REREAD_SECONDS
    assert (ring.kids(), ring.public_jwks()) == ((), {"keys": []})
    with pytest.raises(AuthServiceUnavailable):
        _ = ring.current


def test_while_one_thread_reads_the_others_are_served(store, clock):
    """A slow store makes one request wait, once a minute."""
    ring = KeyRing.load(store, clock=clock)
    before = ring.kids()
    reading, go_on = threading.Event(), threading.Event()

    def slowly():
        reading.set()
        assert go_on.wait(90)

    store.loading = slowly
    clock.now += REREAD_SECONDS
    reader = threading.Thread(target=ring.kids)
    reader.start()
    try:
        assert reading.wait(90)
        assert ring.kids() == before
        assert store.loads == 2
    finally:
        go_on.set()
        reader.join(90)


def test_a_ring_in_memory_lasts(clock):
    """There is nothing to read again, and nothing is lost."""
    ring = KeyRing.generate(clock=clock)
    before = ring.kids()
    clock.now += 10 * REREAD_SECONDS
    assert ring.kids() == before


def test_a_ring_shows_and_gives_away_nothing(store):
    """Its repr asks no store and shows no key; it is neither pickled nor copied."""
    ring = KeyRing.load(store)
    loads = store.loads
    assert repr(ring) == "KeyRing(keys=2)"
    assert store.loads == loads
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            take(ring)


def test_of_many_threads_one_reads(store):
    """Requests that come together after a minute ask the store once."""
    come = threading.Semaphore(0)

    def clock():
        come.release()
        return now

    now = NOW
    ring = KeyRing.load(store, clock=clock)
    now += REREAD_SECONDS
    while come.acquire(blocking=False):
        pass
    threads = [threading.Thread(target=ring.kids) for _ in range(8)]
    with ring._watch._lock:
        for thread in threads:
            thread.start()
        for _ in threads:
            assert come.acquire(timeout=90)
    for thread in threads:
        thread.join(90)
    assert store.loads == 2


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(store, clock):
    """The lock is made anew in the child, so it reads the store as if nothing was held."""
    ring = KeyRing.load(store, clock=clock)
    held = ring._watch._lock
    with held:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            try:
                clock.now += REREAD_SECONDS
                ring.kids()
            finally:
                os._exit(0 if store.loads == 2 else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert ring._watch._lock is held
