"""docs/verifiers/introspection.md: how long a revoked token is accepted is measured, row by row."""

import re
from pathlib import Path

import pytest

from tokenward import (
    AuthServiceUnavailable,
    ClientSecretBasic,
    IntrospectionClient,
    IntrospectionVerifier,
    InvalidToken,
)
from tokenward.testing import FakeAuthorizationServer, FakeClock

PAGE = (Path(__file__).parents[2] / "docs" / "verifiers" / "introspection.md").read_text("utf-8")
TABLE = re.search(r"## How long is a revoked.*?\n\n(\|.*?)\n\n", PAGE, re.DOTALL)[1]
TTL, STALE = 60, 30
MOMENTS = (0, 1, 2, 30, 53, 54, 59, 60, 61, 89, 90, 91)
"""Seconds after the first question; the token was revoked right after it."""


class Shared:
    """A shared cache and a broadcast, within this process."""

    secrets = ("f3a9c1e07b5d4826-of-a-test",)

    def __init__(self):
        self.values = {}
        self.callbacks = []
        self.is_down = False

    def get_many(self, keys):
        return [self.values.get(key) for key in keys]

    def set(self, key, value, *, ttl):
        self.values[key] = value

    def delete(self, key):
        self.values.pop(key, None)

    def publish(self, message):
        if self.is_down:
            raise ConnectionError
        for callback in self.callbacks:
            callback(message)

    def subscribe(self, callback, *, missed):
        self.callbacks.append(callback)
        missed()
        return lambda: None


class Case:
    """Two processes, and what is configured."""

    def __init__(self, server, clock, *, shares=False, listens=False, **options):
        self.server, self.clock, self.shared = server, clock, Shared()
        if shares:
            options["shared_cache"] = self.shared
        if listens:
            options["revocation_bus"] = self.shared
        self.here, self.there = (self._verifier(options) for _ in "ab")

    def _verifier(self, options):
        client = IntrospectionClient(
            self.server.introspection_endpoint,
            client_auth=ClientSecretBasic(self.server.client_id, self.server.client_secret),
            breaker_failures=10_000,
        )
        return IntrospectionVerifier(client, audience="api", clock=self.clock, **options)

    def close(self):
        self.here.close()
        self.there.close()


CASES = {
    "nothing but the defaults": ({}, "both"),
    "with a shared cache": ({"shares": True}, "one after the other"),
    "…and `invalidate(token)` was called here": ({"shares": True}, "invalidated"),
    "with a broadcast, revoked through tokenward": ({"listens": True}, "invalidated"),
    "with a broadcast that is down": ({"listens": True}, "lost"),
    "`live=True`, or `ttl=0`": ({"ttl": 0}, "both"),
    "the server is down, with `stale_if_error`": ({"stale_if_error": STALE}, "outage"),
    "…and a broadcast": ({"stale_if_error": STALE, "listens": True}, "outage, invalidated"),
    "`live=True`, and the server is down": ({"stale_if_error": STALE}, "outage, live"),
}


def measured(case, how, moment):
    """Say what becomes of the token in either process, ``moment`` seconds after the question."""
    token = case.server.token(expires_in=3_600)
    live = {"live": True} if "live" in how else {}
    case.here.verify(token)
    if how != "one after the other":
        case.there.verify(token)
    case.server.revoke(token)
    if "outage" in how:
        case.server.fail("/introspect", times=10)
    if how == "lost":
        case.shared.is_down = True
        case.shared.callbacks.clear()
        case.there.invalidate("another-token")  # must not raise either
    if "invalidated" in how:
        case.here.invalidate(token)
    if how == "one after the other" and moment >= 20:
        case.clock.advance(20)
        case.there.verify(token)
        case.clock.advance(moment - 20)
    else:
        case.clock.advance(moment)
    outcomes = []
    for verifier in (case.here, case.there):
        try:
            verifier.verify(token, **live)
            outcomes.append("accepted")
        except InvalidToken:
            outcomes.append("refused")
        except AuthServiceUnavailable:
            outcomes.append("unavailable")
    return outcomes


def bounds(name):
    """Return what the table's cells promise for the two processes, in seconds."""
    (row,) = (line for line in TABLE.splitlines() if line.startswith(f"| {name} |"))
    return [seconds(cell) for cell in row.strip("| ").split(" | ")[1:]]


def seconds(cell):
    """Return what a cell's first words add up to; what follows them explains."""
    words = re.split("[,:]", cell)[0].replace("`", "").split(" + ")
    known = {"ttl": TTL, "stale_if_error": STALE}
    return sum(known[word] if word in known else int(word) for word in words)


@pytest.mark.parametrize("name", CASES)
def test_a_row_of_the_table_is_true(name):
    """Up to its bound a revoked token may be accepted, and from then on it never is."""
    options, how = CASES[name]
    found = {}
    for moment in MOMENTS:
        clock = FakeClock(1_000_000)
        with FakeAuthorizationServer(clock=clock) as server:
            case = Case(server, clock, **options)
            found[moment] = measured(case, how, moment)
            case.close()
    for which, bound in enumerate(bounds(name)):
        accepted = [moment for moment in MOMENTS if found[moment][which] == "accepted"]
        # Within this process a broadcast takes no time; the page allows it a second.
        assert all(moment < bound for moment in accepted)
        assert accepted or bound <= 1
        assert bound <= 1 or max(accepted) == bound - 1
        if how.startswith("outage"):
            assert "unavailable" == found[91][which]


def test_every_row_of_the_table_is_measured():
    """None is added without being measured."""
    names = [line.strip("| ").split(" | ")[0] for line in TABLE.splitlines()[2:]]
    assert list(CASES) == names


def test_live_is_not_served_from_what_is_kept():
    """The other half of its row."""
    clock = FakeClock(1_000_000)
    with FakeAuthorizationServer(clock=clock) as server:
        case = Case(server, clock)
        assert ["refused", "refused"] == measured(case, "both, live", 0)
        case.close()


def test_no_row_outlives_exp():
    """An outage of a server whose token ends in the middle of the grace."""
    clock = FakeClock(1_000_000)
    with FakeAuthorizationServer(clock=clock) as server:
        case = Case(server, clock, stale_if_error=1_000)
        token = server.token(expires_in=70)
        case.here.verify(token)
        server.fail("/introspect", times=10)
        clock.advance(69)
        assert "user-1" == case.here.verify(token).subject
        clock.advance(1)
        with pytest.raises(AuthServiceUnavailable):
            case.here.verify(token)
        case.close()
