"""_log.py: outside values cannot forge a line, and an outage cannot fill a disk (RULES 44, 51)."""

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward import _log
from tokenward._log import MAX_SHOWN, OncePerMinute, shown
from tokenward.testing import FakeClock


@pytest.fixture
def logger():
    """Return a logger of this test's own."""
    logger = logging.getLogger("tokenward.test_log")
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()


@given(st.text() | st.binary() | st.integers() | st.lists(st.text()))
def test_whatever_comes_is_one_line(value):
    """No character ends a line, moves a cursor or is invisible."""
    text = shown(value)

    assert text.removesuffix("…").isascii()
    assert text.isprintable()
    assert 1 == len(text.splitlines() or [""])


def test_long_values_are_cut():
    """A value is shown as far as it helps."""
    assert ("a" * MAX_SHOWN, "a" * MAX_SHOWN + "…") == (
        shown("a" * MAX_SHOWN),
        shown("a" * (MAX_SHOWN + 1)),
    )
    assert "ab…" == shown("abcd", limit=2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain /?=", "plain /?="),
        ("a\r\nb", r"a\x0d\x0ab"),
        ("\x1b[31m", r"\x1b[31m"),
        ("é\u202e\ud800", r"\xe9\u202e\ud800"),
        (["a", 1], "['a', 1]"),
        (None, "None"),
    ],
)
def test_escapes(value, text):
    """What is not printable ASCII is written as an escape."""
    assert text == shown(value)


class _Unshowable:
    def __repr__(self):
        raise RuntimeError


def test_what_has_no_repr():
    """A value that cannot be shown does not turn a refusal into a crash."""
    assert ("<int>", "<_Unshowable>") == (shown(10**5_000), shown(_Unshowable()))


def test_once_a_minute(logger, caplog):
    """One key is logged once in sixty seconds; another key is another line."""
    clock = FakeClock(1_000.0)
    seldom = OncePerMinute(logger, clock=clock)
    with caplog.at_level(logging.DEBUG, logger.name):
        for clock.now in (1_000.0, 1_059.9, 1_060.0, 1_119.9):
            seldom.log(logging.ERROR, ("a", "b"), "first %s", clock.now)
        seldom.log(logging.WARNING, ("a", "c"), "second")

    assert [
        ("tokenward.test_log", logging.ERROR, "first 1000.0"),
        ("tokenward.test_log", logging.ERROR, "first 1060.0"),
        ("tokenward.test_log", logging.WARNING, "second"),
    ] == caplog.record_tuples


def test_what_is_remembered_is_bounded(logger):
    """However many keys there are, the memory of them stays small."""
    seldom = OncePerMinute(logger, clock=FakeClock())
    for number in range(3 * _log._MAX_REMEMBERED):
        seldom.log(logging.DEBUG, (str(number),), "x")

    assert len(seldom._last) <= _log._MAX_REMEMBERED


class _Handler(logging.Handler):
    """Does in `emit` what a test tells it to."""

    def __init__(self, does):
        super().__init__()
        self.does = does

    def emit(self, record):
        self.does(record)


def test_a_failing_handler_changes_nothing(logger):
    """A handler that raises does not reach the request (RULES 51)."""
    called = []

    def fail(record):
        called.append(record)
        raise OSError

    logger.addHandler(_Handler(fail))

    assert OncePerMinute(logger).log(logging.ERROR, ("a",), "x") is None
    assert 1 == len(called)


def test_no_lock_is_held_while_a_handler_runs(logger):
    """A handler that blocks holds up its own request only (RULES 45)."""
    seldom = OncePerMinute(logger)
    locked = []
    logger.addHandler(_Handler(lambda _: locked.append(seldom._lock.locked())))
    seldom.log(logging.ERROR, ("a",), "x")

    assert [False] == locked


def test_one_of_many_threads_logs(logger, caplog):
    """Threads that see one outage together log it once."""
    seldom = OncePerMinute(logger)
    barrier = threading.Barrier(16)

    def log():
        barrier.wait()
        seldom.log(logging.ERROR, ("a",), "down")

    threads = [threading.Thread(target=log) for _ in range(16)]
    with caplog.at_level(logging.DEBUG, logger.name):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert ["down"] == caplog.messages
