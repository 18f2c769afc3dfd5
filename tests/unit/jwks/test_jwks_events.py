"""What an observer of a `JWKSVerifier` is told, and that it can change nothing (RULES 51, 53)."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sites import down, said

from tokenward import _jose
from tokenward.errors import AuthError, InvalidToken

ISSUER = "https://as.example"
PATIENCE = 120
HIT, MISS = ("cache", "process.hit"), ("cache", "process.miss")
NEGATIVE = ("cache", "process.negative_hit")
OK, FETCHED = ("verify", "ok"), ("upstream", "ok")


def attempt(verifier, token):
    """Verify; return who or the error."""
    try:
        return verifier.verify(token).subject
    except AuthError as error:
        return error


# --- each, once


def test_an_accepted_token(make, issuer, observer):
    """The first time a fetch and a miss, and then a hit; each time one verdict."""
    verifier = make(on_event=observer)
    token = issuer.token()
    verifier.verify(token)
    assert [MISS, FETCHED, OK] == observer.told()
    verifier.verify(token)
    assert [HIT, OK] == observer.told()
    verifier.verify(issuer.token(sub="u2"))

    assert [MISS, OK] == observer.told()


def test_a_refused_token(make, issuer, observer, keys):
    """By its reason; whether somebody had to be asked is told too."""
    verifier = make(on_event=observer)
    attempt(verifier, issuer.token(exp=1))
    assert [MISS, ("verify", "expired")] == observer.told()
    attempt(verifier, issuer.token(keys.new))
    assert [MISS, FETCHED, ("verify", "unknown_key")] == observer.told()
    attempt(verifier, issuer.token(keys.new))

    assert [MISS, ("verify", "unknown_key")] == observer.told()


def test_a_revoked_token(make, issuer, observer):
    """Refused without asking anybody, by `verify` and by `cached`."""
    verifier = make(on_event=observer)
    token = issuer.token()
    verifier.invalidate(token)
    assert [] == observer.told()
    for ask in (verifier.verify, verifier.cached):
        with pytest.raises(InvalidToken):
            ask(token)
        assert [NEGATIVE, ("verify", "revoked")] == observer.told()


def test_an_outage(make, issuer, observer):
    """Nobody could decide: the verdict is unavailable, and the fetch tells why."""
    issuer.fail(down("deadline"))
    verifier = make(on_event=observer)
    attempt(verifier, issuer.token())
    assert [MISS, ("upstream", "deadline"), ("verify", "unavailable")] == observer.told()
    attempt(verifier, issuer.token())

    # Metadata is left alone; that it was not asked again is an attempt of ours all the same.
    assert [MISS, ("upstream", "deadline"), ("verify", "unavailable")] == observer.told()


@pytest.mark.parametrize("cached", [False, True])
def test_an_outage_beyond_the_hard_limit(make, issuer, observer, clock, cached):
    """A token that is still in the cache is a miss like another."""
    verifier = make(on_event=observer, required=(), jwks_uri=issuer.jwks_uri)
    token = issuer.token(exp=None)
    if cached:
        verifier.verify(token)
    else:
        verifier.warm_up()
    issuer.fail(down())
    clock.advance(5_000)
    observer.told()
    attempt(verifier, token)
    assert [MISS, ("upstream", "connect_failed"), ("verify", "unavailable")] == observer.told()
    attempt(verifier, token)

    assert [MISS, ("verify", "unavailable")] == observer.told()


def test_a_stale_set(make, issuer, observer, clock):
    """A token served while its issuer fails is a hit; the fetch that failed is told."""
    verifier = make(on_event=observer)
    token = issuer.token()
    verifier.verify(token)
    issuer.fail(down())
    clock.advance(850)
    observer.told()
    verifier.verify(token)
    assert [HIT, ("upstream", "connect_failed"), OK] == observer.told()
    verifier.verify(token)

    assert [HIT, OK] == observer.told()


@pytest.mark.parametrize("token", [None, 7, b"x", "\udc00"], ids=ascii)
def test_what_is_no_string(make, observer, token):
    """A verdict and nothing else."""
    verifier = make(on_event=observer)
    attempt(verifier, token)
    assert [("verify", "malformed")] == observer.told()
    with pytest.raises(InvalidToken):
        verifier.cached(token)

    assert [("verify", "malformed")] == observer.told()


def test_a_cached_decision(make, issuer, observer):
    """`cached` decides some requests, and tells of those alone."""
    verifier = make(on_event=observer)
    token = issuer.token()
    for unknown in (token, "x"):
        assert verifier.cached(unknown) is None
    assert [] == observer.told()
    verifier.verify(token)
    observer.told()
    verifier.cached(token)

    assert [HIT, OK] == observer.told()


def test_an_eviction(make, issuer, observer):
    """An entry that had to go is told."""
    verifier = make(on_event=observer, cache_entries=1)
    verifier.verify(issuer.token(sub="a"))
    observer.told()
    verifier.verify(issuer.token(sub="b"))

    assert [("cache", "process.evicted"), MISS, OK] == observer.told()


def test_without_a_cache_there_is_none_to_tell_of(make, issuer, observer):
    """A verdict, and the first time a fetch."""
    verifier = make(on_event=observer, cache_entries=0)
    token = issuer.token()
    verifier.verify(token)
    assert [FETCHED, OK] == observer.told()
    verifier.verify(token)

    assert [OK] == observer.told()


@pytest.mark.parametrize("ask", ["refresh", "warm_up", "jwks"])
def test_fetches_without_a_token(make, observer, ask):
    """They are told, and no verdict."""
    getattr(make(on_event=observer), ask)()

    assert [FETCHED] == observer.told()


def test_a_killed_request(make, issuer, observer):
    """It decided nothing, and is told as neither success nor outage."""

    def killed():
        raise SystemExit

    issuer.site[issuer.jwks_uri] = killed
    with pytest.raises(SystemExit):
        make(on_event=observer).verify(issuer.token())

    assert [MISS, ("upstream", "interrupted"), ("verify", "interrupted")] == observer.told()


def test_seconds_are_those_of_the_kind(make, issuer, observer):
    """A fetch and a verdict take their time; a use of the cache takes none."""
    make(on_event=observer).verify(issuer.token())
    seconds = {event.kind: event.seconds for event in observer.events}

    assert 0 == seconds["cache"]
    assert 0 < seconds["upstream"] <= seconds["verify"] < PATIENCE


def test_the_name_is_the_configured_one(make, issuer, observer, site):
    """Never what a token says; without the query of a URL."""
    site["https://as.example/keys?secret=1"] = site.pages[issuer.jwks_uri]
    verifier = make(None, jwks_uri="https://as.example/keys?secret=1", on_event=observer)
    verifier.verify(issuer.token(iss="https://evil.example"))
    attempt(verifier, "x")

    assert {"https://as.example/keys"} == {event.verifier for event in observer.events}


# --- an observer changes nothing


@pytest.mark.parametrize("failure", [ValueError("x"), RecursionError(), MemoryError()], ids=repr)
def test_an_observer_that_raises(make, issuer, observer, clock, failure):
    """Every outcome is as without it."""
    observer.failure = failure
    verifier, plain = make(on_event=observer), make()
    tokens = [issuer.token(), issuer.token(exp=1), "x", None, issuer.token()]
    for page in (None, down()):
        if page is not None:
            issuer.fail(page)
            clock.advance(850)
        for token in tokens:
            for ask in ("verify", "cached"):
                assert repr(outcome(plain, ask, token)) == repr(outcome(verifier, ask, token))
    for ask in ("warm_up", "jwks"):
        assert getattr(plain, ask)() == getattr(verifier, ask)()

    assert plain.stats() == verifier.stats()
    assert observer.events


def outcome(verifier, ask, token):
    """Return what is returned, or what is raised."""
    try:
        return getattr(verifier, ask)(token)
    except AuthError as error:
        return type(error), error.reason


@pytest.mark.parametrize("first", ["verify", "jwks", "warm_up", "refresh", "sibling"])
def test_an_observer_that_blocks_holds_up_nobody_else(make, issuer, another, first):
    """Whoever fetched tells of it when the others have their keys (RULES 45, 51)."""
    blocked, release = threading.Event(), threading.Event()
    mine = threading.local()

    def observe(event):
        if event.kind == "upstream" and getattr(mine, "blocks", False):
            blocked.set()
            assert release.wait(PATIENCE)

    verifier = make(on_event=observe)
    if first == "sibling":
        issuer = another("https://two.example")
        verifier = verifier.for_issuer("https://two.example")
    token = issuer.token()

    def fetch():
        mine.blocks = True
        if first in ("verify", "sibling"):
            return verifier.verify(token).subject
        return getattr(verifier, first)()

    with ThreadPoolExecutor(1) as threads:
        one = threads.submit(fetch)
        assert blocked.wait(PATIENCE)
        started = time.monotonic()
        assert "u1" == verifier.verify(issuer.token(sub="u1", jti="2")).subject
        assert "u1" == verifier.verify(token).subject
        assert time.monotonic() - started < PATIENCE / 2
        assert not one.done()
        release.set()
        one.result(PATIENCE)

    assert 1 == issuer.fetches


def test_an_observer_may_verify_too(make, issuer):
    """A token of its own, in the middle of being told."""
    seen = []

    def observe(event):
        if event.kind == "verify" and not seen:
            seen.append(event.outcome)
            seen.append(verifier.verify(issuer.token(sub="inner")).subject)

    verifier = make(on_event=observe)

    assert "u1" == verifier.verify(issuer.token()).subject
    assert ["ok", "inner"] == seen


# --- figures


@pytest.mark.parametrize("observed", [False, True])
def test_figures_reconcile(make, issuer, observer, keys, observed):
    """Hits, misses and refusals from memory are all the calls, whatever happened in them."""
    clock = issuer.clock
    given = {"on_event": observer} if observed else {}
    verifier = make(cache_entries=8, required=(), **given)
    good = [issuer.token(sub=f"u{n}", exp=None) for n in range(12)]
    bad = [issuer.token(keys.other), issuer.token(aud="x"), "x", "a.b.c", good[0][:-4] + "AAAA"]
    gone = issuer.token(jti="gone")
    verifier.invalidate(gone)
    calls = 0
    for turn, page in enumerate([None, None, down(), None, down()]):
        if page is None:
            issuer.come_back(keys.old, *[keys.new] * (turn % 2))
        else:
            issuer.fail(page)
        for seconds in (0, 850, 3_000, 3_000):
            clock.advance(seconds)
            for token in [*good, *bad, gone, *good[:4]]:
                attempt(verifier, token)
                calls += 1

    stats = verifier.stats()
    assert calls == stats.hits + stats.negative_hits + stats.misses
    assert 20 == stats.negative_hits
    assert min(stats.hits, stats.misses, stats.evictions, stats.upstream_errors) > 0
    if observed:
        told = [(e.kind, e.outcome) for e in observer.events]
        names = ("hit", "negative_hit", "miss", "evicted")
        figures = (stats.hits, stats.negative_hits, stats.misses, stats.evictions)
        assert figures == tuple(told.count(("cache", f"process.{name}")) for name in names)
        assert calls == sum(kind == "verify" for kind, _ in told)
        assert stats.upstream_calls == sum(kind == "upstream" for kind, _ in told)
        assert stats.upstream_errors == sum(
            kind == "upstream" and how != "ok" for kind, how in told
        )


def test_an_observer_sees_the_same_as_nobody(make, issuer, observer, clock):
    """The way of an observed hit is another, its outcome and its figures are not."""
    figures = []
    for given in ({}, {"on_event": observer}):
        verifier = make(**given)
        token = issuer.token(exp=int(clock()) + 500)
        for seconds in (0, 0, 500, 29, 1, -100, -400):
            clock.advance(seconds)
            attempt(verifier, token)
        clock.advance(-30)
        stats = verifier.stats()
        figures.append((stats.hits, stats.misses, stats.entries))

    assert figures[0] == figures[1]


def test_a_page_of_the_keys(make, issuer, observer):
    """A set that is none is told by its reason."""
    issuer.site[issuer.jwks_uri] = said({"keys": []})
    attempt(make(on_event=observer), issuer.token())
    assert ("upstream", "no_usable_key") in observer.told()
    issuer.site[issuer.jwks_uri] = said({"keys": [_jose.public_jwk(_jose.generate_key("ES256"))]})
    attempt(make(on_event=observer), issuer.token())

    assert FETCHED in observer.told()
