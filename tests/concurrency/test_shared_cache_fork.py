"""Shared level and broadcast in real processes: forked, and started (RULES 45, 47, 48)."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis_server import RedisServer

from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.testing import FakeAuthorizationServer

SECRETS = ["kq3V-new-8fJ2_0pTzXw7Lm"]
PATIENCE = 120.0


only_threads = pytest.mark.skipif(
    "TOKENWARD_GEVENT" in os.environ,
    reason="greenlets go on in the child: the issuer's would answer there, the workers' would read",
)


@pytest.fixture
def redis(tmp_path):
    """Run a Redis."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def issuer():
    """Run an authorization server."""
    with FakeAuthorizationServer() as fake:
        yield fake


@pytest.fixture
def shared(redis):
    """A cache and a bus."""
    cache = RedisSharedCache(redis.url, secrets=SECRETS, timeout=PATIENCE)
    bus = RedisRevocationBus(redis.url, secrets=SECRETS, timeout=PATIENCE)
    yield cache, bus
    cache.close()
    bus.close()


@pytest.fixture
def verifier(issuer, shared):
    """A verifier of that issuer, over them."""
    client = IntrospectionClient(
        issuer.introspection_endpoint,
        client_auth=ClientSecretBasic(issuer.client_id, issuer.client_secret),
        timeout=PATIENCE,
    )
    cache, bus = shared
    made = IntrospectionVerifier(
        client, audience=issuer.audience, ttl=3_600, shared_cache=cache, revocation_bus=bus
    )
    yield made
    made.close()


def eventually(condition, what="it never came to that"):
    """Wait for another thread or process."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        pause.wait(0.005)


def refuses(verifier, token):
    """Tell whether a token is refused."""
    try:
        verifier.verify(token)
    except InvalidToken:
        return True
    return False


@contextlib.contextmanager
def child(function):
    """Run ``function(say)`` in a forked process; give what reads the lines that it says."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reads)
            function(lambda text: os.write(writes, text.encode() + b"\n"))
            code = 0
        finally:
            os._exit(code)
    os.close(writes)
    with os.fdopen(reads) as said:
        try:
            yield lambda: said.readline().strip()
            assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise


@only_threads
def test_a_forked_child_hears_of_a_revocation(issuer, verifier):
    """The parent had a subscription and open connections; the child has its own."""
    token = issuer.token(opaque=True)
    eventually(lambda: verifier.verify(token) and verifier.stats().hits > 1)

    def serve(say):
        eventually(lambda: verifier.verify(token) and verifier.stats().hits > 10)
        say("verified")
        eventually(lambda: refuses(verifier, token))
        say("refused")

    with child(serve) as says:
        assert "verified" == says()
        issuer.revoke(token)
        verifier.invalidate(token)
        assert "refused" == says()
    assert refuses(verifier, token)


def test_a_child_tells_its_parent(issuer, verifier):
    """In the other direction, over connections that the child has made."""
    token = issuer.token(opaque=True)
    eventually(lambda: verifier.verify(token) and verifier.stats().hits > 1)

    def revoke(say):
        verifier.invalidate(token)
        say(str(verifier.stats().shared_errors))

    issuer.revoke(token)
    with child(revoke) as says:
        assert "0" == says()
    eventually(lambda: refuses(verifier, token))


def test_nothing_inherited_is_used(shared):
    """Parent and child speak at the same time, each over its own connections."""
    cache, bus = shared
    heard = []
    bus.subscribe(heard.append, missed=lambda: heard.append("missed"))
    eventually(lambda: heard == ["missed"])

    def use(who):
        for number in range(300):
            key, value = b"%b %d" % (who, number % 7), b"%b %d" % (who, number)
            cache.set(key, value, ttl=60)
            assert [value] == cache.get_many([key])

    use(b"before")
    with child(lambda say: (use(b"child"), say("done"))) as says:
        use(b"parent")
        assert "done" == says()
    use(b"after")
    bus.publish(b"1")
    eventually(lambda: heard == ["missed", b"1"])


