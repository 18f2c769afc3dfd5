"""benchmarks/soak: a leak is told from noise, and counters that do not agree are named."""

import dataclasses
import itertools
import os
import random
import sqlite3
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FIVE_MINUTES, HOUR = 300, 3_600
MEASURES = ("memory", "descriptors", "threads")


@pytest.fixture
def soak(monkeypatch):
    """Import a module of the soak, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.soak.{name}")


# --- terms


def test_the_environment_says_how_long_and_how_hard(soak):
    """Without it, a soak is an hour at forty requests a second over SQLite."""
    terms = soak("terms").Terms
    asked = terms.of({"SOAK_S": "300", "SOAK_RATE": "80", "SOAK_STORE": "mongodb"})
    assert (300, 80, "mongodb") == (asked.seconds, asked.rate, asked.store)
    usual = terms.of({"SOAK_S": ""})
    assert (3_600, 40, "sqlite") == (usual.seconds, usual.rate, usual.store)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SOAK_S": "5m"}, "SOAK_S='5m': write a whole number from 1 to 604800."),
        ({"SOAK_S": "0"}, "SOAK_S='0': write a whole number from 1 to 604800."),
        ({"SOAK_RATE": "1"}, "SOAK_RATE='1': write a whole number from 4 to 1000."),
        ({"SOAK_STORE": "redis"}, "SOAK_STORE='redis': write sqlite or mongodb."),
    ],
)
def test_a_wrong_value_says_what_to_write(soak, environ, said, tmp_path, capsys):
    """Nothing is started; the exit status is that of a wrong command."""
    assert 2 == soak("__main__").main(["--output", str(tmp_path)], environ)
    assert f"{said}\n" == capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_keys_are_never_rotated_before_the_next_one_is_known(soak):
    """Once in a short run, where the next one was there from the beginning; else every ten minutes.

    Redis is restarted in long runs alone: in a short one there is no time to judge after it.
    """
    terms = soak("terms").Terms
    assert ([150], []) == (terms(seconds=300).rotations, terms(seconds=300).restarts)
    hour = terms(seconds=HOUR)
    assert {600.0} == {later - first for first, later in itertools.pairwise(hour.rotations)}
    assert [450, 1_350, 2_250, 3_150] == hour.restarts


def test_a_token_outlives_the_visits_of_its_session(soak):
    """However slow the callers are, a good token is not refused because it has expired."""
    terms = soak("terms").Terms
    assert (15, 60) == (terms(rate=40).access_lifetime, terms(rate=4).access_lifetime)


# --- samples


def test_a_process_is_read_from_outside(soak):
    """This one has a file more, once it has opened one."""
    sampling = soak("sampling")
    before = sampling.read_process(os.getpid())
    with Path(os.devnull).open():
        after = sampling.read_process(os.getpid())
    assert before["descriptors"] + 1 == after["descriptors"]
    assert before["threads"] >= 1
    assert 0 < before["private memory"] <= before["memory"]


def process(folder, *, rollup):
    own = folder / "7"
    for name in ("fd/0", "fd/1", "task/7"):
        (own / name).mkdir(parents=True)
    (own / "statm").write_text("9000 2560 0 0 0 0 0\n")
    if rollup is not None:
        (own / "smaps_rollup").write_text(rollup)


def test_memory_is_what_is_resident(soak, tmp_path):
    """To the page; what is shared with the parent becomes private, and is no growth."""
    lines = "Rss: 10240 kB\nShared_Clean: 9 kB\nPrivate_Clean: 512 kB\nPrivate_Dirty: 1024 kB\n"
    process(tmp_path, rollup=lines)
    read = soak("sampling").read_process(7, proc=tmp_path)
    assert {"memory": 10, "private memory": 1.5, "descriptors": 2, "threads": 1} == read


def test_without_a_rollup_there_is_the_resident_size_alone(soak, tmp_path):
    """Kernels before 4.14 have none."""
    process(tmp_path, rollup=None)
    read = soak("sampling").read_process(7, proc=tmp_path)
    assert 2560 * os.sysconf("SC_PAGE_SIZE") / 2**20 == read["memory"]
    assert {"memory", "descriptors", "threads"} == read.keys()


def test_a_process_that_ended_is_gone(soak, tmp_path):
    """Also one that ends while it is read, or that nobody has waited for yet."""
    sampling = soak("sampling")
    with pytest.raises(sampling.Gone, match="process 7 has ended"):
        sampling.read_process(7, proc=tmp_path)
    process(tmp_path, rollup="")
    (tmp_path / "7" / "statm").write_text("")
    with pytest.raises(sampling.Gone):
        sampling.read_process(7, proc=tmp_path)


def test_a_replaced_process_is_told_from_its_heir(soak):
    """It keeps its name to itself, also when another program has workers that come and go."""
    roster = soak("sampling").Roster()
    assert {10: "flask worker 1", 11: "flask worker 2"} == roster.names("flask worker", [11, 10])
    assert {20: "auth worker 1"} == roster.names("auth worker", [20])
    assert {11: "flask worker 2", 12: "flask worker 3"} == roster.names("flask worker", [11, 12])
    assert ["flask worker 1"] == roster.replaced


def test_the_store_is_counted_beside_its_owner(soak, tmp_path):
    """Rows of all tables, and bytes of the file and its log."""
    machine = dataclasses.make_dataclass("Machine", ["folder", "mongo"])(tmp_path, None)
    owner = sqlite3.connect(tmp_path / "tokenward.db", isolation_level=None)
    owner.execute("PRAGMA journal_mode = WAL")
    owner.execute("CREATE TABLE one (x)")
    owner.execute("CREATE TABLE two (x)")
    with soak("watching").size_of(machine) as size:
        assert {"one": 0, "two": 0} == size()[0]
        owner.execute("INSERT INTO one VALUES (1), (2)")
        owner.execute("INSERT INTO two VALUES (3)")
        rows, taken = size()
    owner.close()
    assert {"one": 2, "two": 1} == rows
    assert taken > 3 * 4096


def test_calls_are_read_once_there_are_no_more(soak):
    """The last line of a log is written after the caller has its answer."""
    logs, waits = iter([{"/login": 1}, {"/login": 2}, {"/login": 3}, {"/login": 3}]), []
    settled = soak("watching").settled(lambda: next(logs), wait=waits.append)
    assert (Counter({"/login": 3}), 3) == (settled, len(waits))


# --- judging


def readings(soak, values, *, seconds=FIVE_MINUTES, subject="flask worker 1"):
    """Return samples of a canned run; ``values`` says what each measure was when."""
    reading = soak("sampling").Reading
    return [
        reading(at, subject, {measure: value(at) for measure, value in values.items()})
        for at in range(0, seconds, max(1, seconds // 300))
    ]


def noisy(seed=1):
    """Return measures of a process that is busy, and leaks nothing.

    Memory jumps as the allocator takes a piece and gives it back, and creeps while it warms up;
    connections and threads come and go.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    return {
        "memory": lambda at: 40 + 6 * min(at, 50) / 50 + chance.choice([0, 0, 0.06, 0.5]),
        "descriptors": lambda at: 25 + chance.randint(-2, 2),
        "threads": lambda at: 5 if at < 20 else 6 + chance.choice([0, 0, 0, 1]),
    }


