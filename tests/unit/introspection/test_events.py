"""What an observer of a verifier is told, and that it can change nothing (RULES 51, 53)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokenward.errors import AuthError, AuthServiceUnavailable, InvalidToken
from tokenward.introspection import IntrospectionVerifier

PATIENCE = 90
ENDPOINT = "https://as.example/introspect"


def told(observer):
    """Return what was told since the last look, as pairs."""
    events = [(e.kind, e.outcome) for e in observer.events]
    observer.events.clear()
    return sorted(events)


def attempt(verifier, token="t", **options):
    """Verify, and return who or the error."""
    try:
        return verifier.verify(token, **options).subject
    except AuthError as error:
        return error


# --- each kind, once


def test_an_accepted_token(make, upstream, observer):
    """The first time a question, and then none; each time one verdict and one use of the cache."""
    upstream.accept("t")
    verifier = make(on_event=observer)
    verifier.verify("t")
    assert [("cache", "process.miss"), ("upstream", "ok"), ("verify", "ok")] == told(observer)
    verifier.verify("t")
    assert [("cache", "process.hit"), ("verify", "ok")] == told(observer)


def test_a_refused_token(make, observer):
    """A refusal is told by its reason, also from the cache; the question itself went well."""
    verifier = make(on_event=observer)
    attempt(verifier)
    expected = [("cache", "process.miss"), ("upstream", "ok"), ("verify", "inactive")]
    assert expected == told(observer)
    attempt(verifier)
    assert [("cache", "process.negative_hit"), ("verify", "inactive")] == told(observer)


def test_an_outage(make, upstream, observer):
    """Nobody could decide: the verdict is unavailable, and the question tells why."""
    upstream.go_down("deadline")
    attempt(make(on_event=observer))

    expected = [("cache", "process.miss"), ("upstream", "deadline"), ("verify", "unavailable")]
    assert expected == told(observer)


@pytest.mark.parametrize(
    "token", ["", "a b", "t" * 20_000, 7, "\udc00"], ids=lambda t: ascii(t)[:9]
)
def test_a_malformed_token(make, observer, token):
    """What cannot be a token is a verdict and nothing else."""
    verifier = make(on_event=observer)
    error = attempt(verifier, token)
    assert [("verify", error.reason)] == told(observer)
    with pytest.raises(InvalidToken):
        verifier.cached(token)
    assert [("verify", error.reason)] == told(observer)


def test_a_stale_answer(make, upstream, observer, clock):
    """An answer served past its end is a miss, a failed question, and stale."""
    upstream.accept("t")
    verifier = make(on_event=observer, stale_if_error=300)
    verifier.verify("t")
    clock.advance(60)
    upstream.go_down()
    told(observer)
    verifier.verify("t")
    assert [
        ("cache", "process.miss"),
        ("cache", "process.stale"),
        ("upstream", "connect_failed"),
        ("verify", "ok"),
    ] == told(observer)
    # The server is left alone now.
    verifier.verify("t")
    expected = [("cache", "process.miss"), ("cache", "process.stale"), ("verify", "ok")]
    assert expected == told(observer)


def test_a_live_question(make, upstream, observer):
    """Asking live is a miss, whatever is cached."""
    upstream.accept("t")
    verifier = make(on_event=observer)
    verifier.verify("t")
    told(observer)
    verifier.verify("t", live=True)

    assert [("cache", "process.miss"), ("upstream", "ok"), ("verify", "ok")] == told(observer)


def test_without_a_ttl_every_request_asks(make, upstream, observer):
    """Also after a refusal, and whether or not somebody observes."""
    for options in ({}, {"on_event": observer}):
        verifier = make(ttl=0, **options)
        upstream.asked.clear()
        for _ in range(2):
            attempt(verifier)
        assert 2 == len(upstream.asked)


def test_an_eviction(make, upstream, observer):
    """An entry that had to go is told."""
    upstream.accept("a", "b")
    verifier = make(on_event=observer, max_entries=1)
    verifier.verify("a")
    assert 0 == observer.count("cache", "process.evicted")
    verifier.verify("b")

    assert 1 == observer.count("cache", "process.evicted")


def test_a_cached_decision(make, upstream, observer):
    """`cached` decides some requests, and tells of those alone."""
    upstream.accept("t")
    verifier = make(on_event=observer)
    assert verifier.cached("t") is None
    assert [] == told(observer)
    verifier.verify("t")
    attempt(verifier, "bad")
    told(observer)
    verifier.cached("t")
    assert [("cache", "process.hit"), ("verify", "ok")] == told(observer)
    with pytest.raises(InvalidToken):
        verifier.cached("bad")
    assert [("cache", "process.negative_hit"), ("verify", "inactive")] == told(observer)


def test_the_shared_level(make, upstream, shared, observer):
    """Each look into the shared level is told, its failures too."""
    upstream.accept("t")
    make(shared_cache=shared, on_event=observer).verify("t")
    assert ["process.miss", "shared.miss"] == sorted(observer.outcomes("cache"))
    told(observer)
    make(shared_cache=shared, on_event=observer).verify("t")
    expected = [("cache", "process.miss"), ("cache", "shared.hit"), ("verify", "ok")]
    assert expected == told(observer)
    shared.failure = ConnectionError("gone")
    make(shared_cache=shared, on_event=observer).verify("t")

    assert 1 == observer.count("cache", "shared.error")
    assert 1 == observer.count("verify", "ok")


def test_the_breaker(make, upstream, observer):
    """Opening and closing are told once each."""
    upstream.accept("t")
    verifier = make(on_event=observer)
    for is_open in (False, True, True, False, False, True):
        upstream.open = is_open
        attempt(verifier, live=True)

    assert ["opened", "closed", "opened"] == observer.outcomes("breaker")


def test_threads_tell_of_the_breaker_once(make, upstream, observer):
    """Threads that notice together tell of one change."""
    upstream.accept("t")
    verifier = make(on_event=observer)
    upstream.open = True
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: attempt(verifier, live=True), range(64)))

    assert ["opened"] == observer.outcomes("breaker")


def test_a_killed_request(make, upstream, observer):
    """A request that was killed decided nothing, and is told as neither success nor outage."""
    upstream.failure = SystemExit()
    with pytest.raises(SystemExit):
        make(on_event=observer).verify("t")

    expected = [
        ("cache", "process.miss"),
        ("upstream", "interrupted"),
        ("verify", "interrupted"),
    ]
    assert expected == told(observer)


def test_seconds_are_those_of_the_kind(make, upstream, observer):
    """A question and a verdict take their time; the rest takes none."""
    upstream.accept("t")
    make(on_event=observer).verify("t")
    seconds = {event.kind: event.seconds for event in observer.events}

    assert 0 == seconds["cache"]
    assert 0 < seconds["upstream"] <= seconds["verify"] < PATIENCE


# --- names from the configuration


def test_the_endpoint_names_the_verifier_without_its_query(make, upstream, observer):
    """Without an issuer the endpoint stands for it; a query may hold a key."""
    upstream.accept("t")
    make(on_event=observer).verify("t")

    assert {ENDPOINT} == {event.verifier for event in observer.events}


@pytest.mark.parametrize("said", ["https://as.example", "https://evil.example", ...])
def test_the_configured_issuer_names_the_verifier(make, upstream, observer, said):
    """The name is configured: no token and no answer can choose it."""
    upstream.accept("t", **({} if said is ... else {"iss": said}))
    attempt(make(on_event=observer, issuer="https://as.example"))

    assert {"https://as.example"} == {event.verifier for event in observer.events}


def test_no_token_and_no_claim_is_told(make, upstream, observer):
    """Nothing that a caller or a server can choose is in an event."""
    upstream.accept("SECRET-token", sub="SECRET-sub", iss="https://SECRET.example")
    verifier = make(on_event=observer)
    for live in (False, True):
        verifier.verify("SECRET-token", live=live)
    attempt(verifier, "SECRET-bad")

    assert "SECRET" not in repr(observer.events)


# --- it changes nothing


@pytest.mark.parametrize("failure", [RuntimeError("x"), AuthServiceUnavailable(), InvalidToken()])
def test_an_observer_that_raises_changes_nothing(make, upstream, shared, observer, failure):
    """Whatever an observer raises, answers and counts are those without one."""
    upstream.accept("t")
    observer.failure = failure
    watched, plain = make(on_event=observer), make()
    for verifier in (watched, plain):
        assert "user of t" == attempt(verifier)
        assert "user of t" == attempt(verifier)
        assert "inactive" == attempt(verifier, "bad").reason
        assert "inactive" == attempt(verifier, "bad").reason
        assert "user of t" == attempt(verifier, live=True)

    assert plain.stats() == watched.stats()
    assert observer.events


@pytest.mark.parametrize("order", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_order_to_the_thread_is_obeyed_and_leaves_nobody_waiting(
    make, upstream, observer, order
):
    """What is no `Exception` is for the thread: it passes, and the answer is kept all the same."""
    upstream.accept("t")
    observer.failure = order()
    verifier = make(on_event=observer)
    with pytest.raises(order):
        verifier.verify("t")
    assert {} == verifier._cache._flights
    observer.failure = None

    assert "user of t" == attempt(verifier)
    assert 1 == len(upstream.asked)


def test_an_observer_that_blocks_holds_up_its_own_request_alone(make, upstream):
    """Those who waited for the same answer have it before the observer hears of the question."""
    upstream.accept("t")
    release, blocked = threading.Event(), threading.Event()

    def block(event):
        if event.kind == "upstream":
            blocked.set()
            assert release.wait(PATIENCE)

    verifier = make(on_event=block)
    gate = upstream.hold()
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(verifier.verify, "t")
        assert gate.begun.wait(PATIENCE)
        others = [threads.submit(verifier.verify, "t") for _ in range(5)]
        pause = threading.Event()
        for _ in range(20_000):
            if verifier.stats().misses == 6:
                break
            pause.wait(0.001)
        gate.release.set()
        assert blocked.wait(PATIENCE)

        assert ["user of t"] * 5 == [f.result(PATIENCE).subject for f in others]
        assert not first.done()
        release.set()
        assert "user of t" == first.result(PATIENCE).subject


def test_an_observer_may_verify(make, upstream):
    """No lock is held while an observer runs: it may use the verifier itself."""
    upstream.accept("t", "u")
    seen = []

    def observe(event):
        if event.kind == "upstream" and not seen:
            seen.append("user of u")
            assert "user of u" == verifier.verify("u").subject
            verifier.invalidate("u")
            verifier.stats()

    verifier = make(on_event=observe)

    assert ("user of t", ["user of u"]) == (attempt(verifier), seen)
    assert ["t", "u"] == upstream.asked


def test_without_an_observer_nothing_is_in_the_way(make):
    """The path of every request is the class's own, where nobody asks for an observer."""
    verifier = make()

    assert type(verifier).verify is verifier.verify.__func__
    assert verifier._cache._report is None


def test_a_subclass_is_not_passed_by(make, upstream):
    """What it demands on top counts whether or not somebody observes."""

    class Strict(IntrospectionVerifier):
        def verify(self, token, /, *, live=False):
            principal = super().verify(token, live=live)
            raise InvalidToken(f"not {principal.subject}")

    upstream.accept("t")
    for on_event in (None, print):
        verifier = Strict(make().client, audience="orders", on_event=on_event)
        for _ in range(2):
            with pytest.raises(InvalidToken):
                verifier.verify("t")
