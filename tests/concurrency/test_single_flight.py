"""One upstream call for all who ask at once, over real HTTP (RULES 45, 47)."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import go_on, until

from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.testing import FakeAuthorizationServer

THREADS = 32
LATENCY = 0.02
PATIENCE = 120
LONG = 10 * PATIENCE  # a delay that is cut short


@pytest.fixture
def server():
    """Run an authorization server."""
    with FakeAuthorizationServer() as fake:
        yield fake


@pytest.fixture
def verifier(server):
    """Return a verifier of that server."""
    client = IntrospectionClient(
        server.introspection_endpoint,
        client_auth=ClientSecretBasic(server.client_id, server.client_secret),
        timeout=PATIENCE,
    )
    verifier = IntrospectionVerifier(client, audience=server.audience)
    yield verifier
    verifier.close()


def together(call, count=THREADS):
    """Run `call` in threads that start at one barrier; return what each returned or raised."""
    barrier = threading.Barrier(count)

    def run(_):
        barrier.wait(PATIENCE)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - what is raised is what is looked at
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def slowly(server, *, status=None, delay=LATENCY, times=10_000):
    """Let the server answer after a delay."""
    server.fail(server.introspection_endpoint, status=status, delay=delay, times=times)


def calls(server):
    """Return how often the server was asked."""
    return len(server.requests(server.introspection_endpoint))


def begun(server, count=1):
    """Wait until so many look-ups have reached the server."""
    until(lambda: calls(server) >= count)


def test_32_threads_on_one_cold_token_are_one_call(server, verifier):
    """All who ask together are answered by one question, with one principal."""
    slowly(server)
    token = server.token(opaque=True)
    got = together(lambda: verifier.verify(token))

    assert 1 == calls(server)
    assert ["user-1"] * THREADS == [who.subject for who in got]
    assert 1 == len({id(who) for who in got})


def test_32_threads_on_one_bad_token_are_one_call(server, verifier):
    """A refusal is shared likewise, and is an exception of its own for each."""
    slowly(server)
    got = together(lambda: verifier.verify("unknown"))

    assert 1 == calls(server)
    assert {InvalidToken} == {type(error) for error in got}
    assert THREADS == len({id(error) for error in got})


def test_32_threads_on_a_failing_server_are_one_call(server, verifier):
    """An outage is asked about once, is a fresh exception for each, and stays with nobody."""
    slowly(server, status=503, times=1, delay=LONG)
    token = server.token(opaque=True)
    # The server's failure lasts for one answer: a second call would be a success, and seen. It is
    # given when all of them wait for it.
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(together, lambda: verifier.verify(token))
        until(lambda: verifier.stats().misses == THREADS)
        go_on(server)
        got = asking.result(PATIENCE)

    assert 1 == calls(server)
    assert {AuthServiceUnavailable} == {type(error) for error in got}
    assert THREADS == len({id(error) for error in got})
    assert 1 == len({error.hint for error in got})
    assert ("user-1", 2) == (verifier.verify(token).subject, calls(server))


def test_tokens_do_not_wait_for_each_other(server, verifier):
    """Single flight is for each token; different tokens are asked about side by side."""
    slowly(server)
    tokens = [server.token(opaque=True, sub=f"u{number}") for number in range(8)]
    waiting = iter(tokens * 4)
    lock = threading.Lock()

    def verify():
        with lock:
            token = next(waiting)
        return verifier.verify(token).subject

    got = together(verify)

    assert sorted([f"u{number}" for number in range(8)] * 4) == sorted(got)
    assert 8 == calls(server)


def test_live_look_ups_do_not_join(server, verifier):
    """Each ``live`` request asks for itself, whoever else is asking."""
    slowly(server)
    token = server.token(opaque=True)
    got = together(lambda: verifier.verify(token, live=True), count=8)

    assert ["user-1"] * 8 == [who.subject for who in got]
    assert 8 == calls(server)


def test_invalidate_races_a_look_up(server, verifier):
    """An answer from before a revocation is not stored and answers nobody who came later."""
    token = server.token(opaque=True)
    said = {"active": True, "sub": "user-1", "aud": server.audience}
    # The server says yes, and its answer takes a while to arrive.
    server.fail(
        server.introspection_endpoint,
        status=200,
        headers={"Content-Type": "application/json"},
        body=json.dumps(said).encode(),
        delay=LONG,
    )
    with ThreadPoolExecutor(1) as threads:
        before = threads.submit(verifier.verify, token)
        begun(server)
        server.revoke(token)
        verifier.invalidate(token)
        with pytest.raises(InvalidToken):
            verifier.verify(token)
        assert not before.done()
        go_on(server)
        assert "user-1" == before.result(PATIENCE).subject

    with pytest.raises(InvalidToken):
        verifier.verify(token)
    assert 2 == calls(server)


def test_forgetting_and_asking_at_random(server, verifier):
    """Threads that verify, forget and ask live: nobody is left waiting, nothing wrong is said."""
    token = server.token(opaque=True)
    numbers = iter(range(10**6))

    def work():
        for _ in range(20):
            match next(numbers) % 5:
                case 0:
                    verifier.invalidate(token)
                case 1:
                    verifier.clear()
                case 2:
                    verifier.verify(token, live=True)
                case _:
                    assert "user-1" == verifier.verify(token).subject

    assert [None] * 8 == together(work, count=8)
    assert {} == verifier._cache._flights


def test_no_thread_is_left_behind(server, verifier):
    """Look-ups run in the threads of those who ask."""
    before = threading.active_count()
    token = server.token(opaque=True)
    verifier.verify(token)

    # The server's side of a kept connection is a thread of the server's.
    assert threading.active_count() - before <= 1


FORK = """
import contextlib, logging, os, threading, time
from tokenward import AuthServiceUnavailable
from tokenward.client_auth import ClientSecretBasic
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.testing import FakeAuthorizationServer

# What the parent's own look-up meets when the server is gone is not for standard error.
logging.getLogger("tokenward").addHandler(logging.NullHandler())

def ask():
    with contextlib.suppress(AuthServiceUnavailable):
        verifier.verify(cold)

with FakeAuthorizationServer() as server:
    client = IntrospectionClient(
        server.introspection_endpoint,
        client_auth=ClientSecretBasic(server.client_id, server.client_secret),
        timeout=240,
    )
    verifier = IntrospectionVerifier(client, audience=server.audience)
    cached, cold, other = (server.token(opaque=True, sub=s) for s in ("cached", "cold", "other"))
    verifier.verify(cached)

    # Another thread is in the middle of a look-up, and a third holds the cache's lock.
    server.fail(server.introspection_endpoint, status=None, delay=240)
    threading.Thread(target=ask, daemon=True).start()
    while len(server.requests()) < 2:
        time.sleep(0.001)
    taken, release = threading.Event(), threading.Event()

    def hold():
        with verifier._cache._lock:
            taken.set()
            release.wait()

    threading.Thread(target=hold, daemon=True).start()
    taken.wait(240)

    child = os.fork()
    if child == 0:
        started = time.monotonic()
        subjects = [verifier.verify(token).subject for token in (cached, cold, other)]
        print(*subjects, time.monotonic() - started < 120, flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    release.set()
    print(os.waitstatus_to_exitcode(status), verifier.verify(other).subject, flush=True)
"""


def test_a_fork_in_the_middle_of_a_look_up():
    """The child verifies at once: hits, the token under way in the parent, and a new one."""
    # From Python 3.12 on, forking beside other threads warns; it is what is tried here.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)

    assert "" == done.stderr
    assert ["cached cold other True", "0 other"] == done.stdout.splitlines()