def judged(soak, values, *, seconds=FIVE_MINUTES):
    found = soak("judging").judge(readings(soak, values, seconds=seconds), warm=seconds / 5)
    return {judgement.measure: judgement for judgement in found}


@pytest.mark.parametrize("seconds", [FIVE_MINUTES, HOUR])
@pytest.mark.parametrize("seed", range(5))
def test_noise_is_flat(soak, seed, seconds):
    """Of a short run and of a long one."""
    found = judged(soak, noisy(seed), seconds=seconds)
    assert dict.fromkeys(MEASURES, True) == {name: one.flat for name, one in found.items()}


@pytest.mark.parametrize("seconds", [240, FIVE_MINUTES, HOUR])
@pytest.mark.parametrize("measure", MEASURES)
def test_a_leak_of_one_a_minute_is_found(soak, measure, seconds):
    """A mebibyte, a descriptor or a thread, below all the noise, and by its name alone.

    Of descriptors, which come and go, three where there is little time.
    """
    usual, leak = noisy(), 3 if measure == "descriptors" and seconds < HOUR else 1
    leaking = usual | {measure: lambda at: usual[measure](at) + leak * (at // 60)}
    found = judged(soak, leaking, seconds=seconds)
    assert [measure] == [name for name, one in found.items() if not one.flat]
    assert found[measure].growth == pytest.approx(60 * leak, rel=0.5)
    assert f"{measure} of flask worker 1 GREW: +" in found[measure].sentence()


def test_one_step_is_no_leak(soak):
    """A pool that got its last thread late, a table that doubled once."""
    stepped = {
        "memory": lambda at: 40 + 2.5 * (at > 120),
        "descriptors": lambda at: 25 + 5 * (at > 130),
        "threads": lambda at: 5 + (at > 200),
    }
    assert all(one.flat for one in judged(soak, stepped).values())


def test_what_was_given_back_in_the_end_is_no_leak(soak):
    """Most pairs of samples rise, and the last quarter is where the first one was."""
    returned = {"memory": lambda at: 40 + at / 60 * (at < 244)}
    assert [True] == [one.flat for one in judged(soak, returned).values()]


def test_a_store_that_is_cleaned_up_is_flat_and_one_that_is_not_grows(soak):
    """It goes up and down with the clean-up; ten rows more each minute show all the same."""
    saw = {"rows": lambda at: 300 + 3 * (at % 15), "bytes": lambda at: 2_000_000 + 100 * (at % 15)}
    assert [True, True] == [one.flat for one in judged(soak, saw).values()]
    kept = saw | {"rows": lambda at: 100 + at + 3 * (at % 15)}
    assert {"rows": False, "bytes": True} == {n: one.flat for n, one in judged(soak, kept).items()}


def test_who_was_there_for_a_part_is_not_judged(soak):
    """One half of a trend is none; that a worker was replaced is counted elsewhere."""
    whole = readings(soak, noisy())
    part = readings(soak, noisy(), subject="flask worker 2", seconds=120)
    found = soak("judging").judge(sorted([*whole, *part], key=lambda r: r.at), warm=60)
    assert {"flask worker 1"} == {judgement.subject for judgement in found}


def test_what_is_kept_for_long_is_judged_late_or_not_at_all(soak):
    """Revocations are forgotten minutes after the rest: until then, as many more as there are."""
    judge = soak("judging").judge
    subject = soak("watching").REVOCATIONS
    late = {subject: soak("terms").Terms().revocation_lifetime}
    kept = {"rows": lambda at: min(at, 330)}
    short, long = (
        judge(readings(soak, kept, seconds=seconds, subject=subject), warm=60, late=late)
        for seconds in (FIVE_MINUTES, 2 * FIVE_MINUTES)
    )
    assert ([], [True]) == (short, [one.flat for one in long])
    lost = readings(soak, {"rows": lambda at: at}, seconds=600, subject=subject)
    assert [False] == [one.flat for one in judge(lost, warm=60, late=late)]


def test_judging_begins_when_caches_are_full(soak):
    """After a fifth, and after a half at the latest: what fills until then is judged."""
    warm_from = soak("judging").warm_from
    early = {"one": [(0, 0), (20, 60), (290, 60)]}
    late = {"one": [(0, 0), (20, 60)], "two": [(0, 0), (90, 58), (200, 60)], "three": []}
    never = {"one": [(at, at) for at in range(300)]}
    assert [60, 90, 150] == [warm_from(300, entries) for entries in (early, late, never)]


# --- the ledger

BALANCED = {
    "status.200": 70,
    "status.400": 5,
    "status.401": 25,
    "introspection.borne": 60,
    "introspection.unread": 5,
    "introspection.hits": 20,
    "introspection.negative_hits": 5,
    "introspection.misses": 30,
    "introspection.shared_hits": 10,
    "introspection.upstream_calls": 22,
    "introspection.ahead": 2,
    "jwks.borne": 30,
    "jwks.hits": 18,
    "jwks.misses": 12,
    "jwks.upstream_calls": 2,
    "tokenward_verify_total": 85,
    "tokenward_upstream_seconds_count": 24,
    "tokenward_cache_total.shared.miss": 20,
    "tokenward_cache_total.process.hit": 38,
    "tokenward_cache_total.process.negative_hit": 5,
    "tokenward_cache_total.process.miss": 42,
}


def counts(soak, **changed):
    figures = Counter(BALANCED | changed)
    return soak("ledger").Counts(
        answered={"flask": Counter({"200": 70, "400": 5, "401": 25})},
        sent=Counter({"/login": 9}),
        figures={"flask": figures},
        called=Counter({"/login": 9, "/introspect": 22, "/.well-known/jwks.json": 2, "/other": 1}),
    )


def broken(soak, counts):
    return {one.name for one in soak("ledger").equations(counts) if not one.holds}


def test_counts_that_agree_balance(soak):
    """Fifteen equations for one application and the auth service."""
    found = soak("ledger").equations(counts(soak))
    assert (15, True) == (len(found), all(equation.holds for equation in found))


@pytest.mark.parametrize(
    ("figure", "equations"),
    [
        ("status.200", {"flask, 200"}),
        ("status.500", {"flask, 500"}),
        ("introspection.borne", {"flask, introspection", "flask, metrics, verdicts"}),
        ("introspection.hits", {"flask, introspection", "flask, metrics, hits"}),
        ("introspection.negative_hits", {"flask, introspection", "flask, metrics, negative hits"}),
        ("introspection.unread", {"flask, introspection", "flask, metrics, verdicts"}),
        (
            "introspection.misses",
            {"flask, introspection", "flask, shared cache", "flask, metrics, misses"},
        ),
        ("introspection.shared_hits", {"flask, shared cache"}),
        ("introspection.ahead", {"flask, questions"}),
        (
            "introspection.upstream_calls",
            {"flask, questions", "flask, metrics, questions", "auth service, /introspect"},
        ),
        ("jwks.misses", {"flask, jwks", "flask, metrics, misses"}),
        (
            "jwks.upstream_calls",
            {"flask, metrics, questions", "auth service, /.well-known/jwks.json"},
        ),
        ("tokenward_verify_total", {"flask, metrics, verdicts"}),
        ("tokenward_cache_total.shared.miss", {"flask, shared cache", "flask, questions"}),
    ],
)
def test_a_count_that_is_one_off_is_found(soak, figure, equations):
    """Exactly: nothing is rounded, and nothing is nearly right."""
    one_more = {figure: BALANCED.get(figure, 0) + 1}
    assert equations == broken(soak, counts(soak, **one_more))


def test_a_call_that_did_not_arrive_is_found(soak):
    """Of those that the load makes itself, too."""
    short = dataclasses.replace(counts(soak), sent=Counter({"/login": 10}))
    assert {"auth service, /login"} == broken(soak, short)
    (equation,) = (one for one in soak("ledger").equations(short) if not one.holds)
    said = "auth service, /login: calls that arrived = calls that the load made: 9 is NOT 10"
    assert said == equation.sentence()


# --- the report


def record(soak, *, seconds=FIVE_MINUTES, values=None, **changed):
    """Return a canned run in which everything is as it must be."""
    seen = [
        *readings(soak, values or noisy(), seconds=seconds),
        *readings(
            soak,
            {"rows": lambda at: 300 + at % 15, "bytes": lambda at: 2e6},
            seconds=seconds,
            subject="store",
        ),
    ]
    fields = {
        "terms": soak("terms").Terms(seconds=seconds),
        "seconds": float(seconds),
        "readings": sorted(seen, key=lambda reading: reading.at),
        "entries": {"flask worker 1": [(0.0, 0.0), (20.0, 96.0), (200.0, 100.0)]},
        "replaced": [],
        "marks": [],
        "counts": counts(soak),
        "wrong": {},
        "lost": {},
    }
    return soak("running").Record(**(fields | changed))


def missed(soak, record):
    """Return what the command says of each bar that is missed."""
    return soak("__main__").complaints(soak("reporting").findings(record))


def test_a_good_soak_misses_nothing(soak):
    """Every growth is told with its bar, and every equation was looked at."""
    seen = record(soak)
    results = [one for one in soak("reporting").findings(seen) if hasattr(one, "bar")]
    assert [] == missed(soak, seen)
    assert all(one.met for one in results)
    assert {f"soak: growth of {m}" for m in (*MEASURES, "rows", "bytes")} <= {
        one.row for one in results
    }
    assert "soak: counters that do not agree, of 15" in {one.row for one in results}


def test_a_leak_is_told_by_its_process(soak):
    """Which one, what grew, from what to what, and how much it may."""
    usual = noisy()
    leaking = usual | {"memory": lambda at: usual["memory"](at) + at / 60}
    (said,) = missed(soak, record(soak, values=leaking))
    sentences = list(soak("__main__").said(record(soak, values=leaking)))
    assert any("memory of flask worker 1 GREW" in one for one in sentences)
    assert said.startswith("MISSED: soak: growth of memory: ")
    assert "memory of flask worker 1 GREW: +" in said
    titles = [
        f.title
        for f in soak("reporting").findings(record(soak, values=leaking))
        if hasattr(f, "kinds")
    ]
    assert [True, False, False] == [" grows over 5 minutes" in title for title in titles]


def test_what_nobody_could_judge_is_not_called_flat(soak):
    """A soak without a sample of something says that it was tried."""
    seen = record(soak)
    seen.readings[:] = [reading for reading in seen.readings if "memory" not in reading.values]
    (memory,) = (
        f for f in soak("reporting").findings(seen) if getattr(f, "name", "") == "soak-memory"
    )
    assert memory.title.startswith("The memory of every process was tried over")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"wrong": {"200 instead of 401": 2}}, "soak: wrong answers: 2 "),
        ({"lost": {"TimeoutError": 1}}, "soak: requests without an answer: 1 "),
        ({"replaced": ["flask worker 2"]}, "soak: workers replaced: 1 "),
        ({"entries": {"one": [(1.0, 129.0)]}}, "soak: entries in the caches of a worker: 129 "),
    ],
)
def test_anything_amiss_misses_a_bar(soak, changed, said):
    """One is too many of each."""
    (sentence,) = missed(soak, record(soak, **changed))
    assert sentence.startswith(f"MISSED: {said}")


