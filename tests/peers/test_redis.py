"""A real Redis that is down, slow, full, read-only, tampered with or odd (RULES 44, 45, 48, 51)."""

import contextlib
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest
from authority import Authority
from benchmarks.ports import free_port
from redis_server import RedisServer

from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache, listener
from tokenward.redis_cache.server import Server, packed
from tokenward.shared_cache import MAX_VALUE_BYTES, careful
from tokenward.testing import FakeAuthorizationServer

SECRETS = ["kq3V-new-8fJ2_0pTzXw7Lm"]
PASSWORD = "pw-/#@:x"
# For what answers, on a machine that does other things too.
PATIENCE = 90.0
# For what is not to answer.
TIMEOUT = 0.25
# What a call may take beyond it; whoever waits for more than it waits far longer than this.
MARGIN = 50.0


@pytest.fixture(autouse=True)
def _loud(monkeypatch):
    for module in (careful.seldom, listener._seldom):
        monkeypatch.setattr(module, "_last", {})


@pytest.fixture
def redis(tmp_path):
    """Run a Redis that the test may kill."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def issuer():
    """Run an authorization server."""
    with FakeAuthorizationServer() as fake:
        yield fake


@pytest.fixture
def closing():
    """What is closed when the test is over."""
    with contextlib.ExitStack() as stack:
        yield lambda made: stack.enter_context(contextlib.closing(made))


@pytest.fixture
def process(issuer, closing):
    """Return a function that makes what one process has: a verifier with its own connections."""

    def make(url, *, bus=False, timeout=PATIENCE, **options):
        client = IntrospectionClient(
            issuer.introspection_endpoint,
            client_auth=ClientSecretBasic(issuer.client_id, issuer.client_secret),
            timeout=PATIENCE,
        )
        known = {"secrets": SECRETS, "timeout": timeout}
        options["shared_cache"] = closing(RedisSharedCache(url, **known))
        if bus:
            options["revocation_bus"] = closing(RedisRevocationBus(url, **known))
        return closing(IntrospectionVerifier(client, audience=issuer.audience, **options))

    return make


def eventually(condition):
    """Wait for the outside world."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        pause.wait(0.01)


def command(redis, *parts):
    """Send a command as anybody else would; return the answer as it is."""
    with socket.create_connection(("127.0.0.1", redis.port), timeout=PATIENCE) as connection:
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
        packed = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        connection.sendall(b"*%d\r\n%b" % (len(parts), packed))
        answer = connection.recv(65_536)
        while answer.startswith(b"$") and len(answer) < int(answer[1 : answer.index(b"\r")]):
            answer += connection.recv(65_536)
        return answer


def info(redis, name):
    """Return one figure of INFO."""
    text = command(redis, "INFO").decode()
    return int(text.partition(f"\r\n{name}:")[2].partition("\r\n")[0])


def keys(redis):
    """Return the names of all keys."""
    parts = command(redis, "KEYS", "*").split(b"\r\n")
    return [part for part in parts if part.startswith(b"tokenward:")]


def calls(issuer):
    """Return how often the authorization server was asked."""
    return len(issuer.requests(issuer.introspection_endpoint))


def works_again(issuer, one, other):
    """Tell whether a new token that one process verifies is known to the other."""
    token = issuer.token(opaque=True)
    one.verify(token)
    before = other.stats().shared_hits
    other.verify(token)
    return other.stats().shared_hits == before + 1


# --- down, slow, full, read-only -----------------------------------------------------------------


def test_a_redis_that_comes_late_is_used_then(redis, issuer, process):
    """Down at the start: each process asks by itself, until it is there."""
    redis.kill()
    one, other = process(redis.url, bus=True), process(redis.url, bus=True)
    token = issuer.token(opaque=True)
    assert one.verify(token) == other.verify(token)
    # To read; and to write, where it is not left alone any more by then.
    assert (2, True) == (calls(issuer), one.stats().shared_errors in (1, 2))
    redis.start()

    eventually(lambda: works_again(issuer, one, other))


def test_a_redis_that_is_killed_and_started_again(redis, issuer, process):
    """In the middle of the traffic of eight threads: nobody gets an error."""
    one, other = process(redis.url, bus=True), process(redis.url, bus=True)
    assert works_again(issuer, one, other)
    stop = threading.Event()

    def traffic(verifier):
        verified = 0
        while not stop.is_set():
            token = issuer.token(opaque=True)
            verifier.verify(token)
            verifier.invalidate(token)
            verified += 1
        return verified

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(traffic, v) for v in (one, other) * 4]
        errors = one.stats().shared_errors
        redis.kill()
        eventually(lambda: one.stats().shared_errors > errors)
        redis.start()
        eventually(lambda: works_again(issuer, one, other))
        stop.set()
        assert all(task.result(PATIENCE) > 0 for task in running)


