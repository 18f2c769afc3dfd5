"""`FetchedKeySet`: keys of an issuer, fetched and kept fresh (RULES 3, 15, 16, 17)."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites import Site, down, said

from tokenward import _jose
from tokenward import jwkset as jwkset_module
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidSignature,
    InvalidToken,
)
from tokenward.jwkset import FetchedKeySet
from tokenward.protocols import Response
from tokenward.testing import FakeClock

URL = "https://as.example/jwks"
ALGORITHMS = frozenset({"ES256", "RS256"})
OLD, NEW, OTHER = (_jose.generate_key("ES256") for _ in range(3))


def published(*keys, **members):
    """Return the JWK Set of some keys; what is no key stands in it as it is."""
    entries = [_jose.public_jwk(k) if isinstance(k, _jose.Key) else k for k in keys]
    return {"keys": entries, **members}


def signed(key, **claims):
    """Return an unverified token that a key has signed."""
    return _jose.parse(_jose.sign({"sub": "u1", **claims}, key))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def site():
    return Site(**{URL: published(OLD)})


@pytest.fixture
def keys(site, clock):
    return FetchedKeySet(URL, transport=site, clock=clock)


@pytest.fixture(autouse=True)
def _every_line_is_logged(monkeypatch):
    """Start each test with a log that has said nothing this minute."""
    monkeypatch.setattr(jwkset_module._seldom, "_last", {})


def check(keys, key, **options):
    """Verify a token of a key; return the generation that verified it."""
    return keys.verify(signed(key), ALGORITHMS, **options).generation


def refused(keys, token, reason):
    """Assert that a token is refused for a reason."""
    with pytest.raises(InvalidToken) as caught:
        keys.verify(token, ALGORITHMS)
    assert reason == caught.value.reason
    return caught.value


def outage(call, *args, **options):
    with pytest.raises(AuthServiceUnavailable) as caught:
        call(*args, **options)
    return caught.value


# --- reading


def test_nothing_is_fetched_before_the_first_use(site, keys):
    """A server that is down stops no start-up."""
    assert ([], None) == (site.asked, keys.age())


def test_a_signature_of_a_published_key(site, keys, clock):
    """One fetch, and the set answers many tokens."""
    assert [1, 1, 1] == [check(keys, OLD) for _ in range(3)]
    assert [URL] == site.asked
    clock.advance(12)

    assert (12, [OLD.kid]) == (keys.age(), [key.kid for key in keys.key_set().keys])


def test_a_signature_of_another_key_of_the_same_name(site, keys):
    """A known kid is no reason to fetch."""
    token = signed(OLD)
    wrong = token._replace(signature=signed(OTHER).signature)
    with pytest.raises(InvalidSignature):
        keys.verify(wrong, ALGORITHMS)

    assert [URL] == site.asked


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/jwk-set+json", "Application/JWK-Set+JSON; charset=utf-8"],
)
def test_content_types(site, keys, content_type):
    """RFC 7517, section 8.5.2, and what most servers say."""
    site[URL] = said(published(OLD), content_type=content_type)

    assert 1 == check(keys, OLD)
    assert "application/json, application/jwk-set+json" == site.sent[0].headers["Accept"]


PRIVATE = {**_jose.public_jwk(OTHER), "d": "AAAA"}
JUNK = [
    {**_jose.public_jwk(OTHER), "use": "enc"},
    {**_jose.public_jwk(OTHER), "key_ops": ["sign"]},
    {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "mac"},
    PRIVATE,
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "short"},
    {"kty": "unheard-of", "kid": "odd"},
    {"kid": OLD.kid},
    {},
    [],
    None,
    1,
    "key",
]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_an_entry_that_cannot_be_used_is_skipped(site, keys, junk):
    """The others serve, on either side of it (RULES 3)."""
    site[URL] = published(OLD, junk, NEW)

    assert [1, 1] == [check(keys, OLD), check(keys, NEW)]
    assert published(OLD, NEW) == keys.jwks()


def test_at_most_100_keys_are_used(site, keys):
    """However many a set has."""
    jwk = _jose.public_jwk(OTHER)
    site[URL] = published(*({**jwk, "kid": f"k{n}"} for n in range(150)))

    assert (100, 100) == (len(keys.key_set().keys), len(keys.jwks()["keys"]))


def test_the_hint_says_why_a_key_is_not_used(site, keys):
    """An issuer whose key has ``use: enc`` is found out quickly."""
    site[URL] = published(OLD, JUNK[0])

    assert "use is 'enc'" in refused(keys, signed(OTHER), "unknown_key").hint.replace(
        "enc", "'enc'"
    )


def test_jwks_is_a_plain_copy(keys):
    """As the issuer wrote it, for whoever serves or prints it; nobody's change reaches us."""
    got = keys.jwks()
    assert published(OLD) == got
    got["keys"].clear()

    assert published(OLD) == keys.jwks()
    assert 1 == check(keys, OLD)


