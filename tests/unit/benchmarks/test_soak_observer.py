"""benchmarks/soak: what a worker tells of itself, as several hands count it."""

import json
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tokenward import IntrospectionClient, IntrospectionVerifier, InvalidToken, JWKSVerifier
from tokenward.client_auth import ClientSecretBasic
from tokenward.protocols import Event
from tokenward.testing import FakeAuthorizationServer

ROOT = Path(__file__).parents[3]


@pytest.fixture
def observing(monkeypatch):
    """Import what is tested, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return import_module("benchmarks.soak.observer")


@pytest.fixture
def observer(observing):
    """Return an observer with a registry of its own."""
    return observing.Observer(CollectorRegistry())


@pytest.fixture
def issuer():
    """Run an issuer."""
    with FakeAuthorizationServer() as server:
        yield server


def told(app):
    """Return what an application tells when it is asked."""
    answered = []
    (body,) = app(
        {"PATH_INFO": "/soak/figures"}, lambda status, headers: answered.append((status, headers))
    )
    assert "200 OK" == answered[0][0]
    return json.loads(body)


def request(app, **environ):
    list(app({"PATH_INFO": "/api/profile", **environ}, lambda *_: None))


def answering(status):
    def app(environ, start_response):
        start_response(status, [])
        return []

    return app


def test_requests_are_counted_by_their_answer_and_by_what_they_bear(observing):
    """A token in a header of its own is another verifier's; one that is none is unread."""
    app = observing.Counted(answering("200 OK"), Counter)
    request(app)
    request(app, HTTP_AUTHORIZATION="Bearer x")
    request(app, HTTP_X_ACCESS_TOKEN="x")
    figures = told(app)["figures"]
    assert 3 == figures["status.200"]
    assert (1, 1) == (figures["introspection.borne"], figures["jwks.borne"])
    assert 0 == figures["introspection.unread"]
    refused = observing.Counted(answering("400 Bad Request"), Counter)
    request(refused, HTTP_AUTHORIZATION='Bearer "x"')
    assert 1 == told(refused)["figures"]["introspection.unread"]


def test_health_and_the_figures_are_no_part_of_the_load(observing):
    """Whoever waits for a start, or watches, changes no equation."""
    app = observing.Counted(answering("200 OK"), Counter)
    list(app({"PATH_INFO": "/health"}, lambda *_: None))
    assert {"entries": 0} == told(app)["figures"] == told(app)["figures"]


def test_what_was_counted_before_the_processes_parted_is_not_a_workers(observing):
    """Entries alone are what there is now, wherever they came from."""
    figures, pid = Counter({"jwks.hits": 5, "jwks.entries": 3}), [1]
    app = observing.Counted(answering("200 OK"), lambda: Counter(figures), pid=lambda: pid[0])
    request(app)
    pid[0] = 2
    assert {"pid": 2, "figures": {"jwks.hits": 0, "jwks.entries": 0, "entries": 3}} == told(app)
    figures["jwks.hits"] += 2
    request(app)
    assert (1, 2) == tuple(told(app)["figures"][name] for name in ("status.200", "jwks.hits"))


def test_verifiers_and_metrics_count_the_same(observer, issuer):
    """Two hands, over both kinds of verifier."""
    client = IntrospectionClient(
        issuer.introspection_endpoint,
        client_auth=ClientSecretBasic(issuer.client_id, issuer.client_secret),
    )
    asked = IntrospectionVerifier(client, audience=None, on_event=observer)
    signed = JWKSVerifier(issuer.issuer, audience=None, on_event=observer)
    for verifier in (asked, signed):
        observer.watch(verifier)
        token = issuer.token()
        verifier.verify(token)
        verifier.verify(token)
        with pytest.raises(InvalidToken):
            verifier.verify(issuer.token(exp=1))
    figures = observer.figures()
    asked.close()
    signed.close()
    assert (1, 2, 2) == tuple(figures[f"introspection.{n}"] for n in ("hits", "misses", "entries"))
    assert (1, 2, 1) == tuple(figures[f"jwks.{name}"] for name in ("hits", "misses", "entries"))
    assert 2 == figures["tokenward_cache_total.process.hit"]
    assert 4 == figures["tokenward_cache_total.process.miss"]
    assert 6 == figures["tokenward_verify_total"]
    calls = figures["introspection.upstream_calls"] + figures["jwks.upstream_calls"]
    assert calls == figures["tokenward_upstream_seconds_count"] > 2


def test_a_shared_answer_that_is_asked_about_all_the_same_is_counted(observer):
    """One after the other on its thread: found, asked, decided. A miss before a call is none."""

    def happened(*events):
        for kind, outcome in events:
            observer(Event(kind, "issuer", 0.0, outcome))

    happened(("cache", "shared.hit"), ("verify", "ok"))
    happened(("cache", "shared.miss"), ("upstream", "ok"), ("verify", "ok"))
    assert 0 == observer.figures()["introspection.ahead"]
    happened(("cache", "process.miss"), ("cache", "shared.hit"), ("upstream", "ok"))
    happened(("upstream", "ok"), ("verify", "ok"))
    assert 1 == observer.figures()["introspection.ahead"]


def test_an_example_is_configured_to_take_signed_tokens_too(observing, monkeypatch):
    """By the same bounds, from the same issuer; nothing of the example's own mapping changes."""
    monkeypatch.setenv("AUTH_URL", "http://127.0.0.1:1")
    example = {"realm": "example", "credentials": [{"ttl": 2, "max_entries": 9, "audience": "a"}]}
    soaked = import_module("benchmarks.soak.apps").soaked(example)
    asked, signed = soaked["credentials"]
    assert (2, "http://127.0.0.1:1") == (asked["negative_ttl"], asked["issuer"])
    assert ("jwks", 9, "header:X-Access-Token") == (
        signed["type"],
        signed["cache_entries"],
        signed["source"],
    )
    assert {"ttl": 2, "max_entries": 9, "audience": "a"} == example["credentials"][0]