def test_a_connection_that_the_server_closed_is_not_used(redis, closing):
    """A Redis that was started anew in the meantime costs nobody an error."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, timeout=PATIENCE))
    cache.set(b"a", b"1", ttl=60)
    redis.kill()
    redis.start()

    assert [None] == cache.get_many([b"a"])


def test_a_redis_that_says_nothing_costs_one_timeout(redis, issuer, process):
    """Eight threads wait once, all together; then it is left alone until one has tried."""
    one, other = (process(redis.url, timeout=TIMEOUT) for _ in range(2))
    eventually(lambda: works_again(issuer, one, other))
    before = one.stats().shared_errors
    command(redis, "CLIENT", "PAUSE", 600_000, "ALL")

    def verify(_):
        started = time.monotonic()
        one.verify(issuer.token(opaque=True))
        return time.monotonic() - started

    with ThreadPoolExecutor(8) as threads:
        first = list(threads.map(verify, range(8)))
        waited = one.stats().shared_errors
        rest = list(threads.map(verify, range(80)))
    assert max(first + rest) < TIMEOUT + MARGIN
    assert 1 <= waited - before <= 16
    # Each pause is twice as long as the one before: few attempts, however long all this takes.
    assert one.stats().shared_errors - waited <= 20


def test_a_redis_that_wakes_up_is_used_again(redis, issuer, process):
    """No restart is needed."""
    one, other = process(redis.url, timeout=TIMEOUT), process(redis.url)
    with standing_still(redis):
        one.verify(issuer.token(opaque=True))

    assert one.stats().shared_errors >= 1
    eventually(lambda: works_again(issuer, one, other))


@contextlib.contextmanager
def standing_still(redis):
    """Have it answer nobody for a while."""
    number = info(redis, "process_id")
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(number, signal.SIGCONT)


def test_a_slow_answer_within_the_timeout_is_one(redis, closing):
    """Each wait may take what is left of it, and no less."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, timeout=PATIENCE))
    cache.set(b"a", b"1", ttl=60)
    command(redis, "CLIENT", "PAUSE", 300, "ALL")

    assert [b"1"] == cache.get_many([b"a"])


