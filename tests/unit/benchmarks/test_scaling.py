"""benchmarks/scaling: the model says what real verifiers do, and refuses what no fleet is."""

import dataclasses
import itertools
import math
import random
import re
import time
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def scaling(monkeypatch):
    """Import a module of benchmarks/scaling, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.scaling.{name}")


@pytest.fixture
def predict(scaling):
    """Predict what a fleet does that is described in words."""
    fleet, model = scaling("fleet"), scaling("model")
    return lambda **what: model.predict(fleet.Fleet(**what))


# --- the model


@pytest.mark.parametrize("processes", [1, 8])
def test_a_busy_token_is_asked_about_once_in_nine_tenths_of_ttl(predict, processes):
    """By each process that is alone; once for all of them that share."""
    busy = {"rate": 10_000, "tokens": 1, "processes": processes, "latency": 0}
    assert pytest.approx(processes / 54, rel=0.01) == predict(**busy).calls
    assert pytest.approx(1 / 54, rel=0.01) == predict(**busy, shared=True).calls


def test_a_rare_token_is_asked_about_each_time(predict):
    """No cache helps, shared or not."""
    rare = {"rate": 0.001, "tokens": 1, "processes": 2}
    assert pytest.approx([0.001, 0.001], rel=0.1) == [
        predict(**rare).calls,
        predict(**rare, shared=True).calls,
    ]


def test_one_process_that_shares_asks_as_one_that_does_not(predict):
    """There is nobody to take an answer from."""
    one = {"rate": 5, "tokens": 100}
    assert pytest.approx(predict(**one).calls) == predict(**one, shared=True).calls


@pytest.mark.parametrize(
    ("turn", "window"),
    [pytest.param(math.inf, 6.0, id="to its end"), pytest.param(55.0, 1.0, id="to its turn")],
)
def test_an_entry_that_nobody_used_is_served_once_more_when_it_is_due(scaling, turn, window):
    """The cycle is that of the exact renewal, summed by hand."""
    rate, due, ttl = 0.05, 54.0, 60.0
    again = math.exp(-rate * due) * (1 - math.exp(-rate * window)) / rate
    expected = due + 1 / rate + again
    found = scaling("cycles").cycle(rate, due=due, ttl=ttl, held=ttl, stays=turn)
    assert pytest.approx(expected) == found.length


def test_more_hosts_ask_more_unless_they_share(predict):
    """Processes that share ask as one would, whatever their number."""
    many = [{"rate": 100, "tokens": 50, "hosts": hosts, "latency": 0} for hosts in (1, 10, 100)]
    alone = [predict(**one).calls for one in many]
    shared = [predict(**one, shared=True).calls for one in many]
    assert sorted(alone) == alone
    assert alone[-1] > 50 * alone[0]
    assert pytest.approx([shared[0]] * 3, rel=0.01) == shared


def test_processes_that_share_ask_at_once_while_an_answer_is_on_its_way(predict):
    """The slower the answer, the more of them."""
    hot = {"rate": 1_000, "tokens": 1, "processes": 8, "shared": True}
    quick, slow = (predict(**hot, latency=latency).calls for latency in (0, 1))
    assert pytest.approx(8, rel=0.01) == slow / quick


def _lives(pick, rate, due, ttl, turn, *, drops_ended):
    """Live through one cycle; return its length, and for how much of it there was an entry."""
    now, comes, used = 0.0, turn, False
    while True:
        now += pick.expovariate(rate)
        while comes <= now:
            if not used or (drops_ended and comes >= ttl):
                return now, comes
            comes, used = comes + turn, False
        if now >= ttl or (used and now >= due):
            return now, now
        used = True


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
@pytest.mark.parametrize(
    ("due", "turn"),
    [
        pytest.param(54.0, 60.0, id="there is room"),
        pytest.param(54.0, 50.0, id="its turn comes shortly before it is due"),
        pytest.param(54.0, 28.0, id="its turn comes shortly after it is due"),
        pytest.param(54.0, 20.0, id="its turn comes three times"),
        pytest.param(60.0, 60.0, id="nothing is asked ahead"),
        pytest.param(60.0, 25.0, id="nothing is asked ahead and there is no room"),
    ],
)
@pytest.mark.parametrize("drops_ended", [True, False])
def test_an_entry_lives_as_is_derived(scaling, rate, due, turn, drops_ended):
    """Beside lives that are drawn: turn by turn, request by request."""
    pick = random.Random(7)  # noqa: S311 - no secret
    lives = [_lives(pick, rate, due, 60.0, turn, drops_ended=drops_ended) for _ in range(4_000)]
    held = 60.0 if drops_ended else math.inf
    found = scaling("cycles").cycle(rate, due=due, ttl=60.0, held=held, stays=turn)
    expected = [sum(times) / len(lives) for times in zip(*lives, strict=True)]
    assert pytest.approx(expected, rel=0.05) == [found.length, found.kept]


def test_what_is_never_dropped_is_kept_for_all_of_its_cycle(scaling):
    """As refusals are that there is room for."""
    found = scaling("cycles").cycle(0.05, due=54.0, ttl=60.0)
    assert pytest.approx(found.length) == found.kept


def test_a_cache_with_room_drops_nothing(scaling):
    """An entry stays for ever, as far as room is concerned."""
    cycles = scaling("cycles")
    kind = cycles.Kind(100, 1.0, 54.0, 60.0)
    assert math.inf == cycles.characteristic_time([kind], 100)


def test_a_cache_with_room_for_what_has_not_ended_drops_nothing_else(scaling):
    """However many tokens there are; with less room, an entry's turn comes before its end."""
    cycles = scaling("cycles")
    kinds = [cycles.Kind(1_000, 0.01, 54.0, 60.0, held=60.0)]
    living = cycles.entries(kinds, math.inf)
    assert 300 < living < 400
    assert math.inf == cycles.characteristic_time(kinds, math.ceil(living))
    assert cycles.characteristic_time(kinds, math.floor(living)) < 60


