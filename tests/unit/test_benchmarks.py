"""benchmarks/: the figures are told as they are, and what could not be measured is told too."""

import dataclasses
import itertools
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import requests

from tokenward import InvalidToken

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmarks(monkeypatch):
    """Import a module of the benchmarks, which are no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.{name}")


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


@pytest.mark.parametrize(
    ("figure", "bar", "line"),
    [
        (1.1, 1.2, "| row | 1.1 x | <= 1.2 | met | why |"),
        (1.3, 1.2, "| row | 1.3 x | <= 1.2 | MISSED | why |"),
        (3.5, None, "| row | 3.5 x |  |  | why |"),
        (None, None, "| row | - |  |  | why |"),
    ],
)
def test_a_figure_stands_in_the_table(benchmarks, figure, bar, line):
    """With its verdict if it has a bar; a peer's figure has none."""
    harness = benchmarks("harness")
    result = harness.Result("row", figure, "x", bar, detail="why")
    assert line == harness.table([result]).splitlines()[-1]


def test_an_environment_that_cannot_be_made_says_why(benchmarks, tmp_path):
    """The reason is that of the program which failed."""
    (tmp_path / "file").write_text("in the way")
    environment = benchmarks("environment")
    with pytest.raises(environment.Unavailable, match="Not a directory"):
        environment.interpreter(tmp_path / "file" / "env")


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ("WARNING: slow\nERROR: no such release\nnotice: a new pip\n", "ERROR: no such release"),
        ("Traceback\n  File\nKeyError: 'x'\n\n", "KeyError: 'x'"),
        ("", "it said nothing"),
    ],
)
def test_a_reason_is_one_line(benchmarks, errors, said):
    """It is what pip calls an error, or else the last line."""
    assert said == benchmarks("environment").last_line(errors)


@pytest.fixture
def nowhere(benchmarks):
    """Fail to make an environment for the peers."""

    def made():
        raise benchmarks("environment").Unavailable("no network")

    return made


def test_what_a_peer_tells_is_a_result(benchmarks, tmp_path):
    """Each line of what is measured in the environment becomes a row, then the reason of a fall."""
    harness, python = benchmarks("harness"), tmp_path / "python"
    told = harness.Result("row", 1.5, "x floor", None, detail="2 µs over 1 µs")
    line = json.dumps(dataclasses.asdict(told))
    python.write_text(f"#!/bin/sh\necho '{line}'\necho \"$@\" >&2\nexit 1\n")
    python.chmod(0o700)
    results = benchmarks("environment").measured(
        "what", "module", "--rounds=3", made=lambda: python
    )
    why = "not measured: -m benchmarks.peers.module --rounds=3"
    assert [told, harness.Result("what", None, "", None, detail=why)] == list(results)


def test_an_environment_is_tried_for_once(benchmarks):
    """Without a network, no row waits for what another one has waited for."""
    environment, tries = benchmarks("environment"), []

    def made():
        tries.append(1)
        raise environment.Unavailable("no network")

    for what in "ab":
        (result,) = environment.measured(what, "module", made=made)
        assert (what, "not measured: no network") == (result.row, result.detail)
    assert [1] == tries


def test_peers_without_an_environment_are_told_of(benchmarks, nowhere):
    """No row is left out in silence."""
    results = benchmarks("rows.peers").measure(benchmarks("harness").Effort(0), made=nowhere)
    assert [
        ("peers of flask", None, "not measured: no network"),
        ("peers of django", None, "not measured: no network"),
    ] == [(result.row, result.figure, result.detail) for result in results]


def test_peers_that_fail_are_told_of(benchmarks):
    """Here they are not installed, and so each framework has the reason in the place of figures."""
    effort = benchmarks("harness").Effort(0)
    results = benchmarks("rows.peers").measure(effort, made=lambda: Path(sys.executable))
    reason = "not measured: ModuleNotFoundError: No module named "
    assert [None, None] == [result.figure for result in results]
    assert [reason, reason] == [result.detail[: len(reason)] for result in results]


def test_every_row_has_a_module(benchmarks):
    """The names that the command line offers are all there is, and each can be measured."""
    rows = set(benchmarks("__main__").ROWS)
    assert rows == {path.stem for path in (ROOT / "benchmarks" / "rows").glob("[!_]*.py")}
    assert all(callable(benchmarks(f"rows.{row}").measure) for row in rows)