def test_a_redis_without_memory_keeps_nothing(tmp_path, issuer, process, caplog):
    """Reading goes on; what cannot be kept is counted, and each process asks by itself."""
    with RedisServer(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as full:
        verifier = process(full.url)
        verifier.verify(issuer.token(opaque=True))

        assert 1 == verifier.stats().shared_errors
        assert "its memory is full" in caplog.text
        command(full, "CONFIG", "SET", "maxmemory", "0")
        eventually(lambda: works_again(issuer, verifier, process(full.url)))


def test_a_replica_keeps_nothing(redis, issuer, process, caplog):
    """Until it is a primary; connections to one that was demoted are not kept."""
    verifier = process(redis.url)
    command(redis, "REPLICAOF", "127.0.0.1", "1")
    verifier.verify(issuer.token(opaque=True))

    assert 1 == verifier.stats().shared_errors
    assert "name the primary" in caplog.text
    command(redis, "REPLICAOF", "NO", "ONE")
    eventually(lambda: works_again(issuer, verifier, process(redis.url)))


def test_a_refusal_closes_idle_connections(redis, closing):
    """They may lead to a server that is primary no more."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, timeout=PATIENCE))
    cache.set(b"a", b"1", ttl=60)
    idle = cache._server._idle
    idle.append(cache._server.connect())
    command(redis, "REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(AuthServiceUnavailable):
        cache.set(b"a", b"2", ttl=60)

    assert [] == idle
    # The one that asks is the test's own.
    eventually(lambda: info(redis, "connected_clients") == 1)


def test_a_connection_that_was_idle_for_long_is_not_used(redis, closing):
    """Something in between may have forgotten it, and would say nothing."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, timeout=PATIENCE))
    cache.get_many([b"a"])
    (connection,) = cache._server._idle
    cache.get_many([b"a"])
    assert [connection] == cache._server._idle
    connection.used_at -= 61
    cache.get_many([b"a"])

    (another,) = cache._server._idle
    assert another is not connection


@pytest.mark.parametrize("user", [":WRONG-SECRET@", ""], ids=["wrong", "missing"])
def test_a_password_that_is_wrong_or_missing(tmp_path, issuer, process, caplog, user):
    """Counted and told of, without the password; the tokens are verified all the same."""
    with RedisServer(tmp_path, password="right-password") as closed:
        verifier = process(f"redis://{user}127.0.0.1:{closed.port}/0", bus=True)
        verifier.verify(issuer.token(opaque=True))
        verifier.invalidate(issuer.token(opaque=True))
        eventually(lambda: "not subscribed" in caplog.text)

    assert verifier.stats().shared_errors >= 2
    assert "check the user name and the password in its URL" in caplog.text
    assert "WRONG-SECRET" not in caplog.text
    assert "right-password" not in caplog.text


def test_a_password_is_told_nobody(tmp_path, caplog):
    """Not even by a server that repeats what it does not understand."""
    with RedisServer(tmp_path, "--rename-command", "AUTH", "") as strange:
        url = f"redis://:REAL-SECRET@127.0.0.1:{strange.port}/0"
        with pytest.raises(AuthServiceUnavailable) as caught:
            RedisSharedCache(url, secrets=SECRETS, timeout=PATIENCE).get_many([b"a"])

    assert "REAL-SECRET" not in caught.value.hint + repr(caught.value) + caplog.text
    assert caught.value.__context__ is None


def test_a_password_of_any_characters_signs_in(tmp_path, closing):
    """It is percent-encoded in the URL; the number of the database is minded."""
    with RedisServer(tmp_path, password=PASSWORD) as closed:
        url = f"redis://:pw-%2F%23%40%3Ax@127.0.0.1:{closed.port}/3"
        cache = closing(RedisSharedCache(url, secrets=SECRETS, timeout=PATIENCE))
        cache.set(b"a", b"1", ttl=60)

        assert [b"1"] == cache.get_many([b"a"])
        other = closing(RedisSharedCache(url[:-1] + "4", secrets=SECRETS, timeout=PATIENCE))
        assert [None] == other.get_many([b"a"])


def test_a_user_with_no_more_rights_than_needed(redis, issuer, process):
    """What the documentation lists is enough, and without it a hint says so."""
    rights = ["on", ">made-up-password", "~tokenward:*", "&tokenward:*"]
    rights += ["+getrange", "+set", "+del", "+publish", "+subscribe", "+ping"]
    command(redis, "ACL", "SETUSER", "orders", *rights)
    url = redis.url.replace("redis://", "redis://orders:made-up-password@")
    one, other = process(url, bus=True), process(url, bus=True)

    assert works_again(issuer, one, other)
    one.invalidate(issuer.token(opaque=True))
    one.verify(issuer.token(opaque=True), live=True)
    assert 0 == one.stats().shared_errors
    stranger = RedisSharedCache(url, secrets=SECRETS, prefix="other:", timeout=PATIENCE)
    with pytest.raises(AuthServiceUnavailable) as caught:
        stranger.set(b"a", b"1", ttl=1)
    stranger.close()
    assert "may not do what is needed" in caught.value.hint


# --- tampered with -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attack",
    [
        ["SET", b"", b"x" * 500],
        ["SET", b"", b"x" * 50_000_000],
        ["LPUSH", b"", "x"],
        ["HSET", b"", "a", "b"],
    ],
    ids=["garbage", "huge", "list", "hash"],
)
def test_what_somebody_else_has_put_there_is_a_miss(redis, issuer, process, attack):
    """Counted; little of it is read; the next answer takes its place."""
    token = issuer.token(opaque=True)
    process(redis.url).verify(token)
    (name,) = keys(redis)
    command(redis, "DEL", name)
    command(redis, attack[0], name, *attack[2:])
    sent = info(redis, "total_net_output_bytes")
    victim = process(redis.url)
    victim.verify(token)

    assert 2 * MAX_VALUE_BYTES > info(redis, "total_net_output_bytes") - sent
    assert (1, 0) == (victim.stats().shared_errors, victim.stats().shared_hits)
    after = process(redis.url)
    after.verify(token)
    assert (0, 1) == (after.stats().shared_errors, after.stats().shared_hits)


def test_whatever_stands_at_a_tombstone_counts(redis, issuer, process):
    """A value of another type as well."""
    token = issuer.token(opaque=True)
    one = process(redis.url)
    one.verify(token)
    one.invalidate(token)
    (stone,) = [name for name in keys(redis) if name.endswith(b"}t")]
    command(redis, "DEL", stone)
    command(redis, "LPUSH", stone, "x")
    other = process(redis.url)
    other.verify(token)

    assert 0 == other.stats().shared_hits


def test_nothing_readable_is_in_redis(redis, issuer, process):
    """Neither the token, nor its digest, nor a claim, nor our secret: names, values, messages."""
    token = issuer.token(opaque=True, sub="alice-in-redis", scope="read-orders")
    verifier = process(redis.url, bus=True)
    verifier.verify(token)
    other = issuer.token(opaque=True, sub="bob-in-redis")
    verifier.verify(other)
    with _monitor(redis) as seen:
        verifier.verify(issuer.token(opaque=True, sub="carol-in-redis"))
        verifier.invalidate(other)
        eventually(lambda: b'"PUBLISH"' in seen())
        everything = seen()
    for name in keys(redis):
        everything += name + command(redis, "GET", name)

    assert everything.count(b"tokenward:{") > 3
    known = [token, other, "in-redis", "read-orders", issuer.client_id, issuer.client_secret]
    for text in [*known, issuer.audience + '"', "active", issuer.issuer, *SECRETS]:
        assert text.encode() not in everything


@contextlib.contextmanager
def _monitor(redis):
    """Give what passes the server, as it passes."""
    seen = bytearray()
    with socket.create_connection(("127.0.0.1", redis.port), timeout=PATIENCE) as connection:
        connection.sendall(b"MONITOR\r\n")
        assert b"+OK\r\n" == connection.recv(5)

        def read():
            with contextlib.suppress(OSError):
                while some := connection.recv(65_536):
                    seen.extend(some)

        thread = threading.Thread(target=read)
        thread.start()
        yield lambda: bytes(seen)
        connection.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