@pytest.mark.parametrize("held", [60.0, math.inf])
def test_what_is_kept_fills_the_cache(scaling, held):
    """That is what the characteristic time is defined by."""
    cycles = scaling("cycles")
    kinds = [
        cycles.Kind(50, 1.0, 54.0, 60.0, held=held),
        cycles.Kind(500, 0.05, 54.0, 60.0, held=held),
    ]
    stays = cycles.characteristic_time(kinds, 100)
    assert stays < 60
    assert pytest.approx(100, rel=1e-3) == cycles.entries(kinds, stays)


@pytest.mark.parametrize("zipf", [0, 0.6, 1.0, 1.4])
def test_the_shares_of_all_tokens_are_one(scaling, zipf):
    """In classes as one by one, and the first is the most popular."""
    popularity = scaling("popularity")
    found, exact = popularity.classes(3_000, zipf), popularity.shares(3_000, zipf)
    assert sum(one.tokens for one in found) == 3_000
    assert pytest.approx(1) == sum(one.tokens * one.share for one in found)
    assert pytest.approx(exact[0], rel=1e-3) == found[0].share
    assert pytest.approx(sum(exact[:64])) == pytest.approx(
        sum(itertools.islice((one.share for one in found for _ in range(one.tokens)), 64)),
        rel=1e-3 if zipf else 1e-9,
    )


def test_tokens_appear_over_the_whole_of_ttl(scaling):
    """None comes after it, and no two at once, nor one to two processes."""
    appearances = scaling("popularity").appearances
    each = [appearances(50, 10.0, process=number, shared=False) for number in range(2)]
    moments = sorted(itertools.chain(*each))
    assert (100, True) == (len(set(moments)), all(0 <= moment < 10 for moment in moments))
    assert all(later - sooner < 0.5 for sooner, later in itertools.pairwise(moments))


def test_a_token_of_which_answers_are_shared_comes_to_all_processes_at_one_time(scaling):
    """As it would after long: its answer is of one age everywhere."""
    appearances = scaling("popularity").appearances
    first, second = (appearances(50, 10.0, process=number, shared=True) for number in range(2))
    assert (first, 50) == (second, len(set(first)))
    run = scaling("simulation")._Run(
        scaling("fleet").Fleet(rate=9, tokens=3, processes=2, shared=True), 0
    )
    assert run._from[0] == run._from[1]


