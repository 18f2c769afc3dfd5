"""A ring whose store is down when it is loaded (RULES 50)."""

from __future__ import annotations

import logging
import threading

import pytest
from key_stores import OLD_SECRET, SECRET, Clock, Store, stored

from tokenward._seal import Sealer
from tokenward.errors import AuthServiceUnavailable, Forbidden
from tokenward.keys import KeyRing, watch
from tokenward.tokens import LocalVerifier, create_access_token

DOWN = AuthServiceUnavailable("down", reason="store_unavailable")

USES = {
    "current": lambda ring: ring.current,
    "key_set": lambda ring: ring.key_set,
    "kids": lambda ring: ring.kids(),
    "public_jwks": lambda ring: ring.public_jwks(),
    "rotate": lambda ring: ring.rotate(force=True),
    "prune": lambda ring: ring.prune(),
    "sign": lambda ring: create_access_token({"sub": "a"}, keys=ring),
}


@pytest.fixture(autouse=True)
def _loud(monkeypatch):
    monkeypatch.setattr(watch._seldom, "_last", {})


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    down = Store([stored("current"), stored("next")])
    down.error = DOWN
    return down


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_ring_is_loaded_while_its_store_is_down_and_every_use_is_503(store, clock, use):
    """An outage at start stops nobody, and makes nothing valid or invalid."""
    ring = KeyRing.load(store, clock=clock)
    assert repr(ring) == "KeyRing(keys=0)"
    for _ in range(2):
        with pytest.raises(AuthServiceUnavailable) as caught:
            use(ring)
        assert (caught.value.hint, caught.value.reason) == ("down", "store_unavailable")
        clock.now += 2
    assert store.replaced == 0


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_ring_is_as_good_as_any_once_the_store_answers(store, clock, use):
    """Whatever is asked of it first."""
    ring = KeyRing.load(store, clock=clock)
    store.error = None
    clock.now += 2
    use(ring)
    assert set(ring.kids()) == {key.kid for key in store.keys}


def test_a_token_is_not_invalid_while_the_keys_are_not_there(store, clock):
    """Nobody can tell, which is 503; then it is what it is."""
    store.error = None
    token = create_access_token(
        {"sub": "a"}, keys=KeyRing.load(store, clock=clock), issuer="i", audience="o", clock=clock
    )
    store.error = DOWN
    ring = KeyRing.load(store, clock=clock)
    verifier = LocalVerifier(ring, issuer="i", audience="o", users=None, tokens=None, clock=clock)
    for presented in (token, "x", token + "x"):
        with pytest.raises(AuthServiceUnavailable):
            verifier.verify(presented)
    store.error = None
    clock.now += 2
    assert verifier.verify(token).subject == "a"


def test_a_store_that_is_down_is_asked_once_a_second(store, clock):
    """However many requests there are, from the moment on at which it last said no."""
    store.loading = lambda: setattr(clock, "now", clock.now + 5)
    ring = KeyRing.load(store, clock=clock)
    for later in (0, 0.5, 0.4):
        clock.now += later
        refused(ring)
    assert store.loads == 1
    clock.now += 0.2
    refused(ring)
    refused(ring)
    assert store.loads == 2
    clock.now -= 3_600
    refused(ring)
    assert store.loads == 3


def test_the_others_are_refused_at_once_while_one_asks(store, clock):
    """A store that takes long to say no holds one thread, and no lock."""
    ring = KeyRing.load(store, clock=clock)
    asked, answer = threading.Event(), threading.Event()

    def take_long():
        asked.set()
        assert answer.wait(90)

    store.loading = take_long
    clock.now += 2
    thread = threading.Thread(target=lambda: refused(ring))
    thread.start()
    assert asked.wait(90)
    clock.now += 2
    refused(ring)
    assert store.loads == 2
    answer.set()
    thread.join(90)
    clock.now += 2
    store.loading = store.error = None
    assert len(ring.kids()) == 2


def test_a_child_that_was_forked_while_a_thread_asked_asks_itself(store, clock):
    """The thread that asks is the parent's."""
    ring = KeyRing.load(store, clock=clock)
    kids = []

    def fork():
        # What a child does first, at the moment of the fork.
        store.loading = store.error = None
        ring._watch.after_fork()
        clock.now += 2
        kids.extend(ring.kids())

    store.loading = fork
    clock.now += 2
    ring.kids()
    assert len(kids) == 2


def test_anything_that_a_store_raises_later_is_an_outage(store, clock):
    """A store of your own that forgets itself is a 503 like any other."""
    ring = KeyRing.load(store, clock=clock)
    store.error = OSError("secret-Zq8")
    clock.now += 2
    with pytest.raises(AuthServiceUnavailable) as caught:
        ring.kids()
    assert (caught.value.hint, caught.value.__context__) == ("OSError", None)


WRONG = {
    "no keys": ([], "store init"),
    "no current one": ([stored("next")], "exactly one current"),
    "does not open": (
        [stored("current"), stored("next", sealer=Sealer([OLD_SECRET], "keys"))],
        "none of the 1 secrets",
    ),
}


@pytest.mark.parametrize(("keys", "said"), WRONG.values(), ids=WRONG)
def test_what_would_have_stopped_start_up_is_503_and_one_error(store, clock, caplog, keys, said):
    """As soon as it is mended it is used; nothing is restarted for it."""
    ring = KeyRing.load(store, sealer=Sealer([SECRET], "keys"), clock=clock)
    good, store.keys, store.error = store.keys, keys, None
    for _ in range(3):
        clock.now += 2
        with pytest.raises(AuthServiceUnavailable) as caught:
            ring.key_set  # noqa: B018 - a property
        assert caught.value.reason == "no_signing_key"
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(told) == 2
    assert "down" in told[0]
    assert said in told[1]
    assert said in caught.value.hint
    with pytest.raises(AuthServiceUnavailable):
        ring.prune()
    assert store.replaced == 0
    store.keys = good
    clock.now += 2
    assert len(ring.kids()) == 2


def test_an_outage_later_changes_nothing_for_a_ring_that_was_late(store, clock):
    """From its first answer on it is a ring like any other."""
    ring = KeyRing.load(store, clock=clock)
    store.error = None
    clock.now += 2
    kids = ring.kids()
    store.error = DOWN
    clock.now += 600
    assert ring.kids() == kids
    assert store.loads == 3


def test_a_program_that_rotates_too_early_reads_why(clock):
    """The text of the exception; how long to wait stands in its hint."""
    ring = KeyRing.generate(clock=clock)
    with pytest.raises(Forbidden, match="may not know the next key yet") as caught:
        ring.rotate()
    assert "rotate(force=True)" in str(caught.value)
    assert "wait 360 seconds" in caught.value.hint
    assert Forbidden.description not in str(caught.value)


def refused(ring):
    with pytest.raises(AuthServiceUnavailable):
        ring.kids()
