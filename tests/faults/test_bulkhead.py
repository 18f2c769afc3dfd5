"""Worker threads while the server fails: who waits, for how long, and who never does (RULES 25)."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tokenward.bearer import error_response
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthError, AuthServiceUnavailable
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.protocols import Request

GOOD = b'{"active": true, "sub": "u1"}'
PATIENCE = 10
AT_ONCE = 0.1  # seconds: what takes longer has waited
SLACK = 1.0  # seconds by which a loaded machine may miss a deadline
numbers = itertools.count()


def new_token():
    return f"new-{next(numbers)}"


@dataclass
class Call:
    """A verification: when it began and ended, and how."""

    token: str
    began: float
    ended: float
    error: AuthError | None

    @property
    def seconds(self):
        return self.ended - self.began

    @property
    def reason(self):
        return None if self.error is None else self.error.reason


def call(verifier, token):
    began = time.monotonic()
    try:
        verifier.verify(token)
    except AuthError as error:
        return Call(token, began, time.monotonic(), error)
    return Call(token, began, time.monotonic(), None)


@pytest.fixture
def verifier(request):
    """Return a function that makes a verifier of a server; each is closed with the test."""

    def make(server, **options):
        client = IntrospectionClient(
            server.url, client_auth=ClientSecretBasic("orders", "secret"), **options
        )
        verifier = IntrospectionVerifier(client, audience=None)
        request.addfinalizer(verifier.close)
        return verifier

    return make


def together(count, work):
    """Run ``work(number)`` on so many threads that start at one barrier; return the results."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait(PATIENCE)
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def slow(seconds):
    """Return a script that answers well, after so many seconds."""

    def script(peer):
        while peer.read() and not peer.server.stopping.wait(seconds):
            peer.send(peer.answer(GOOD))

    return script


class Hanging:
    """A script that answers well until told to hang."""

    def __init__(self):
        self.hangs = False

    def __call__(self, peer):
        while peer.read():
            if self.hangs:
                peer.hold()
                return
            peer.send(peer.answer(GOOD))


def at_a_time(calls):
    """Return how many of the calls were under way at once, at most."""
    steps = sorted([(c.began, 1) for c in calls] + [(c.ended, -1) for c in calls])
    return max(itertools.accumulate(step for _, step in steps))


