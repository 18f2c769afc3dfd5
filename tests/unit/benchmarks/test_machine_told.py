"""benchmarks/machine: answers are judged for what they are, and told without embellishment."""

import dataclasses
import json
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
START = 1_000.0


@pytest.fixture
def machine(monkeypatch):
    """Import a module of the machine, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.machine.{name}")


# --- what an answer is worth


def verdict(machine, status, *, token="t", name="alice", body=b"", **headers):
    asking = machine("asking")
    ask = asking.Ask("kind", "/", token, name)
    return ask.judged(asking.Reply(status, headers, body))


def naming(name):
    return json.dumps({"username": name, "roles": []}).encode()


def test_a_good_token_must_be_answered_in_its_own_name(machine):
    """Somebody else's, or nobody's, is a wrong admission."""
    assert "right" == verdict(machine, 200, body=naming("alice"))
    assert "wrong" == verdict(machine, 200, body=naming("bob"))
    assert "wrong" == verdict(machine, 200, body=naming(None))
    assert "wrong" == verdict(machine, 200, body=b"not JSON")
    assert "wrong" == verdict(machine, 200, body=b"[]")
    assert "refused" == verdict(machine, 401)


def test_a_bad_token_must_be_refused(machine):
    """200 is a wrong admission, whatever it says."""
    assert "right" == verdict(machine, 401, name=None)
    assert "wrong" == verdict(machine, 200, name=None, body=naming(None))


def test_an_outage_must_say_when_to_come_again(machine):
    """503 without Retry-After is a failure like any other."""
    retry = {"retry-after": "2"}
    assert "unavailable" == verdict(machine, 503, **retry)
    assert "unavailable" == verdict(machine, 503, name=None, **retry)
    assert "failed" == verdict(machine, 503)


def test_everything_else_is_a_failure(machine):
    """A 500 for whomever, a 401 for who brought nothing, a 403, a redirect."""
    assert "right" == verdict(machine, 200, token=None, name=None)
    assert "failed" == verdict(machine, 401, token=None, name=None)
    assert ["failed"] * 4 == [verdict(machine, status) for status in (302, 403, 404, 500)]


# --- what they come to


@pytest.fixture
def told(machine):
    """A run of 30 seconds: ten good answers a second, a new token each, a fault of five seconds."""
    faults, answer = machine("faults"), machine("load").Answer
    happening = faults.Happening(faults.OUTAGE, START + 10, START + 15)
    answers = []
    for tenth in range(300):
        at = START + tenth / 10
        answers.append(answer(at, 0.010, "flask-hit", "hit", 200, "right"))
        if 10 <= tenth / 10 < 15.45:
            answers.append(answer(at, 0.002, "flask-cold", "cold", 503, "unavailable"))
        else:
            answers.append(answer(at, 0.050, "flask-cold", "cold", 200, "right"))
    return faults.Told(START, answers, [happening])


def with_more(machine, told, *more):
    answers = [machine("load").Answer(START + at, *rest) for at, *rest in more]
    return dataclasses.replace(told, answers=[*told.answers, *answers])


def rows(machine, told):
    """Return the figures of the verdicts, by the first words of their rows."""
    results = machine("told").verdicts(told)
    return {one.row.removeprefix("under faults: ").partition(",")[0]: one for one in results}


def test_answers_are_counted_a_second_by_status(machine, told):
    """Whatever the width; the last stretch, which is not whole, is left out."""
    for width in (1.0, 0.5):
        timeline = machine("told").answers_over_time(told, width=width)
        assert [n * width for n in range(round(30 / width) - 1)] == list(timeline.seconds)
        sums = {kind: sum(values) * width for kind, values in timeline.kinds.items()}
        assert 55 == sums["503"]
        assert 0 == sums["401"] == sums["reset"] == sums["500 and others"]
        assert all(20 == sum(at) for at in zip(*timeline.kinds.values(), strict=True))
        assert [(10, 15, "authorization server killed")] == [
            (mark.start, mark.end, mark.label) for mark in timeline.marks
        ]


def test_the_title_says_when_something_was_wrong(machine, told):
    """It boasts of nothing that did not happen."""
    over_time = machine("told").answers_over_time
    assert over_time(told, width=1).title.startswith("No 500 and no wrong admission")
    told = with_more(machine, told, (5, 0.1, "flask-hit", "hit", 500, "failed"))
    assert over_time(told, width=1).title.startswith("1 wrong answers among 601")


def test_latency_is_that_of_tokens_in_use_and_of_new_ones(machine, told):
    """In milliseconds; where nothing could be sent, the wait before goes on."""
    gone = dataclasses.replace(
        told, answers=[one for one in told.answers if one.kind == "hit" or one.start < START + 3]
    )
    timeline = machine("told").latency_over_time(gone, width=1)
    assert [10.0] * 29 == timeline.kinds["token in use, p99"]
    assert [50.0] * 29 == timeline.kinds["new token, slowest"]


def test_a_quiet_run_has_nothing_to_reproach(machine, told):
    """Every bar is met, and what was put off is told."""
    found = rows(machine, told)
    assert {True, None} == {one.met for one in found.values()}
    assert 55 == found["503 with Retry-After"].figure


@pytest.mark.parametrize(
    ("row", "more"),
    [
        ("500s", (5, 0.1, "flask-hit", "hit", 500, "failed")),
        ("wrong admissions: bad", (5, 0.1, "flask-bad", "bad", 200, "wrong")),
        ("good tokens refused", (5, 0.1, "flask-hit", "hit", 401, "refused")),
        (
            "tokens in use not answered while the authorization server",
            (12, 0.1, "flask-hit", "hit", 503, "unavailable"),
        ),
        ("connections reset", (5, 0.1, "flask-hit", "hit", 0, "reset")),
    ],
)
def test_each_thing_that_must_not_happen_misses_its_own_bar(machine, told, row, more):
    """And no other one."""
    found = rows(machine, with_more(machine, told, more))
    assert {row} == {name for name, one in found.items() if one.met is False}
    assert 1 == found[row].figure


@pytest.mark.parametrize("verdict", ["wrong", "failed"])
def test_answers_that_must_not_be_are_told_one_by_one(machine, told, verdict):
    """Their kind, stream, second and status; of more than ten the first ten, and how many more."""
    row = {"wrong": "wrong admissions: bad", "failed": "500s"}[verdict]
    bad = [(5.06 + n, 0.1, "flask-bad", "bad", 200, verdict) for n in range(12)]
    one = rows(machine, with_more(machine, told, bad[0]))[row]
    assert "of 601 answers; bad of flask-bad at 5.1 s: 200" == one.detail
    many = rows(machine, with_more(machine, told, *reversed(bad)))[row].detail.split("; ")
    assert (12, "bad of flask-bad at 14.1 s: 200", "and 2 more") == (len(many), *many[-2:])


def test_the_title_of_the_latencies_says_what_they_were(machine, told):
    """In a usual second, and in the worst; a slow second is in the title, whatever was away."""
    over_time, load = machine("told").latency_over_time, machine("load")
    said = (
        "Tokens in use, p99 of each 1 s: 10 ms while nothing is broken, {} ms at worst, {} s after"
    )
    assert over_time(told, width=1).title.startswith(said.format(10, 0))
    slow = load.Answer(START + 12.5, 0.25, "flask-hit", "hit", 200, "right")
    slower = dataclasses.replace(told, answers=[*told.answers, slow])
    assert over_time(slower, width=1).title.startswith(said.format(250, 12))
    whole = dataclasses.replace(told.happenings[0], start=START, end=START + 60)
    never_quiet = dataclasses.replace(told, happenings=[whole])
    assert "while nothing" not in over_time(never_quiet, width=1).title


@pytest.mark.parametrize("fault", ["OUTAGE", "SLOW", "MONGO"])
def test_tokens_in_use_must_be_answered_whoever_of_the_auth_service_is_away(machine, told, fault):
    """The server, its speed, or its store; not while something else is."""
    faults = machine("faults")
    told = with_more(machine, told, (22, 0.1, "flask-hit", "hit", 503, "unavailable"))
    for name, count in ((getattr(faults, fault), 1), (faults.REDIS, 0)):
        happening = faults.Happening(name, START + 20, START + 25)
        found = rows(machine, dataclasses.replace(told, happenings=[happening]))
        row = "tokens in use not answered while the authorization server"
        assert count == found[row].figure


def test_a_reset_is_put_down_to_the_worker_that_was_killed_just_then(machine, told):
    """Sent before it or shortly after; not one that was over before, nor one much later."""
    faults = machine("faults")
    killed = faults.Happening(faults.WORKER, START + 20, START + 20.5)
    told = dataclasses.replace(told, happenings=[*told.happenings, killed])

    def reset(at, seconds=0.0):
        return (at, seconds, "flask-hit", "hit", 0, "reset")

    by_it = with_more(machine, told, reset(19, 1.5), reset(20.1), reset(22))
    assert 0 == rows(machine, by_it)["connections reset"].figure
    not_by_it = with_more(machine, told, reset(19), reset(24))
    assert 2 == rows(machine, not_by_it)["connections reset"].figure


def test_recovery_is_counted_to_the_first_new_token_let_in(machine, told):
    """From the end of the fault, and until the answer is there."""
    (found,) = machine("told").recoveries(told)
    assert pytest.approx(0.55) == found.figure
    assert "recovery after authorization server killed" == found.row


def test_the_slower_application_says_how_long_recovery_took(machine, told):
    """One that let nobody in any more has not recovered."""
    django = (18, 0.2, "django-cold", "cold", 200, "right")
    (found,) = machine("told").recoveries(with_more(machine, told, django))
    assert pytest.approx(3.2) == found.figure
    never = (18, 0.2, "django-cold", "cold", 503, "unavailable")
    (found,) = machine("told").recoveries(with_more(machine, told, never))
    assert found.figure is None
    assert "no new token was let in" in found.detail


def test_after_a_rotation_tokens_under_the_new_key_count(machine, told):
    """From its start: the old ones were let in all the time."""
    faults = machine("faults")
    rotated = faults.Happening(faults.ROTATED, START + 20, START + 21)
    told = dataclasses.replace(told, happenings=[rotated])
    told = with_more(machine, told, (21.5, 0.1, "flask-new", "new-key", 200, "right"))
    (found,) = machine("told").recoveries(told)
    assert pytest.approx(1.6) == found.figure


def test_questions_are_told_beside_the_new_tokens_that_needed_them(machine, told):
    """From a fault's start to the next one's; what was not counted is not made up."""
    faults = machine("faults")
    later = faults.Happening(faults.REDIS, START + 20, START + 21)
    asked = {faults.OUTAGE: 45}
    told = dataclasses.replace(told, happenings=[*told.happenings, later], asked=asked)
    found = machine("told").questions(told)
    assert [45, None] == [one.figure for one in found]
    assert ["100 requests", "100 requests"] == [" ".join(one.detail.split()[:2]) for one in found]


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.001, 1)]
)
def test_a_percentile_is_a_value_that_was_measured(machine, share, value):
    """The smallest that so many do not exceed."""
    assert value == machine("percentiles").percentile(range(100, 0, -1), share)


def test_an_application_that_asks_too_often_misses_its_bar(machine):
    """And one that asks too seldom: then somebody was let in whom nobody was asked about."""
    calm, answer = machine("calm"), machine("load").Answer
    kinds = ("cold", "hit", "bad", "plain")
    answers = [answer(at, 0.1, "load", kind, 200, "right") for at, kind in enumerate(kinds)]
    for asked, off in ((2, 0), (3, 1), (1, 1)):
        found = {("flask", "cold"): [calm.Round(answers, asked)]}
        (result,) = machine("measured").questions(found)
        assert (off, off == 0) == (result.figure, result.met)


@pytest.mark.parametrize(
    ("answers", "missing"),
    [(1_000, []), (999, ["p99.9"]), (99, ["p99", "p99.9"])],
)
def test_a_percentile_of_too_few_answers_is_no_figure(machine, answers, missing):
    """One answer at least is beyond it; else it would be the slowest, under another name."""
    calm, answer = machine("calm"), machine("load").Answer
    seen = [answer(float(n), 0.1, "load", "cold", 200, "right") for n in range(answers)]
    results = machine("measured").loads({("flask", "cold"): [calm.Round(seen, answers)]})
    without = [one for one in results if one.figure is None]
    assert missing == [one.row.rpartition(" ")[2] for one in without]
    assert {f"too few answers: {answers}"} >= {one.detail for one in without}


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_new_tokens_suffice_for_every_percentile(machine, scale):
    """On each application."""
    effort = import_module("benchmarks.harness").Effort(scale)
    _seconds, rounds, cold = machine("measured").amounts(effort)
    assert machine("measured").is_enough(rounds * cold, 0.999)


def test_what_was_revoked_is_asked_about_when_everybody_had_time_to_hear_of_it(
    machine, monkeypatch
):
    """Who lost Redis comes back after two seconds, and a busy machine is slower."""
    faults, now, fed = machine("faults"), [0.0], []
    drill = faults.Drill.__new__(faults.Drill)
    drill._pace = faults.Pace(calm=faults.GRACE, away=1.0, slow=0.5)
    drill._revoked, drill._in_use = [], ["b", "a"]
    back = {}

    class Quiet:
        """Answers to everything and does nothing; what is revoked is told with its moment."""

        folder, apps = None, {"flask": None}

        def __getattr__(self, _name):
            return lambda *_: Counter()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def revoke(self, token):
            back[token] = now[0]

        def answers(self):
            return []

        def feed(self, _stream, asks):
            fed.extend((ask.token, now[0]) for ask in asks)

    def start():
        now[0] += 0.1
        back["b"] = now[0]

    def sleep(seconds):
        now[0] += seconds

    drill._stack = Quiet()
    redis = Quiet()
    redis.start = start
    monkeypatch.setattr(faults, "Load", lambda *_: Quiet())
    monkeypatch.setattr(faults.Drill, "_streams", lambda _: [])
    monkeypatch.setattr(
        faults.Drill,
        "faults",
        {
            faults.OUTAGE: lambda: drill._without(Quiet(), 1.0),
            faults.SLOW: lambda: None,
            faults.REDIS: lambda: drill._without(redis, 1.0, meanwhile=drill._revoke),
        },
    )
    monkeypatch.setattr("time.sleep", sleep)
    drill.run()
    assert ["a", "b"] == [token for token, _ in fed]
    assert all(at - back[token] >= 2 * faults.GRACE for token, at in fed)


def test_throughput_counts_from_the_first_question_to_the_last_answer(machine):
    """However long the load took to start."""
    calm, answer = machine("calm"), machine("load").Answer
    answers = [answer(100.0 + n, 1.0, "load", "hit", 200, "right") for n in range(10)]
    assert 1.0 == calm.Round(answers, 0).throughput
