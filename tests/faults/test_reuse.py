"""When a connection is used again, and when it is not (RULES 22)."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tokenward._http import adapter
from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Request

PATIENCE = 120  # seconds
BODY = b'{"active": true}'


def test_a_connection_is_used_again(serve, make_transport, ask):
    """Calls one after the other share one connection."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport()
    for _ in range(5):
        assert ask(transport, server.url).response.body == BODY
    assert server.connections == 1


def test_an_answer_that_was_not_read_whole_costs_its_connection(serve, make_transport, ask):
    """After an answer beyond the cap, the rest of it is not taken for the next answer."""

    def script(peer):
        peer.read()
        if peer.number == 1:
            peer.send(peer.answer(b"x" * 5_000))
            peer.hold()
        peer.send(peer.answer())
        peer.serve()

    server = serve(script)
    transport = make_transport(max_response_bytes=1_000)
    assert ask(transport, server.url).reason == "too_large"
    assert ask(transport, server.url).response.body == BODY
    assert server.connections == 2


@pytest.mark.parametrize("pause", [0, 0.05], ids=["in the same packet", "a moment later"])
@pytest.mark.parametrize("size", [1, 100, 20_000])
def test_surplus_bytes_never_become_the_next_answer(size, pause, serve, make_transport, ask):
    """Bytes behind an answer cost the connection; the next call gets its own answer."""
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    surplus = (surplus + b" " * size)[:size] if size < len(surplus) else surplus + b" " * size
    told = threading.Event()

    def script(peer):
        peer.read()
        if peer.number > 1:
            peer.send(peer.answer(b"mine"))
            peer.serve(peer.answer(b"mine"))
            return
        peer.send(peer.answer() + (b"" if pause else surplus))
        if pause:
            peer.server.stopping.wait(pause)
            peer.send(surplus)
        told.set()
        peer.serve(peer.answer(b"evil"))

    server = serve(script)
    transport = make_transport()
    assert ask(transport, server.url).response.body == BODY
    assert told.wait(PATIENCE)
    assert ask(transport, server.url).response.body == b"mine"
    assert server.connections == 2


def test_an_idle_connection_that_the_server_closed_is_replaced(serve, make_transport, ask):
    """A keep-alive that ended in the meantime costs nothing but a new connection."""
    closed = threading.Event()

    def script(peer):
        peer.read()
        peer.send(peer.answer())
        peer.sock.close()
        closed.set()

    server = serve(script)
    transport = make_transport(retries=0)
    for number in range(3):
        closed.clear()
        assert ask(transport, server.url).response.body == BODY
        assert closed.wait(PATIENCE)
        assert server.connections == number + 1


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_turns_out_stale_is_replaced_once(end, serve, make_transport, ask):
    """A kept connection that dies under the request is replaced without counting as a retry."""

    def script(peer):
        peer.read()
        peer.send(peer.answer())
        peer.read()
        if peer.number > 1:
            peer.serve()
        elif end == "reset":
            peer.reset()

    server = serve(script)
    transport = make_transport(retries=0, breaker_failures=1)
    assert ask(transport, server.url).response.body == BODY
    assert ask(transport, server.url).response.body == BODY
    assert server.connections == 2


