"""The breaker as the callers of a transport meet it (RULES 25)."""

import logging
import pickle
import threading

import pytest

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.protocols import Transport

# Whoever waits for the end of a pause moves the clock.
pytestmark = pytest.mark.usefixtures("pauses")

BODY = b'{"active": true}'
PATIENCE = 120


def answering(status, *headers):
    """Return a script that gives every request this status."""
    return lambda peer: peer.serve(peer.answer(b"", *headers, status=status))


def closing(peer):
    peer.read()


def holding(peer):
    peer.hold()


@pytest.mark.parametrize(
    "script",
    [
        closing,
        holding,
        lambda peer: (peer.read(), peer.send(b"garbage\r\n\r\n")),
        lambda peer: (peer.read(), peer.send(peer.answer(BODY, length=1_000))),
        lambda peer: peer.serve(peer.answer(BODY, "Content-Encoding: br")),
        answering("500 Oops"),
        answering("503 Busy"),
        answering("429 Slow down"),
    ],
    ids=["connect", "deadline", "garbage", "truncated", "encoding", "500", "503", "429"],
)
def test_failures_of_the_server_open_it(script, serve, make_transport, ask, connections):
    """After breaker_failures failures in a row, no call is made any more, and it fails at once."""
    server = serve(script)
    seconds = 0.4 if script is holding else PATIENCE
    transport = make_transport(retries=0, breaker_failures=3, breaker_seconds=30)
    for number in range(3):
        assert ask(transport, server.url, seconds=seconds).reason != "circuit_open"
        connections(server, number + 1 if seconds < PATIENCE else 1)
    seen = server.connections, len(server.requests)
    outcome = ask(transport, server.url)
    assert type(outcome.error) is AuthServiceUnavailable
    assert outcome.reason == "circuit_open"
    assert 30 <= outcome.error.retry_after <= 33
    assert (server.connections, len(server.requests)) == seen


@pytest.mark.parametrize(
    "script",
    [
        answering("400 Bad Request"),
        answering("401 Unauthorized"),
        answering("403 Forbidden"),
        answering("404 Not Found"),
        answering("302 Found", "Location: /"),
        lambda peer: peer.serve(peer.answer(b"x" * 5_000)),
    ],
    ids=["400", "401", "403", "404", "302", "too large"],
)
def test_what_a_caller_can_choose_does_not_open_it(script, serve, make_transport, ask):
    """A 4xx, or an answer too long to read, may be of the token's making: it never counts."""
    server = serve(script)
    transport = make_transport(
        retries=0, breaker_failures=2, breaker_seconds=30, max_response_bytes=1_000
    )
    for _ in range(6):
        assert ask(transport, server.url).reason in {None, "too_large"}


def test_a_success_starts_the_count_anew(serve, make_transport, ask):
    """Only failures in a row count."""
    statuses = ["500 Oops", "500 Oops", "200 OK"] * 4

    def script(peer):
        while peer.read():
            peer.send(peer.answer(b"", status=statuses.pop(0)))

    server = serve(script)
    transport = make_transport(breaker_failures=3, breaker_seconds=30)
    seen = [ask(transport, server.url).response.status for _ in range(12)]
    assert seen == [500, 500, 200] * 4


def test_retry_after_prolongs_the_pause(serve, make_transport, ask):
    """The answer's Retry-After holds where it is longer than breaker_seconds, and a little more."""
    server = serve(answering("429 Slow down", "Retry-After: 20"))
    transport = make_transport(breaker_failures=1, breaker_seconds=1)
    assert ask(transport, server.url).response.status == 429
    assert 20 <= ask(transport, server.url).error.retry_after <= 22


def test_retry_after_is_honoured_within_reason(serve, make_transport, ask):
    """A day is not: one careless answer must not take the service away for so long."""
    server = serve(answering("503 Busy", "Retry-After: 86400"))
    transport = make_transport(breaker_failures=1)
    ask(transport, server.url)
    assert 60 <= ask(transport, server.url).error.retry_after <= 66


def test_a_trial_call_closes_it_again(serve, make_transport, ask, pauses):
    """A server that is back is asked again after breaker_seconds, without anybody's doing."""
    back = []

    def script(peer):
        while peer.read():
            peer.send(peer.answer(BODY, status="200 OK" if back else "500 Oops"))

    server = serve(script)
    transport = make_transport(breaker_failures=1, breaker_seconds=30)
    assert ask(transport, server.url).response.status == 500
    back.append(True)
    for seconds in (0, 29.9):
        pauses.advance(seconds)
        assert ask(transport, server.url).reason == "circuit_open"
    pauses.advance(3.2)
    assert ask(transport, server.url).response.body == BODY


def test_a_trial_that_tells_nothing_leaves_it_to_the_next(serve, make_transport, ask, pauses):
    """An outcome that does not count frees the trial for the next call."""
    answers = [b"x" * 5_000, b"x" * 5_000, BODY]

    def script(peer):
        peer.read()
        if peer.number == 1:
            peer.send(peer.answer(b"", "Connection: close", status="500 Oops"))
        else:
            peer.send(peer.answer(answers.pop(0), "Connection: close"))

    server = serve(script)
    transport = make_transport(breaker_failures=1, breaker_seconds=30, max_response_bytes=1_000)
    assert ask(transport, server.url).response.status == 500
    pauses.advance(34)
    assert ask(transport, server.url).reason == "too_large"
    assert ask(transport, server.url).reason == "too_large"
    assert ask(transport, server.url).response.body == BODY