def test_made_up_tokens_are_a_question_each(predict):
    """No cache holds what comes once; Redis is asked in vain and told to forget."""
    found = predict(rate=1, tokens=1, refused_rate=50, shared=True)
    assert 50 == found.refused_calls
    assert found.upstream == found.calls + 50
    assert pytest.approx(found.lookups + found.calls + 50) == found.round_trips
    assert pytest.approx(2 * found.lookups + found.calls + 50) == found.commands


def test_a_refused_token_is_asked_about_once_in_its_own_ttl(predict):
    """Ten a second of one token, of which fifteen seconds' worth is served."""
    found = predict(rate=1, tokens=1, refused_rate=10, refused_tokens=1)
    assert pytest.approx(1 / 15.1) == found.refused_calls
    assert (
        10
        == predict(
            rate=1, tokens=1, refused_rate=10, refused_tokens=1, negative_ttl=0
        ).refused_calls
    )


def test_a_broadcast_reaches_every_process(predict):
    """Each revocation, and a sign of life from each listener."""
    quiet = {"rate": 10, "tokens": 10, "processes": 4, "hosts": 5, "broadcast": True}
    found = predict(**quiet, revocations=3)
    assert (60, 3 + 20 / 5, 3) == (found.messages, found.commands, found.round_trips)
    assert 0 == predict(**quiet | {"broadcast": False}, revocations=3).messages


def test_a_revocation_takes_the_answer_away_and_leaves_a_tombstone(predict):
    """Two commands of Redis, of which each takes its time; the broadcast comes on top."""
    quiet = {"rate": 10, "tokens": 10, "processes": 4, "shared": True}
    before, after = predict(**quiet), predict(**quiet, revocations=3)
    assert pytest.approx(6) == after.commands - before.commands
    assert pytest.approx(6) == after.round_trips - before.round_trips
    assert pytest.approx(6 * 27e-6) == after.redis_busy - before.redis_busy
    looked_up, written = 23e-6 * before.lookups, 27e-6 * before.calls
    assert pytest.approx(looked_up + written) == before.redis_busy


@pytest.mark.parametrize("shared", [False, True])
def test_memory_is_that_of_what_has_not_ended(predict, shared):
    """A token that a process sees once in ten ttl has an entry for about a tenth of the time."""
    busy, rare = (
        predict(rate=rate, tokens=1_000, processes=4, shared=shared) for rate in (4_000, 6.667)
    )
    assert pytest.approx(1_000, rel=0.001) == busy.entries
    assert pytest.approx(90, rel=0.1) == rare.entries
    assert rare.entries * 1_700 == rare.memory


@pytest.mark.parametrize("shared", [False, True])
def test_memory_is_bounded_by_the_entries(predict, shared):
    """Of one process, however many tokens are good at a time."""
    full = predict(rate=1_000, tokens=10_000, max_entries=500, shared=shared)
    assert pytest.approx(500) == full.entries
    assert full.entries <= 500


def test_refusals_stay_until_their_place_is_needed(predict):
    """Those that come again as those that do not."""
    refused = {"rate": 10, "tokens": 10, "refused_rate": 1, "max_entries": 500, "ttl": 1}
    accepted = predict(rate=10, tokens=10, ttl=1).entries
    found = [predict(**refused, refused_tokens=number).entries for number in (0, 100, 900)]
    assert pytest.approx([accepted + 500, accepted + 100, accepted + 500]) == found


def test_no_token_is_accepted_for_longer_than_ttl(predict):
    """Nor is the mean above what 99 of 100 do not exceed."""
    for shared, zipf, hosts in itertools.product((False, True), (0, 1), (1, 50)):
        late = predict(rate=200, tokens=100, zipf=zipf, hosts=hosts, shared=shared).staleness
        assert late.mean < late.p99 <= late.worst == 60


