"""Worker threads while the server fails: who waits, for how long, and who never does (RULES 25)."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from waiting import until

from tokenward.bearer import error_response
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthError, AuthServiceUnavailable
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.protocols import Request

# Whoever waits for the end of a pause moves the clock.
pytestmark = pytest.mark.usefixtures("pauses")

GOOD = b'{"active": true, "sub": "u1"}'
PATIENCE = 120
SLACK = 55.0  # seconds for which a machine may stand still
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
            server.url,
            client_auth=ClientSecretBasic("orders", "secret"),
            **{"timeout": PATIENCE} | options,
        )
        verifier = IntrospectionVerifier(client, audience=None, ttl=3_600)
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


def waiting(transport):
    """Return how many calls wait for a place."""
    return sum(server._waiting for server in transport._servers.values())


def beside_the_one_that_hangs(count, work, server):
    """Run ``work(number)`` on so many threads, of which one hangs; return the others' and its.

    The others have to end while it hangs: the server ends it when they have.
    """
    with ThreadPoolExecutor(count) as threads:
        running = [threads.submit(work, number) for number in range(count)]
        ended = as_completed(running, PATIENCE)
        try:
            others = [next(ended).result() for _ in range(count - 1)]
        finally:
            # Again and again, as the server may not have its connection yet.
            while not all(one.done() for one in running):
                server.hang_up()
                time.sleep(0.01)
        return others, next(ended).result()


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


def test_worker_threads_do_not_all_sit_in_timeouts(serve, make_transport, verifier, pauses):
    """A server that hangs costs 8 threads one timeout, and then one of them at a time."""
    script = Hanging()
    server = serve(script)
    transport = make_transport(retries=0)
    hasty, patient = (verifier(server, transport=transport, timeout=t) for t in (0.5, PATIENCE))
    patient.verify("cached")
    hasty.verify("cached")
    script.hangs = True

    def work(verifier):
        calls = []
        for _ in range(20):
            calls.append(call(verifier, new_token()))
            calls.append(call(verifier, "cached"))
            if calls[-2].reason != "circuit_open":
                break
        return calls

    first = [c for calls in together(8, lambda number: work(hasty)) for c in calls]
    assert {None, "deadline"} <= {c.reason for c in first} <= {None, "deadline", "circuit_open"}
    assert max(c.seconds for c in first) < 0.5 + SLACK
    assert transport.circuit_open(server.url)
    for _ in range(3):
        pauses.advance(3)
        others, trial = beside_the_one_that_hangs(8, lambda number: work(patient), server)
        assert ["connect_failed", None] == [c.reason for c in trial][-2:]
        for calls in others:
            assert ["circuit_open", None] * 20 == [c.reason for c in calls]
    headers = dict(error_response(others[0][0].error).headers)
    assert int(headers["Retry-After"]) >= 1


def test_a_popular_token_does_not_hold_all_threads(serve, make_transport, verifier):
    """Those who want the same token wait for one question, and then for none that may hang."""
    server = serve(lambda peer: (peer.read(), peer.hold()))
    transport = make_transport(retries=0)
    hasty, patient = (verifier(server, transport=transport, timeout=t) for t in (0.5, 20))
    first = together(8, lambda number: call(hasty, "popular"))
    assert {"deadline"} == {c.reason for c in first}
    assert max(c.seconds for c in first) < 0.5 + SLACK
    assert transport.hangs(server.url)
    assert not transport.circuit_open(server.url)

    # A tenth of the time: long enough for a server that is back.
    others, one = beside_the_one_that_hangs(8, lambda number: call(patient, "popular"), server)
    assert {"deadline"} == {c.reason for c in others}
    assert min(c.seconds for c in others) < 10
    assert "connect_failed" == one.reason


def test_threads_beyond_the_places_are_free_again_after_half_the_time(
    serve, make_transport, verifier
):
    """With fewer places than threads, a share of the threads sits in a timeout, and no more."""
    script = Hanging()
    server = serve(script)
    transport = make_transport(pool_size=3, retries=0)
    patient, hasty = (verifier(server, transport=transport, timeout=t) for t in (PATIENCE, 1))
    hasty.verify("cached")
    transport.close()  # a call on a kept connection would be made again when that ends
    script.hangs = True
    with ThreadPoolExecutor(3) as threads:
        held = [threads.submit(call, patient, new_token()) for _ in range(3)]
        until(lambda: len(server.requests) == 4)
        # Twice, as the machine may stand still once.
        waves = [together(5, lambda number: call(hasty, new_token())) for _ in range(2)]
        assert None is call(hasty, "cached").reason
        assert not any(one.done() for one in held)
        server.hang_up()

    assert {"busy"} == {c.reason for wave in waves for c in wave}
    assert 0.5 <= min(c.seconds for wave in waves for c in wave) < 0.9
    assert {"connect_failed"} == {one.result().reason for one in held}


def test_waiting_for_a_place_ends_when_the_server_is_given_up(serve, make_transport, verifier):
    """Whoever waits does not wait for a server that is left alone."""
    server = serve(lambda peer: (peer.read(), peer.hold()))
    transport = make_transport(pool_size=2, breaker_failures=1, retries=0)
    patient = verifier(server, transport=transport)
    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(call, patient, new_token()) for _ in range(8)]
        until(lambda: len(server.requests) == 2 and waiting(transport) == 6)
        server.hang_up()
        calls = [one.result() for one in running]

    assert ["circuit_open"] * 6 + ["connect_failed"] * 2 == sorted(c.reason for c in calls)
    assert max(c.seconds for c in calls) < SLACK
    assert 2 == len(server.requests)


@pytest.mark.parametrize(
    ("threads", "options"), [(8, {}), (10, {}), (16, {"pool_size": 16})], ids=str
)
def test_a_slow_server_is_waited_for(threads, options, serve, verifier):
    """An answer after three fifths of the timeout is one, for every thread with a place."""
    server = serve(slow(0.6))
    verifier = verifier(server, timeout=1, breaker_failures=1_000, retries=0, **options)

    def work(number):
        return [call(verifier, new_token()) for _ in range(3)]

    calls = [c for of_thread in together(threads, work) for c in of_thread]
    # A machine that stands still may cost an answer, but nobody less than the whole time.
    late = [c for c in calls if c.reason is not None]

    assert {"deadline"} >= {c.reason for c in late}
    assert all(c.seconds >= 1 for c in late)
    assert len(late) <= threads
    assert threads <= server.connections <= threads + len(late)


def test_a_slow_server_with_too_few_places_is_not_given_up(serve, make_transport, verifier):
    """What is lost on waiting for a place is no failure of the server's."""
    go = threading.Event()

    def script(peer):
        while peer.read() and go.wait(PATIENCE):
            peer.send(peer.answer(GOOD))

    server = serve(script)
    transport = make_transport(pool_size=2, breaker_failures=1, retries=0)
    patient, hasty = (verifier(server, transport=transport, timeout=t) for t in (PATIENCE, 0.2))
    with ThreadPoolExecutor(6) as threads:
        slow = [threads.submit(call, patient, new_token()) for _ in range(6)]
        until(lambda: len(server.requests) == 2 and waiting(transport) == 4)
        lost = together(6, lambda number: call(hasty, new_token()))
        go.set()
        answered = [one.result() for one in slow]

    assert {"busy"} == {c.reason for c in lost}
    assert {None} == {c.reason for c in answered}
    assert 2 == server.connections


