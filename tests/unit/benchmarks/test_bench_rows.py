"""benchmarks/rows: every row runs, and has its bars."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tokenward import InvalidToken

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("row", "bars"),
    [
        ("cached_verify", [1.3, 1.3, None, None, ..., ...]),
        ("new_token", [0.6, ...]),
        ("cold_token", [1, 1.5, 1, 1.5, 1, 1.5, ...]),
        ("first_verify", [0.45, 0.62, 0.8, 0.86, ...]),
        ("long_token", [2, ...]),
        ("import_time", [1.3, 1.3, 0.1, 3, 3, 3, ...]),
    ],
)
def test_a_row_with_peers_runs(benchmarks, nowhere, row, bars):
    """One round of each: every figure but the peers' is there, beside its bar, and is drawn."""
    results = benchmarks(f"rows.{row}").measure(benchmarks("harness").Effort(0), made=nowhere)
    assert bars == [... if result.figure is None else result.bar for result in results]
    assert {row.replace("_", "-")} == {one.topic for one in results if one.bar is not None}


def test_peers_that_fail_are_told_of(benchmarks):
    """Here they are not installed, and so the row has the reason in the place of figures."""
    effort = benchmarks("harness").Effort(0)
    *_ours, peers = benchmarks("rows.long_token").measure(effort, made=lambda: Path(sys.executable))
    assert ("5 kB token: peers", None) == (peers.row, peers.figure)
    assert peers.detail.startswith("not measured: ModuleNotFoundError: No module named ")


def test_one_fetch_is_counted_however_many_keys_are_named(benchmarks, nowhere):
    """The verifier of the row fetches its keys once, and good tokens are timed meanwhile."""
    effort = benchmarks("harness").Effort(0)
    fetches, p99, peers = benchmarks("rows.unknown_kids").measure(effort, made=nowhere)
    assert ("200 unknown kids: fetches", 1, 1) == (fetches.row, fetches.figure, fetches.bar)
    assert 0 < p99.figure
    assert "the bar is 2 because" in p99.detail
    assert peers.figure is None


def test_documents_are_served_and_counted(benchmarks):
    """Each fetch counts, and publishing does not."""
    with benchmarks("upstream").running() as upstream:
        url = upstream.publish({"keys": []})
        assert 0 == upstream.calls()
        assert {"keys": []} == requests.get(url, timeout=90).json()
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


def test_the_rows_of_the_frameworks_run(tmp_path):
    """One round of each, in a process of their own: every view answers 200."""
    command = ["-m", "benchmarks", "--once", "--output", str(tmp_path)]
    rows = ["flask_view", "django_view", "drf_view"]
    environ = os.environ | {"BENCH_PEERS": "none"}
    subprocess.run(
        [sys.executable, *command, *rows], cwd=ROOT, env=environ, check=True, capture_output=True
    )
    runs = json.loads((tmp_path / "results.json").read_text("utf-8"))["benchmarks"]
    assert {
        "flask_view": [
            "Flask, protected view on a hit",
            "Flask, the least that protects a view",
            "Flask: peers",
        ],
        "django_view": ["Django, protected view on a hit", "Django: peers"],
        "drf_view": ["DRF, protected view on a hit", "DRF: peers"],
    } == {name: [one["row"] for one in run["findings"]] for name, run in runs.items()}
    details = {name: run["findings"][0]["detail"] for name, run in runs.items()}
    assert "(1 query, " in details["django_view"]
    assert all("of which the cached verification" in one for one in details.values())
    assert {"flask-view.svg", "django-view.svg", "drf-view.svg"} == {
        path.name for path in tmp_path.glob("*.svg")
    }


def test_threads_are_told_of_beside_the_floor(benchmarks, nowhere):
    """Ours have the bar, the floor explains it."""
    results = benchmarks("rows.threads").measure(benchmarks("harness").Effort(0), made=nowhere)
    measured = [one for one in results if one.figure is not None]
    assert [
        ("tokenward", 0.95),
        ("tokenward, a signed token", 0.95),
        ("the floor: SHA-256, dict, expiry", None),
    ] == [(one.by, one.bar) for one in measured]
    assert {("threads", "x throughput")} == {(one.topic, one.unit) for one in measured}
    assert [True, True, False] == [
        "x the floor of the same round" in one.detail for one in measured
    ]


def test_what_a_first_verification_cannot_do_without_is_told(benchmarks, nowhere):
    """The signature is most of it: a missed bar is explained by what is left."""
    *ours, _peers = benchmarks("rows.first_verify").measure(
        benchmarks("harness").Effort(0), made=nowhere
    )
    assert [True] * 4 == ["the signature alone" in one.detail for one in ours]


def test_who_is_turned_away_on_purpose_is_no_news(benchmarks, monkeypatch, tmp_path, caplog):
    """The figure counts them; any other outage of the service measured is told."""
    url = f"sqlite:///{tmp_path}/bench.db"
    app = benchmarks("issuer_app")
    app.prepared(url)
    monkeypatch.setenv(app.STORE, url)
    logger = logging.getLogger("tokenward.endpoints")
    monkeypatch.setattr(logger, "filters", [*logger.filters])
    app.issuer()
    for reason in ("hashing_busy", "store_unavailable"):
        logger.error("%s: %s: %s", "/login", reason, "a hint")
    assert ["/login: store_unavailable: a hint"] == caplog.messages


def test_a_gain_is_told_over_the_floor_s_of_the_same_round(benchmarks):
    """Where the floor loses, what loses as much is no slower than it."""
    told = benchmarks("crowd").over_the_floor([0.4, 0.8, 0.9], [0.5, 0.8, 0.75])
    assert "; 1 x the floor of the same round (0.9 to 1.1), which itself gains 0.75 x" == told


def test_what_waits_for_nobody_is_timed_by_its_thread(benchmarks, nowhere, monkeypatch):
    """A hit is, whatever the machine does besides."""
    row, clocks = benchmarks("rows.cached_verify"), []
    interleaved = row.interleaved

    def watched(*candidates, **how):
        clocks.append(how["clock"])
        return interleaved(*candidates, **how)

    monkeypatch.setattr(row, "interleaved", watched)
    row.measure(benchmarks("harness").Effort(0), made=nowhere)
    assert [time.thread_time] == clocks
