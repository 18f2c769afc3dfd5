"""One call of the token endpoint for all who ask at once, over real HTTP (RULES 45, 47)."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from waiting import go_on, until

from tokenward.client_auth import ClientCredentials, ClientSecretBasic
from tokenward.client_auth.client_credentials import RENEW_AFTER
from tokenward.errors import AuthServiceUnavailable
from tokenward.testing import FakeAuthorizationServer, FakeClock
from tokenward.testing._loopback import Answer, LoopbackServer

THREADS = 32
LATENCY = 0.05
PATIENCE = 120
LONG = 10 * PATIENCE  # a delay that is cut short


@pytest.fixture
def clock():
    """A clock that stands until it is moved."""
    return FakeClock(1_700_000_000)


@pytest.fixture
def server(clock):
    """Run an authorization server."""
    with FakeAuthorizationServer(clock=clock) as fake:
        yield fake


@pytest.fixture
def source(server, clock):
    """Return a source of tokens of that server."""
    auth = ClientSecretBasic(server.client_id, server.client_secret)
    source = ClientCredentials(
        server.token_endpoint, client_auth=auth, clock=clock, timeout=PATIENCE
    )
    yield source
    source.close()


def together(call, count=THREADS):
    """Run `call` in threads that start at one barrier; return what each returned or raised."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait(PATIENCE)
        try:
            return call(number)
        except Exception as error:  # noqa: BLE001 - what is raised is what is looked at
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def slowly(server, *, status=None, times=1, delay=LATENCY):
    """Let the token endpoint answer after a delay."""
    server.fail("/token", status=status, delay=delay, times=times)


def calls(server):
    """Return how often a token was asked for."""
    return len(server.requests("/token"))


def begun(server, count=1):
    """Wait until so many calls have reached the server."""
    until(lambda: calls(server) >= count)


def test_32_threads_without_a_token_are_one_call(server, source):
    """All who ask together get the same one."""
    slowly(server)
    got = together(lambda _: source())

    assert 1 == calls(server)
    assert 1 == len(set(got))
    assert isinstance(got[0], str)


def test_32_threads_on_a_failing_server_are_one_call(server, source):
    """An outage is asked about once, is a fresh exception for each, and stays with nobody."""
    # The failure lasts for one answer: a second call would be a success, and seen. It is given
    # when all of them wait for it.
    slowly(server, status=503, delay=LONG)
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(together, lambda _: source())
        until(lambda: source._cache.misses == THREADS)
        go_on(server)
        got = asking.result(PATIENCE)

    assert 1 == calls(server)
    assert {AuthServiceUnavailable} == {type(error) for error in got}
    assert THREADS == len({id(error) for error in got})
    assert 1 == len({error.hint for error in got})
    assert source()


def test_32_threads_that_are_refused_are_one_call(server, source):
    """Nor does anybody ask again during the five seconds after it."""
    slowly(server, status=401)
    got = together(lambda _: source())
    got += together(lambda _: source())

    assert 1 == calls(server)
    assert {"client_refused"} == {error.reason for error in got}


def test_32_threads_of_a_due_token_are_one_call(server, source, clock):
    """One of them renews it; the others go on with the one there is, and do not wait."""
    first = source()
    clock.advance(271)
    slowly(server, delay=LONG)
    asking = threading.Thread(target=source, daemon=True)
    asking.start()
    begun(server, 2)
    got = together(lambda _: source())

    assert asking.is_alive()
    assert {first} == set(got)
    assert 2 == calls(server)
    go_on(server)
    asking.join(PATIENCE)
    assert not asking.is_alive()


def test_32_threads_past_the_middle_wait_for_one_call(server, source, clock):
    """So near to its end, all of them get the new one."""
    first = source()
    clock.advance(290)
    slowly(server)
    got = together(lambda _: source())

    assert 2 == calls(server)
    assert 1 == len(set(got))
    assert first not in got