def test_a_child_starts_no_thread_unless_it_listens(shared):
    """And the parent's subscription outlives the child."""
    cache, bus = shared
    heard = []
    bus.subscribe(heard.append, missed=lambda: heard.append("missed"))
    eventually(lambda: heard == ["missed"])

    def look(say):
        cache.get_many([b"a"])
        say(str(threading.active_count()))
        again = []
        end = bus.subscribe(again.append, missed=lambda: again.append("missed"))
        eventually(lambda: again == ["missed"])
        say(str(threading.active_count()))
        bus.publish(b"1")
        eventually(lambda: again == ["missed", b"1"])
        end()
        bus.close()

    with child(look) as says:
        assert ["1", "2"] == [says(), says()]
    eventually(lambda: heard == ["missed", b"1"])


@only_threads
def test_a_fork_in_the_middle_of_calls(shared):
    """Every lock and place may be taken at that moment; the child waits for none of them."""
    cache, bus = shared
    stop = threading.Event()

    def work():
        while not stop.is_set():
            cache.get_many([b"a"])
            bus.publish(b"1")
            bus.subscribe(lambda _: None, missed=lambda: None)()

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(work) for _ in range(4)]
        for _ in range(10):
            with child(lambda say: (cache.get_many([b"a"]), bus.publish(b"1"), say("ok"))) as says:
                assert "ok" == says()
        stop.set()
        for task in running:
            task.result(PATIENCE)


STARTED = """
    import sys, time
    from tokenward.client_auth import ClientSecretBasic
    from tokenward.errors import InvalidToken
    from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
    from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache

    endpoint, client_id, secret, audience, url, sealing, token = sys.argv[1:]
    auth = ClientSecretBasic(client_id, secret)
    client = IntrospectionClient(endpoint, client_auth=auth, timeout=120)
    shared = {"secrets": [sealing], "timeout": 120}
    verifier = IntrospectionVerifier(
        client, audience=audience, ttl=3_600,
        shared_cache=RedisSharedCache(url, **shared),
        revocation_bus=RedisRevocationBus(url, **shared),
    )
    deadline = time.monotonic() + 240
    while verifier.stats().hits < 100:
        verifier.verify(token)
        time.sleep(0.002)
        assert time.monotonic() < deadline
    print("verified", verifier.stats().upstream_calls, flush=True)
    while True:
        try:
            verifier.verify(token)
        except InvalidToken:
            break
        time.sleep(0.002)
        assert time.monotonic() < deadline
    print("refused", flush=True)
"""


def test_started_processes_share_and_hear(redis, issuer, verifier):
    """Three interpreters of their own: one question for all, and a revocation for all."""
    token = issuer.token(opaque=True)
    verifier.verify(token)
    arguments = [issuer.introspection_endpoint, issuer.client_id, issuer.client_secret]
    arguments += [issuer.audience, redis.url, SECRETS[0], token]
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(STARTED), *arguments]
    with contextlib.ExitStack() as stack:
        processes = []
        for _ in range(3):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        said = [process.stdout.readline().split() for process in processes]
        assert [["verified", "0"]] * 3 == said
        issuer.revoke(token)
        verifier.invalidate(token)
        assert ["refused\n"] * 3 == [process.stdout.readline() for process in processes]
        assert [0] * 3 == [process.wait(PATIENCE) for process in processes]


@pytest.mark.parametrize("patched", [False, True], ids=["threads", "gevent"])
def test_many_threads_of_either_kind(redis, patched):
    """A pool of two connections, a listener and 32 threads; with gevent's in their place too."""
    script = f"""
        import sys
        if {patched}:
            from gevent import monkey
            monkey.patch_all()
        import threading
        from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
        cache = RedisSharedCache({redis.url!r}, secrets={SECRETS!r}, pool_size=2, timeout=120)
        bus = RedisRevocationBus({redis.url!r}, secrets={SECRETS!r}, timeout=120)
        heard, begun, failures = [], threading.Event(), []
        bus.subscribe(heard.append, missed=begun.set)
        assert begun.wait(120)
        def work(number):
            key = b"%d" % number
            try:
                for turn in range(20):
                    cache.set(key, b"%d" % turn, ttl=60)
                    assert cache.get_many([key, b"none"]) == [b"%d" % turn, None]
                    bus.publish(key)
            except BaseException as error:
                failures.append(repr(error))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(32)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(240)
        pause = threading.Event()
        for _ in range(12_000):
            if len(heard) == 640: break
            pause.wait(0.01)
        print(len(heard), failures)
        bus.close(); cache.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=150)

    assert "640 []" == done.stdout.strip()