def test_a_shared_cache_halves_the_staleness_of_a_busy_token(predict):
    """One age everywhere, against the youngest of many."""
    busy = {"rate": 1_000, "tokens": 1, "processes": 40}
    assert pytest.approx(54 * 40 / 41, rel=0.02) == predict(**busy).staleness.mean
    assert pytest.approx(27, rel=0.02) == predict(**busy, shared=True).staleness.mean


# --- the model beside the simulation


@pytest.mark.parametrize(
    ("what", "tolerance"),
    [
        ({"rate": 100, "tokens": 40, "processes": 1}, 0.06),
        ({"rate": 40, "tokens": 40, "processes": 4}, 0.06),
        ({"rate": 40, "tokens": 40, "processes": 4, "shared": True}, 0.06),
        ({"rate": 60, "tokens": 200, "zipf": 1.0, "processes": 3, "shared": True}, 0.08),
        ({"rate": 40, "tokens": 600, "processes": 4, "max_entries": 300}, 0.06),
        ({"rate": 60, "tokens": 300, "processes": 2, "max_entries": 100}, 0.08),
        ({"rate": 60, "tokens": 300, "processes": 2, "max_entries": 100, "shared": True}, 0.08),
    ],
)
def test_real_verifiers_do_what_is_predicted(scaling, what, tolerance):
    """On a clock that is moved: questions, look-ups, entries, what the shared cache is asked."""
    fleet = scaling("fleet").Fleet(**what, ttl=20)
    said = scaling("model").predict(fleet)
    seen = scaling("simulation").simulate(fleet, requests=4_000)
    for name in ("calls", "lookups", "round_trips", "commands", "entries"):
        assert pytest.approx(getattr(said, name), rel=tolerance) == getattr(seen, name), name


@pytest.mark.parametrize(
    ("refused_tokens", "max_entries"),
    [
        pytest.param(30, 10_000, id="with room for all"),
        pytest.param(600, 300, id="with room for half of them"),
    ],
)
def test_real_verifiers_keep_refusals_as_predicted(scaling, refused_tokens, max_entries):
    """In a cache of their own, without asking ahead, and beyond their end."""
    fleet = scaling("fleet").Fleet(
        rate=20,
        tokens=5,
        refused_rate=40,
        refused_tokens=refused_tokens,
        max_entries=max_entries,
        ttl=20,
    )
    said = scaling("model").predict(fleet)
    seen = scaling("simulation").simulate(fleet, requests=4_000)
    assert pytest.approx(said.refused_calls, rel=0.06) == seen.refused_calls
    assert pytest.approx(said.entries, rel=0.01) == seen.entries


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("rate", "tokens", "samples"),
    [
        pytest.param(100, 100, 300, id="busy"),
        pytest.param(60, 400, 800, id="rare"),
    ],
)
def test_real_verifiers_accept_a_revoked_token_for_as_long_as_predicted(
    scaling, shared, rate, tokens, samples
):
    """To the last request that any process accepts, and never beyond ttl."""
    fleet = scaling("fleet").Fleet(rate=rate, tokens=tokens, processes=4, ttl=20, shared=shared)
    said = scaling("staleness").staleness(fleet)
    seen = scaling("simulation").simulate_revocations(fleet, samples=samples)
    assert pytest.approx(said.mean, rel=0.1) == seen.mean
    assert pytest.approx(said.p99, rel=0.08) == seen.p99
    assert seen.worst <= 20


# --- the command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tokens", "5"], "required: --rate"),
        (["--rate", "0", "--tokens", "5"], "rate is more than 0"),
        (["--rate", "-1", "--tokens", "5"], "rate is a finite number, 0 or more; got -1"),
        (["--rate", "nan", "--tokens", "5"], "rate is a finite number"),
        (["--rate", "1", "--tokens", "0"], "tokens is a finite number, 1 or more; got 0"),
        (["--rate", "1", "--tokens", "2.5"], "invalid int value: '2.5'"),
        (["--rate", "1", "--tokens", "9999999999"], "tokens is 1,000,000,000 at most"),
        (["--rate", "1", "--tokens", "5", "--ttl", "0"], "with ttl 0 every request asks"),
        (["--rate", "1", "--tokens", "5", "--hosts", "0"], "hosts is a finite number, 1 or more"),
        (["--rate", "1", "--tokens", "5", "--zipf", "9"], "zipf is 4 at most"),
        (["--rate", "1", "--tokens", "5", "--latency", "55"], "latency is less than 54 s"),
        (["--rate", "1", "--tokens", "5", "--refused-tokens", "1"], "needs a refused_rate"),
    ],
)
def test_nonsense_is_refused_with_what_to_do(scaling, capsys, arguments, said):
    """As a usage error that names the figure; no traceback."""
    with pytest.raises(SystemExit) as ended:
        scaling("__main__").main(arguments)
    assert 2 == ended.value.code
    assert said in capsys.readouterr().err