def test_32_threads_whose_token_is_refused_are_one_call(server, source, clock):
    """All of them are told 401 by a service, and all go on with one new token."""
    first = source()
    clock.advance(RENEW_AFTER)
    told = threading.Barrier(THREADS)

    def answer(request):
        if request.headers["authorization"] == f"Bearer {first}":
            told.wait(PATIENCE)
            return Answer(401)
        return Answer(200, request.headers["authorization"].encode())

    service = LoopbackServer(answer)
    service.start()
    slowly(server)

    def ask(_):
        with requests.Session() as session:
            session.trust_env = False
            session.auth = source
            return session.get(f"http://127.0.0.1:{service.server_port}", timeout=PATIENCE).text

    try:
        got = together(ask)
    finally:
        service.stop()

    assert 2 == calls(server)
    assert {f"Bearer {source()}"} == set(got)


def test_an_invalidate_races_a_call(server, source):
    """A token that was asked for before answers nobody who came later."""
    slowly(server, delay=LONG)
    with ThreadPoolExecutor(1) as threads:
        before = threads.submit(source)
        begun(server)
        source.invalidate()
        after = source()

        assert not before.done()
        go_on(server)
        assert after != before.result(PATIENCE)
    assert after == source()
    assert 2 == calls(server)


def test_a_refusal_joins_the_call_under_way(server, source, clock):
    """A token that a service refuses while it is being renewed is not asked for twice."""
    first = source()
    clock.advance(271)
    slowly(server, delay=0.3)
    with ThreadPoolExecutor(1) as threads:
        renewed = threads.submit(source)
        begun(server, 2)
        source.invalidate(first)
        after = source()

        assert after == renewed.result(PATIENCE)
    assert after == source() != first
    assert 2 == calls(server)


def test_32_threads_that_cannot_renew_a_refused_token_are_one_call(server, source, clock):
    """All of them go on with the one there is."""
    first = source()
    clock.advance(RENEW_AFTER)
    # The failure lasts for one answer: a second call would be a success, and seen.
    slowly(server, status=429)

    def refused(_):
        source.invalidate(first)
        return source()

    assert [first] * THREADS == together(refused)
    assert 2 == calls(server)


def test_forgetting_and_asking_at_random(source, clock):
    """Threads that ask and forget: each gets a token, and nobody is left waiting."""

    def work(number):
        for turn in range(20):
            token = source()
            assert token.count(".") == 2
            clock.advance(RENEW_AFTER)
            match (number + turn) % 4:
                case 0:
                    source.invalidate()
                case 1:
                    source.invalidate(token)

    assert [None] * 8 == together(work, count=8)


FORK = """
import contextlib, logging, os, threading, time
from tokenward import AuthServiceUnavailable
from tokenward.client_auth import ClientCredentials, ClientSecretBasic
from tokenward.testing import FakeAuthorizationServer

# What the parent's own call meets when the server is gone is not for standard error.
logging.getLogger("tokenward").addHandler(logging.NullHandler())

def ask():
    with contextlib.suppress(AuthServiceUnavailable):
        cold()

with FakeAuthorizationServer() as server:
    auth = ClientSecretBasic(server.client_id, server.client_secret)
    kept, cold = (
        ClientCredentials(server.token_endpoint, client_auth=auth, timeout=240) for _ in range(2)
    )
    before = kept()

    # Another thread is in the middle of a call.
    server.fail("/token", status=None, delay=240)
    threading.Thread(target=ask, daemon=True).start()
    while len(server.requests()) < 2:
        time.sleep(0.001)

    child = os.fork()
    if child == 0:
        started = time.monotonic()
        print(kept() == before, cold().count("."), time.monotonic() - started < 120, flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), kept() == before, flush=True)
"""


def test_a_fork_in_the_middle_of_a_call():
    """The child goes on with the token that is kept, and gets the other by a call of its own."""
    # From Python 3.12 on, forking beside other threads warns; it is what is tried here.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)

    assert "" == done.stderr
    assert ["True 2 True", "0 True"] == done.stdout.splitlines()
