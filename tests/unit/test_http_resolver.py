"""Name resolution before a deadline, though `getaddrinfo` knows none (RULES 22, 51)."""

import socket
import threading
import time

import pytest

from tokenward._http.connect import Resolver
from tokenward.errors import AuthServiceUnavailable

NUMERIC = socket.getaddrinfo
PATIENCE = 90


class HangingNameServer:
    """Stands in for the system's resolver: answers names when it is told to."""

    def __init__(self):
        self.calls = 0
        self.release = threading.Event()
        self.error = None

    def getaddrinfo(self, host, port, *, type=0, flags=0):  # noqa: A002 - as in socket
        if flags & socket.AI_NUMERICHOST:
            return NUMERIC(host, port, type=type, flags=flags)
        self.calls += 1
        self.release.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, type, 6, "", ("192.0.2.7", port))]


@pytest.fixture
def name_server(monkeypatch):
    server = HangingNameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    before = set(threading.enumerate())
    yield server
    server.release.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before


def test_an_address_needs_no_name_server(name_server):
    """Literal addresses are taken as they are, without a thread."""
    resolver = Resolver()
    deadline = time.monotonic() + PATIENCE
    assert resolver.resolve("127.0.0.1", 80, deadline=deadline) == [
        (socket.AF_INET, ("127.0.0.1", 80))
    ]
    assert resolver.resolve("::1", 80, deadline=deadline)[0][1][:2] == ("::1", 80)
    assert name_server.calls == 0


def test_a_name_is_resolved(name_server):
    """The addresses are those of the system's resolver."""
    name_server.release.set()
    found = Resolver().resolve("auth.example.com", 443, deadline=time.monotonic() + PATIENCE)
    assert found == [(socket.AF_INET, ("192.0.2.7", 443))]


def test_a_resolver_that_hangs_ends_at_the_deadline(name_server):
    """The call gives up in time, whatever the system's resolver does."""
    begin = time.monotonic()
    with pytest.raises(AuthServiceUnavailable) as caught:
        Resolver().resolve("auth.example.com", 443, deadline=begin + 0.1)
    assert caught.value.reason == "deadline"
    assert 0.1 <= time.monotonic() - begin < PATIENCE * 2 / 3


def test_a_resolver_that_hangs_holds_one_thread(name_server):
    """However many calls give up on a name, it is being looked up once."""
    resolver = Resolver()
    before = set(threading.enumerate())
    for _ in range(20):
        with pytest.raises(AuthServiceUnavailable):
            resolver.resolve("auth.example.com", 443, deadline=time.monotonic() + 0.001)
    (thread,) = set(threading.enumerate()) - before
    name_server.release.set()
    thread.join(PATIENCE)
    assert name_server.calls == 1


def test_callers_who_wait_share_the_answer(name_server):
    """Several threads asking for one name get the result of one look-up."""
    resolver = Resolver()
    found = []
    ready = threading.Barrier(5)

    def ask():
        ready.wait(PATIENCE)
        found.append(
            resolver.resolve("auth.example.com", 443, deadline=time.monotonic() + PATIENCE)
        )

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait(PATIENCE)
    while name_server.calls == 0:
        threading.Event().wait(0.001)
    name_server.release.set()
    for thread in threads:
        thread.join()
    assert found == [[(socket.AF_INET, ("192.0.2.7", 443))]] * 4


def test_a_name_is_looked_up_anew_each_time(name_server):
    """Nothing is cached here: the system's resolver knows how long an answer holds."""
    name_server.release.set()
    resolver = Resolver()
    for _ in range(2):
        resolver.resolve("auth.example.com", 443, deadline=time.monotonic() + PATIENCE)
    assert name_server.calls == 2


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")]
)
def test_a_name_without_address_is_a_failed_connection(name_server, error):
    """What the resolver says is in the hint."""
    name_server.error = error
    name_server.release.set()
    with pytest.raises(AuthServiceUnavailable) as caught:
        Resolver().resolve("no-such.example.com", 443, deadline=time.monotonic() + PATIENCE)
    assert caught.value.reason == "connect_failed"
    assert "no-such.example.com" in caught.value.hint
    assert type(error).__name__ in caught.value.hint


def test_a_fork_forgets_what_is_under_way(name_server):
    """In the child nobody runs the parent's look-up, so it is begun again."""
    resolver = Resolver()
    with pytest.raises(AuthServiceUnavailable):
        resolver.resolve("auth.example.com", 443, deadline=time.monotonic() + 0.001)
    resolver.after_fork()
    name_server.release.set()
    assert resolver.resolve("auth.example.com", 443, deadline=time.monotonic() + PATIENCE)
    assert name_server.calls == 2
