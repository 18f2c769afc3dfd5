"""docs/observing.md: its code is run; its metrics, events and loggers are those of the code."""

import io
import json
import logging
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from doc_pages import Page, slugs
from prometheus_client import CollectorRegistry

import tokenward
from tokenward import ClientSecretBasic, IntrospectionClient
from tokenward.observe import PrometheusMetrics
from tokenward.observe.metrics import _CACHE_EVENTS
from tokenward.testing import FakeAuthorizationServer

PAGE = Page("observing.md")
ROOT = Path(tokenward.__file__).parent


@pytest.fixture
def asked():
    """Yield a server and a client of it."""
    with FakeAuthorizationServer(audience="orders") as server:
        client_auth = ClientSecretBasic(server.client_id, server.client_secret)
        client = IntrospectionClient(server.introspection_endpoint, client_auth=client_auth)
        yield server, client
        client.close()


def test_metrics_and_log_lines_are_made(asked, caplog):
    """With the blocks of the page, one verification is in both, in the form that is shown."""
    server, client = asked
    registry = CollectorRegistry()
    names = {"client": client, "CollectorRegistry": CollectorRegistry, "registry": registry}
    for text in ("metrics.watch(verifier)", "fan_out(metrics, log_events())"):
        # The default registry is the process's, and takes each metric once.
        block = PAGE.block(text).replace("PrometheusMetrics()", "PrometheusMetrics(registry)")
        PAGE.run(block, names)
    with caplog.at_level("DEBUG", logger="tokenward.observe"):
        names["verifier"].verify(server.token())
    labels = {"verifier": names["verifier"].issuer, "outcome": "ok"}
    assert 1 == registry.get_sample_value("tokenward_verify_total", labels)
    (shown,) = re.findall(r"```text\n(.*)\n```", PAGE.text)
    lines = [line for line in caplog.messages if '"kind": "upstream"' in line]
    words = [re.sub(r'("\w+"): .*?([,}])', r"\1\2", line) for line in (shown, *lines)]
    assert [words[0]] == words[1:]


BUILT = """
import json, sys
from tokenward.config import Settings, build_authenticator
print(len(build_authenticator(Settings.model_validate(json.loads(sys.argv[1]))).credentials))
"""