def test_a_call_that_waited_too_long_does_not_count(serve, make_transport, ask):
    """Only one that had all of its time says of the server that it is too slow."""
    go = threading.Event()

    def script(peer):
        peer.read()
        if peer.number == 1 and go.wait(PATIENCE):
            peer.send(peer.answer(GOOD))
            peer.read()
        peer.hold()

    server = serve(script)
    transport = make_transport(pool_size=1, breaker_failures=1, retries=0)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask, transport, server.url)
        until(lambda: len(server.requests) == 1)
        second = threads.submit(ask, transport, server.url, seconds=2)
        until(lambda: waiting(transport) == 1)
        go.set()
        assert GOOD == first.result().response.body
        outcome = second.result()
    until(lambda: len(server.requests) == 2)

    assert "deadline" == outcome.reason
    assert not transport.circuit_open(server.url)
    assert "deadline" == ask(transport, server.url, seconds=0.4).reason
    assert transport.circuit_open(server.url)


def test_a_trial_that_waited_counts(serve, make_transport, ask, pauses):
    """Else it would be followed by the next one without a pause."""
    go = threading.Event()

    def script(peer):
        peer.read()
        peer.send(peer.answer(GOOD))
        peer.read()
        go.wait(PATIENCE)
        peer.send(peer.answer(GOOD))
        peer.read()
        peer.hold()

    server = serve(script)
    transport = make_transport(pool_size=1, breaker_failures=1, breaker_seconds=30, retries=0)
    ask(transport, server.url)
    with ThreadPoolExecutor(2) as threads:
        under_way = threads.submit(ask, transport, server.url)
        until(lambda: len(server.requests) == 2)
        transport.report_unreadable(server.url)  # this opens it, while the only place is taken
        pauses.advance(34)
        trial = threads.submit(ask, transport, server.url, seconds=2)
        until(lambda: waiting(transport) == 1)
        go.set()
        assert GOOD == under_way.result().response.body
        assert "deadline" == trial.result().reason
    until(lambda: len(server.requests) == 3)

    assert "circuit_open" == ask(transport, server.url).reason
    assert 3 == len(server.requests)