def test_the_table_says_what_the_prediction_says(scaling, capsys):
    """A row a figure, with its unit; Redis and the broadcast where there are any."""
    main = scaling("__main__").main
    assert 0 == main(["--rate", "100", "--tokens", "50"])
    plain = capsys.readouterr().out
    assert "questions to the authorization server" in plain
    assert "Redis" not in plain
    main(["--rate", "100", "--tokens", "50", "--shared", "--broadcast", "--refused-rate", "7"])
    shared = capsys.readouterr().out
    assert re.search(r"of which about refused tokens +7 /s\n", shared)
    for name in ("hit ratio of the shared cache", "Redis: commands", "revoked through tokenward"):
        assert name in shared


# --- the real fleet


@pytest.fixture
def no_effort(monkeypatch):
    """Import what says how long a benchmark may take."""
    monkeypatch.syspath_prepend(ROOT)
    return import_module("benchmarks.harness").Effort(0)


def test_a_real_fleet_is_measured_beside_its_prediction(scaling, no_effort):
    """Every figure has its two sides, and every curve the name of its file."""
    measured = scaling("measured")
    findings = list(measured.measure(no_effort))
    results = [one for one in findings if hasattr(one, "row")]
    assert ["questions", "look-ups", "entries"] == [
        one.row.partition(":")[0] for one in results if "over a simulated fleet" in one.row
    ]
    curves = {one.name: one for one in findings if hasattr(one, "lines")}
    assert [
        "scaling-load",
        "scaling-broadcast",
        "scaling-staleness",
        "scaling-fleet",
    ] == list(curves)
    late = [one for one in results if "staleness" in one.row]
    assert ["mean staleness", "staleness of 99 of 100"] * 2 == [
        one.row.partition(":")[0] for one in late
    ]
    assert {measured.TOLERANCE} == {one.bar for one in late}
    assert all("measured" in one.detail for one in late[:2])
    assert all("simulated" in one.detail for one in late[2:])
    real = [one for one in results if "a real fleet at" in one.row]
    assert [measured.TOLERANCE] * 4 == [one.bar for one in real]
    assert [False, True] * 2 == [one.row.endswith(measured.SHARED) for one in real]
    assert all("predicted" in one.detail and "measured" in one.detail for one in real)
    assert all(one.figure >= 1 for one in results if one.unit == "x off")
    assert {"µs", "bytes", "ms", "x off"} == {one.unit for one in results}
    for curve in curves.values():
        assert all(point.y > 0 for line in curve.lines for point in line.points)
        assert all(len(line.points) > 1 for line in curve.lines)
        assert all(math.isfinite(line.slope) for line in curve.lines)
    said = [line.name for line in curves["scaling-load"].lines]
    assert [
        f"{how}, {what}"
        for how in (measured.ALONE, measured.SHARED)
        for what in ("predicted", "simulated", "measured")
    ] == said


def test_without_a_redis_the_rest_is_measured(scaling, no_effort, monkeypatch):
    """What needs one says that it was not measured, and why."""
    monkeypatch.setenv("PATH", "")
    found = itertools.islice(scaling("measured").measure(no_effort), 6)
    (missing,) = (one for one in found if one.figure is None)
    assert "not measured: no redis-server" in missing.detail


