"""The same under gevent: greenlets instead of threads, one thread for all of them (RULES 45, 47).

The tests of this folder run a second time as greenlets. For that the interpreter is started with

    TOKENWARD_GEVENT=1 python -m gevent.monkey --module pytest tests/concurrency

The tests below patch an interpreter of their own, and ask a server in yet another process.
"""

import json
import os
import subprocess
import sys
import textwrap

import pytest


def test_the_run_is_what_it_claims_to_be():
    """A run for gevent that gevent did not patch would prove nothing; nor would the other one."""
    monkey = sys.modules.get("gevent.monkey")
    patched = monkey is not None and monkey.is_module_patched("threading")

    assert bool(os.environ.get("TOKENWARD_GEVENT")) == patched


SERVER = """
import json, sys
from tokenward.testing import FakeAuthorizationServer

with FakeAuthorizationServer() as server:
    def say(**members):
        print(json.dumps(members), flush=True)

    tokens = [server.token(opaque=True, sub=f"u{number}") for number in range(200)]
    say(
        endpoint=server.introspection_endpoint,
        client=[server.client_id, server.client_secret],
        audience=server.audience,
        tokens=tokens,
    )
    for line in sys.stdin:
        order = json.loads(line)
        if "delay" in order:
            server.fail(server.introspection_endpoint, None, 10_000, order["delay"])
        say(requests=len(server.requests()))
"""

CLIENT = """
from gevent import monkey
monkey.patch_all()

import json, logging, sys, time
import gevent
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier

logging.disable()
server = json.loads(sys.argv[1])
tokens = server["tokens"]

def make(timeout=120):
    client = IntrospectionClient(
        server["endpoint"], client_auth=ClientSecretBasic(*server["client"]), timeout=timeout
    )
    return IntrospectionVerifier(client, audience=server["audience"])

def subject(verifier, token):
    try:
        return verifier.verify(token).subject
    except AuthServiceUnavailable as error:
        return error.reason

def all_of(calls):
    # How often another greenlet ran meanwhile says whether the hub was blocked.
    ticks = []
    def tick():
        while True:
            ticks.append("tick")
            gevent.sleep(0.01)
    ticking = gevent.spawn(tick)
    started = time.monotonic()
    greenlets = [gevent.spawn(*call) for call in calls]
    gevent.joinall(greenlets, timeout=240, raise_error=True)
    seconds = time.monotonic() - started
    ticking.kill()
    return [greenlet.value for greenlet in greenlets], seconds, len(ticks)
"""


class Server:
    """An authorization server in a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.described = json.loads(self.process.stdout.readline())

    def order(self, **order):
        """Have the server do something; return how often it was asked so far."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["requests"]

    def client(self, script):
        """Run a script under gevent; return what it printed, as JSON."""
        done = subprocess.run(
            [
                *(sys.executable, "-c", CLIENT + textwrap.dedent(script)),
                json.dumps(self.described),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        assert (0, "") == (done.returncode, done.stderr)
        return json.loads(done.stdout)

    def stop(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait(120)
        self.process.stdout.close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


def test_200_greenlets_on_one_token_are_one_call(server):
    """Single flight holds for greenlets, over a socket."""
    server.order(delay=1)
    subjects, _, ticks = server.client(
        """
        verifier = make()
        print(json.dumps(all_of([(subject, verifier, tokens[0])] * 200)))
        """
    )

    assert ["u0"] * 200 == subjects
    assert 1 == server.order()
    assert ticks > 10


def test_200_greenlets_on_200_tokens(server):
    """Each has its own answer, over connections that are used by one at a time."""
    subjects, _, _ = server.client(
        """
        verifier = make()
        print(json.dumps(all_of([(subject, verifier, token) for token in tokens])))
        """
    )

    assert [f"u{number}" for number in range(200)] == subjects
    assert 200 == server.order()


@pytest.mark.parametrize("tokens", ["tokens[:1] * 200", "tokens"], ids=["one", "many"])
def test_a_server_that_hangs_holds_200_greenlets_until_the_deadline(server, tokens):
    """Nobody waits longer than its timeout, and nobody else waits at all."""
    server.order(delay=240)
    reasons, seconds, ticks = server.client(
        f"""
        verifier = make(timeout=1)
        print(json.dumps(all_of([(subject, verifier, token) for token in {tokens}])))
        """
    )

    assert set(reasons) <= {"deadline", "busy", "circuit_open"}
    assert "deadline" in reasons
    assert 0.9 < seconds < 120
    assert ticks > 10


def test_a_killed_greenlet_leaves_nobody_waiting(server):
    """A request that gevent ends in the middle of a look-up is an outage for the others."""
    server.order(delay=240)
    reasons, seconds, _ = server.client(
        """
        verifier = make()
        leader = gevent.spawn(subject, verifier, tokens[0])
        others = [(subject, verifier, tokens[0])] * 20

        def kill():
            while verifier.stats().misses < 21:
                gevent.sleep(0.001)
            leader.kill()
            return "killed"

        gevent.sleep(0)
        print(json.dumps(all_of([(kill,), *others])))
        """
    )

    assert ["killed", *["interrupted"] * 20] == reasons
    assert seconds < 120
