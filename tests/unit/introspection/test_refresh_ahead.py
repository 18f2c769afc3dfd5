"""Asking ahead of the end of an answer, by exactly one request (RULES 23, 45, 46)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokenward.errors import AuthServiceUnavailable, InvalidToken

PATIENCE = 90
DUE = 54
"""Seconds into a ttl of 60 at which the last tenth begins."""


@pytest.fixture
def threads():
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def used(make, upstream):
    """Return a verifier with one answer that was used."""
    upstream.accept("t")
    verifier = make()
    verifier.verify("t")
    verifier.verify("t")
    return verifier


def test_nothing_is_asked_before_the_last_tenth(used, upstream, clock):
    """Up to nine tenths of its life an answer is served as it is."""
    clock.advance(DUE - 0.1)
    used.verify("t")

    assert 1 == len(upstream.asked)


def test_one_request_asks_in_the_last_tenth(used, upstream, clock):
    """The first request in the last tenth asks, and the answer lives a whole ttl again."""
    clock.advance(DUE)
    for _ in range(5):
        used.verify("t")
    assert 2 == len(upstream.asked)

    clock.advance(DUE - 0.1)
    used.verify("t")
    assert 2 == len(upstream.asked)


def test_what_nobody_used_is_not_refreshed(make, upstream, clock):
    """An answer that was asked for once costs no second question ahead of its end."""
    upstream.accept("t")
    verifier = make()
    verifier.verify("t")
    clock.advance(DUE)

    assert "user of t" == verifier.verify("t").subject
    assert 1 == len(upstream.asked)
    # Now it is in use.
    verifier.verify("t")
    assert 2 == len(upstream.asked)


def test_a_refreshed_answer_counts_as_unused(used, upstream, clock):
    """Refreshing ends when the requests do: it does not keep itself going."""
    clock.advance(DUE)
    used.verify("t")
    clock.advance(DUE)
    used.verify("t")

    assert 2 == len(upstream.asked)


def test_one_waits_while_the_server_hangs(used, upstream, clock, threads):
    """A refresh that hangs holds up the one request that asks, and nobody else."""
    clock.advance(DUE)
    gate = upstream.hold()
    first = threads.submit(used.verify, "t")
    assert gate.begun.wait(PATIENCE)

    assert ["user of t"] * 50 == [used.verify("t").subject for _ in range(50)]
    assert (False, 2) == (first.done(), len(upstream.asked))
    gate.release.set()
    assert "user of t" == first.result(PATIENCE).subject


def test_many_who_come_at_once_are_one_question(used, upstream, clock, threads):
    """Threads that meet in the last tenth: one asks, the others are served meanwhile."""
    clock.advance(DUE)
    gate = upstream.hold()
    barrier = threading.Barrier(12)

    def verify():
        barrier.wait(PATIENCE)
        return used.verify("t").subject

    futures = [threads.submit(verify) for _ in range(12)]
    assert gate.begun.wait(PATIENCE)
    pause = threading.Event()
    for _ in range(20_000):
        if sum(f.done() for f in futures) == 11:
            break
        pause.wait(0.001)
    assert 11 == sum(f.done() for f in futures)
    gate.release.set()

    assert ["user of t"] * 12 == [f.result(PATIENCE) for f in futures]
    assert 2 == len(upstream.asked)


def test_a_refresh_that_fails_serves_and_backs_off(used, upstream, clock):
    """What is due is served on; the server is left alone for a moment, then asked again."""
    clock.advance(DUE)
    upstream.go_down()
    assert ["user of t"] * 5 == [used.verify("t").subject for _ in range(5)]
    assert 2 == len(upstream.asked)
    clock.advance(1)
    used.verify("t")
    assert 3 == len(upstream.asked)

    upstream.come_back()
    clock.advance(2)
    used.verify("t")
    clock.advance(30)
    used.verify("t")
    assert 4 == len(upstream.asked)


def test_the_end_is_the_end_although_refreshing_failed(used, upstream, clock):
    """Backing off never serves an answer beyond its own end."""
    clock.advance(DUE)
    upstream.go_down()
    for _ in range(10):
        used.verify("t")
        clock.advance(0.5)
    clock.now = 1_700_000_060

    with pytest.raises(AuthServiceUnavailable):
        used.verify("t")


def test_a_refusal_on_refresh_takes_effect_at_once(used, upstream, clock):
    """A token that the refresh finds revoked is refused from that request on."""
    clock.advance(DUE)
    upstream.good.clear()
    for _ in range(2):
        with pytest.raises(InvalidToken):
            used.verify("t")

    assert 2 == len(upstream.asked)


def test_a_refresh_is_not_stored_after_an_invalidation(used, upstream, clock, threads):
    """An invalidation during the refresh wins over the answer that is on its way."""
    clock.advance(DUE)
    gate = upstream.hold()
    first = threads.submit(used.verify, "t")
    assert gate.begun.wait(PATIENCE)
    upstream.good.clear()
    used.invalidate("t")
    gate.release.set()
    first.result(PATIENCE)

    with pytest.raises(InvalidToken):
        used.verify("t")


def test_a_killed_refresh_leaves_the_answer_in_force(used, upstream, clock):
    """A request killed while it refreshes costs nobody else anything: the next one asks."""
    clock.advance(DUE)
    upstream.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        used.verify("t")
    upstream.come_back()

    assert "user of t" == used.verify("t").subject
    assert 3 == len(upstream.asked)


def test_an_expiry_leaves_nothing_to_refresh(make, upstream, clock):
    """A token that expires before the ttl does is not asked about again ahead of its ``exp``."""
    upstream.accept("t", exp=1_700_000_010)
    verifier = make()
    for _ in range(9):
        verifier.verify("t")
        clock.advance(1)

    assert 1 == len(upstream.asked)