@pytest.mark.parametrize("pair", [(2.0, 1.0), (1.0, 2.0)])
def test_too_much_is_as_far_off_as_too_little(scaling, pair):
    """The bar is one, for both sides."""
    assert 2 == scaling("measured").off(*pair)


def test_nothing_to_compare_is_no_agreement(scaling):
    """A run that asked nothing has failed."""
    with pytest.raises(RuntimeError, match="nothing to compare"):
        scaling("measured").off(1, 0)


def test_a_process_that_ends_is_told_of(scaling):
    """With its status, and the others are ended."""
    real, worker = scaling("real"), scaling("worker")
    job = worker.Job("no URL", None, 1, 1, 0, 1, 1, 0, 0, 0)
    with (
        real.Workers(1) as workers,
        pytest.raises(RuntimeError, match="ended with status 1"),
    ):
        workers.do([job])


def test_all_processes_present_the_same_tokens(scaling):
    """Of the length that is measured everywhere."""
    token = scaling("worker").token
    assert (token(7), 800, 2) == (token(7), len(token(7)), len({token(7), token(8)}))


def test_a_fleet_divides_its_requests_among_its_processes(scaling):
    """Each gets a part of the rate, and requests of its own."""
    fleet = scaling("fleet").Fleet(rate=90, tokens=5, processes=3, ttl=2)
    jobs = list(scaling("real").jobs_of(fleet, "url", "redis", warm_up=1, seconds=2))
    assert [30] * 3 == [job.rate for job in jobs]
    assert 3 == len({job.seed for job in jobs})
    assert {None} == {job.redis for job in jobs}
    (first, *_) = scaling("real").jobs_of(
        dataclasses.replace(fleet, shared=True), "url", "redis", warm_up=1, seconds=2
    )
    assert "redis" == first.redis


def test_the_model_is_that_of_the_package(scaling):
    """Asking ahead begins where the verifier's does."""
    from tokenward.introspection._verdicts import REFRESH_AHEAD

    assert 60 * (1 - REFRESH_AHEAD) == scaling("fleet").Fleet(rate=1, tokens=1).due


def test_a_run_on_a_machine_that_stood_still_is_not_reported(scaling):
    """It was another load than was predicted."""
    measured, real = scaling("measured"), scaling("real")
    seen = real.Measured(requests=400.0, calls=50.0, lookups=90.0, late=3.0)
    said = scaling("model").predict(measured.REAL)
    found = measured._beside(measured.REAL, said, seen, is_valid=False)
    assert (None, None) == (found.figure, found.met)
    assert "stood still for 3.0 s" in found.detail
    assert [True, False] == [real.stood_still(2, late) for late in (3.0, 0.4)]


@pytest.fixture
def revoked(scaling, monkeypatch):
    """The real fleet whose tokens are revoked, with what its runs saw put in its place."""
    module = scaling("revoked")

    class NoWorkers:
        def __init__(self, number):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(module, "Workers", NoWorkers)
    effort = import_module("benchmarks.harness").Effort(1)

    def measured(*late):
        rest = itertools.chain(late, itertools.repeat(0.0))
        monkeypatch.setattr(
            module, "revocations", lambda *_, **__: module.Seen([0.5, 1.5], next(rest))
        )
        return list(module.real(effort))

    return measured


def test_staleness_is_that_of_all_runs_together(scaling, revoked):
    """Beside the prediction for the same fleet; a run that stood still is done again."""
    said = scaling("staleness").staleness(scaling("revoked").REAL)
    for late in ((), (9.0, 9.0)):
        mean, p99 = revoked(*late)
        off = scaling("measured").off
        assert [off(said.mean, 1.0), off(said.p99, 1.5)] == [mean.figure, p99.figure]
        assert f"predicted {said.mean:.2f} s, measured 1.00 s; 8 revocations" in mean.detail


def test_a_fleet_that_stands_still_says_nothing_of_staleness(revoked):
    """However often it was tried."""
    found = revoked(0.0, 9.0, 7.0, 8.0)
    assert [None, None] == [one.figure for one in found]
    assert {"not measured: the machine stood still for 8.0 s, 3 times"} == {
        one.detail for one in found
    }