# --- connections ---------------------------------------------------------------------------------


def test_a_hit_is_one_round_trip(redis, closing):
    """Both places of a token are asked for in one piece."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, timeout=PATIENCE))
    cache.get_many([b"a", b"b"])
    before = info(redis, "total_reads_processed")
    for _ in range(100):
        cache.get_many([b"a", b"b"])

    # And a few for INFO itself.
    assert 100 <= info(redis, "total_reads_processed") - before < 110


def test_a_new_connection_says_no_more_than_it_must(redis, closing):
    """Each word is a round trip more: nothing but the database, where one is named."""
    with _monitor(redis) as seen:
        for database in "02":
            cache = closing(
                RedisSharedCache(redis.url[:-1] + database, secrets=SECRETS, timeout=PATIENCE)
            )
            cache.get_many([b"a"])
        eventually(lambda: seen().count(b"\n") >= 3)
        said = [line.split(b'"')[1] for line in seen().splitlines()]

    assert [b"GETRANGE", b"SELECT", b"GETRANGE"] == said


def test_connections_are_few(redis, closing):
    """No more than there are places; who finds none waits."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, pool_size=3, timeout=PATIENCE))
    before = info(redis, "total_connections_received")
    with ThreadPoolExecutor(16) as threads:
        for task in [threads.submit(cache.get_many, [b"a"]) for _ in range(400)]:
            assert [None] == task.result(PATIENCE)

    assert info(redis, "total_connections_received") - before <= 3 + 1
    cache.close()
    eventually(lambda: info(redis, "connected_clients") == 1)


def test_who_finds_no_place_waits_no_longer_than_the_timeout(redis, closing):
    """And is told to raise the number."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, pool_size=1, timeout=TIMEOUT))
    cache._server._places.acquire()
    started = time.monotonic()
    with pytest.raises(AuthServiceUnavailable) as caught:
        cache.get_many([b"a"])

    assert TIMEOUT * 0.9 < time.monotonic() - started < TIMEOUT + MARGIN
    assert "raise pool_size" in caught.value.hint


def descriptors():
    """Return how many files and sockets are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_failures_leave_nothing_open(redis, closing):
    """Descriptors and threads are as many as before after a thousand of them."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, timeout=TIMEOUT))
    bus = closing(RedisRevocationBus(redis.url, secrets=SECRETS, timeout=TIMEOUT))
    cache.get_many([b"a"])
    redis.kill()

    def fail():
        for use in (lambda: cache.get_many([b"a"]), lambda: bus.publish(b"a")):
            with pytest.raises(AuthServiceUnavailable):
                use()

    fail()
    gc.collect()
    before = descriptors(), threading.active_count()
    for _ in range(500):
        fail()

    after = descriptors(), threading.active_count()
    # What an earlier test has left may end meanwhile.
    assert [True, True] == [now <= then for now, then in zip(after, before, strict=True)]


def test_a_unix_socket(tmp_path, closing):
    """For a Redis on the same machine."""
    path = tmp_path / "r.sock"
    with RedisServer(tmp_path, "--unixsocket", str(path)):
        cache = closing(RedisSharedCache(f"unix://{path}?db=2", secrets=SECRETS, timeout=PATIENCE))
        cache.set(b"a", b"1", ttl=60)
        bus = closing(RedisRevocationBus(f"unix://{path}", secrets=SECRETS, timeout=PATIENCE))
        heard = []
        bus.subscribe(heard.append, missed=lambda: heard.append("missed"))
        eventually(lambda: heard == ["missed"])
        bus.publish(b"1")
        eventually(lambda: heard == ["missed", b"1"])

        assert [b"1"] == cache.get_many([b"a"])


@pytest.fixture
def over_tls(tmp_path):
    """Run a Redis that speaks TLS, with a certificate of an authority of its own."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost", addresses=["127.0.0.1"])
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key]
    options += ["--tls-ca-cert-file", authority.path]
    with RedisServer(tmp_path, *options) as server:
        server.tls_port, server.authority = port, authority
        yield server


def test_tls_with_an_authority_and_a_client_certificate(over_tls, closing):
    """Both are named in the URL; the bus speaks it as well."""
    certificate, key = over_tls.authority.issue("orders")
    url = f"rediss://127.0.0.1:{over_tls.tls_port}/0?ssl_ca_certs={over_tls.authority.path}"
    url += f"&ssl_certfile={certificate}&ssl_keyfile={key}"
    cache = closing(RedisSharedCache(url, secrets=SECRETS, timeout=PATIENCE))
    cache.set(b"a", b"1", ttl=60)
    bus = closing(RedisRevocationBus(url, secrets=SECRETS, timeout=PATIENCE))
    heard = []
    bus.subscribe(heard.append, missed=lambda: heard.append("missed"))
    eventually(lambda: heard == ["missed"])
    bus.publish(b"1")
    eventually(lambda: heard == ["missed", b"1"])

    assert [b"1"] == cache.get_many([b"a"])
    assert [b"1"] == cache.get_many([b"a"])


