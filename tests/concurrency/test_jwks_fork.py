"""A `JWKSVerifier` across a fork (RULES 47): gunicorn ``--preload``.

Each script runs in an interpreter of its own, so that no test runner is forked.
"""

import subprocess
import sys
import textwrap

import pytest

PREAMBLE = """
import os, threading, time
from tokenward import _fork, _jose
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeAuthorizationServer, FakeClock

class Bus:
    secrets = ["quartz-lantern-9f8a77e1"]
    def __init__(self):
        self.subscribers = []
    def publish(self, message):
        for _, callback in list(self.subscribers):
            callback(message)
    def subscribe(self, callback, *, missed):
        subscriber = (os.getpid(), callback)
        self.subscribers.append(subscriber)
        missed()
        return lambda: self.subscribers.remove(subscriber)

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

def outcome(verifier, token):
    try:
        return verifier.verify(token).subject
    except Exception as error:
        return error.reason

def make(server, **options):
    return JWKSVerifier(server.issuer, **{"audience": server.audience, "timeout": 240, **options})

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


def test_what_the_parent_knows_the_child_knows():
    """Keys and verified tokens; nothing is asked again."""
    script = """
        with FakeAuthorizationServer() as server:
            verifier = make(server)
            seen, unseen = server.token(sub="seen"), server.token(sub="unseen")
            verifier.verify(seen)
            asked = len(server.requests())

            def work():
                cached = verifier.cached(seen).subject
                return [cached, verifier.verify(seen).subject, verifier.verify(unseen).subject]

            in_child(work)
            print(len(server.requests()) - asked, verifier.cached(unseen))
    """

    assert ["seen seen unseen", "in time", "exit 0", "0 None"] == run(script)


def test_the_first_use_is_in_the_child():
    """Nothing is connected, started or subscribed before somebody asks: so it is in the worker."""
    script = """
        with FakeAuthorizationServer() as server:
            bus = Bus()
            verifier = make(server, revocation_bus=bus)
            token = server.token()
            for _ in range(2):
                in_child(lambda: [verifier.verify(token).subject, len(bus.subscribers)])
            print(len(bus.subscribers), len(server.requests(server.jwks_uri)), flush=True)
    """

    assert ["user-1 1", "in time", "exit 0"] * 2 + ["0 2"] == run(script)


def test_locks_held_by_threads_of_the_parent():
    """The child verifies, fetches, revokes and closes, whatever the parent's threads hold."""
    script = """
        with FakeAuthorizationServer() as server:
            events = []
            verifier = make(server, revocation_bus=Bus(), on_event=events.append)
            sibling = verifier.for_issuer(server.issuer + "/")
            known, new = (server.token(sub=sub) for sub in ("known", "new"))
            verifier.verify(known)
            # The one lock that is no attribute of a registered thing itself.
            verifier._memory._listening._lock.acquire()
            assert hold_every_lock() > 5

            def work():
                said = [outcome(verifier, token) for token in (known, new, known)]
                verifier.refresh()
                said.append(outcome(verifier, known))
                verifier.invalidate(new)
                said += [outcome(verifier, new), outcome(sibling, known)]
                verifier.close()
                said.append(outcome(verifier, known))
                return said

            in_child(work)
            os._exit(0)
    """

    expected = "known new known known revoked unknown_issuer known"
    assert [expected, "in time", "exit 0"] == run(script)


@pytest.mark.parametrize("cold", [True, False], ids=["first fetch", "refresh"])
def test_a_fetch_of_the_parent_and_the_child_each_end(cold):
    """A fetch under way is the parent's; the child asks for itself, and both are answered."""
    script = f"""
        with FakeAuthorizationServer() as server:
            clock = FakeClock(time.time())
            verifier = make(server, clock=clock)
            token = server.token(expires_in=10_000)
            if not {cold}:
                verifier.verify(token)
                clock.advance(850)
            before = len(server.requests(server.jwks_uri))
            server.fail(server.jwks_uri, status=None, delay=1_200)
            said = []
            leader = threading.Thread(target=lambda: said.append(outcome(verifier, token)))
            leader.start()
            while len(server.requests(server.jwks_uri)) == before:
                time.sleep(0.001)
            in_child(lambda: [outcome(verifier, token)])
            go_on(server)
            leader.join()
            print(*said, len(server.requests(server.jwks_uri)) - before, flush=True)
    """

    assert ["user-1", "in time", "exit 0", "user-1 2"] == run(script)


def test_each_process_listens_for_itself():
    """The parent's subscription is the parent's: the child has one of its own at its first use."""
    script = """
        with FakeAuthorizationServer() as server:
            bus = Bus()
            verifier, speaker = (make(server, revocation_bus=bus) for _ in range(2))
            token = server.token()
            verifier.verify(token)
            parent = os.getpid()

            def work():
                # Nobody takes away what the parent has cached before somebody listens.
                said = [verifier.cached(token), outcome(verifier, token)]
                said.append([pid for pid, _ in bus.subscribers] == [parent, os.getpid()])
                del bus.subscribers[0]
                speaker.invalidate(token)
                return [*said, outcome(verifier, token)]

            in_child(work)
            print(verifier.cached(token).subject, len(bus.subscribers), flush=True)
    """

    assert ["None user-1 True revoked", "in time", "exit 0", "user-1 1"] == run(script)


def test_what_was_revoked_before_the_fork_stays_revoked():
    """What the parent was told, the child knows; and what the child is told is its own."""
    script = """
        with FakeAuthorizationServer() as server:
            verifier = make(server)
            gone, other = server.token(), server.token()
            verifier.invalidate(gone)

            def work():
                verifier.invalidate(other)
                return [outcome(verifier, gone), outcome(verifier, other)]

            in_child(work)
            print(outcome(verifier, gone), outcome(verifier, other), flush=True)
    """

    assert ["revoked revoked", "in time", "exit 0", "revoked user-1"] == run(script)


def test_an_observed_request_of_the_parent_is_not_the_childs():
    """Events that a thread of the parent holds back are told by the parent alone."""
    script = """
        with FakeAuthorizationServer() as server:
            events = []
            verifier = make(server, on_event=lambda e: events.append((os.getpid(), e.kind)))
            token, other = (server.token() for _ in range(2))
            server.fail(server.jwks_uri, status=None, delay=1_200)
            leader = threading.Thread(target=verifier.verify, args=(token,))
            leader.start()
            while not server.requests(server.jwks_uri):
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


def test_pinned_keys_need_no_server():
    """In neither process."""
    script = """
        key = _jose.generate_key("EdDSA")
        verifier = JWKSVerifier(
            None, audience=None, algorithms=["EdDSA"], jwks={"keys": [_jose.public_jwk(key)]}
        )
        token = _jose.sign({"sub": "u1", "exp": int(time.time()) + 300}, key)
        in_child(lambda: [outcome(verifier, token), verifier.warm_up()])
        print(outcome(verifier, token), flush=True)
    """

    assert ["u1 True", "in time", "exit 0", "u1"] == run(script)
