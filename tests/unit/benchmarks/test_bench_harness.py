"""benchmarks/harness.py, together.py, crowd.py, flood.py: what is measured is what is told."""

import itertools
import threading
import time

import pytest


def test_a_ratio_is_that_of_a_round(benchmarks):
    """One that fell into a slow stretch alone does not count for more than one round."""
    taken = benchmarks("harness").Taken({"one": [2, 20, 2], "floor": [1, 10, 10]})
    assert (2, 2.0) == (taken["one"], taken.over("one", "floor"))


def test_every_candidate_is_timed_in_every_round(benchmarks):
    """By the clock that was handed in, whatever the order of a round."""
    harness, now, calls = benchmarks("harness"), [0.0], {"a": 0, "b": 0}

    def candidate(name, seconds):
        def call():
            calls[name] += 1
            now[0] += seconds

        return call

    taken = harness.interleaved(
        {"a": candidate("a", 1), "b": candidate("b", 3)},
        number=2,
        rounds=5,
        clock=lambda: now[0],
    )
    assert {"a": 11, "b": 11} == calls
    assert {"a": [1.0] * 5, "b": [3.0] * 5} == taken.rounds


def test_calls_for_one_cold_token_are_counted(benchmarks):
    """One who asks for every thread is told of with 32 calls, and with what the threads got."""
    crowd, numbers = benchmarks("crowd"), itertools.count()

    class Upstream:
        def url(self, **_behaviour):
            return "url"

        def calls(self):
            return asked[-1] if asked else 0

    asked = []

    def make(url):
        assert "url" == url

        def ask(token):
            asked.append(next(numbers) + 1)
            raise KeyError(token)

        return ask

    calls, last = crowd.one_cold_token(Upstream(), crowd.CASES[1], make, rounds=2, by="somebody")
    row = "32 threads, one cold token, upstream 503: somebody"
    assert (f"{row}: calls", 32, None) == (calls.row, calls.figure, calls.bar)
    assert (f"{row}: the last answer", "x latency") == (last.row, last.unit)
    assert "every thread got KeyError" in calls.detail
    assert {("somebody", "cold-token", "upstream 503")} == {
        (one.by, one.topic, one.case) for one in (calls, last)
    }


def test_threads_work_at_the_same_time(benchmarks):
    """Each does the work once, and all are done when the seconds are told."""
    done, all_here = [], threading.Barrier(4, timeout=90)

    def work():
        all_here.wait()
        done.append(threading.get_ident())

    assert benchmarks("together").together(work, threads=4) > 0
    assert 4 == len(set(done)) == len(done)


def test_threads_are_timed_until_the_last_is_done(benchmarks):
    """And from when they begin; the clock counts who is done, one after the other."""
    done, begun, arrived = [], threading.Event(), itertools.count()
    turns, in_time = [threading.Event() for _ in range(33)], []

    def clock():
        in_time.append(begun.wait(90))
        seen = len(done)
        turns[0].set()
        return seen

    def work():
        begun.set()
        turn = next(arrived)
        turns[turn].wait(90)
        # Whoever does not wait for the others has every chance to look now.
        for _ in range(30):
            time.sleep(0)
        done.append(turn)
        turns[turn + 1].set()

    assert 32 == benchmarks("together").together(work, threads=32, clock=clock)
    assert [True, True] == in_time


def test_a_thread_that_fails_leaves_no_figure(benchmarks):
    """It would be done at once; its error comes when the others are done too."""
    done, numbers = [], itertools.count()

    def work():
        if next(numbers) == 2:
            raise KeyError("a token")
        done.append(1)

    with pytest.raises(KeyError, match="a token"):
        benchmarks("together").together(work, threads=4)
    assert 3 == len(done)


@pytest.mark.parametrize(("threads", "expected"), [(1, 10), (4, 8)])
def test_threads_share_the_calls_evenly(benchmarks, threads, expected):
    """What is left over is called by none."""
    calls = []
    assert benchmarks("together").calls_together(lambda: calls.append(1), 10, threads=threads) > 0
    assert expected == len(calls)


def test_a_cache_that_grows_is_told_from_one_that_does_not(benchmarks):
    """By the memory of the process, after the bound of the one that has a bound."""
    flood, kept = benchmarks("flood").flood, {}

    def keep(token):
        kept[token] = bytearray(50_000)

    weight, grown = flood("tokens", keep, held=lambda: len(kept), entries=20, tokens=1_000)
    assert ("1,000 tokens: an entry", "1,000 tokens: growth after the bound") == (
        weight.row,
        grown.row,
    )
    assert 49 < weight.figure < 52
    # 46 MiB were kept; what earlier tests have freed may have held some of them.
    assert 15 < grown.figure < 80
    assert "1,000 entries held at the end" == grown.detail
    _weight, flat = flood("tokens", lambda _token: None, held=lambda: 0, entries=20, tokens=1_000)
    assert flat.figure < 10


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 2, 3, 4, 5], (2, 4)), ([1], None), ([], None)]
)
def test_quartiles_lie_among_the_values(benchmarks, values, expected):
    """Of one value there are none."""
    assert expected == benchmarks("harness").quartiles(values)


@pytest.mark.parametrize(("scale", "expected"), [(0, 1), (0.5, 5), (1, 10), (5, 50)])
def test_an_effort_scales_rounds(benchmarks, scale, expected):
    """There is always one."""
    assert expected == benchmarks("harness").Effort(scale).rounds(10)


def test_a_throughput_is_told_with_its_quartiles(benchmarks):
    """By whom, in which case."""
    found = benchmarks("crowd").throughput({"somebody": int}, rounds=3, case="this", calls=80)
    one = found["somebody"]
    assert ("somebody", "this", ">=") == (one.by, one.case, one.side)
    first, third = one.spread
    assert 0 < first <= one.figure <= third