@pytest.mark.parametrize(
    ("host", "options"), [("127.0.0.1", ""), ("[::ffff:127.0.0.1]", "?ssl_ca_certs={path}")]
)
def test_tls_is_verified(over_tls, host, options):
    """By an authority that is named or known, and for the very host."""
    url = f"rediss://{host}:{over_tls.tls_port}/0" + options.format(path=over_tls.authority.path)
    with pytest.raises(AuthServiceUnavailable) as caught:
        RedisSharedCache(url, secrets=SECRETS, timeout=PATIENCE).get_many([b"a"])

    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.hint


# --- odd servers ---------------------------------------------------------------------------------


@pytest.fixture
def odd():
    """Return a function that runs a server which behaves oddly; it gives the URL."""
    stop, threads, open_now = threading.Event(), [], []

    def run(behave):
        accepting = socket.create_server(("127.0.0.1", 0))
        open_now.append(accepting)

        def serve():
            while not stop.is_set():
                try:
                    connection = accepting.accept()[0]
                except OSError:
                    return
                open_now.append(connection)
                each = threading.Thread(target=answer, args=(connection,), daemon=True)
                each.start()

        def answer(connection):
            with contextlib.suppress(OSError):
                behave(connection, stop)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        threads.append(thread)
        return f"redis://127.0.0.1:{accepting.getsockname()[1]}/0"

    yield run
    stop.set()
    for one in open_now:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
    for thread in threads:
        thread.join(PATIENCE)


def _signed_in(connection):
    # Both CLIENT SETINFO of redis-py, or none: whatever comes is answered with OK.
    while b"GETRANGE" not in connection.recv(65_536):
        connection.sendall(b"+OK\r\n")


def _says(text):
    def behave(connection, _stop):
        _signed_in(connection)
        connection.sendall(text)
        connection.recv(65_536)

    return behave


def _nothing(connection, stop):
    stop.wait(PATIENCE)


def _nothing_later(connection, stop):
    _signed_in(connection)
    stop.wait(PATIENCE)


def _drips(connection, stop):
    _signed_in(connection)
    connection.sendall(b"$10000\r\n")
    while not stop.wait(0.05):
        connection.sendall(b"x")


def _floods(connection, stop):
    _signed_in(connection)
    connection.sendall(b"$500000000\r\n")
    while not stop.is_set():
        connection.sendall(b"x" * 65_536)


def _hangs_up(connection, _stop):
    _signed_in(connection)
    connection.shutdown(socket.SHUT_RDWR)


def _hangs_up_at_once(connection, _stop):
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "behave",
    [
        _nothing,
        _nothing_later,
        _drips,
        _floods,
        _hangs_up,
        _hangs_up_at_once,
        _says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        _says(b"$abc\r\n"),
        _says(b"$-5\r\nxxxxxxx\r\n"),
        _says(b"*1\r\n" * 100_000),
        _says(b"*99999999\r\n"),
        _says(b":1\r\n:2\r\n"),
        _says(b"-\r\n-\r\n"),
        _says(b"-MOVED 1 10.0.0.1:7000\r\n-MOVED 1 10.0.0.1:7000\r\n"),
        _says(b"-LOADING Redis is loading the dataset in memory\r\n"),
        _says(b"-ERR unknown command, with args beginning with: 'SECRET'\r\n$0\r\n\r\n"),
        _says(b"\xff\xfe\r\n"),
        _says(b"\r\n\r\n"),
    ],
    ids=lambda behave: getattr(behave, "__name__", ""),
)
def test_an_odd_server_is_an_outage_in_time(odd, issuer, process, behave, caplog):
    """Whatever it says or does not say: counted, bounded in time and bytes, and no error."""
    verifier = process(odd(behave), timeout=TIMEOUT)
    started = time.monotonic()
    verifier.verify(issuer.token(opaque=True))

    assert time.monotonic() - started < TIMEOUT + MARGIN
    assert verifier.stats().shared_errors >= 1
    assert 1 == calls(issuer)
    assert "SECRET" not in caplog.text


def test_what_an_odd_server_says_is_read_up_to_a_bound(odd, closing):
    """Half a gigabyte is not taken in, whatever the timeout."""
    cache = closing(RedisSharedCache(odd(_floods), secrets=SECRETS, timeout=PATIENCE))
    started = time.monotonic()
    with pytest.raises(AuthServiceUnavailable) as caught:
        cache.get_many([b"a"])

    assert time.monotonic() - started < MARGIN < PATIENCE
    assert "more than" in caught.value.hint