def test_the_setting_is_one():
    """With it, the parts of a configuration are observed; in a process whose registry is empty."""
    (written,) = PAGE.tomls()
    entry = {"type": "jwks", "issuer": "https://login.example", "audience": "orders"}
    done = subprocess.run(
        [sys.executable, "-c", BUILT, json.dumps({**written, "credentials": [entry]})],
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    assert "1\n" == done.stdout


def test_the_files_of_gunicorn_run(tmp_path, monkeypatch):
    """The hook takes a worker away, and what is scraped is an application."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "gauge_livesum_7.db").write_bytes(b"")
    worker = type("Worker", (), {"pid": 7})
    PAGE.run(PAGE.block("def child_exit"), {})["child_exit"](None, worker)
    assert [] == list(tmp_path.iterdir())
    application = PAGE.run(PAGE.block("metrics_app"), {})["metrics_app"]
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.errors": io.StringIO()}
    answered = []
    application(environ, lambda status, headers: answered.append(status))
    assert ["200 OK"] == answered


def test_every_metric_has_a_row():
    """By what `PrometheusMetrics` registers, with type and labels."""
    registry = CollectorRegistry()
    PrometheusMetrics(registry)
    made = {
        # A counter's name is kept without its suffix.
        name: collector
        for name, collector in registry._names_to_collectors.items()
        if name.startswith("tokenward") and not name.endswith(("_created", "_bucket", "_sum"))
    }
    table = PAGE.text.partition("| metric | type |")[2].partition("\n\n")[0]
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in table.splitlines()[2:]]
    for name, kind, labels, _ in rows:
        collector = made[slugs(name)[0].removesuffix("_total")]
        assert (kind, set(slugs(labels))) == (collector._type, set(collector._labelnames))
    shown = {slugs(row[0])[0] for row in rows}
    assert {c._name for c in made.values()} == {name.removesuffix("_total") for name in shown}


def test_every_use_of_a_cache_has_a_row():
    """Levels and events, both ways."""
    rows = PAGE.rows("Metrics", nth=2)
    shown = {f"{slugs(row[0])[0]}.{event}" for row in rows for event in slugs(row[1])}
    assert _CACHE_EVENTS == shown


def test_every_kind_of_event_is_told_by_who_is_named():
    """By the calls that tell them."""
    modules = {
        "IntrospectionVerifier": "introspection",
        "JWKSVerifier": "jwks",
        "CloudflareAccess": "cloudflare",
        "AuthService": "service",
    }
    told = defaultdict(set)
    for name, module in modules.items():
        text = "".join(path.read_text("utf-8") for path in (ROOT / module).glob("*.py"))
        for kind in re.findall(r"(?:\.emit|\.timed)\(\s*\"(\w+)\"", text):
            told[kind].add(name)
    shown, before = {}, set()
    for kind, _, by in PAGE.rows("Events"):
        named = set(slugs(by)) | (before if "the same three" in by else set())
        before = named - {"AuthService"} if "the same three" in by else named
        shown[slugs(kind)[0]] = named
    # Fetched keys are those of its own `JWKSVerifier`, whose events it hands on.
    told["cache"].add("CloudflareAccess")
    assert dict(told) == shown


MADE = re.compile(r"^(\w+) = (?:\w+\()?logging\.getLogger\(\"(.+?)\"\)", re.MULTILINE)
LEVELS = {"exception": "ERROR"}
WORDS = "debug|info|warning|error|exception"


@cache
def logged():
    """Return the levels at which each logger of ours is used."""
    found = defaultdict(set)
    texts = {path: path.read_text("utf-8") for path in ROOT.rglob("*.py")}
    named = {path: dict(MADE.findall(text)) for path, text in texts.items()}
    for path, text in texts.items():
        loggers = named[path]
        for alias, of in re.findall(r"^(\w+) = OncePerMinute\((\w+)\)", text, re.MULTILINE):
            loggers[alias] = loggers[of]
        for home in re.findall(r"^from [\w.]*\.(\w+) import .*\bseldom\b", text, re.MULTILINE):
            (loggers["seldom"],) = set(named[path.parent / f"{home}.py"].values())
        for variable, name in loggers.items():
            for word in re.findall(rf"\b{variable}\.({WORDS})\(", text):
                found[name].add(LEVELS.get(word, word.upper()))
            for word in re.findall(rf"\b{variable}\.log\(\s*logging\.(\w+)", text):
                found[name].add(word)
    return found


def shown():
    """Return the levels of each logger in the page's table."""
    found, names = defaultdict(set), []
    for row in PAGE.rows("Logs"):
        names = slugs(row[0]) or names
        for name in names:
            found[name].add(row[1])
    return found


def test_every_logger_has_a_row():
    """And no row a logger that there is not."""
    known = {
        name
        for path in ROOT.rglob("*.py")
        for name in re.findall(r"getLogger\(\"(tokenward\.[\w.]+)\"\)", path.read_text("utf-8"))
    }
    assert known == set(shown())


@pytest.mark.parametrize("name", sorted(shown()))
def test_a_logger_is_used_at_the_levels_of_its_rows(name):
    """As far as the calls say it themselves."""
    # Its level is an argument; and a subscription that did not end is nothing to look for.
    extra = {"tokenward.observe": {"DEBUG"}, "tokenward.metadata": {"ERROR", "WARNING"}}
    extra |= {"tokenward.jwkset": {"ERROR", "WARNING"}}
    hidden = {"tokenward.shared_cache": {"DEBUG"}}
    assert (logged()[name] | extra.get(name, set())) - hidden.get(name, set()) == shown()[name]


def test_one_line_sets_the_level_of_all():
    """The line of the page."""
    (line,) = re.findall(r"`(logging\.getLogger\(\"tokenward\"\)\.setLevel\(.*?\))`", PAGE.text)
    logger = logging.getLogger("tokenward")
    before = logger.level
    try:
        eval(line, {"logging": logging})  # noqa: S307 - our own page
        assert logging.WARNING == logging.getLogger("tokenward.refused").getEffectiveLevel()
    finally:
        logger.setLevel(before)
