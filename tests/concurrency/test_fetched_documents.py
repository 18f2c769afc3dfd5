"""Metadata and keys, fetched once for all who need them, over real HTTP (RULES 16, 45, 47)."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import go_on, until

from tokenward import _jose
from tokenward._http import RequestsTransport
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.introspection import IntrospectionClient
from tokenward.jwkset import FetchedKeySet
from tokenward.testing import FakeAuthorizationServer, FakeClock

THREADS = 32
LATENCY = 0.05
PATIENCE = 120
LONG = 10 * PATIENCE  # a delay that is cut short
ALGORITHMS = frozenset({"ES256"})
METADATA = "/.well-known/oauth-authorization-server"


@pytest.fixture
def server():
    """Run an authorization server."""
    with FakeAuthorizationServer(signed_introspection=True) as fake:
        yield fake


@pytest.fixture
def transport():
    """Return a transport with a place for every thread."""
    made = RequestsTransport(pool_size=THREADS, breaker_failures=1_000)
    yield made
    made.close()


@pytest.fixture
def clock():
    return FakeClock(time.time())


@pytest.fixture
def keys(server, transport, clock):
    """Return the server's keys."""
    return FetchedKeySet(server.jwks_uri, transport=transport, clock=clock, timeout=PATIENCE)


@pytest.fixture
def client(server):
    """Return a client that demands signed answers and knows nothing but the issuer."""
    made = IntrospectionClient.from_issuer(
        server.issuer,
        client_auth=ClientSecretBasic(server.client_id, server.client_secret),
        signed_response_alg="ES256",
        pool_size=THREADS,
        timeout=PATIENCE,
    )
    yield made
    made.close()


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


def slowly(server, path, *, status=None, delay=LATENCY, times=10_000):
    """Let the server answer after a delay."""
    server.fail(path, status=status, delay=delay, times=times)


def calls(server, path):
    """Return how often a path was asked for."""
    return len(server.requests(path))


def begun(server, path, count):
    """Wait until so many requests have reached the server."""
    until(lambda: calls(server, path) >= count)


def verify(keys, token):
    """Verify a token's signature; return the generation of the keys."""
    return keys.verify(_jose.parse(token), ALGORITHMS).generation


def test_32_threads_on_cold_keys_are_one_fetch(server, keys):
    """All who ask together get one set."""
    slowly(server, server.jwks_uri)
    token = server.token()
    got = together(lambda _: verify(keys, token))

    assert ([1] * THREADS, 1) == (got, calls(server, server.jwks_uri))


def test_32_threads_on_failing_keys_are_one_fetch(server, keys):
    """And so are those who come in the cooldown."""
    slowly(server, server.jwks_uri, status=500)
    token = server.token()
    got = together(lambda _: verify(keys, token)) + together(lambda _: verify(keys, token))

    assert {AuthServiceUnavailable} == {type(error) for error in got}
    assert 2 * THREADS == len({id(error) for error in got})
    assert 1 == calls(server, server.jwks_uri)


def test_32_threads_with_a_rotated_key_are_one_fetch(server, keys):
    """The new key verifies for all of them."""
    verify(keys, server.token())
    server.rotate()
    slowly(server, server.jwks_uri)
    token = server.token()
    got = together(lambda _: verify(keys, token))

    assert ([2] * THREADS, 2) == (got, calls(server, server.jwks_uri))


def test_32_threads_with_unknown_keys_are_one_fetch(server, keys):
    """Whoever makes them up is refused; those with known keys do not wait for it."""
    known = server.token()
    verify(keys, known)
    slowly(server, server.jwks_uri, delay=LONG)
    forged = [_jose.sign({"sub": "x"}, _jose.generate_key("ES256")) for _ in range(THREADS)]
    with ThreadPoolExecutor(1) as threads:
        flood = threads.submit(together, lambda number: verify(keys, forged[number]))
        begun(server, server.jwks_uri, 2)
        assert [1] * 100 == [verify(keys, known) for _ in range(100)]
        assert not flood.done()
        go_on(server)
        got = flood.result(PATIENCE)

    assert {(InvalidToken, "unknown_key")} == {(type(error), error.reason) for error in got}
    assert 2 == calls(server, server.jwks_uri)


def test_known_keys_never_wait_for_a_refresh(server, keys, clock):
    """One user fetches the set anew, for as long as that takes; the others go on."""
    token = server.token()
    verify(keys, token)
    clock.advance(850)
    slowly(server, server.jwks_uri, delay=LONG)
    with ThreadPoolExecutor(1) as threads:
        one = threads.submit(verify, keys, token)
        begun(server, server.jwks_uri, 2)
        assert [1] * 100 == [verify(keys, token) for _ in range(100)]
        assert not one.done()
        go_on(server)
        assert 1 == one.result(PATIENCE)

    assert 2 == calls(server, server.jwks_uri)


