"""What every test may use: hypothesis profiles, a time zone that is not UTC, a store to talk to."""

import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A run in CI is the same run every time; a run on a desk looks for something new. A deadline would
# measure the machine.
settings.register_profile("desk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("desk"), derandomize=True, max_examples=100)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C; what
# they start is to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# POSIX form: it needs no time zone database. 13:45 hours ahead, so that nearly every moment is on
# another day there, and no rounding to hours hides a mistake.
FAR_FROM_UTC = "FAR-13:45"


def pytest_collection_modifyitems(items):
    """Mark what needs a server that nobody here wrote."""
    for item in items:
        if "mongo" in item.fixturenames:
            item.add_marker("peer")


@pytest.fixture(scope="session")
def mongo(tmp_path_factory):
    """Run one server that speaks MongoDB's protocol; each test takes a database of its own."""
    from mongo_server import MongoServer

    with MongoServer(tmp_path_factory.mktemp("mongo")) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch):
    """A function: what is started from now on waits so many seconds for a MongoDB, not five."""

    def impatient(seconds):
        folder = Path(__file__).parent / "support" / "impatient"
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        monkeypatch.setenv("MONGO_SECONDS", str(seconds))

    return impatient


@pytest.fixture
def far_from_utc(monkeypatch):
    """Put this process far ahead of UTC for the length of a test."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", FAR_FROM_UTC)
        time.tzset()
        assert -(13 * 3600 + 45 * 60) == time.timezone
        yield
    time.tzset()
