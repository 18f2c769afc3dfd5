"""observe: events as metrics and as log lines; names are contract (RULES 51, 53)."""

import ast
import gc
import json
import logging
import math
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import prometheus_client
import pytest
from sites import Site, said

import tokenward
from tokenward import _jose
from tokenward.cache import CacheStats
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.observe import OUTCOMES, PrometheusMetrics, fan_out, log_events
from tokenward.protocols import Event
from tokenward.testing import FakeClock

AS = "https://as.example"


@pytest.fixture
def registry():
    return prometheus_client.CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return PrometheusMetrics(registry)


class Held:
    """A verifier that holds so many entries."""

    def __init__(self, entries):
        self.entries = entries

    def stats(self):
        """Return them."""
        return CacheStats(entries=self.entries)


class Keyed(Held):
    """A verifier whose keys are so old."""

    def __init__(self, age, *, issuer=AS):
        super().__init__(1)
        self.issuer = issuer
        self.age = age

    def keys_age(self):
        """Return it, in seconds."""
        return self.age


def samples(registry):
    """Return every sample but the times at which metrics were made."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


# --- Prometheus


def test_names_and_labels_are_the_contract(registry, metrics):
    """Dashboards are built on these."""
    keyed = Keyed(1.0)
    metrics.watch(keyed)
    for kind, outcome in (
        ("verify", "ok"),
        ("upstream", "ok"),
        ("cache", "process.hit"),
        ("breaker", "opened"),
        ("login", "ok"),
    ):
        metrics(Event(kind, AS, 0.02, outcome))
    found = {
        (sample.name, tuple(sample.labels))
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }

    assert found == {
        ("tokenward_verify_total", ("verifier", "outcome")),
        ("tokenward_upstream_seconds_bucket", ("verifier", "outcome", "le")),
        ("tokenward_upstream_seconds_count", ("verifier", "outcome")),
        ("tokenward_upstream_seconds_sum", ("verifier", "outcome")),
        ("tokenward_cache_total", ("verifier", "level", "event")),
        ("tokenward_cache_entries", ()),
        ("tokenward_jwks_age_seconds", ("issuer",)),
        ("tokenward_breaker_open", ()),
        ("tokenward_login_total", ("outcome",)),
    }


def test_each_event_is_counted_once(registry, metrics):
    """A verdict, a use of a cache and a login add one to their counter."""
    for _ in range(3):
        metrics(Event("verify", AS, 0.1, "inactive"))
    metrics(Event("cache", AS, 0, "shared.error"))
    metrics(Event("login", AS, 0.2, "invalid_credentials"))
    found = samples(registry)

    assert 3 == found["tokenward_verify_total", AS, "inactive"]
    assert 1 == found["tokenward_cache_total", AS, "shared", "error"]
    assert 1 == found["tokenward_login_total", "invalid_credentials"]


def test_questions_are_a_histogram_of_seconds(registry, metrics):
    """How long a server takes, by how it ended."""
    for seconds in (0.02, 0.03, 4.0):
        metrics(Event("upstream", AS, seconds, "deadline"))
    found = samples(registry)

    assert 3 == found["tokenward_upstream_seconds_count", AS, "deadline"]
    assert 4.05 == pytest.approx(found["tokenward_upstream_seconds_sum", AS, "deadline"])
    assert 2 == found["tokenward_upstream_seconds_bucket", AS, "deadline", "0.05"]


def test_open_breakers_are_counted(registry, metrics):
    """The gauge says how many servers are left alone, however often one is told."""
    for verifier, outcome, count in (
        (AS, "opened", 1),
        (AS, "opened", 1),
        ("https://other.example", "opened", 2),
        (AS, "closed", 1),
        (AS, "closed", 1),
        ("https://other.example", "closed", 0),
    ):
        metrics(Event("breaker", verifier, 0, outcome))
        assert count == samples(registry)["tokenward_breaker_open",]


def test_entries_of_watched_verifiers(registry, metrics):
    """The sum over those that are watched, as of the last entry that was made."""
    one, two = Held(3), Held(4)
    metrics.watch(one)
    metrics.watch(two)
    assert 7 == samples(registry)["tokenward_cache_entries",]
    one.entries = 5
    metrics(Event("cache", AS, 0, "process.hit"))
    assert 7 == samples(registry)["tokenward_cache_entries",]
    for event in ("process.miss", "process.evicted"):
        one.entries += 1
        metrics(Event("cache", AS, 0, event))
        assert one.entries + 4 == samples(registry)["tokenward_cache_entries",]


def test_watching_keeps_nothing_alive(registry, metrics):
    """A verifier that is gone counts no more."""
    gone, kept = Held(3), Held(4)
    metrics.watch(gone)
    metrics.watch(kept)
    del gone
    gc.collect()
    metrics(Event("cache", AS, 0, "process.miss"))

    assert 4 == samples(registry)["tokenward_cache_entries",]


def test_the_age_of_keys_is_asked_for_when_it_is_read(registry, metrics):
    """It grows without an event; keys that are not there, or configured, have none."""
    one, two = Keyed(10.0), Keyed(None, issuer="https://other.example")
    metrics.watch(one)
    metrics.watch(two)
    assert 10 == samples(registry)["tokenward_jwks_age_seconds", AS]
    assert math.isnan(samples(registry)["tokenward_jwks_age_seconds", "https://other.example"])
    one.age, two.age = 900.0, 0.5
    assert 900 == samples(registry)["tokenward_jwks_age_seconds", AS]
    assert 0.5 == samples(registry)["tokenward_jwks_age_seconds", "https://other.example"]
    del one
    gc.collect()
    assert math.isnan(samples(registry)["tokenward_jwks_age_seconds", AS])


def test_the_age_of_a_verifiers_keys(registry, metrics):
    """As a `JWKSVerifier` has it, by the issuer that is configured."""
    clock = FakeClock()
    issuer = "https://keys.example"
    published = said({"keys": [_jose.public_jwk(_jose.generate_key("ES256"))]})
    site = Site(**{f"{issuer}/jwks": published})
    verifier = JWKSVerifier(
        issuer, jwks_uri=f"{issuer}/jwks", audience="a", transport=site, clock=clock
    )
    metrics.watch(verifier)
    assert math.isnan(samples(registry)["tokenward_jwks_age_seconds", issuer])
    verifier.warm_up()
    clock.advance(77)
    assert 77 == samples(registry)["tokenward_jwks_age_seconds", issuer]


def test_outcomes_are_bounded(registry, metrics):
    """What is no outcome of ours is one label, whatever a check of your own calls it."""
    for number in range(100):
        for kind in ("verify", "upstream", "cache", "login"):
            metrics(Event(kind, AS, 0, f"made-up.{number}"))
    found = samples(registry)

    assert 100 == found["tokenward_verify_total", AS, "other"]
    assert 100 == found["tokenward_upstream_seconds_count", AS, "other"]
    assert 100 == found["tokenward_cache_total", AS, "other", "other"]
    assert 100 == found["tokenward_login_total", "other"]
    assert not any("made-up" in str(name) for name in found)


def test_unknown_kinds_are_left_out(registry, metrics):
    """A newer event is no failure of an older receiver."""
    before = samples(registry)
    metrics(Event("jwks", AS, 0, "ok"))

    assert before == samples(registry)


ROOMS = (
    *("bearer", "by_issuer", "cache", "claims", "client_auth", "introspection", "_http", "_jose"),
    *("jwkset", "keys", "metadata", "passwords", "repositories", "tokens"),
)


def _reasons():
    home = Path(tokenward.__file__).parent
    files = [f for room in ROOMS for f in [home / f"{room}.py", *(home / room).glob("**/*.py")]]
    for file in filter(Path.exists, files):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "reason":
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value


def _below(kind):
    yield kind.reason
    for narrower in kind.__subclasses__():
        if narrower.__module__.startswith("tokenward."):
            yield from _below(narrower)


def test_every_reason_of_ours_is_an_outcome():
    """No refusal and no outage of our own making ends up as ``other``: add it to `OUTCOMES`."""
    reasons = {*_reasons(), *_below(InvalidToken), *_below(AuthServiceUnavailable)}

    # Of no token and no login: the command that rotates keys alone says it.
    assert {"rotation_too_early"} == reasons - OUTCOMES
    assert len(reasons) > 30


def test_the_default_registry_is_prometheus_clients():
    """Without a registry the metrics are where every exporter looks."""
    metrics = PrometheusMetrics()
    try:
        metrics(Event("login", AS, 0, "ok"))
        assert b'tokenward_login_total{outcome="ok"} 1.0' in prometheus_client.generate_latest()
    finally:
        for made in vars(metrics).values():
            if hasattr(made, "collect") and made is not prometheus_client.REGISTRY:
                prometheus_client.REGISTRY.unregister(made)


def test_two_in_one_registry_stop_the_program(registry, metrics):
    """The message says what to do."""
    with pytest.raises(ConfigurationError, match="make one PrometheusMetrics"):
        PrometheusMetrics(registry)


def test_it_is_not_pickled(metrics):
    """Each process counts for itself."""
    with pytest.raises(TypeError):
        pickle.dumps(metrics)


def test_no_count_is_lost_between_threads(registry, metrics):
    """Every thread's events count."""

    def work():
        for _ in range(500):
            metrics(Event("verify", AS, 0, "ok"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4_000 == samples(registry)["tokenward_verify_total", AS, "ok"]


def test_a_held_lock_does_not_cross_a_fork(metrics):
    """The child does not wait for a thread of its parent."""
    metrics._lock.acquire()
    metrics.after_fork()
    metrics.watch(Held(1))


def run(script, **environment):
    """Run a script in an interpreter of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env=os.environ | environment,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def test_processes_are_summed(tmp_path):
    """With ``PROMETHEUS_MULTIPROC_DIR`` one scrape shows what all workers counted."""
    script = """
        import os
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
        from tokenward.cache import CacheStats
        from tokenward.observe import PrometheusMetrics
        from tokenward.protocols import Event

        class Held:
            issuer = "https://as.example"
            age = None
            def stats(self):
                return CacheStats(entries=10)
            def keys_age(self):
                return self.age

        metrics, held = PrometheusMetrics(), Held()

        def child(number):
            metrics.watch(held)
            metrics(Event("verify", "https://as.example", 0, "unavailable"))
            held.age = 100.0 * number
            metrics(Event("verify", "https://as.example", 0, "ok"))
            metrics(Event("upstream", "https://as.example", 0.2, "ok"))
            metrics(Event("breaker", "https://as.example", 0, "opened"))

        def scrape():
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
            for line in generate_latest(registry).decode().splitlines():
                if not line.startswith("#") and "_bucket" not in line:
                    print(line)

        children = []
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                child(number)
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        scrape()
        for pid in children:
            mark_process_dead(pid)
        print("dead")
        scrape()
    """
    lines = run(script, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    at = lines.index("dead")
    alive, dead = lines[:at], lines[at + 1 :]

    counted = {
        'tokenward_verify_total{outcome="ok",verifier="https://as.example"} 3.0',
        'tokenward_upstream_seconds_count{outcome="ok",verifier="https://as.example"} 3.0',
    }
    assert counted <= set(alive)
    assert {"tokenward_cache_entries 30.0", "tokenward_breaker_open 3.0"} <= set(alive)
    assert 'tokenward_jwks_age_seconds{issuer="https://as.example"} 200.0' in alive
    # A worker that has gone counts on, but holds nothing any more.
    assert counted <= set(dead)
    assert {"tokenward_cache_entries 0.0", "tokenward_breaker_open 0.0"} <= set(dead)


def test_a_directory_that_is_missing_stops_the_program(tmp_path):
    """It is said at the start, and not swallowed with every event."""
    script = """
        from tokenward.errors import ConfigurationError
        from tokenward.observe import PrometheusMetrics
        try:
            PrometheusMetrics()
        except ConfigurationError as error:
            print(error)
    """
    (line,) = run(script, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "missing"))

    assert line.startswith("PROMETHEUS_MULTIPROC_DIR=")
    assert "No such file or directory" in line


def test_without_the_extra_it_says_what_to_install():
    """The rest of the module works without prometheus_client."""
    script = """
        import sys
        sys.modules["prometheus_client"] = None
        from tokenward.errors import ConfigurationError
        from tokenward.observe import PrometheusMetrics, fan_out, log_events
        fan_out(log_events())
        try:
            PrometheusMetrics()
        except ConfigurationError as error:
            print(error)
    """

    assert ["PrometheusMetrics needs prometheus_client: pip install 'tokenward[metrics]'"] == run(
        script
    )


@pytest.mark.parametrize("module", ["tokenward.introspection", "tokenward.observe"])
def test_importing_loads_no_driver(module):
    """What is not asked for is not paid for."""
    script = f"""
        import sys, {module}
        print(*sorted({{"prometheus_client", "cryptography", "redis"}} & set(sys.modules)))
    """

    assert [""] == run(script)


# --- log lines


def test_an_event_is_one_line_of_json(caplog):
    """Whoever reads logs by program finds the members of the event."""
    with caplog.at_level(logging.DEBUG):
        log_events()(Event("upstream", AS, 0.01234567, "deadline"))
    (record,) = caplog.records

    assert ("tokenward.observe", logging.DEBUG) == (record.name, record.levelno)
    assert json.loads(record.getMessage()) == {
        "kind": "upstream",
        "verifier": AS,
        "outcome": "deadline",
        "seconds": 0.012346,
    }


def test_logger_and_level_can_be_chosen(caplog):
    """Lines go where the application wants them."""
    with caplog.at_level(logging.INFO):
        log_events(logging.getLogger("shop"), logging.INFO)(Event("login", AS, 0, "ok"))

    assert [("shop", logging.INFO)] == [(r.name, r.levelno) for r in caplog.records]


def test_nothing_is_made_up_for_a_level_that_is_off(caplog):
    """A line that nobody wants is not even formatted."""
    with caplog.at_level(logging.INFO):
        log_events()(None)

    assert [] == caplog.records


def test_a_line_cannot_be_forged(caplog):
    """What came from a check of the application's own is escaped and cut, a query left out."""
    with caplog.at_level(logging.DEBUG):
        log_events()(Event("verify", f"{AS}?key=private", 0, "bad\nline\u2028" + "x" * 1_000))
    line = caplog.records[0].getMessage()

    assert "private" not in line
    assert 1 == len(line.splitlines())
    assert len(line) < 400


# --- several receivers


def test_every_receiver_gets_every_event():
    """In the order in which they were given."""
    seen = []
    receive = fan_out(lambda e: seen.append(("a", e)), lambda e: seen.append(("b", e)))
    event = Event("verify", AS, 0, "ok")
    receive(event)

    assert [("a", event), ("b", event)] == seen


def test_a_receiver_that_fails_stops_no_other():
    """The next one still gets the event."""
    seen = []

    def fail(event):
        raise RuntimeError

    fan_out(fail, seen.append, fail, seen.append)(Event("verify", AS, 0, "ok"))

    assert 2 == len(seen)