def test_a_wait_ends_with_the_last_process_that_accepts(scaling):
    """It is none where nobody accepted the token after its revocation."""
    revoked, worker = scaling("revoked"), scaling("worker")
    counted = [
        worker.Counted(1, 1, 1, 0, 1, 0.0, accepted=accepted)
        for accepted in ({"0": 12.0, "1": 9.0}, {"0": 11.0}, {})
    ]
    assert [2.0, 0.0, 0.0] == revoked.waits({0: 10.0, 1: 10.0, 2: 10.0}, counted)


def test_staleness_is_summed_up_as_the_simulation_does(scaling):
    """Mean, what 99 of 100 do not exceed, and the longest."""
    found = scaling("revoked").summary([float(n) for n in range(200, 0, -1)])
    assert (100.5, 199.0, 200.0) == (found.mean, found.p99, found.worst)


def test_a_token_that_the_endpoint_revokes_is_refused_by_who_asks_anew(scaling):
    """And accepted until then; the others go on."""
    worker, upstream = scaling("worker"), import_module("benchmarks.upstream")
    with upstream.running() as issuer:
        issuer.revoke(worker.token(0))
        job = worker.Job(
            url=issuer.url(),
            redis=None,
            rate=400,
            tokens=2,
            zipf=0,
            ttl=0.05,
            max_entries=10,
            warm_up=0,
            seconds=0.3,
            seed=0,
        )
        found = worker.work(job, time.monotonic())
    assert ["1"] == list(found.accepted)
    assert 0 < found.refused < found.requests


def test_titles_of_curves_are_made_of_their_figures(scaling):
    """Whatever a fleet is predicted to ask stands in the title as it does in the lines."""
    curve = scaling("measured").fleets((1, 10))
    shared, alone = (line.points[-1].y for line in curve.lines[:2])
    assert "10 hosts" in curve.title
    assert f"{alone:,.0f} questions a second" in curve.title
    assert f"{shared:,.0f} with a shared cache" in curve.title


def test_what_the_processes_counted_is_added_up(scaling):
    """A second; what came latest is nobody's sum."""
    counted = scaling("worker").Counted(
        requests=40, misses=10, calls=8, shared_hits=2, all_calls=12, late=0.1
    )
    later = dataclasses.replace(counted, late=0.3)
    expected = scaling("real").Measured(requests=40.0, calls=8.0, lookups=10.0, late=0.3)
    assert expected == scaling("real").summed([counted, later], 2.0)


def test_processes_and_endpoint_must_have_counted_alike(scaling):
    """Else somebody asked who was not told to, and no figure holds."""
    measured, worker = scaling("measured"), scaling("worker")
    counted = worker.Counted(requests=4, misses=3, calls=2, shared_hits=1, all_calls=3, late=0.0)

    class Endpoint:
        def __init__(self, asked):
            self._said = iter([10, 10 + asked])

        def url(self):
            return "http://127.0.0.1/introspect"

        def calls(self):
            return next(self._said)

    class Workers:
        def do(self, jobs):
            return [counted for _ in jobs]

    fleets = [dataclasses.replace(measured.REAL, processes=2)]
    (seen,) = measured._run(Workers(), fleets, Endpoint(6), None, 2.0)
    assert (2.0, 3.0) == (seen.calls, seen.lookups)
    with pytest.raises(RuntimeError, match="asked 7 times, and the processes say 6"):
        measured._run(Workers(), fleets, Endpoint(7), None, 2.0)


def test_what_happens_in_the_warm_up_does_not_count(scaling):
    """The one token is asked about there, and served from then on."""
    worker, upstream = scaling("worker"), import_module("benchmarks.upstream")
    with upstream.running() as issuer:
        job = worker.Job(
            url=issuer.url(),
            redis=None,
            rate=200,
            tokens=1,
            zipf=0,
            ttl=600,
            max_entries=10,
            warm_up=0.2,
            seconds=0.1,
            seed=0,
        )
        found = worker.work(job, time.monotonic())
    assert (0, 0, 0, 1) == (found.calls, found.misses, found.shared_hits, found.all_calls)
    assert 0 < found.requests < 60