@pytest.mark.parametrize(
    ("row", "bars"),
    [
        ("cached_verify", [1.3, 1.3, None, None, ..., ...]),
        ("new_token", [0.6, ...]),
        ("cold_token", [1, 1.5, 1, 1.5, 1, 1.5, ...]),
        ("first_verify", [0.45, 0.62, 0.8, 0.86, ...]),
        ("long_token", [2, ...]),
        ("import_time", [1.3, 1.3, 0.1, ...]),
    ],
)
def test_a_row_with_peers_runs(benchmarks, nowhere, row, bars):
    """One round of each: every figure but the peers' is there, beside its bar."""
    results = benchmarks(f"rows.{row}").measure(benchmarks("harness").Effort(0), made=nowhere)
    assert bars == [... if result.figure is None else result.bar for result in results]


def test_one_fetch_is_counted_however_many_keys_are_named(benchmarks, nowhere):
    """The verifier of the row fetches its keys once, and good tokens are timed meanwhile."""
    effort = benchmarks("harness").Effort(0)
    fetches, p99, peers = benchmarks("rows.unknown_kids").measure(effort, made=nowhere)
    assert ("200 unknown kids: fetches", 1, 1) == (fetches.row, fetches.figure, fetches.bar)
    assert 0 < p99.figure < 100
    assert peers.figure is None


def test_the_row_of_many_issuers_runs(benchmarks):
    """Every issuer weighs something, and each of its tokens is verified."""
    measure = benchmarks("rows.many_issuers").measure
    hits, weight = measure(benchmarks("harness").Effort(0), issuers=5)
    assert ("5 issuers, cached verify", "5 issuers: an issuer") == (hits.row, weight.row)
    assert hits.figure > 0
    assert 1 < weight.figure < 100


def test_documents_are_served_and_counted(benchmarks):
    """Each fetch counts, and publishing does not."""
    with benchmarks("upstream").running() as upstream:
        url = upstream.publish({"keys": []})
        assert 0 == upstream.calls()
        assert {"keys": []} == requests.get(url, timeout=5).json()
        assert 1 == upstream.calls()


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("characters", [800, 5_000])
def test_a_signed_token_has_its_length(benchmarks, algorithm, characters):
    """Whatever the signature takes of it; and it is one that is accepted."""
    signed = benchmarks("signed")
    by = signed.signer(algorithm)
    token = by.token(characters=characters)
    assert characters == pytest.approx(len(token), abs=3)
    assert signed.ISSUER == signed.pinned_verifier(by).verify(token).issuer
    assert signed.ISSUER == signed.pyjwt_decode(by)(token)["iss"]


def test_a_signed_token_may_name_another_key(benchmarks):
    """Then its own is not found."""
    signed = benchmarks("signed")
    by = signed.signer("ES256")
    with pytest.raises(InvalidToken) as refused:
        signed.pinned_verifier(by).verify(by.token(kid="key-1"))
    assert "unknown_key" == refused.value.reason


def test_calls_for_one_cold_token_are_counted(benchmarks):
    """One who asks for every thread is told of with 32 calls, and with what the threads got."""
    crowd, calls = benchmarks("crowd"), itertools.count()

    class Upstream:
        def url(self, **_behaviour):
            return "url"

        def calls(self):
            return asked[-1] if asked else 0

    asked = []

    def make(url):
        assert "url" == url

        def ask(token):
            asked.append(next(calls) + 1)
            raise KeyError(token)

        return ask

    (result,) = crowd.one_cold_token(Upstream(), crowd.CASES[1], make, rounds=2, by="somebody")
    expected = ("32 threads, one cold token, upstream 503: somebody", 32, None)
    assert expected == (result.row, result.figure, result.bar)
    assert "every thread got KeyError" in result.detail


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


def test_the_rows_of_the_frameworks_run(tmp_path):
    """One round of each, in a process of their own: every view answers 200."""
    figures = tmp_path / "bench.json"
    command = ["-m", "benchmarks", "--once", "--output", str(figures)]
    rows = ["flask_view", "django_view", "drf_view"]
    subprocess.run([sys.executable, *command, *rows], cwd=ROOT, check=True, capture_output=True)
    results = json.loads(figures.read_text("utf-8"))["results"]
    assert [
        "Flask, protected view on a hit",
        "Django, protected view on a hit",
        "DRF, protected view on a hit",
    ] == [result["row"] for result in results]
