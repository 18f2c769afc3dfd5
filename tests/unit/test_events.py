"""_events.py: an observer is told, and can change nothing (RULES 51)."""

import threading

import pytest

from tokenward._events import Events, emit, outcome_of
from tokenward.errors import (
    AuthServiceUnavailable,
    InvalidCredentials,
    InvalidToken,
    TokenExpired,
    TooManyAttempts,
)
from tokenward.protocols import Event

AS = "https://as.example"


@pytest.fixture
def seen():
    return []


@pytest.fixture
def events(seen):
    return Events(seen.append, AS)


def test_an_event_says_what_and_of_whom(seen):
    """Four members, all of them given."""
    emit(seen.append, "upstream", AS, "deadline", seconds=1.5)

    assert [Event("upstream", AS, 1.5, "deadline")] == seen


def test_nobody_is_told_where_there_is_nobody():
    """Without an observer there is nothing to do, and nothing is true."""
    emit(None, "verify", AS, "ok")
    nobody = Events(None, AS)
    nobody.emit("verify", "ok")
    with nobody.held(), nobody.timed("login"):
        pass

    assert not nobody


def test_what_an_observer_raises_is_dropped():
    """Whatever `Exception` it is, one of ours included."""
    for failure in (ValueError(), InvalidToken(), AuthServiceUnavailable(), StopIteration()):

        def fail(event, failure=failure):
            raise failure

        emit(fail, "verify", AS, "ok")


@pytest.mark.parametrize("order", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_order_to_the_thread_passes(order):
    """An interrupt that comes while an observer runs is not the observer's to lose."""

    def interrupted(event):
        raise order

    with pytest.raises(order):
        emit(interrupted, "verify", AS, "ok")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InvalidToken(), "invalid_token"),
        (InvalidToken(reason="inactive"), "inactive"),
        (TokenExpired(), "expired"),
        (InvalidCredentials(), "invalid_credentials"),
        (TooManyAttempts(retry_after=1), "too_many_attempts"),
        (AuthServiceUnavailable(), "unavailable"),
        (AuthServiceUnavailable(reason="deadline"), "unavailable"),
    ],
    ids=lambda value: getattr(value, "reason", value),
)
def test_outcomes_of_errors(error, outcome):
    """A refusal is its reason; an outage is one outcome, whatever its own was."""
    assert outcome == outcome_of(error)


def test_held_events_come_at_the_end_in_their_order(events, seen):
    """Those who wait for this thread do not wait for its observer."""
    with events.held():
        events.emit("cache", "process.miss")
        events.emit("upstream", "ok", seconds=2)
        assert [] == seen

    assert [Event("cache", AS, 0.0, "process.miss"), Event("upstream", AS, 2, "ok")] == seen
    events.emit("verify", "ok")
    assert 3 == len(seen)


def test_held_events_come_although_the_block_failed(events, seen):
    """What happened is told, however it ended."""

    def fail():
        with events.held():
            events.emit("cache", "process.miss")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    events.emit("verify", "ok")

    assert ["process.miss", "ok"] == [event.outcome for event in seen]


def test_blocks_within_blocks_are_one(events, seen):
    """The outermost one decides when."""
    with events.held():
        with events.held():
            events.emit("cache", "process.miss")
        assert [] == seen

    assert 1 == len(seen)


def test_threads_hold_their_own(events, seen):
    """One that holds its events back keeps nobody else's."""
    with events.held():
        thread = threading.Thread(target=events.emit, args=("cache", "process.hit"))
        thread.start()
        thread.join()
        assert 1 == len(seen)


def test_an_observer_may_cause_events(seen):
    """Those that it causes while held ones are told are told at once."""

    def observe(event):
        seen.append(event.outcome)
        if event.outcome == "process.miss":
            events.emit("cache", "process.hit")

    events = Events(observe, AS)
    with events.held():
        events.emit("cache", "process.miss")
        events.emit("upstream", "ok")

    assert ["process.miss", "process.hit", "ok"] == seen


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (InvalidCredentials(), "invalid_credentials"),
        (AuthServiceUnavailable(), "unavailable"),
        (RuntimeError(), "interrupted"),
        (SystemExit(), "interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_block_is_told_by_its_end(events, seen, error, outcome):
    """How it ended and how long it took; what it raised goes on."""

    def run():
        with events.timed("login"):
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()
    (event,) = seen

    assert ("login", AS, outcome) == (event.kind, event.verifier, event.outcome)
    assert 0 <= event.seconds < 90