def nearly_all(calls):
    """Return within how many seconds 99 of 100 ended; the others met a busy machine."""
    return sorted(c.seconds for c in calls)[len(calls) * 99 // 100]


def test_worker_threads_do_not_all_sit_in_timeouts(serve, verifier):
    """A server that hangs costs 8 threads one timeout, and then one of them at a time."""
    script = Hanging()
    verifier = verifier(serve(script), timeout=0.5, breaker_seconds=0.2)
    verifier.verify("cached")
    script.hangs = True
    begin = time.monotonic()

    def work(number):
        calls = []
        while time.monotonic() < begin + 3:
            calls.append(call(verifier, new_token()))
            calls.append(call(verifier, "cached"))
            time.sleep(0.005)  # a request does other things too
        return calls

    calls = [c for of_thread in together(8, work) for c in of_thread]
    cached = [c for c in calls if c.token == "cached"]
    new = [c for c in calls if c.token != "cached"]
    at_once = [c for c in new if c.reason == "circuit_open"]
    opened = min(c.began for c in at_once)
    trials = [c for c in new if c.reason == "deadline" and c.began > opened]

    assert {None} == {c.reason for c in cached}
    assert {"deadline", "circuit_open"} == {c.reason for c in new}
    assert opened - begin < 0.5 + SLACK
    assert max(c.seconds for c in new) < 0.5 + SLACK
    assert 1 == at_a_time(trials)
    assert 2 <= len(trials) <= 5
    assert len(at_once) > 50 * len(trials)
    assert nearly_all(cached) < AT_ONCE
    assert nearly_all(at_once) < AT_ONCE
    headers = dict(error_response(at_once[-1].error).headers)
    assert int(headers["Retry-After"]) >= 1


def test_a_popular_token_does_not_hold_all_threads(serve, verifier):
    """Those who want the same token wait for one question, and then for none that may hang."""
    verifier = verifier(serve(lambda peer: (peer.read(), peer.hold())), timeout=0.5)
    begin = time.monotonic()

    def work(number):
        calls = []
        while time.monotonic() < begin + 3:
            calls.append(call(verifier, "popular"))
            time.sleep(0.005)  # a request does other things too
        return calls

    calls = [c for of_thread in together(8, work) for c in of_thread]
    first_wave = [c for c in calls if c.began < begin + 0.25]
    later = [c for c in calls if c.began > begin + 0.5 and c.seconds > 0.4]

    assert 8 == len(first_wave)
    assert max(c.seconds for c in first_wave) < 0.5 + SLACK
    assert 2 <= len(later) <= 5
    assert 1 == at_a_time(later)
    others = [c for c in calls if c.began > begin + 0.5 and c not in later]
    # A tenth of the time: long enough for a server that is back.
    assert nearly_all(others) < 0.05 + SLACK
    assert {"deadline", "circuit_open"} == {c.reason for c in calls}


def test_threads_beyond_the_places_are_free_again_after_half_the_time(serve, verifier):
    """With fewer places than threads, a share of the threads sits in a timeout, and no more."""
    script = Hanging()
    verifier = verifier(serve(script), timeout=1, pool_size=3)
    verifier.verify("cached")
    script.hangs = True
    calls = together(8, lambda number: (call(verifier, new_token()), call(verifier, "cached")))
    reasons = [new.reason for new, _ in calls]

    assert ["busy"] * 5 + ["deadline"] * 3 == sorted(reasons)
    assert all(new.seconds < 0.9 for new, _ in calls if new.reason == "busy")
    assert all(cached.reason is None and cached.seconds < SLACK for _, cached in calls)


def test_waiting_for_a_place_ends_when_the_server_is_given_up(serve, verifier):
    """Whoever waits does not wait for a server that is left alone."""
    server = serve(lambda peer: (peer.read(), peer.hold()))
    verifier = verifier(server, timeout=PATIENCE, pool_size=2, breaker_failures=1, retries=0)

    def stop_when_all_are_there():
        while len(server.requests) < 2:
            time.sleep(0.01)
        time.sleep(0.1)  # so that the others wait; where they do not yet, they meet it open
        server.hang_up()

    end = threading.Thread(target=stop_when_all_are_there)
    end.start()
    calls = together(8, lambda number: call(verifier, new_token()))
    end.join()

    assert {"connect_failed", "circuit_open"} == {c.reason for c in calls}
    assert sum(c.reason == "circuit_open" for c in calls) >= 6
    assert max(c.seconds for c in calls) < 2
    assert 2 == len(server.requests)


@pytest.mark.parametrize(
    ("threads", "options"), [(8, {}), (10, {}), (16, {"pool_size": 16})], ids=str
)
def test_a_slow_server_is_waited_for(threads, options, serve, verifier):
    """An answer after three fifths of the timeout is one, for every thread with a place."""
    server = serve(slow(0.6))
    verifier = verifier(server, timeout=1, **options)

    def work(number):
        return [call(verifier, new_token()) for _ in range(3)]

    calls = [c for of_thread in together(threads, work) for c in of_thread]

    assert [None] * 3 * threads == [c.reason for c in calls]
    assert threads == server.connections


def test_a_slow_server_with_too_few_places_is_not_given_up(serve, verifier):
    """What is lost on waiting for a place is no failure of the server's."""
    server = serve(slow(0.4))
    verifier = verifier(server, timeout=1, pool_size=2, breaker_failures=1)

    def work(number):
        return [call(verifier, new_token()) for _ in range(4)]

    calls = [c for of_thread in together(6, work) for c in of_thread]

    assert {None, "busy"} == {c.reason for c in calls}
    assert sum(c.reason is None for c in calls) >= 8
    assert 2 == server.connections


def test_a_call_that_waited_too_long_does_not_count(serve, make_transport, ask):
    """Only one that had all of its time says of the server that it is too slow."""
    pauses = [0.3, 1]

    def script(peer):
        while peer.read() and not peer.server.stopping.wait(pauses.pop(0) if pauses else 1):
            peer.send(peer.answer(GOOD))

    server = serve(script)
    transport = make_transport(pool_size=1, breaker_failures=1, retries=0)
    first = threading.Thread(target=ask, args=(transport, server.url), kwargs={"seconds": PATIENCE})
    first.start()
    while not server.requests:
        time.sleep(0.001)
    outcome = ask(transport, server.url, seconds=0.8)
    first.join()

    assert ("deadline", 2) == (outcome.reason, len(server.requests))
    assert not transport.circuit_open(server.url)
    assert "deadline" == ask(transport, server.url, seconds=0.2).reason
    assert transport.circuit_open(server.url)


def test_a_trial_that_waited_counts(serve, make_transport, ask):
    """Else it would be followed by the next one without a pause."""
    script = Hanging()
    server = serve(script)
    transport = make_transport(pool_size=1, breaker_failures=1, breaker_seconds=0.05, retries=0)
    ask(transport, server.url)
    script.hangs = True
    under_way = threading.Thread(
        target=ask, args=(transport, server.url), kwargs={"seconds": 0.3}, daemon=True
    )
    under_way.start()
    while len(server.requests) < 2:
        time.sleep(0.001)
    transport.report_unreadable(server.url)  # this opens it, while the only place is taken
    time.sleep(0.06)
    began = time.monotonic()
    trial = ask(transport, server.url, seconds=0.8)
    under_way.join()

    assert "deadline" == trial.reason
    assert 0.75 < time.monotonic() - began
    assert 3 == len(server.requests)
    assert "circuit_open" == ask(transport, server.url).reason


def test_32_threads_are_one_trial(serve, verifier):
    """When the pause is over, one question goes out, and the others fail at once."""
    script = Hanging()
    server = serve(script)
    verifier = verifier(server, timeout=0.4, breaker_failures=1, breaker_seconds=0.1)
    script.hangs = True
    assert "deadline" == call(verifier, new_token()).reason
    time.sleep(0.12)
    calls = together(32, lambda number: call(verifier, new_token()))

    assert 2 == len(server.requests)
    assert ["circuit_open"] * 31 + ["deadline"] == sorted(c.reason for c in calls)
    assert all(c.seconds < 0.3 for c in calls if c.reason == "circuit_open")


def test_32_threads_after_a_good_trial_are_answered(serve, verifier):
    """A server that is back is used by all, without a restart."""
    statuses = ["500 Oops"]

    def script(peer):
        while peer.read():
            status = statuses.pop() if statuses else "200 OK"
            peer.send(peer.answer(GOOD, status=status))

    verifier = verifier(serve(script), breaker_failures=1, breaker_seconds=0.1)
    assert "bad_response" == call(verifier, new_token()).reason
    deadline = time.monotonic() + PATIENCE
    while call(verifier, new_token()).reason == "circuit_open":
        assert time.monotonic() < deadline
    calls = together(32, lambda number: call(verifier, new_token()))

    assert {None} == {c.reason for c in calls}


def test_a_hanging_server_takes_no_places_of_another(serve, make_transport, ask):
    """Servers that share a transport share neither places nor breaker."""
    hanging, good = serve(lambda peer: peer.hold()), serve(slow(0))
    transport = make_transport(pool_size=2, breaker_failures=1)
    calls = [
        threading.Thread(target=ask, args=(transport, hanging.url), kwargs={"seconds": 1})
        for _ in range(4)
    ]
    for thread in calls:
        thread.start()
    while hanging.connections < 2:
        time.sleep(0.001)
    outcome = ask(transport, good.url)
    for thread in calls:
        thread.join()

    assert GOOD == outcome.response.body
    assert outcome.seconds < SLACK
    assert transport.circuit_open(hanging.url)
    assert GOOD == ask(transport, good.url).response.body


def test_a_failing_token_endpoint_closes_no_introspection_endpoint(serve, make_transport, verifier):
    """They are different servers, though one client talks to both."""
    tokens = serve(lambda peer: peer.serve(peer.answer(b"", status="503 Busy")))
    transport = make_transport(breaker_failures=1)
    verifier = verifier(serve(slow(0)), transport=transport)
    request = Request("POST", tokens.url, form={"grant_type": "client_credentials"})
    assert 503 == transport.send(request, deadline=time.monotonic() + 5).status
    with pytest.raises(AuthServiceUnavailable) as caught:
        transport.send(request, deadline=time.monotonic() + 5)

    assert "circuit_open" == caught.value.reason
    assert None is call(verifier, new_token()).reason


@pytest.mark.parametrize("status", ["429 Slow down", "503 Busy"])
def test_retry_after_is_passed_on_with_jitter(status, serve, verifier):
    """The server's wish reaches whoever asked us, first and later, and none is told less."""
    server = serve(lambda peer: peer.serve(peer.answer(b"", "Retry-After: 20", status=status)))
    verifier = verifier(server, breaker_failures=1)
    first, later = (call(verifier, new_token()).error for _ in range(2))
    told = [
        int(dict(error_response(error).headers)["Retry-After"])
        for error in (first, later)
        for _ in range(30)
    ]

    assert 1 == len(server.requests)
    assert ("bad_response", 20) == (first.reason, first.retry_after)
    assert "circuit_open" == later.reason
    assert 19 < later.retry_after <= 22
    assert 20 <= min(told) <= max(told) <= 34
    assert len(set(told)) > 5


def in_use():
    """Return how many descriptors are open and how many threads run."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.parametrize("breaker_failures", [5, 1_000_000], ids=["left alone", "always asked"])
def test_10_000_failing_calls_leave_nothing_behind(breaker_failures, serve, verifier):
    """Descriptors and threads stay as they were (RULES 51)."""
    server = serve(slow(0))
    server.close()
    verifier = verifier(server, breaker_failures=breaker_failures, retries=0)
    reasons = {call(verifier, new_token()).reason for _ in range(10)}
    before = in_use()
    reasons |= {call(verifier, new_token()).reason for _ in range(10_000)}

    assert before == in_use()
    assert {"connect_failed"} == reasons - {"circuit_open"}
    assert 0 == verifier.stats().entries
