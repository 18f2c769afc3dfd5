"""A verifier with everything it can have, across a fork (RULES 47): gunicorn ``--preload``.

Each script runs in an interpreter of its own, so that no test runner is forked.
"""

import subprocess
import sys
import textwrap

PREAMBLE = """
import itertools, os, threading, time
from tokenward import _fork
from tokenward.client_auth import ClientSecretBasic
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.testing import FakeAuthorizationServer

class Shared:
    secrets = ["quartz-lantern-9f8a77e1"]
    def __init__(self):
        self.kept = {}
    def get_many(self, keys):
        return [self.kept.get(key) for key in keys]
    def set(self, key, value, *, ttl):
        self.kept[key] = value
    def delete(self, key):
        self.kept.pop(key, None)

class Bus:
    secrets = ["quartz-lantern-9f8a77e1"]
    def __init__(self):
        self.subscribers = []
    def publish(self, message):
        for _, callback in self.subscribers:
            callback(message)
    def subscribe(self, callback, *, missed):
        self.subscribers.append((os.getpid(), callback))
        missed()
        return lambda: None

def hold_every_lock():
    # Whatever registered for a fork, and holds a lock, has it held by a thread of the parent's.
    taken, count = threading.Semaphore(0), 0
    def hold(lock):
        lock.acquire()
        taken.release()
        threading.Event().wait()
    for thing in list(_fork._registered):
        for value in list(vars(thing).values()):
            if type(value) is type(threading.Lock()) and not value.locked():
                threading.Thread(target=hold, args=(value,), daemon=True).start()
                count += 1
    for _ in range(count):
        taken.acquire()
    return count

def in_child(work):
    pid = os.fork()
    if pid == 0:
        started = time.monotonic()
        print(*work(), flush=True)
        print("in time" if time.monotonic() - started < 120 else "late", flush=True)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    print("exit", os.waitstatus_to_exitcode(status), flush=True)

def make(server, **options):
    client = IntrospectionClient(
        server.introspection_endpoint,
        client_auth=ClientSecretBasic(server.client_id, server.client_secret),
        timeout=240,
    )
    return IntrospectionVerifier(client, audience=server.audience, **options)

def go_on(server):
    # Cuts every delay short.
    server._script.stopping.set()
"""


def run(script):
    """Run a script after the preamble; return the lines that it printed."""
    # From Python 3.12 on, forking beside other threads warns; it is what is tried here.
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore::DeprecationWarning", "-c"),
            PREAMBLE + textwrap.dedent(script),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert "" == done.stderr
    return done.stdout.splitlines()


def test_locks_held_by_threads_of_the_parent():
    """The child hits, looks up, invalidates and closes, whatever the parent's threads hold."""
    script = """
        with FakeAuthorizationServer() as server:
            events = []
            verifier = make(
                server, shared_cache=Shared(), revocation_bus=Bus(), on_event=events.append
            )
            known, new = (server.token(opaque=True, sub=sub) for sub in ("known", "new"))
            verifier.verify(known)
            # Both locks that are no attribute of a registered thing itself.
            held = [verifier._answers._circuit_watch, verifier._listening._lock]
            for lock in held:
                lock.acquire()
            assert hold_every_lock() > 5

            def work():
                subjects = [verifier.verify(token).subject for token in (known, new, known)]
                verifier.invalidate(new)
                verifier.clear()
                verifier.stats()
                verifier.close()
                return subjects

            in_child(work)
            os._exit(0)
    """

    assert ["known new known", "in time", "exit 0"] == run(script)


def test_a_flight_of_the_parent_and_the_child_each_end():
    """A look-up under way is the parent's; the child asks for itself, and both are answered."""
    script = """
        with FakeAuthorizationServer() as server:
            verifier = make(server, shared_cache=Shared(), revocation_bus=Bus())
            token = server.token(opaque=True, sub="alice")
            server.fail(server.introspection_endpoint, status=None, delay=1_200)
            said = []
            leader = threading.Thread(target=lambda: said.append(verifier.verify(token).subject))
            leader.start()
            while not server.requests():
                time.sleep(0.001)
            in_child(lambda: [verifier.verify(token).subject])
            go_on(server)
            leader.join()
            print(*said, len(server.requests()), flush=True)
    """

    assert ["alice", "in time", "exit 0", "alice 2"] == run(script)


def test_each_process_listens_for_itself():
    """The parent's subscription is the parent's: the child forgets what it would have missed."""
    script = """
        with FakeAuthorizationServer() as server:
            bus = Bus()
            verifier = make(server, revocation_bus=bus)
            token = server.token(opaque=True)
            verifier.verify(token)
            parent = os.getpid()
            server.revoke(token)

            def work():
                assert verifier.cached(token) is None
                try:
                    verifier.verify(token)
                except Exception as error:
                    refused = error.reason
                pids = [pid for pid, _ in bus.subscribers]
                return [refused, pids == [parent, os.getpid()]]

            in_child(work)
            print(verifier.cached(token).subject, len(bus.subscribers), flush=True)
    """

    assert ["inactive True", "in time", "exit 0", "user-1 1"] == run(script)


def test_the_first_use_is_in_the_child():
    """Nothing is connected, started or subscribed before somebody asks: so it is in the worker."""
    script = """
        with FakeAuthorizationServer() as server:
            bus = Bus()
            verifier = make(server, shared_cache=Shared(), revocation_bus=bus)
            token = server.token(opaque=True)
            threads = threading.active_count()
            for _ in range(2):
                in_child(lambda: [verifier.verify(token).subject, len(bus.subscribers)])
            print(len(bus.subscribers), len(server.requests()), flush=True)
    """

    assert ["user-1 1", "in time", "exit 0"] * 2 + ["0 2"] == run(script)


def test_an_observed_request_of_the_parent_is_not_the_childs():
    """Events that a thread of the parent holds back are told by the parent alone."""
    script = """
        with FakeAuthorizationServer() as server:
            events = []
            verifier = make(server, on_event=lambda e: events.append((os.getpid(), e.kind)))
            token, other = (server.token(opaque=True) for _ in range(2))
            server.fail(server.introspection_endpoint, status=None, delay=1_200)
            leader = threading.Thread(target=verifier.verify, args=(token,))
            leader.start()
            while not server.requests():
                time.sleep(0.001)

            def work():
                verifier.verify(other)
                return sorted({kind for pid, kind in events if pid == os.getpid()}), len(events)

            in_child(work)
            go_on(server)
            leader.join()
            print(*sorted(kind for pid, kind in events), flush=True)
    """

    assert [
        "['cache', 'upstream', 'verify'] 3",
        "in time",
        "exit 0",
        "cache upstream verify",
    ] == run(script)
