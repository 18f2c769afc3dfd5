"""benchmarks/environment.py: the peers' environment, and what is told where it is not to be had."""

import dataclasses
import json

import pytest


def test_an_environment_that_cannot_be_made_says_why(benchmarks, tmp_path):
    """The reason is that of the program which failed."""
    (tmp_path / "file").write_text("in the way")
    environment = benchmarks("environment")
    with pytest.raises(environment.Unavailable, match="File exists"):
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


def test_what_a_peer_tells_is_a_result(benchmarks, tmp_path):
    """Each line of what is measured in the environment becomes a row, then the reason of a fall."""
    python = tmp_path / "python"
    told = benchmarks("findings").Result("row", 1.5, "x floor", None, detail="2 µs over 1 µs")
    line = json.dumps(dataclasses.asdict(told))
    python.write_text(f"#!/bin/sh\necho '{line}'\necho \"$@\" >&2\nexit 1\n")
    python.chmod(0o700)
    results = benchmarks("environment").measured(
        "what", "module", "--rounds=3", made=lambda: python
    )
    why = "not measured: -m benchmarks.peers.module --rounds=3"
    assert [told, benchmarks("findings").Result("what", None, "", None, detail=why)] == list(
        results
    )


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


def test_peers_can_be_left_out(benchmarks, monkeypatch, tmp_path):
    """Nothing is installed then, and the reason names the variable."""
    environment = benchmarks("environment")
    monkeypatch.setenv("BENCH_PEERS", "none")
    with pytest.raises(environment.Unavailable, match="BENCH_PEERS is none"):
        environment.interpreter(tmp_path / "env")
    assert [] == list(tmp_path.iterdir())


def test_an_environment_stays_while_nothing_of_it_changes(benchmarks, monkeypatch, tmp_path):
    """It is made once for the same peers, and anew for others."""
    environment, made, peers = benchmarks("environment"), [], tmp_path / "peers.txt"

    def run(*command):
        made.append(command)
        (tmp_path / "env").mkdir(exist_ok=True)

    monkeypatch.delenv("BENCH_PEERS", raising=False)
    monkeypatch.setattr(environment, "_run", run)
    for text, steps in (("a==1\n", 2), ("a==1\n", 2), ("a==2\n", 4)):
        peers.write_text(text)
        python = environment.interpreter(tmp_path / "env", peers=peers)
        assert (tmp_path / "env" / "bin" / "python", steps) == (python, len(made))
