from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenward.errors import InvalidRequest

NOW = 1_700_000_000.5
END = NOW + 300


@pytest.fixture
def clock():
    """The moment at which all of this happens; counters are told theirs with every call."""
    return lambda: NOW


@pytest.fixture
def counters(repositories):
    """An empty repository of each kind."""
    return repositories.counters


def values(counters, *keys, now=NOW) -> list[int]:
    return [value for value, _end in counters.read(keys, now=now)]


def test_a_counter_starts_at_nothing(counters):
    """What nobody counted is 0, and over already."""
    assert counters.read(["a", "b"], now=NOW) == [(0, NOW), (0, NOW)]
    assert counters.read([], now=NOW) == []


def test_adding_adds_up(counters):
    """The answer is what each counter has come to, in the order of the keys."""
    assert counters.add(["a"], 1, now=NOW, expires_at=END) == [(1, END)]
    assert counters.add(["b", "a"], 2, now=NOW, expires_at=END) == [(2, END), (3, END)]
    assert counters.read(["a", "b", "c"], now=NOW) == [(3, END), (2, END), (0, NOW)]


def test_adding_to_no_key_does_nothing(counters):
    """A limit that is turned off has none."""
    assert counters.add([], 1, now=NOW, expires_at=END) == []


def test_a_counter_keeps_the_end_it_was_started_with(counters):
    """Who goes on trying does not wait longer for it, nor shorter."""
    counters.add(["a"], 1, now=NOW, expires_at=END)
    assert counters.add(["a"], 1, now=NOW + 299, expires_at=NOW + 900) == [(2, END)]
    assert counters.add(["a"], 1, now=NOW + 299, expires_at=NOW + 299.5) == [(3, END)]


def test_a_counter_that_is_over_starts_anew(counters):
    """At its end, and not before."""
    counters.add(["a"], 5, now=NOW, expires_at=END)
    assert values(counters, "a", now=END - 0.25) == [5]
    assert counters.read(["a"], now=END) == [(0, END)]
    assert counters.add(["a"], 1, now=END, expires_at=END + 60) == [(1, END + 60)]
    assert values(counters, "a", now=END + 59) == [1]


def test_a_counter_starts_anew_among_many_that_are_over(counters):
    """However much is still to be forgotten, nobody gets an old count."""
    for n in range(3):
        counters.add([f"{n} {k}" for k in range(50)], 1, now=NOW, expires_at=NOW + 1)
    counters.add(["a"], 5, now=NOW, expires_at=NOW + 2)
    assert counters.add(["a"], 1, now=NOW + 3, expires_at=END) == [(1, END)]


def test_what_is_taken_back_is_taken_back(counters):
    """A success forgives, but nobody has attempts in stock."""
    counters.add(["a"], 5, now=NOW, expires_at=END)
    assert counters.add(["a"], -2, now=NOW, expires_at=END) == [(3, END)]
    assert counters.add(["a"], -9, now=NOW, expires_at=END) == [(0, END)]
    assert counters.add(["new"], -1, now=NOW, expires_at=END)[0][0] == 0
    assert counters.add(["a", "new"], 1, now=NOW, expires_at=END) == [(1, END), (1, END)]


def test_adding_nothing_looks(counters):
    """0 is an amount."""
    counters.add(["a"], 5, now=NOW, expires_at=END)
    assert counters.add(["a"], 0, now=NOW, expires_at=END) == [(5, END)]


def test_clearing_forgets_these_and_no_others(counters):
    """A counter that is cleared is as if nobody had counted."""
    counters.add(["a", "b", "c"], 5, now=NOW, expires_at=END)
    counters.clear(["a", "c", "unknown"])
    counters.clear([])
    assert values(counters, "a", "b", "c") == [0, 5, 0]
    assert counters.add(["a"], 1, now=NOW, expires_at=END + 60) == [(1, END + 60)]


def test_purging_forgets_what_is_over_and_nothing_else(counters):
    """The end itself is over."""
    for key, end in [("past", NOW - 1), ("now", NOW), ("soon", NOW + 0.25)]:
        counters.add([key], 1, now=NOW - 10, expires_at=end)
    assert counters.purge_expired(NOW) == 2
    assert values(counters, "past", "now", "soon") == [0, 0, 1]
    assert counters.purge_expired(NOW) == 0


def test_a_key_is_compared_exactly(counters):
    """A key is no name: case, accents and white space count."""
    keys = ["é", "É", "e", "e ", "e\u0301", "x" * 255]
    for n, key in enumerate(keys, 1):
        counters.add([key], n, now=NOW, expires_at=END)
    assert values(counters, *keys) == [1, 2, 3, 4, 5, 6]


def test_what_is_no_key_is_refused(counters):
    """The message names the argument; nothing is counted, also beside it."""
    for key in ("", "x" * 256, "a\n", "\ud800", None, 5, b"a", {"$ne": None}):
        for refused in (
            lambda key=key: counters.add(["good", key], 1, now=NOW, expires_at=END),
            lambda key=key: counters.read([key], now=NOW),
            lambda key=key: counters.clear([key]),
        ):
            with pytest.raises(InvalidRequest) as caught:
                refused()
            assert caught.value.fields.keys() == {"keys"}
    assert values(counters, "good") == [0]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("amount", 1.5),
        ("amount", "1"),
        ("amount", True),
        ("amount", 2**31 + 1),
        ("now", None),
        ("now", float("nan")),
        ("expires_at", float("inf")),
        ("expires_at", "1700000000"),
    ],
)
def test_what_cannot_be_counted_is_refused(counters, argument, value):
    """The message names the argument."""
    given = {"amount": 1, "now": NOW, "expires_at": END, argument: value}
    with pytest.raises(InvalidRequest) as caught:
        counters.add(["a"], **given)
    assert caught.value.fields.keys() == {argument}
    assert values(counters, "a") == [0]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-3, 5), st.integers(0, 30)), max_size=12)
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_counters_do_what_a_dictionary_would(counters, steps):
    """Whatever is added, taken back and left to end, in whatever order."""
    counters.clear("abc")
    expected = {}
    now = NOW
    for key, amount, passed in steps:
        now += passed
        value, end = expected.get(key, (0, now))
        if end <= now:
            value, end = 0, now + 20
        expected[key] = (max(0, value + amount), end)
        [(counted, _end)] = counters.add([key], amount, now=now, expires_at=now + 20)
        assert counted == expected[key][0]


def test_many_threads_count_every_attempt(counters):
    """Of attempts at the same moment none is counted as another."""
    start = threading.Barrier(8)
    counted = []

    def count() -> None:
        start.wait(120)
        for _ in range(10):
            counted.extend(counters.add(["a", "b"], 1, now=NOW, expires_at=END))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(value for value, _end in counted) == sorted([*range(1, 81)] * 2)
    assert values(counters, "a", "b") == [80, 80]