def test_a_connection_that_is_reset_was_lost(odd, closing):
    """It is told as that, and not as something that the server has answered."""

    def behave(connection, _stop):
        _signed_in(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    cache = closing(RedisSharedCache(odd(behave), secrets=SECRETS, timeout=PATIENCE))
    with pytest.raises(AuthServiceUnavailable) as caught:
        cache.get_many([b"a"])

    assert "it answers" not in caught.value.hint


def _says_more(connection, commands, *, after):
    # One reply too many comes with the answer to the first command that ``after`` is in.
    while received := connection.recv(65_536):
        commands.append(received)
        number = len(commands)
        is_first = [after in command for command in commands] == [False] * (number - 1) + [True]
        text = b"+OK\r\n" if b"SET\r\n" in received else b"$2\r\n%02d\r\n" % number
        connection.sendall(text + b"$5\r\nSTALE\r\n" * is_first)


@pytest.mark.parametrize("after", [b"\r\nSET\r\n", b"GETRANGE"])
def test_a_reply_too_many_answers_nothing_later(odd, closing, after):
    """Whatever reads it: the connection that it came over is used no more."""
    commands = []
    url = odd(lambda connection, _stop: _says_more(connection, commands, after=after))
    cache = closing(RedisSharedCache(url, secrets=SECRETS, timeout=PATIENCE))
    cache.get_many([b"a"])
    cache.set(b"a", b"b", ttl=60)

    assert 2 == len(commands)
    assert [b"%02d" % (len(commands) + 1)] == cache.get_many([b"a"])
    assert [b"%02d" % (len(commands) + 1)] == cache.get_many([b"a"])


def test_a_refusal_is_not_hidden_by_a_reply_too_many(odd, closing):
    """An OK that answers nothing is not taken for what a command did."""
    answers = [b"$1\r\na\r\n+OK\r\n", b"-OOM command not allowed\r\n"]

    def behave(connection, _stop):
        while connection.recv(65_536):
            connection.sendall(answers.pop(0))

    cache = closing(RedisSharedCache(odd(behave), secrets=SECRETS, timeout=PATIENCE))

    assert [b"a"] == cache.get_many([b"a"])
    with pytest.raises(AuthServiceUnavailable, match="shared_cache") as caught:
        cache.set(b"a", b"b", ttl=60)
    assert "its memory is full" in caught.value.hint


def test_replies_are_read_in_their_order(odd):
    """What came with an earlier one is before what comes now; who listens to a channel needs it."""
    answers = [b"+OK\r\n$1\r\na\r\n", b"$1\r\nb\r\n", b"$1\r\nc\r\n"]

    def behave(connection, _stop):
        while connection.recv(65_536):
            connection.sendall(answers.pop(0))

    server = Server(odd(behave), timeout=PATIENCE, pool_size=1)
    with contextlib.closing(server.connect()) as connection:
        read = [
            connection.exchange(packed(b"PING"), 1, time.monotonic() + PATIENCE) for _ in range(3)
        ]

    assert [[b"OK"], [b"a"], [b"b"]] == read


def test_a_reply_too_many_while_signing_in_is_an_outage(odd, closing):
    """What comes next would be taken for an answer."""

    def behave(connection, _stop):
        while connection.recv(65_536):
            connection.sendall(b"+OK\r\n$5\r\nSTALE\r\n")

    url = odd(behave).replace("//", "//:password@")
    cache = closing(RedisSharedCache(url, secrets=SECRETS, timeout=PATIENCE))
    with pytest.raises(AuthServiceUnavailable) as caught:
        cache.get_many([b"a"])

    assert "it says more than it was asked" in caught.value.hint


@pytest.mark.parametrize("at", [1, 6, 8, 12, 15])
def test_replies_may_come_in_pieces(odd, closing, at):
    """Wherever a packet ends: in a length, in a value, between two replies."""
    text = b"$5\r\na\r\nbc\r\n$1\r\nd\r\n"

    def behave(connection, stop):
        _signed_in(connection)
        connection.sendall(text[:at])
        stop.wait(0.02)
        connection.sendall(text[at:])
        connection.recv(65_536)

    cache = closing(RedisSharedCache(odd(behave), secrets=SECRETS, timeout=PATIENCE))

    assert [b"a\r\nbc", b"d"] == cache.get_many([b"a", b"b"])


def test_a_value_may_be_longer_than_one_read(redis, closing):
    """As long as any that is stored, beside one that is not there."""
    cache = closing(RedisSharedCache(redis.url, secrets=SECRETS, timeout=PATIENCE))
    value = os.urandom(MAX_VALUE_BYTES)
    cache.set(b"a", value, ttl=60)

    assert [None, value, None] == cache.get_many([b"b", b"a", b"c"])


# --- the bus -------------------------------------------------------------------------------------


class Heard(list):
    """What a subscriber got; ``missed`` among it."""

    def missed(self):
        self.append("missed")

    def wait(self, wanted):
        """Wait until that was heard, and no more."""
        eventually(lambda: list(self) == wanted)
        self.clear()


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def bus(redis, closing):
    return closing(RedisRevocationBus(redis.url, secrets=SECRETS, timeout=PATIENCE))


def listeners():
    """Return the threads that listen."""
    return [t for t in threading.enumerate() if t.name == "tokenward-revocations"]


def test_a_lost_subscription_is_told_of_and_begins_again(redis, bus, heard, caplog):
    """When it is lost, and when it has begun: what was said in between is gone."""
    bus.subscribe(heard.append, missed=heard.missed)
    heard.wait(["missed"])
    redis.kill()
    heard.wait(["missed"])
    redis.start()
    heard.wait(["missed"])
    bus.publish(b"1")
    heard.wait([b"1"])

    assert "not subscribed to revocations" in caplog.text


def test_subscribing_does_not_wait(redis, bus, heard):
    """Nor fail, while Redis is down; it begins when Redis is there."""
    redis.kill()
    started = time.monotonic()
    bus.subscribe(heard.append, missed=heard.missed)
    assert time.monotonic() - started < MARGIN
    redis.start()

    heard.wait(["missed"])


def test_a_process_has_one_thread_and_one_connection(redis, bus, heard):
    """However many subscribe; it is gone when the last one is."""
    ends = [bus.subscribe(heard.append, missed=heard.missed) for _ in range(5)]
    heard.wait(["missed"] * 5)
    assert 1 == len(listeners())
    # The listener, and the one that asks.
    eventually(lambda: info(redis, "connected_clients") == 2)
    for end in ends:
        end()

    eventually(lambda: listeners() == [])
    eventually(lambda: info(redis, "connected_clients") == 1)


def test_a_subscription_that_is_refused_has_not_begun(redis, heard, closing, caplog):
    """It is told of, and tried again until the right is there."""
    command(redis, "ACL", "SETUSER", "orders", "on", ">made-up-password", "&*", "+ping", "+publish")
    url = redis.url.replace("redis://", "redis://orders:made-up-password@")
    bus = closing(RedisRevocationBus(url, secrets=SECRETS, timeout=PATIENCE))
    bus.subscribe(heard.append, missed=heard.missed)
    eventually(lambda: "may not do what is needed" in caplog.text)
    bus.publish(b"1")
    assert [] == heard
    command(redis, "ACL", "SETUSER", "orders", "+subscribe")

    heard.wait(["missed"])


def test_a_server_that_is_gone_is_not_hammered(odd, heard, closing):
    """Each pause is longer than the one before."""
    attempts = []

    def counts(connection, _stop):
        attempts.append(time.monotonic())
        connection.shutdown(socket.SHUT_RDWR)

    bus = closing(RedisRevocationBus(odd(counts), secrets=SECRETS, timeout=PATIENCE))
    bus.subscribe(heard.append, missed=heard.missed)
    eventually(lambda: len(attempts) >= 5)

    # Half of 0.1, 0.2, 0.4 and 0.8 s at least, less what the first one was noticed too late; four
    # pauses that are all like the first one take 0.4 s at most.
    assert attempts[4] - attempts[0] > 0.45
    assert [] == heard


def test_a_subscriber_that_fails_is_alone(bus, heard, caplog):
    """The others hear all, and it hears the next one."""

    def fails(message=b"missed"):
        failed.append(message)
        raise KeyError("SECRET")

    failed = []
    bus.subscribe(fails, missed=fails)
    bus.subscribe(heard.append, missed=heard.missed)
    heard.wait(["missed"])
    for message in (b"1", b"2"):
        bus.publish(message)

    heard.wait([b"1", b"2"])
    assert [b"missed", b"1", b"2"] == failed
    assert "a subscriber to revocations failed: KeyError" in caplog.text
    assert "SECRET" not in caplog.text


def test_closing_is_prompt(redis, bus, heard):
    """Whether it listens or waits for the next attempt; and it may be used again."""
    bus.subscribe(heard.append, missed=heard.missed)
    heard.wait(["missed"])
    for kill in (False, True):
        if kill:
            redis.kill()
            heard.wait(["missed"])
        started = time.monotonic()
        bus.close()
        eventually(lambda: listeners() == [])
        # Far from what it takes, and before the next heartbeat.
        assert time.monotonic() - started < 4 < listener.HEARTBEAT_SECONDS
        heard.clear()
        bus.subscribe(heard.append, missed=heard.missed)
        if not kill:
            heard.wait(["missed"])


def test_a_subscriber_may_close_the_bus(bus, heard, caplog):
    """On the very thread that would be waited for."""
    bus.subscribe(lambda _: bus.close(), missed=heard.missed)
    heard.wait(["missed"])
    bus.publish(b"1")

    eventually(lambda: listeners() == [])
    assert "failed" not in caplog.text


def test_a_program_ends_with_an_open_subscription(redis):
    """Whoever forgets to close keeps no interpreter alive."""
    script = f"""
import threading
from tokenward.redis_cache import RedisRevocationBus
begun = threading.Event()
bus = RedisRevocationBus({redis.url!r}, secrets={SECRETS!r}, timeout={PATIENCE})
bus.subscribe(print, missed=begun.set)
assert begun.wait({PATIENCE})
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=PATIENCE)


@pytest.fixture
def proxied(redis, odd):
    """Stand between, and stop forwarding on demand without closing anything."""
    holds = threading.Event()

    def behave(connection, stop):
        with socket.create_connection(("127.0.0.1", redis.port)) as onward:
            back = threading.Thread(target=forward, args=(onward, connection, stop), daemon=True)
            back.start()
            forward(connection, onward, stop)
            onward.shutdown(socket.SHUT_RDWR)
            back.join(PATIENCE)

    def forward(source, target, stop):
        with contextlib.suppress(OSError):
            while (some := source.recv(65_536)) and not stop.is_set():
                if not holds.is_set():
                    target.sendall(some)

    return odd(behave), holds


def test_a_connection_that_is_dead_is_noticed(proxied, heard, caplog):
    """No end came, and nothing else either: after two heartbeats it is lost."""
    url, holds = proxied
    server = Server(url, timeout=TIMEOUT, pool_size=1)
    listens = listener.Listener(server, b"channel", heartbeat=0.1)
    listens.add(listener.Subscriber(heard.append, heard.missed))
    # On a busy machine a sign of life may come too late, so that more is missed than this.
    eventually(lambda: len(heard) % 2 == 1)
    holds.set()
    eventually(lambda: len(heard) % 2 == 0)
    holds.clear()
    eventually(lambda: len(heard) % 2 == 1)
    listens.end()
    assert {"missed"} == set(heard)


def test_a_connection_that_is_merely_silent_is_kept(redis, heard):
    """It is asked for a sign of life, many times, and gives it."""
    server = Server(redis.url, timeout=PATIENCE, pool_size=1)
    listens = listener.Listener(server, b"channel", heartbeat=0.02)
    listens.add(listener.Subscriber(heard.append, heard.missed))
    eventually(lambda: heard)
    pings = "cmdstat_ping:calls="

    def asked():
        text = command(redis, "INFO", "commandstats").decode()
        return int(text.partition(pings)[2].partition(",")[0] or 0)

    def kept():
        # On a busy machine a sign of life may come too late, and the next connection is watched.
        losses, pinged = len(heard), asked()
        eventually(lambda: asked() > pinged + 10)
        return len(heard) == losses

    eventually(kept)
    # It is kept for what may come.
    eventually(lambda: command(redis, "PUBLISH", "channel", "1") == b":1\r\n")
    eventually(lambda: b"1" in heard)
    listens.end()


def test_a_heartbeat_takes_seconds():
    """What the documentation says: silence is noticed within twice five seconds."""
    assert 5.0 == listener.HEARTBEAT_SECONDS


def test_a_message_of_any_size_is_bounded(redis, bus, heard):
    """One that is too large ends the subscription, which begins anew."""
    bus.subscribe(heard.append, missed=heard.missed)
    heard.wait(["missed"])
    command(redis, "PUBLISH", "tokenward:revocations", b"x" * 5_000_000)

    heard.wait(["missed", "missed"])
    bus.publish(b"1")
    heard.wait([b"1"])


def test_many_messages_at_once_all_come(redis, bus, heard):
    """More than one reading from the socket brings."""
    bus.subscribe(heard.append, missed=heard.missed)
    heard.wait(["missed"])
    messages = [b"%d" % number * 100 for number in range(2_000)]
    publishes = b"".join(
        b"*3\r\n$7\r\nPUBLISH\r\n$21\r\ntokenward:revocations\r\n$%d\r\n%b\r\n" % (len(m), m)
        for m in messages
    )
    with socket.create_connection(("127.0.0.1", redis.port)) as connection:
        connection.sendall(publishes)

        heard.wait(messages)


def test_a_revocation_is_refused_everywhere(redis, issuer, process):
    """By four processes, of which one was told."""
    # Nothing ends by itself meanwhile.
    lasting = {"ttl": 3_600, "negative_ttl": 3_600}
    processes = [process(redis.url, bus=True, **lasting) for _ in range(4)]
    token = issuer.token(opaque=True)
    for verifier in processes:
        eventually(lambda verifier=verifier: verifier.verify(token) and verifier.stats().hits > 1)
    issuer.revoke(token)
    processes[0].invalidate(token)

    def refuses(verifier):
        try:
            verifier.verify(token)
        except InvalidToken:
            return True
        return False

    eventually(lambda: all(map(refuses, processes)))


def test_the_benchmark_runs(monkeypatch):
    """One round of it: beside a bare GET, and beside one with the same work after it."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    harness, row = map(import_module, ("benchmarks.harness", "benchmarks.rows.shared_hit"))
    hit, explained = row.measure(harness.Effort(0))

    assert ("a shared (Redis) hit", 1.25, "shared-hit") == (hit.row, hit.bar, hit.topic)
    assert (None, "") == (explained.bar, explained.topic)
    assert min(hit.figure, explained.figure) > 0
