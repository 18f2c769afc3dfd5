"""benchmarks/peers: beside every peer stands ours of the same rounds."""

import json

import pytest

CASE = "beside the peers"


@pytest.fixture
def peers(benchmarks):
    return benchmarks("peers")


def told(capsys):
    """Return what was printed: whose figure, in which panel, and the row."""
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return [(one["by"], one["case"], one["row"]) for one in lines]


def test_a_panel_holds_those_who_took_turns(benchmarks, peers):
    """Ours among them; the one that all are compared with is 1, without a spread."""
    taken = benchmarks("harness").Taken({"tokenward": [1, 1], "a": [4, 6], "b": [2, 2]})
    found = list(
        peers.beside(
            "row", taken, ["tokenward", "a", "b"], floor="b", unit="x b", topic="t", case=CASE
        )
    )
    assert [
        ("row: tokenward, beside a", "tokenward", 0.5, (0.5, 0.5)),
        ("row: a", "a", 2.5, (2.25, 2.75)),
        ("row: b", "b", 1, None),
    ] == [(one.row, one.by, one.figure, one.spread) for one in found]
    assert {("t", CASE, "x b", None)} == {(one.topic, one.case, one.unit, one.bar) for one in found}


def test_like_stands_beside_like(peers, capsys):
    """Who verifies a signature each time has ours that does so beside it, once in each panel."""

    def peer(does, anew=None, case=CASE):
        calls = (lambda: None,) * 3
        return peers.Peer("Flask", "requests", does, *calls, anew, case=case)

    signed = "RS256", lambda: None
    peers.run([peer("a", signed), peer("b", signed), peer("c"), peer("d", case="rows")], 1)
    lines = [
        (by.split()[0] if by.startswith("req") else by, case) for by, case, _row in told(capsys)
    ]
    assert [
        ("tokenward", CASE),
        ("tokenward, RS256 each time", CASE),
        ("requests", CASE),
        ("requests", CASE),
        ("requests", CASE),
        ("tokenward", "rows"),
        ("requests", "rows"),
    ] == lines
