"""A server, a cache and a bus that do what a test says, all in this process."""

import itertools
import json
import threading
from types import SimpleNamespace

import pytest

from tokenward import _fork
from tokenward._log import OncePerMinute
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.protocols import Response
from tokenward.testing import FakeClock

NOW = 1_700_000_000
SECRETS = ["quartz-lantern-9f8a77e1"]


class Upstream:
    """A transport whose server knows tokens by name; everything else is inactive."""

    endpoint = "https://as.example/introspect?key=private"

    def __init__(self):
        self.good = {}
        self.headers = {"content-type": "application/json"}
        self.failure = None
        self.open = False
        self.asked = []
        self.gates = []

    def send(self, request, *, deadline):
        """Answer as the server would at the moment the question comes."""
        token = request.form["token"]
        self.asked.append(token)
        claims, failure, headers = self.good.get(token), self.failure, dict(self.headers)
        if self.gates:
            gate = self.gates.pop(0)
            gate.begun.set()
            assert gate.release.wait(90)
        if failure is not None:
            raise failure
        said = {"active": False} if claims is None else {"active": True} | claims
        return Response(200, headers, json.dumps(said).encode())

    def circuit_open(self, url):
        """Tell what the test set."""
        return self.open

    def report_unreadable(self, url):
        """Do nothing."""

    def close(self):
        """Do nothing."""

    def accept(self, *tokens, **claims):
        """Let tokens be good."""
        for token in tokens:
            self.good[token] = {"sub": f"user of {token}", "aud": "orders"} | claims

    def refuse(self, *tokens):
        """Let tokens be good no more."""
        for token in tokens:
            self.good.pop(token, None)

    def go_down(self, reason="connect_failed"):
        """Let every call fail until `come_back`."""
        self.failure = AuthServiceUnavailable("down", reason=reason)

    def come_back(self):
        """Answer again."""
        self.failure = None

    def hold(self):
        """Let the next call wait for the returned gate."""
        self.gates.append(Gate())
        return self.gates[-1]


class Gate:
    """Holds a call until `release` is set."""

    def __init__(self):
        self.begun = threading.Event()
        self.release = threading.Event()


class Shared:
    """A shared cache in this process."""

    secrets = SECRETS

    def __init__(self):
        self.kept = {}
        self.failure = None
        self.calls = []

    def _called(self, what):
        self.calls.append(what)
        if self.failure is not None:
            raise self.failure

    def get_many(self, keys):
        """Return what is kept."""
        self._called("get")
        return [self.kept.get(key) for key in keys]

    def set(self, key, value, *, ttl):
        """Keep a value."""
        self._called("set")
        self.kept[key] = value

    def delete(self, key):
        """Forget a value."""
        self._called("delete")
        self.kept.pop(key, None)


class Bus:
    """A revocation bus in this process."""

    secrets = SECRETS

    def __init__(self):
        self.subscribers = {}
        self.failure = None
        self._numbers = itertools.count()

    def publish(self, message):
        """Hand a message to everybody."""
        if self.failure is not None:
            raise self.failure
        for callback, _ in list(self.subscribers.values()):
            callback(message)

    def subscribe(self, callback, *, missed):
        """Listen from now on."""
        if self.failure is not None:
            raise self.failure
        number = next(self._numbers)
        self.subscribers[number] = callback, missed
        missed()
        return lambda: self.subscribers.pop(number)

    def lose(self):
        """Let messages be missed."""
        for _, missed in list(self.subscribers.values()):
            missed()


class Observer:
    """Keeps events."""

    def __init__(self):
        self.events = []
        self.failure = None

    def __call__(self, event):
        self.events.append(event)
        if self.failure is not None:
            raise self.failure

    def outcomes(self, kind):
        """Return the outcomes of one kind, in order."""
        return [e.outcome for e in self.events if e.kind == kind]

    def count(self, kind, outcome):
        """Return how often something was told."""
        return self.outcomes(kind).count(outcome)


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def upstream():
    return Upstream()


@pytest.fixture
def shared():
    return Shared()


@pytest.fixture
def bus():
    return Bus()


@pytest.fixture
def observer():
    return Observer()


@pytest.fixture
def make(upstream, clock):
    """Return a function that makes a verifier of the server; each is closed at the end."""
    made = []

    def make(**options):
        made.append(_verifier(upstream, clock, **options))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


@pytest.fixture
def world():
    """Return a function that returns a new server, clock, cache and bus, for many runs a test."""
    made = []

    def world():
        for verifier in made:
            verifier.close()
        made.clear()
        upstream, clock = Upstream(), FakeClock(NOW)

        def make(**options):
            made.append(_verifier(upstream, clock, **options))
            return made[-1]

        return SimpleNamespace(
            upstream=upstream, clock=clock, shared=Shared(), bus=Bus(), observer=Observer, make=make
        )

    return world


def _verifier(upstream, clock, **options):
    auth = ClientSecretBasic("orders", "secret")
    client = IntrospectionClient(upstream.endpoint, client_auth=auth, transport=upstream)
    return IntrospectionVerifier(client, **{"audience": "orders", "clock": clock} | options)


@pytest.fixture(autouse=True)
def _every_line_is_logged():
    """Start each test with logs that have said nothing this minute."""
    for thing in list(_fork._registered):
        if isinstance(thing, OncePerMinute):
            thing._last.clear()