def test_a_redis_that_was_restarted_on_purpose_is_no_worker(soak):
    """The roster names its processes, and a long run restarts it."""
    assert [] == missed(soak, record(soak, replaced=["redis 1", "redis 2"]))


def test_an_error_of_a_server_misses_a_bar(soak):
    """Also where the worker counted it as the load did."""
    seen = counts(soak, **{"status.500": 1})
    seen.answered["flask"]["500"] = 1
    (sentence,) = missed(soak, record(soak, counts=seen))
    assert sentence.startswith("MISSED: soak: answers of 500 and more: 1 ")
    assert "flask, 500: 1" in sentence


def test_counters_that_do_not_agree_miss_a_bar(soak):
    """The sentence is the equation with its numbers."""
    (sentence,) = missed(soak, record(soak, counts=counts(soak, **{"status.200": 71})))
    assert "flask, 200: answers that the load got = " in sentence
    assert sentence.endswith("70 is NOT 71")


def test_a_soak_that_is_too_short_says_that_it_only_tried(soak):
    """No growth is judged: not even one that would be too much."""
    leaking = {measure: lambda at: at for measure in MEASURES}
    seen = record(soak, seconds=60, values=leaking)
    growths = [r for r in soak("reporting").findings(seen) if "growth" in getattr(r, "row", "")]
    assert [] == missed(soak, seen)
    sentences = [one for one in soak("__main__").said(seen) if " of flask worker 1 " in one]
    assert len(MEASURES) == len(sentences)
    assert all("flask worker 1 was tried: " in one for one in sentences)
    assert not any("GREW" in one or "stayed flat" in one for one in sentences)
    assert {(None, "60 seconds are too short to tell; this was only a try")} == {
        (one.figure, one.detail) for one in growths
    }


