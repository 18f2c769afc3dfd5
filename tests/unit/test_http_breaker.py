"""The circuit breaker's states, on a clock that only the test moves (RULES 25)."""

import threading

import pytest

from tokenward._http.breaker import Breaker
from tokenward.errors import AuthServiceUnavailable


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return make(clock)


def make(clock, *, failures=3, seconds=2.0, chance=lambda: 0.0, name="https://auth.example.com"):
    """Return a breaker that leaves nothing to chance unless told so."""
    return Breaker(name, failures=failures, seconds=seconds, clock=clock, chance=chance)


def fail(breaker, times=1, **how):
    for _ in range(times):
        breaker.enter().fail(**how)


def refused(breaker):
    """Return the error that entering raises."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        breaker.enter()
    with pytest.raises(AuthServiceUnavailable):
        breaker.check()
    assert caught.value.reason == "circuit_open"
    return caught.value


def test_fewer_failures_leave_it_closed(breaker):
    """One failure less than the limit changes nothing."""
    fail(breaker, 2)
    breaker.check()
    breaker.enter().succeed()


def test_the_limit_opens_it(breaker):
    """The last failure that is allowed opens it for its seconds."""
    fail(breaker, 3)
    assert refused(breaker).retry_after == 2.0


def test_it_says_how_long_to_wait(breaker, clock):
    """retry_after is what is left."""
    fail(breaker, 3)
    clock.now += 0.5
    assert refused(breaker).retry_after == 1.5


def test_a_longer_retry_after_prevails(breaker):
    """The server's wish holds where it is longer than the own pause, and only there."""
    fail(breaker, 2)
    fail(breaker, retry_after=30)
    assert refused(breaker).retry_after == 30


def test_a_shorter_retry_after_does_not(breaker):
    """The own pause is the least."""
    fail(breaker, 3, retry_after=0.1)
    assert refused(breaker).retry_after == 2.0


@pytest.mark.parametrize(
    ("chance", "retry_after", "expected"), [(0.5, 0, 2.1), (0.99, 0, 2.198), (0.5, 30, 31.5)]
)
def test_the_pause_is_a_little_longer_by_chance(clock, chance, retry_after, expected):
    """Processes that saw one outage do not try again in step; none comes sooner than it may."""
    breaker = make(clock, chance=lambda: chance)
    fail(breaker, 3, retry_after=retry_after)
    assert refused(breaker).retry_after == pytest.approx(expected)


def test_pauses_differ(clock):
    """Unless told otherwise, chance is chance."""
    pauses = set()
    for _ in range(20):
        breaker = Breaker("https://auth.example.com", failures=1, seconds=2.0, clock=clock)
        fail(breaker)
        pauses.add(refused(breaker).retry_after)
    assert len(pauses) > 10
    assert 2.0 <= min(pauses) <= max(pauses) <= 2.2


def test_one_trial_is_let_through(breaker, clock):
    """After the pause one call goes, and the others still fail fast until it has ended."""
    fail(breaker, 3)
    clock.now += 2
    trial = breaker.enter()
    assert refused(breaker).retry_after == 2.0
    trial.succeed()
    breaker.enter().succeed()
    breaker.enter().succeed()


def test_checking_takes_no_trial(breaker, clock):
    """A look leaves the trial to the call that enters."""
    fail(breaker, 3)
    clock.now += 2
    breaker.check()
    breaker.check()
    breaker.enter().succeed()


def test_a_failed_trial_opens_it_again(breaker, clock):
    """One failure is enough then, and the pause begins anew."""
    fail(breaker, 3)
    clock.now += 2
    fail(breaker)
    assert refused(breaker).retry_after == 2.0
    clock.now += 2
    breaker.enter().succeed()
    fail(breaker, 2)
    breaker.check()


def test_a_trial_whose_answer_is_unreadable_opens_it_again(breaker, clock):
    """A success that is taken back decides as a failure."""
    fail(breaker, 3)
    clock.now += 2
    trial = breaker.enter()
    trial.succeed()
    trial.fail()
    assert refused(breaker).retry_after == 2.0