BROKEN = [
    *(
        said(b)
        for b in (b"", b"[]", b"null", b"<html>", b'{"keys": NaN}', b'{"keys":[],"keys":[]}')
    ),
    *(said(d) for d in ({}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": 1})),
    said({"keys": []}),
    said({"keys": JUNK}),
    said(published(OLD), content_type="text/html"),
    said(published(OLD), content_type="text/plain"),
    Response(200, {}, b'{"keys": []}'),
    said(b"x" * 1_048_577),
    *(Response(s, {"location": URL}) for s in (204, 301, 302, 307, 401, 403, 404, 429, 500, 503)),
    down(),
    down("deadline"),
    down("too_large"),
]


@pytest.mark.parametrize("page", BROKEN, ids=lambda p: f"{getattr(p, 'status', p)}")
def test_a_broken_set_is_an_outage(site, keys, clock, page):
    """With nothing to serve: 503, one fetch a cooldown, and right again after it."""
    site[URL] = page
    first, again = (outage(check, keys, OLD) for _ in range(2))
    assert (1, first.reason, first.hint) == (len(site.asked), again.reason, again.hint)
    assert 30 == first.retry_after
    site[URL] = published(OLD)
    clock.advance(30)

    assert 1 == check(keys, OLD)


@pytest.mark.parametrize("page", BROKEN, ids=lambda p: f"{getattr(p, 'status', p)}")
def test_a_broken_refresh_leaves_the_last_good_set(site, keys, clock, page):
    """It serves until ``stale_for``, unchanged; then nobody knows."""
    check(keys, OLD)
    before = keys.snapshot()
    site[URL] = page
    clock.advance(840)
    assert (1, before) == (check(keys, OLD), keys.snapshot())
    clock.advance(60 + 3_599)
    assert 1 == check(keys, OLD)
    clock.advance(1)

    outage(check, keys, OLD)
    assert keys.age() is None


def test_a_set_without_a_usable_key_is_an_error(site, keys, caplog):
    """Somebody has to mend it; the line says what is wrong, and holds no key material."""
    site[URL] = published(*JUNK)
    with caplog.at_level(logging.DEBUG, "tokenward"):
        error = outage(check, keys, OLD)
        outage(keys.refresh)

    assert "no_usable_key" == error.reason
    assert "entry 0: use is enc" in error.hint
    assert [logging.ERROR] == [record.levelno for record in caplog.records]
    assert "c2VjcmV0" not in caplog.text


def test_an_outage_is_a_warning(site, keys, caplog):
    """A minute apart, without the query of the URL."""
    site[URL] = down()
    with caplog.at_level(logging.DEBUG, "tokenward"):
        outage(check, keys, OLD)

    assert [logging.WARNING] == [record.levelno for record in caplog.records]


def test_a_query_is_in_no_hint_and_no_line(clock, caplog):
    """It may hold a key."""
    url = f"{URL}?key=hidden"
    for page in (said({"keys": []}), said({}), said(b""), Response(500)):
        keys = FetchedKeySet(url, transport=Site(**{url: page}), clock=clock)
        assert "hidden" not in outage(keys.refresh).hint
    assert "hidden" not in caplog.text


# --- unknown keys


def test_a_rotation_is_noticed_at_once(site, keys):
    """A kid that is not known is a reason to fetch, however new the set."""
    assert 1 == check(keys, OLD)
    site[URL] = published(NEW, OLD)

    assert [2, 2] == [check(keys, NEW), check(keys, OLD)]
    assert 2 == len(site.asked)


def test_unknown_keys_cost_one_fetch_a_cooldown(site, keys, clock):
    """Whoever makes them up; in between they are refused, for the last fetch worked."""
    check(keys, OLD)
    for _ in range(20):
        refused(keys, signed(_jose.generate_key("ES256")), "unknown_key")
    assert 2 == len(site.asked)
    clock.advance(29.9)
    refused(keys, signed(NEW), "unknown_key")
    assert 2 == len(site.asked)
    site[URL] = published(NEW)
    clock.advance(0.1)

    assert 2 == check(keys, NEW)
    assert 3 == len(site.asked)


def test_a_flood_at_the_start_costs_one_fetch(site, keys):
    """The set has just been fetched for the first of them."""
    for _ in range(20):
        refused(keys, signed(OTHER), "unknown_key")

    assert 1 == len(site.asked)
    assert 1 == check(keys, OLD)


def test_an_unknown_key_during_an_outage_is_no_refusal(site, keys, clock):
    """Nobody knows whether it is a new one; known keys verify on."""
    check(keys, OLD)
    site[URL] = down()
    first = outage(check, keys, NEW)
    clock.advance(10)
    again = outage(check, keys, NEW)

    assert (30, 20) == (first.retry_after, again.retry_after)
    assert (1, 2) == (check(keys, OLD), len(site.asked))
    site[URL] = published(OLD, NEW)
    clock.advance(20)
    assert 2 == check(keys, NEW)


def test_a_token_without_kid_follows_the_same_rule(site, keys):
    """None fits: one fetch; several fit: a refusal without any."""
    rsa = _jose.generate_key("RS256")
    token = signed(rsa)._replace(kid=None)
    check(keys, OLD)
    refused(keys, token, "unknown_key")
    assert 2 == len(site.asked)
    site[URL] = published(OLD, NEW)
    keys.refresh()
    refused(keys, signed(OLD)._replace(kid=None), "ambiguous_key")

    assert 3 == len(site.asked)


@pytest.mark.parametrize("alg", ["HS256", "ES384"])
def test_an_algorithm_that_is_not_allowed_fetches_nothing_new(site, keys, alg):
    """Nothing that is fetched widens the list (RULES 1)."""
    check(keys, OLD)
    refused(keys, signed(NEW)._replace(alg=alg), "algorithm")

    assert 1 == len(site.asked)


# --- what a change of keys does


def test_a_removed_key_stops_verifying_at_the_next_fetch(site, keys, clock):
    """RULES 17: the generation says so to whoever has kept a verdict."""
    assert 1 == check(keys, OLD)
    site[URL] = published(NEW)
    clock.advance(840)

    assert 2 == check(keys, NEW)
    refused(keys, signed(OLD), "unknown_key")


@pytest.mark.parametrize(
    "same",
    [
        published(OLD, NEW),
        published(NEW, OLD),
        published(OLD, NEW, JUNK[0]),
        published(OLD, NEW, note="hello"),
        published({**_jose.public_jwk(OLD), "x5t": "abc", "iat": 1}, NEW),
    ],
    ids=["same", "order", "unused-entry", "member", "key-member"],
)
def test_the_same_keys_are_the_same_generation(site, keys, same):
    """However the document is written; and the very same object."""
    site[URL] = published(OLD, NEW)
    before = keys.snapshot()
    site[URL] = same
    after = keys.refresh()

    assert (before.generation, 1) == (after.generation, 1)
    assert before.key_set is after.key_set


@pytest.mark.parametrize(
    "other",
    [
        published(OLD),
        published(OLD, NEW, OTHER),
        published(OLD, {**_jose.public_jwk(NEW), "kid": "renamed"}),
        published(OLD, {**_jose.public_jwk(OTHER), "kid": NEW.kid}),
        published(OLD, NEW, NEW),
    ],
    ids=["fewer", "more", "renamed", "replaced", "doubled"],
)
def test_other_keys_are_another_generation(site, keys, other):
    """Whatever changes what a token may verify with."""
    site[URL] = published(OLD, NEW)
    assert 1 == keys.snapshot().generation
    site[URL] = other

    assert 2 == keys.refresh().generation
    site[URL] = published(OLD, NEW)
    assert 3 == keys.refresh().generation


def test_age_is_that_of_the_keys_in_use(site, keys, clock):
    """Counted from the last fetch that worked, changed or not."""
    keys.refresh()
    clock.advance(100)
    assert 100 == keys.age()
    keys.refresh()
    assert (0, clock()) == (keys.age(), keys.snapshot().fetched_at)
    site[URL] = down()
    clock.advance(7)
    outage(keys.refresh)

    assert 7 == keys.age()
    clock.advance(-20)
    assert keys.age() is None


def test_a_snapshot_shows_no_document(keys):
    """A repr is short."""
    assert "KeySnapshot(generation=1, KeySet(keys=1, skipped=0))" == repr(keys.snapshot())


@pytest.mark.parametrize(
    ("headers", "due"),
    [
        ({}, 840),
        ({"cache_control": "public, max-age=300"}, 240),
        ({"cache_control": 'MAX-AGE="300"'}, 240),
        ({"cache_control": "max-age=300", "age": "100"}, 140),
        ({"cache_control": "max-age=300", "age": "soon"}, 240),
        ({"cache_control": "max-age=300", "age": "900"}, 30),
        ({"cache_control": "max-age=86400"}, 840),
        ({"cache_control": "max-age=99999999999"}, 840),
        ({"cache_control": "max-age=-1"}, 840),
        ({"cache_control": "max-age=0"}, 30),
        ({"cache_control": "max-age=300, no-store"}, 30),
        ({"cache_control": "no-cache"}, 30),
        ({"cache_control": "s-maxage=300"}, 840),
    ],
    ids=str,
)
def test_max_age_within_bounds(site, keys, clock, headers, due):
    """What the server says, less the time it spent in other caches (RFC 9111, section 4.2)."""
    site[URL] = said(published(OLD), **headers)
    check(keys, OLD)
    clock.advance(due - 0.1)
    check(keys, OLD)
    assert 1 == len(site.asked)
    clock.advance(0.1)
    check(keys, OLD)

    assert 2 == len(site.asked)


# --- where they are


def test_the_url_may_be_found_each_time(site, clock):
    """A callable is asked before each fetch."""
    place = [URL]
    keys = FetchedKeySet(lambda _deadline: place[0], transport=site, clock=clock)
    check(keys, OLD)
    place[0] = "https://as.example/moved"
    site[place[0]] = published(NEW)

    assert 2 == check(keys, NEW)
    assert [URL, place[0]] == site.asked


def test_a_url_that_cannot_be_found_starts_no_cooldown(site, clock):
    """Metadata has its own; as soon as it is back, keys are."""
    outages = [down("issuer_mismatch", hint="whose?")]

    def find(_deadline):
        if outages:
            raise outages.pop()
        return URL

    keys = FetchedKeySet(find, transport=site, clock=clock)
    error = outage(check, keys, OLD)
    assert ("issuer_mismatch", "whose?") == (error.reason, error.hint)

    assert 1 == check(keys, OLD)


@pytest.mark.parametrize("url", ["http://as.example/jwks", "file:///etc/passwd", "", 1, None])
def test_urls_that_must_not_be_called(site, url):
    """Configured: no start. Found: an outage, and nothing is sent."""
    with pytest.raises(ConfigurationError):
        FetchedKeySet(url, transport=site)
    assert "bad_url" == outage(FetchedKeySet(lambda _deadline: url, transport=site).refresh).reason

    assert [] == site.asked


@pytest.mark.parametrize(
    "options", [{n: -1} for n in ("ttl", "refresh_ahead", "cooldown", "stale_for", "timeout")]
)
def test_numbers_that_cannot_be_meant(site, options):
    """They stop start-up."""
    with pytest.raises(ConfigurationError):
        FetchedKeySet(URL, transport=site, **options)


def test_the_deadline_is_passed_on(site, keys):
    """Whoever has to answer in time says how long there is."""
    soon = time.monotonic() + 90
    check(keys, OLD, deadline=soon)

    assert [soon] == site.deadlines


def test_broken_sets_are_reported_to_the_breaker(site, keys):
    """A 200 that is no JSON is a failure of the server's (RULES 25)."""
    site[URL] = said(b"<html>")
    outage(keys.refresh)

    assert [URL] == site.unreadable


# --- whatever comes


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda child: st.lists(child, max_size=4) | st.dictionaries(st.text(), child, max_size=4),
    max_leaves=10,
)
JWKS = st.dictionaries(
    st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid", "k", "d"]),
    st.sampled_from(["EC", "RSA", "OKP", "oct", "P-256", "Ed25519", "AQAB", "sig", "verify"])
    | JSON_VALUES,
)


@given(st.one_of(JSON_VALUES, st.builds(dict, keys=st.lists(JWKS | JSON_VALUES, max_size=6))))
def test_any_document_verifies_nothing_or_is_an_outage(document):
    """Nothing foreign escapes, whatever a server publishes (RULES 3)."""
    keys = FetchedKeySet(URL, transport=Site(**{URL: said(document)}))
    for use in (lambda: check(keys, OLD), keys.jwks, keys.refresh):
        try:
            use()
        except AuthError as error:
            assert isinstance(error, AuthServiceUnavailable | InvalidToken)  # noqa: PT017


# --- for those who look without asking


def test_the_keys_in_use_without_a_call(site, keys, clock):
    """None before the first; the same object as long as the keys are the same."""
    assert (None, None, float("-inf")) == (keys.in_use, keys.known, keys.fresh_until)
    check(keys, OLD)
    first = keys.in_use
    assert (first, clock() + 840) == (keys.snapshot().key_set, keys.fresh_until)
    keys.refresh()
    assert first is keys.in_use
    site[URL] = published(NEW)
    check(keys, NEW)
    assert keys.in_use is keys.known.key_set is keys.key_set()
    assert first is not keys.in_use
    site[URL] = down()
    outage(keys.refresh)

    assert keys.in_use is keys.known.key_set


def test_keys_that_are_gone_are_not_known(site, keys, clock):
    """However they were in use once; those that come after are others, also if they are alike."""
    check(keys, OLD)
    before = keys.in_use
    clock.advance(4_500)
    assert keys.known is None
    check(keys, OLD)

    assert before is not keys.in_use


@pytest.mark.parametrize("failing", [True, False])
def test_one_deadline_for_two_fetches(site, clock, failing):
    """Of a set that is due, and for the key it lacks: the second one gets what is left."""
    begun = []
    keys = FetchedKeySet(URL, transport=site, clock=clock, timeout=90)
    check(keys, OLD)
    clock.advance(850)

    def slow():
        begun.append(time.monotonic())
        threading.Event().wait(0.05)
        return down() if failing or len(begun) == 1 else published(NEW)

    site[URL] = slow
    site.deadlines.clear()
    if failing:
        outage(check, keys, NEW)
    else:
        check(keys, NEW)

    assert 2 == len(begun) == len(site.deadlines)
    assert max(site.deadlines) <= begun[0] + 90
    before = time.monotonic()
    assert before + 90 <= keys.deadline() <= time.monotonic() + 90


def test_whoever_wants_to_know_is_told_of_each_fetch(site, clock):
    """How it ended, and how long it took; what asked nobody says why."""
    told = []
    outages = []

    def find(_deadline):
        if outages:
            raise outages.pop()
        return URL

    keys = FetchedKeySet(find, transport=site, clock=clock, fetched=lambda *how: told.append(how))
    keys.refresh()
    for page in (down("deadline"), said({"keys": []}), said(b"")):
        site[URL] = page
        outage(keys.refresh)
    outages.append(down("issuer_mismatch"))
    outage(keys.refresh)

    def killed():
        raise SystemExit

    site[URL] = killed
    with pytest.raises(SystemExit):
        keys.refresh()

    assert [
        *("ok", "deadline", "no_usable_key", "bad_response", "issuer_mismatch", "interrupted"),
    ] == [how for how, _ in told]
    assert all(0 <= seconds < 90 for _, seconds in told)


def test_what_is_skipped_is_named(site, keys):
    """By position, kid and reason, for whoever shows a set."""
    site[URL] = published(JUNK[0], OLD, "key")

    assert [(0, OTHER.kid, "use is enc, not sig"), (2, None, "not an object")] == [
        tuple(skipped) for skipped in keys.key_set().skipped
    ]


def test_keys_that_an_overtaken_fetch_brought_are_used(site, keys):
    """A `refresh` beside it that fails takes no key away (RULES 16)."""
    keys.refresh()
    began = [threading.Event(), threading.Event()]
    ends = [threading.Event(), threading.Event()]
    pages = iter([published(OLD, NEW), down()])
    turns = iter([0, 1])

    def page():
        turn, found = next(turns), next(pages)
        began[turn].set()
        assert ends[turn].wait(90)
        return found

    site[URL] = page
    refused = []

    def refresh():
        try:
            keys.refresh()
        except AuthServiceUnavailable as error:
            refused.append(error.reason)

    with ThreadPoolExecutor(2) as threads:
        try:
            demand = threads.submit(keys.verify, signed(NEW), ALGORITHMS)
            assert began[0].wait(90)
            other = threads.submit(refresh)
            assert began[1].wait(90)
            ends[0].set()
            assert 2 == demand.result(90).generation
        finally:
            for end in ends:
                end.set()
        other.result(90)

    assert (["connect_failed"], 2) == (refused, keys.verify(signed(NEW), ALGORITHMS).generation)


def test_keys_that_came_while_the_demand_failed_are_used(site, keys):
    """Of a fetch that had begun before the token came: they are newer than those it missed."""
    keys.refresh()
    began, end = threading.Event(), threading.Event()

    def first():
        began.set()
        assert end.wait(90)
        return published(OLD, NEW)

    with ThreadPoolExecutor(1) as threads:
        site[URL] = first
        refresh = threads.submit(keys.refresh)
        assert began.wait(90)

        def second():
            end.set()
            refresh.result(90)
            return down()

        site[URL] = second

        assert 2 == keys.verify(signed(NEW), ALGORITHMS).generation