def test_a_soak_is_kept_and_drawn(soak, tmp_path):
    """A plot for memory, one for descriptors and threads, and one for the store."""
    report = import_module("benchmarks.report")
    mark = import_module("benchmarks.findings").Mark(150, 152, "keys rotated")
    found = soak("reporting").findings(record(soak, marks=[mark]))
    report.publish(tmp_path, report.measured_now("soak", found, effort=0, seconds=1))
    assert {"soak-memory", "soak-resources", "soak-store"} == {
        p.stem for p in tmp_path.glob("*.svg")
    }
    assert "keys rotated" in (tmp_path / "soak-memory.svg").read_text("utf-8")
    assert "soak: growth of memory" in (tmp_path / "results.md").read_text("utf-8")


def test_a_plot_holds_every_process_to_its_end(soak):
    """Sums of a program's workers, and each value as it was last known."""
    mine = readings(soak, {"descriptors": lambda at: 20}, subject="auth worker 1")
    other = readings(soak, {"descriptors": lambda at: 5}, subject="auth worker 2")
    seen = record(soak)
    seen.readings.extend([*mine, *other])
    timelines = {t.name: t for t in soak("reporting").findings(seen) if hasattr(t, "kinds")}
    resources = timelines["soak-resources"]
    assert {25} == set(resources.kinds["auth: descriptors"])
    assert 100.0 == timelines["soak-store"].kinds["flask worker 1: cache entries"][-1]
    assert timelines["soak-memory"].title.startswith("The memory of every process stays flat over")
    for timeline in timelines.values():
        assert {len(timeline.seconds)} == {len(values) for values in timeline.kinds.values()}