def test_a_trial_that_tells_nothing_leaves_it_to_the_next(breaker, clock):
    """A call killed half-way gives the trial back."""
    fail(breaker, 3)
    clock.now += 2
    breaker.enter().leave()
    breaker.enter().succeed()
    breaker.check()


def test_leaving_after_an_outcome_changes_nothing(breaker, clock):
    """leave() is for calls without an outcome."""
    fail(breaker, 3)
    clock.now += 2
    first = breaker.enter()
    first.fail()
    first.leave()
    clock.now += 2
    second = breaker.enter()
    first.leave()
    refused(breaker)
    second.succeed()


def test_calls_from_before_do_not_decide(breaker, clock):
    """What began before it opened neither closes nor prolongs it: the trial decides."""
    early_success, early_failure = breaker.enter(), breaker.enter()
    fail(breaker, 3)
    clock.now += 1
    early_success.succeed()
    early_failure.fail(retry_after=100)
    assert refused(breaker).retry_after == 1.0
    clock.now += 1
    trial = breaker.enter()
    early_failure.fail()
    trial.succeed()
    breaker.check()


def test_unreadable_answers_count_in_a_row(breaker):
    """A success that is taken back does not start the count anew."""
    for _ in range(3):
        permit = breaker.enter()
        permit.succeed()
        permit.fail()
    refused(breaker)


def test_unreadable_answers_of_many_threads_count(breaker):
    """The order in which concurrent calls take their successes back does not hide them."""
    permits = [breaker.enter() for _ in range(3)]
    for permit in permits:
        permit.succeed()
    for permit in permits:
        permit.fail()
    refused(breaker)


def test_one_thread_of_many_is_the_trial(breaker, clock):
    """However many come at once, one is let through."""
    fail(breaker, 3)
    clock.now += 2
    barrier = threading.Barrier(8)
    entered, refusals = [], []

    def call():
        barrier.wait(90)
        try:
            entered.append(breaker.enter())
        except AuthServiceUnavailable as error:
            refusals.append(error.reason)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 1
    assert refusals == ["circuit_open"] * 7


def test_a_fork_frees_the_trial(breaker, clock):
    """A trial that a thread of the parent has under way never ends in the child."""
    fail(breaker, 3)
    clock.now += 2
    breaker.enter()
    breaker.after_fork()
    breaker.enter().succeed()


def test_opening_and_closing_are_logged_once(clock, caplog):
    """The operator reads when a server is given up and when it is back."""
    breaker = make(clock, failures=1, seconds=1, name="https://logged.example")
    for _ in range(3):
        fail(breaker)
        clock.now += 1
    breaker.enter().succeed()
    messages = [r.getMessage() for r in caplog.records if r.name == "tokenward._http"]
    assert [m.partition(";")[0] for m in messages] == [
        "https://logged.example failed 1 times in a row",
        "https://logged.example answers again",
    ]


def test_a_call_that_timed_out_says_that_the_next_may_hang(breaker, clock):
    """For some seconds; other failures are quick, and any answer tells otherwise."""
    assert not breaker.hangs
    fail(breaker, timed_out=True)
    assert breaker.hangs
    clock.now += 9.9
    assert breaker.hangs
    clock.now += 0.1
    assert not breaker.hangs


@pytest.mark.parametrize("end", [lambda permit: permit.succeed(), lambda permit: permit.fail()])
def test_the_last_call_decides_whether_it_hangs(breaker, end):
    """Whatever ended before its deadline shows a server that does not."""
    fail(breaker, timed_out=True)
    end(breaker.enter())
    assert not breaker.hangs


def test_while_it_is_open_the_trial_may_hang(breaker, clock):
    """Whatever opened it."""
    fail(breaker, 3)
    clock.now += 2
    trial = breaker.enter()
    assert breaker.hangs
    trial.succeed()
    assert not breaker.hangs