def test_the_replacement_of_a_stale_connection_is_new(serve, make_transport, ask):
    """When every kept connection is stale, the second attempt does not take another of them."""
    ready = threading.Barrier(3)

    def script(peer):
        peer.read()
        if peer.number <= 3:
            ready.wait(PATIENCE)
            peer.send(peer.answer())
            peer.read()
        else:
            peer.send(peer.answer())
            peer.serve()

    server = serve(script)
    transport = make_transport(retries=0)
    calls = [threading.Thread(target=ask, args=(transport, server.url)) for _ in range(3)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert ask(transport, server.url).response.body == BODY
    assert server.connections == 4


def test_a_stale_connection_is_replaced_only_once(serve, make_transport, ask):
    """The replacement failing as well is a failure."""

    def script(peer):
        peer.read()
        if peer.number == 1:
            peer.send(peer.answer())
            peer.read()

    server = serve(script)
    transport = make_transport(retries=0)
    assert ask(transport, server.url).response.body == BODY
    assert ask(transport, server.url).reason == "connect_failed"
    assert server.connections == 2


@pytest.mark.parametrize("before", [0, 1], ids=["a new connection", "a kept connection"])
def test_what_may_be_sent_once_is_made_anew(before, serve, make_transport):
    """A request that says how is made again for a further attempt, on whatever connection."""

    def script(peer):
        if peer.number == 1:
            for _ in range(before):
                peer.read()
                peer.send(peer.answer())
            peer.read()
            peer.reset()
        else:
            peer.serve()

    def made(number):
        return Request(
            "POST", server.url, form={"assertion": str(number)}, again=lambda: made(number + 1)
        )

    server = serve(script)
    transport = make_transport()
    for _ in range(before):
        transport.send(Request("POST", server.url, form={}), deadline=time.monotonic() + PATIENCE)
    transport.send(made(1), deadline=time.monotonic() + PATIENCE)

    assert [b"assertion=1", b"assertion=2"] == [body for _, body in server.requests][before:]


def test_a_connection_that_rested_too_long_is_not_used(serve, make_transport, ask, monkeypatch):
    """After the idle limit a new connection is opened: a firewall may have dropped the old one."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport()
    ask(transport, server.url)
    monkeypatch.setattr(adapter, "_MAX_IDLE_SECONDS", 0.0)
    assert ask(transport, server.url).response.body == BODY
    assert server.connections == 2


def test_connection_close_is_obeyed(serve, make_transport, ask):
    """A server that says it will close is not written to again."""
    server = serve(lambda peer: peer.serve(peer.answer(BODY, "Connection: close")))
    transport = make_transport(retries=0)
    for _ in range(2):
        assert ask(transport, server.url).response.body == BODY
    assert server.connections == 2


def test_sending_after_close_opens_a_new_connection(serve, make_transport, ask):
    """close() ends the idle connections, not the transport."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport()
    ask(transport, server.url)
    transport.close()
    assert ask(transport, server.url).response.body == BODY
    assert server.connections == 2


def test_many_threads_share_the_places(serve, make_transport, ask):
    """More threads than places: all are answered, over at most as many connections as places."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport(pool_size=3)
    barrier = threading.Barrier(12)
    bodies = []

    def call():
        barrier.wait(PATIENCE)
        bodies.append(ask(transport, server.url).response.body)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [BODY] * 12
    assert server.connections <= 3


def test_a_request_within_a_request_keeps_both_deadlines(serve, make_transport, ask):
    """A call made while another one runs on the same thread (a signal handler) disturbs nothing."""
    inner = []
    quick = serve(lambda peer: peer.serve(peer.answer(b"inner")))
    transport = make_transport()

    def handler(_signum, _frame):
        inner.append(ask(transport, quick.url).response.body)

    def slow(peer):
        peer.read()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        peer.server.stopping.wait(0.1)
        peer.send(peer.answer(b"outer"))

    server = serve(slow)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        assert ask(transport, server.url).response.body == b"outer"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert inner == [b"inner"]


def test_a_forked_child_opens_its_own_connections(serve, make_transport, ask):
    """The child leaves the parent's connection alone; both go on."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport()
    ask(transport, server.url)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if ask(transport, server.url).response.body == BODY else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ask(transport, server.url).response.body == BODY
    assert server.connections == 2


def test_a_forked_child_does_not_wait_for_the_parents_calls(serve, make_transport, ask):
    """Places and locks that the parent's threads held at the fork are free in the child."""
    under_way = threading.Event()

    def script(peer):
        if peer.number == 1:
            peer.read()
            under_way.set()
            peer.hold()
        peer.serve()

    server = serve(script)
    transport = make_transport(pool_size=1, retries=0)
    call = threading.Thread(target=ask, args=(transport, server.url))
    call.start()
    assert under_way.wait(PATIENCE)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if ask(transport, server.url).response.body == BODY else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert call.is_alive()
    server.hang_up()
    call.join()


def test_a_forked_child_makes_the_trial_that_the_parent_has_under_way(
    serve, make_transport, ask, pauses
):
    """Its outcome stays in the parent; without one of its own the child would never ask again."""
    under_way = threading.Event()

    def script(peer):
        while peer.read():
            if len(server.requests) == 1:
                peer.send(peer.answer(b"", status="500 Oops"))
            elif len(server.requests) == 2:
                under_way.set()
                peer.hold()
                return
            else:
                peer.send(peer.answer())

    server = serve(script)
    transport = make_transport(breaker_failures=1, retries=0)
    assert ask(transport, server.url).response.status == 500
    pauses.advance(3)
    trial = threading.Thread(target=ask, args=(transport, server.url))
    trial.start()
    assert under_way.wait(PATIENCE)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if ask(transport, server.url).response.body == BODY else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    server.hang_up()
    trial.join()


def reset(peer):
    while peer.read():
        peer.reset()


def refuse_politely(peer):
    peer.serve(peer.answer(b"", status="503 Busy"))


def speak_nonsense(peer):
    while peer.read():
        peer.send(b"nonsense\r\n\r\n")


def say_too_much(peer):
    peer.serve(peer.answer(b"x" * 5_000))


def say_nothing(peer):
    peer.hold()


@pytest.mark.parametrize(
    "script", [None, reset, refuse_politely, speak_nonsense, say_too_much, say_nothing]
)
def test_failures_leak_neither_descriptors_nor_threads(script, serve, make_transport, nowhere):
    """After hundreds of failing calls there are as many descriptors and threads as before."""
    server = serve(script)
    transport = make_transport(retries=0, breaker_failures=10_000, max_response_bytes=1_000)
    request = Request("POST", server.url if script else nowhere, form={"token": "t"})
    seconds = 0.005 if script is say_nothing else PATIENCE

    def fail(times):
        for _ in range(times):
            with contextlib.suppress(AuthServiceUnavailable):
                transport.send(request, deadline=time.monotonic() + seconds)
        transport.close()
        server.drain()

    def counts():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    def grown(before):
        # Fewer than before is no leak: what an earlier test left may be collected meanwhile.
        return [max(0, now - then) for now, then in zip(counts(), before, strict=True)]

    def settled(before):
        until = time.monotonic() + PATIENCE
        while any(grown(before)) and time.monotonic() < until:
            server.stopping.wait(0.01)  # the server may still be accepting what we gave up
        return grown(before)

    threads = threading.active_count()
    fail(5)
    while threading.active_count() > threads:
        server.drain()
    before = counts()
    fail(200)
    assert settled(before) == [0, 0]
