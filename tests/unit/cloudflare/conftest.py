"""A team whose domain is a transport in this process."""

import pytest
from cloudflare_team import ACME, CERTS, TAG, Team
from sites import Site

from tokenward import _fork
from tokenward._log import OncePerMinute
from tokenward.cloudflare import CloudflareAccess
from tokenward.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def team(clock):
    return Team(clock=clock)


@pytest.fixture
def site(team):
    return Site(**{ACME + CERTS: team.certs})


@pytest.fixture
def make(site, clock):
    """Return a function that makes a `CloudflareAccess` of the team; closed at the end."""
    made = []

    def make(team="acme", **options):
        defaults = {"audience": TAG, "transport": site, "clock": clock}
        made.append(CloudflareAccess(team, **defaults | options))
        return made[-1]

    yield make
    for access in made:
        access.close()


@pytest.fixture(autouse=True)
def _every_line_is_logged():
    """Start each test with logs that have said nothing this minute."""
    for thing in list(_fork._registered):
        if isinstance(thing, OncePerMinute):
            thing._last.clear()