def test_32_threads_are_one_trial(serve, make_transport, verifier, pauses):
    """When the pause is over, one question goes out, and the others fail at once."""
    server = serve(lambda peer: (peer.read(), peer.hold()))
    transport = make_transport(breaker_failures=1, retries=0)
    hasty, patient = (verifier(server, transport=transport, timeout=t) for t in (0.4, PATIENCE))
    assert "deadline" == call(hasty, new_token()).reason
    pauses.advance(3)
    others, trial = beside_the_one_that_hangs(32, lambda number: call(patient, new_token()), server)

    assert ["circuit_open"] * 31 == [c.reason for c in others]
    assert "connect_failed" == trial.reason


def test_32_threads_after_a_good_trial_are_answered(serve, verifier, pauses):
    """A server that is back is used by all, without a restart."""
    statuses = ["500 Oops"]

    def script(peer):
        while peer.read():
            status = statuses.pop() if statuses else "200 OK"
            peer.send(peer.answer(GOOD, status=status))

    verifier = verifier(serve(script), breaker_failures=1)
    assert "bad_response" == call(verifier, new_token()).reason
    assert "circuit_open" == call(verifier, new_token()).reason
    pauses.advance(3)
    assert None is call(verifier, new_token()).reason
    calls = together(32, lambda number: call(verifier, new_token()))

    assert {None} == {c.reason for c in calls}


def test_a_hanging_server_takes_no_places_of_another(serve, make_transport, ask):
    """Servers that share a transport share neither places nor breaker."""
    hanging, good = serve(lambda peer: (peer.read(), peer.hold())), serve(slow(0))
    transport = make_transport(pool_size=2, breaker_failures=1, retries=0)
    with ThreadPoolExecutor(4) as threads:
        held = [threads.submit(ask, transport, hanging.url) for _ in range(4)]
        until(lambda: len(hanging.requests) == 2 and waiting(transport) == 2)
        assert GOOD == ask(transport, good.url).response.body
        assert not any(one.done() for one in held)
        hanging.hang_up()

    assert {"connect_failed", "circuit_open"} == {one.result().reason for one in held}
    assert transport.circuit_open(hanging.url)
    assert GOOD == ask(transport, good.url).response.body


def test_a_failing_token_endpoint_closes_no_introspection_endpoint(serve, make_transport, verifier):
    """They are different servers, though one client talks to both."""
    tokens = serve(lambda peer: peer.serve(peer.answer(b"", status="503 Busy")))
    transport = make_transport(breaker_failures=1)
    verifier = verifier(serve(slow(0)), transport=transport)
    request = Request("POST", tokens.url, form={"grant_type": "client_credentials"})
    assert 503 == transport.send(request, deadline=time.monotonic() + PATIENCE).status
    with pytest.raises(AuthServiceUnavailable) as caught:
        transport.send(request, deadline=time.monotonic() + PATIENCE)

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
    assert 20 <= later.retry_after <= 22
    assert 20 <= min(told) <= max(told) <= 34
    assert len(set(told)) > 5


def in_use():
    """Return how many descriptors are open and how many threads run."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.parametrize("breaker_failures", [5, 1_000_000], ids=["left alone", "always asked"])
def test_10_000_failing_calls_leave_nothing_behind(breaker_failures, nowhere, verifier):
    """Descriptors and threads stay as they were (RULES 51)."""
    server = SimpleNamespace(url=nowhere)
    verifier = verifier(server, breaker_failures=breaker_failures, retries=0)
    reasons = {call(verifier, new_token()).reason for _ in range(10)}
    before = in_use()
    reasons |= {call(verifier, new_token()).reason for _ in range(10_000)}

    # Fewer are no leak: what an earlier test left may be collected meanwhile.
    assert all(now <= then for now, then in zip(in_use(), before, strict=True))
    assert {"connect_failed"} == reasons - {"circuit_open"}
    assert 0 == verifier.stats().entries
