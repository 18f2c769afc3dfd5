"""The whole machine, small: both examples under gunicorn, an auth service, Redis and MongoDB.

Each fault comes once, with the load running; what is asserted is what the full measurement shows.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

# One run of the machine serves all; the first test waits for it.
pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
RECOVERED = 100.0  # seconds, on a machine that does other things too
FAULTS = {
    "authorization server killed",
    "authorization server slow",
    "signing keys rotated",
    "Redis killed",
    "MongoDB server restarted",
    "a worker killed",
}


@dataclass(frozen=True)
class Ran:
    """What the machine's measurement found, and the folder with every program's log."""

    folder: Path
    results: dict
    timelines: dict


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Measure once, with so little effort that it only shows whether everything runs."""
    folder = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        effort = import_module("benchmarks.harness").Effort(0)
        findings = list(import_module("benchmarks.machine.measured").measured(folder, effort))
        timeline = import_module("benchmarks.findings").Timeline
    return Ran(
        folder,
        {one.row: one for one in findings if not isinstance(one, timeline)},
        {one.name: one for one in findings if isinstance(one, timeline)},
    )


def figures(ran, pattern):
    """Return the figures of the rows that a pattern finds; there are some."""
    found = {row: one.figure for row, one in ran.results.items() if re.search(pattern, row)}
    assert found
    return found


def test_every_load_is_measured_on_both_applications(ran):
    """Throughput and three percentiles each, drawn in one plot; of few answers, not all of them."""
    for framework in ("Flask", "Django"):
        for what in ("throughput", "p50", "p99", r"p99\.9"):
            taken = figures(ran, f"^{framework}.*: {what}$")
            assert 4 == len(taken)
            missing = {row for row, figure in taken.items() if figure is None}
            assert all("too few answers" in ran.results[row].detail for row in missing)
            assert not (missing and what in ("throughput", "p50"))
            assert all(figure > 0 for figure in taken.values() if figure is not None)
    drawn = {one.topic for one in ran.results.values() if one.row.endswith("throughput")}
    assert {"machine-load"} == drawn


def test_the_auth_service_is_asked_once_for_each_new_token_and_never_for_a_known_one(ran):
    """By gunicorn's count of it, before the faults and after them."""
    found = figures(ran, "questions too many")
    assert 12 == len(found)
    assert set(found) == {row for row, figure in found.items() if figure == 0}, {
        row: ran.results[row].detail for row in found
    }


@pytest.mark.parametrize(
    "row",
    ["500s,", "wrong admissions", "good tokens refused", "connections reset", "tokens in use"],
)
def test_what_must_not_happen_under_faults_does_not(ran, row):
    """Nobody is let in wrongly, nobody sees a 500, and an outage calls no token bad."""
    ((row, figure),) = figures(ran, f"^under faults: {row}").items()
    assert 0 == figure, ran.results[row].detail


def test_every_fault_is_recovered_from(ran):
    """A token that nobody has seen is let in again soon after each."""
    found = figures(ran, "^recovery after ")
    assert {f"recovery after {fault}" for fault in FAULTS} == set(found)
    assert all(figure is not None and figure < RECOVERED for figure in found.values()), found


def test_a_new_worker_finds_what_the_old_one_knew(ran):
    """In Redis: nobody is asked about tokens in use, but about new and about refused ones."""
    (row,) = figures(ran, "^questions from a worker killed")
    new = int(ran.results[row].detail.split()[0])
    refused = 2 * 12  # expired and revoked ones, which each process knows for itself
    assert ran.results[row].figure <= new + refused


def test_the_timelines_name_every_fault(ran):
    """Where it began and where it ended; every kind has a value for every second."""
    assert {"machine-faults", "machine-recovery"} == set(ran.timelines)
    for timeline in ran.timelines.values():
        assert FAULTS == {mark.label for mark in timeline.marks}
        assert all(mark.start <= mark.end for mark in timeline.marks)
        lengths = {len(values) for values in timeline.kinds.values()}
        assert {len(timeline.seconds)} == lengths


def test_new_tokens_are_put_off_while_the_authorization_server_is_away(ran):
    """With 503 and Retry-After, while tokens in use are answered as ever."""
    timeline = ran.timelines["machine-faults"]
    (outage,) = (one for one in timeline.marks if one.label == "authorization server killed")
    during = [n for n, at in enumerate(timeline.seconds) if outage.start <= at <= outage.end]
    assert during
    assert sum(timeline.kinds["503"][n] for n in during) > 0
    # In every moment in which anybody was answered: a machine that stands still answers nobody.
    answered = [n for n in during if any(values[n] for values in timeline.kinds.values())]
    assert all(timeline.kinds["200"][n] > 0 for n in answered)


def test_a_killed_worker_takes_its_connections_along(ran):
    """They are counted apart: whoever was connected to it is reset, and nobody else."""
    timeline = ran.timelines["machine-faults"]
    (killed,) = (one for one in timeline.marks if one.label == "a worker killed")
    resets = [at for at, n in zip(timeline.seconds, timeline.kinds["reset"], strict=True) if n]
    assert resets
    assert all(killed.start - 1 <= at <= killed.end + 4 for at in resets)


@pytest.mark.parametrize("name", ["auth", "flask", "django"])
def test_no_log_holds_a_traceback_or_a_token(ran, name):
    """Whatever was taken away meanwhile."""
    log = (ran.folder / f"{name}.log").read_text() + (ran.folder / f"{name}.access").read_text()
    assert "Traceback" not in log
    assert not re.search(r"eyJ[\w-]{20,}", log)


def test_nothing_of_the_machine_runs_afterwards(ran):
    """Every process that was started has ended with the measurement."""
    running = [
        command
        for process in Path("/proc").glob("[0-9]*")
        if str(ran.folder) in (command := command_line(process))
    ]
    assert [] == running


def command_line(process):
    try:
        return (process / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def test_a_program_can_be_held_up_ended_and_started_again(tmp_path, monkeypatch):
    """On the port that it had; killed, it is gone at once."""
    monkeypatch.syspath_prepend(ROOT)
    with import_module("benchmarks.machine.programs").Redis(tmp_path) as redis:
        first = redis.pid
        redis.pause()
        assert not redis.answers()
        redis.resume()
        assert redis.answers()
        redis.stop()
        assert (False, False) == (redis.running, redis.answers())
        redis.start()
        assert redis.answers()
        redis.restart()
        assert redis.answers()
        assert redis.pid != first
        redis.pause()
    assert not redis.running