def test_a_rotation_under_load(server, keys):
    """Threads that verify while keys come and go: nobody sees half a set, nothing wrong is said."""
    issued = [server.token()]
    numbers = iter(range(10**6))

    def work(_):
        for _ in range(30):
            match next(numbers) % 10:
                case 0:
                    server.rotate()
                    issued.append(server.token())
                case 1:
                    keys.refresh()
                case _:
                    # The newest may be unknown until the next refresh; the first never is.
                    assert verify(keys, issued[0]) >= 1

    assert [None] * 8 == together(work, count=8)
    keys.refresh()
    for token in issued:
        verify(keys, token)


def test_32_threads_discover_once(server, client):
    """One document, one set of keys, and a question for each."""
    slowly(server, METADATA)
    slowly(server, server.jwks_uri)
    tokens = [server.token(opaque=True, sub=f"u{number}") for number in range(THREADS)]
    got = together(lambda number: client.introspect(tokens[number])["sub"])

    assert [f"u{number}" for number in range(THREADS)] == got
    assert (1, 1, THREADS) == (
        calls(server, METADATA),
        calls(server, server.jwks_uri),
        calls(server, server.introspection_endpoint),
    )


def test_32_threads_fail_to_discover_once(server, client):
    """And ask no question."""
    slowly(server, METADATA, status=500)
    got = together(lambda _: client.introspect("token"))

    assert {AuthServiceUnavailable} == {type(error) for error in got}
    assert (1, 0) == (calls(server, METADATA), calls(server, server.introspection_endpoint))


def test_failing_calls_leave_nothing_behind(server, transport):
    """Descriptors and threads stay flat over a thousand failing fetches (RULES 51)."""
    server.fail(server.jwks_uri, status=500, times=10_000)
    keys = FetchedKeySet(server.jwks_uri, transport=transport, timeout=PATIENCE)

    def fail(times):
        for _ in range(times):
            with pytest.raises(AuthServiceUnavailable):
                keys.refresh()
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = fail(5)
    # Fewer are no leak: what an earlier test left may be collected meanwhile.
    assert all(now <= then for now, then in zip(fail(1_000), before, strict=True))


FORK = """
import contextlib, logging, os, threading, time
from tokenward import AuthServiceUnavailable
from tokenward.client_auth import ClientSecretBasic
from tokenward.introspection import IntrospectionClient
from tokenward.testing import FakeAuthorizationServer

def client_of(server):
    return IntrospectionClient.from_issuer(
        server.issuer,
        client_auth=ClientSecretBasic(server.client_id, server.client_secret),
        signed_response_alg="ES256",
        timeout=240,
    )

# What the parent's own discovery meets when the server is gone is not for standard error.
logging.getLogger("tokenward").addHandler(logging.NullHandler())

def discover():
    with contextlib.suppress(AuthServiceUnavailable):
        cold.introspect(token)

with FakeAuthorizationServer(signed_introspection=True) as server:
    token = server.token(opaque=True)
    warm, cold = client_of(server), client_of(server)
    warm.introspect(token)

    # Another thread is in the middle of discovering, and a third holds the document's lock.
    server.fail("/.well-known/oauth-authorization-server", status=None, delay=240)
    asked = len(server.requests())
    threading.Thread(target=discover, daemon=True).start()
    while len(server.requests()) == asked:
        time.sleep(0.001)
    taken, release = threading.Event(), threading.Event()

    def hold():
        with warm._endpoint._metadata._document._cache._lock:
            taken.set()
            release.wait()

    threading.Thread(target=hold, daemon=True).start()
    taken.wait(240)

    child = os.fork()
    if child == 0:
        started = time.monotonic()
        said = [client.introspect(token)["active"] for client in (warm, cold)]
        warm._endpoint._metadata._document.refresh()
        print(*said, time.monotonic() - started < 120, flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    release.set()
    print(os.waitstatus_to_exitcode(status), warm.introspect(token)["active"], flush=True)
"""


def test_a_fork_in_the_middle_of_a_discovery():
    """The child goes on with what is known, and discovers what is not."""
    # From Python 3.12 on, forking beside other threads warns; it is what is tried here.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)

    assert "" == done.stderr
    assert ["True True True", "0 True"] == done.stdout.splitlines()