def test_unreadable_answers_open_it(serve, make_transport, ask):
    """Answers of status 200 that the caller reports as unreadable count, though each came whole."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport(breaker_failures=3, breaker_seconds=30)
    for _ in range(3):
        assert ask(transport, server.url).response.status == 200
        transport.report_unreadable(server.url)
    assert ask(transport, server.url).reason == "circuit_open"


def test_a_readable_answer_between_unreadable_ones_starts_the_count_anew(
    serve, make_transport, ask
):
    """Unreadable answers count in a row as well."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport(breaker_failures=2, breaker_seconds=30)
    for _ in range(4):
        ask(transport, server.url)
        transport.report_unreadable(server.url)
        assert ask(transport, server.url).response.body == BODY


def test_a_report_about_another_server_does_nothing(serve, make_transport, ask):
    """Only the server that answered this thread last can be reported."""
    one = serve(lambda peer: peer.serve())
    other = serve(lambda peer: peer.serve())
    transport = make_transport(breaker_failures=1, breaker_seconds=30)
    transport.report_unreadable(one.url)
    ask(transport, one.url)
    transport.report_unreadable(other.url)
    assert ask(transport, one.url).response.body == BODY
    assert ask(transport, other.url).response.body == BODY


def test_each_server_has_its_own(serve, make_transport, ask):
    """A transport that talks to two servers does not give up one for the other's failures."""
    broken = serve(answering("500 Oops"))
    good = serve(lambda peer: peer.serve())
    transport = make_transport(breaker_failures=1, breaker_seconds=30)
    ask(transport, broken.url)
    assert ask(transport, broken.url).reason == "circuit_open"
    assert ask(transport, good.url).response.body == BODY


def test_whether_the_next_call_may_hang_is_told(serve, make_transport, ask):
    """A transport says when nobody should wait for what others ask, and of which server."""
    hanging, good = serve(lambda peer: peer.hold()), serve(lambda peer: peer.serve())
    transport = make_transport(retries=0)
    ask(transport, good.url)
    assert not transport.hangs(hanging.url)
    assert ask(transport, hanging.url, seconds=0.4).reason == "deadline"
    assert transport.hangs(hanging.url)
    assert not transport.hangs(good.url)
    assert not transport.circuit_open(hanging.url)


def test_an_open_breaker_takes_no_place(serve, make_transport, ask):
    """Calls that fail fast leave every place free."""
    server = serve(answering("500 Oops"))
    good = serve(lambda peer: peer.serve())
    transport = make_transport(breaker_failures=1, breaker_seconds=30, pool_size=1)
    for _ in range(5):
        ask(transport, server.url)
    assert ask(transport, good.url).response.body == BODY


def test_an_open_breaker_does_not_wait_for_a_place(serve, make_transport, ask):
    """With every place taken, a call to a server that is left alone still fails at once."""
    under_way = threading.Event()

    def slow(peer):
        peer.read()
        under_way.set()
        peer.hold()

    broken, busy = serve(answering("500 Oops")), serve(slow)
    transport = make_transport(breaker_failures=1, breaker_seconds=30, pool_size=1, retries=0)
    ask(transport, broken.url)
    call = threading.Thread(target=ask, args=(transport, busy.url), daemon=True)
    call.start()
    assert under_way.wait(PATIENCE)
    outcome = ask(transport, broken.url)
    assert call.is_alive()
    busy.hang_up()
    call.join(PATIENCE)
    assert outcome.reason == "circuit_open"


def test_a_broken_log_handler_changes_nothing(serve, make_transport, ask):
    """A handler that raises when the breaker opens costs nobody an answer (RULES 51)."""

    class Broken(logging.Handler):
        def emit(self, record):
            raise RuntimeError(record.getMessage())

    handler = Broken()
    logger = logging.getLogger("tokenward")
    logger.addHandler(handler)
    try:
        server = serve(answering("500 Oops"))
        transport = make_transport(breaker_failures=1)
        assert ask(transport, server.url).response.status == 500
    finally:
        logger.removeHandler(handler)


def test_a_transport_is_a_transport(make_transport):
    """RequestsTransport has the methods of the protocol."""
    assert {name for name in vars(Transport) if not name.startswith("_")} <= set(
        dir(make_transport())
    )


def test_a_transport_is_not_pickled(make_transport):
    """Sockets and secrets do not cross a process boundary (RULES 47)."""
    with pytest.raises(TypeError, match="each process"):
        pickle.dumps(make_transport())


@pytest.mark.parametrize(
    "options",
    [
        {"connect_timeout": 0},
        {"connect_timeout": -1},
        {"breaker_seconds": 0},
        {"retries": -1},
        {"max_response_bytes": 0},
        {"pool_size": 0},
        {"breaker_failures": 0},
        {"connect_timeout": "2"},
        {"connect_timeout": float("nan")},
        {"breaker_seconds": float("inf")},
        {"pool_size": 2.5},
        {"retries": "1"},
    ],
)
def test_numbers_that_make_no_sense_stop_start_up(options, make_transport):
    """A ConfigurationError names what the numbers must be."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make_transport(**options)
