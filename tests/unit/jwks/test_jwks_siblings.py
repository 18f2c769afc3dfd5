"""`for_issuer`: other issuers, the same options, connections and cache (RULES 11)."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sites import down

from tokenward import _jose
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
    TokenRevoked,
)
from tokenward.jwks import verifier as verifier_module
from tokenward.principal import Principal
from tokenward.testing import StubVerifier

ONE, TWO, THREE = (f"https://{name}.example" for name in ("as", "two", "three"))


def refused(verifier, token):
    """Return why a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.reason


@pytest.fixture
def two(another, keys):
    """A second issuer, with a key of its own."""
    made = another(TWO)
    made.publish(keys.other)
    return made


@pytest.fixture
def three(another, keys):
    """A third one, which publishes the first's very key."""
    made = another(THREE)
    made.publish(keys.old)
    return made


def test_each_has_its_own_keys(verifier, issuer, two, keys):
    """Found by discovery of its own, and counted for itself."""
    sibling = verifier.for_issuer(TWO)
    tokens = issuer.token(), two.token(keys.other)
    assert (ONE, TWO) == (verifier.issuer, sibling.issuer)
    assert (ONE, TWO) == (verifier.verify(tokens[0]).issuer, sibling.verify(tokens[1]).issuer)
    assert [{keys.old.kid}, {keys.other.kid}] == [
        {key["kid"] for key in made.jwks()["keys"]} for made in (verifier, sibling)
    ]

    assert (1, 1) == (verifier.stats().upstream_calls, sibling.stats().upstream_calls)


def test_no_key_verifies_anothers_token(verifier, issuer, two, keys):
    """Neither by its issuer nor by its key; the cache knows no token of another's."""
    sibling = verifier.for_issuer(TWO)
    mine, theirs = issuer.token(), two.token(keys.other)
    verifier.verify(mine)
    sibling.verify(theirs)
    assert ("unknown_issuer", "unknown_issuer") == (
        refused(sibling, mine),
        refused(verifier, theirs),
    )
    assert (None, None) == (sibling.cached(mine), verifier.cached(theirs))
    # And what each signs in the other's name.
    assert "unknown_key" == refused(verifier, issuer.token(keys.other))
    assert "unknown_key" == refused(sibling, two.token(keys.old))

    assert ("u1", "u1") == (verifier.cached(mine).subject, sibling.cached(theirs).subject)


def test_a_token_of_anothers_is_no_reason_to_fetch(verifier, issuer, two, site):
    """Although it is in the cache that they share; an outage of theirs is no answer to it."""
    two.fail(down())
    mine = issuer.token()
    verifier.verify(mine)
    asked = len(site.asked)
    sibling = verifier.for_issuer(TWO)
    assert (None, "unknown_issuer") == (sibling.cached(mine), refused(sibling, mine))

    assert asked == len(site.asked)


def test_the_same_key_twice_is_two_keys(verifier, issuer, three):
    """Two issuers that publish one key are two issuers all the same."""
    sibling = verifier.for_issuer(THREE)
    mine, theirs = issuer.token(), three.token()
    verifier.verify(mine)
    sibling.verify(theirs)

    assert (None, None) == (sibling.cached(mine), verifier.cached(theirs))
    assert ("unknown_issuer", "unknown_issuer") == (
        refused(sibling, mine),
        refused(verifier, theirs),
    )


def test_they_share_what_is_bounded(make, issuer, two, keys):
    """One cache for all, with the same figures."""
    verifier = make(cache_entries=2)
    sibling = verifier.for_issuer(TWO)
    for n in range(3):
        verifier.verify(issuer.token(sub=f"u{n}"))
        sibling.verify(two.token(keys.other, sub=f"u{n}"))

    assert (2, 4, 6) == (
        verifier.stats().entries,
        sibling.stats().evictions,
        sibling.stats().misses,
    )


def test_they_share_options(make, issuer, two, keys):
    """Policy, algorithms, bounds; not whom to ask live, who is of one issuer."""
    token = two.token(keys.other, groups=["a"], tenant="t")
    live = StubVerifier({token: Principal("u1")})
    verifier = make(
        roles_claim="groups", required=["exp", "tenant"], algorithms=["ES256"], live=live
    )
    sibling = verifier.for_issuer(TWO)

    assert {"a"} == sibling.verify(token).roles
    assert "claim_missing" == refused(sibling, two.token(keys.other))
    assert (verifier.algorithms, False) == (sibling.algorithms, sibling.serves_live)
    assert verifier.serves_live
    with pytest.raises(ConfigurationError):
        sibling.verify(token, live=True)


def test_each_asks_its_own_issuer_live(make, issuer, two, keys):
    """No issuer is sent another one's token, nor decides about it."""
    token = two.token(keys.other)
    verifier = make(live=StubVerifier({}))
    live = StubVerifier({token: Principal("u1")})
    sibling = verifier.for_issuer(TWO, live=live)

    assert sibling.serves_live
    assert sibling is verifier.for_issuer(TWO)
    found = sibling.verify(token, live=True)
    assert ("u1", TWO) == (found.subject, found.issuer)


def test_the_same_issuer_is_the_same_verifier(verifier, two):
    """By whichever of them one asks; the first one's own issuer is the first one."""
    sibling = verifier.for_issuer(TWO)

    assert sibling is verifier.for_issuer(TWO)
    assert sibling is sibling.for_issuer(TWO)
    assert verifier is verifier.for_issuer(ONE)
    assert verifier is sibling.for_issuer(ONE)


@pytest.mark.parametrize(
    "given", [{"jwks_uri": "https://as.example/keys"}, {"jwks": True}], ids=["jwks_uri", "jwks"]
)
def test_one_that_takes_anybodys_tokens_is_nobodys(make, issuer, keys, given):
    """Its name is no issuer: asked for that issuer it is not the one (RULES 11)."""
    if "jwks" in given:
        given = {"jwks": {"keys": [_jose.public_jwk(keys.old)]}}
    anybody = make(None, **given)
    for name in (None, ""):
        with pytest.raises(ConfigurationError):
            anybody.for_issuer(name)
    if "jwks_uri" in given:
        strict = anybody.for_issuer("https://as.example/keys")
        assert strict is not anybody
        assert "unknown_issuer" == refused(strict, issuer.token(iss="https://other.example"))
    sibling = anybody.for_issuer(ONE)

    assert ("u1", "unknown_issuer") == (
        sibling.verify(issuer.token()).subject,
        refused(sibling, issuer.token(iss="https://other.example")),
    )
    assert (
        "https://other.example"
        == anybody.verify(issuer.token(iss="https://other.example", sub="u3")).issuer
    )


@pytest.mark.parametrize(
    "name", ["http://two.example", "two.example", "https://two.example?x=1", "", None, 7]
)
def test_issuers_that_must_not_be_asked(verifier, name):
    """They are found by discovery, so they are URLs to be called."""
    with pytest.raises(ConfigurationError):
        verifier.for_issuer(name)


def test_secrets_are_not_shared(make, keys):
    """What is never fetched has no siblings."""
    secret = _jose.generate_key("HS256")
    jwk = {"kty": "oct", "k": _jose.encode(secret.private), "alg": "HS256"}
    verifier = make(algorithms=["HS256"], jwks={"keys": [jwk]})
    with pytest.raises(ConfigurationError):
        verifier.for_issuer(TWO)


def test_they_are_bounded(make, monkeypatch):
    """The oldest is forgotten; whoever holds it may go on with it."""
    monkeypatch.setattr(verifier_module, "_MAX_SIBLINGS", 3)
    verifier = make()
    made = [verifier.for_issuer(f"https://t{n}.example") for n in range(5)]

    assert 3 == len(verifier._siblings)
    assert made[4] is verifier.for_issuer("https://t4.example")
    assert made[0] is not verifier.for_issuer("https://t0.example")


def test_threads_get_the_same_one(make, monkeypatch):
    """However many ask for it at once, and while others come and go."""
    monkeypatch.setattr(verifier_module, "_MAX_SIBLINGS", 40)
    verifier = make()
    barrier = threading.Barrier(8)

    def ask(number):
        got = []
        for turn in range(20):
            barrier.wait(90)
            got.append(verifier.for_issuer(f"https://turn{turn}.example"))
            verifier.for_issuer(f"https://t{number}-{turn}.example")
        return got

    interval = sys.getswitchinterval()
    # Threads take turns as often as they can.
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            got = list(threads.map(ask, range(8)))
    finally:
        sys.setswitchinterval(interval)

    assert [1] * 20 == [len(set(turn)) for turn in zip(*got, strict=True)]
    assert len(verifier._siblings) <= 40 + 8


def test_an_outage_is_its_own(verifier, issuer, two, site, keys):
    """One issuer that is down leaves the others alone."""
    sibling = verifier.for_issuer(TWO)
    two.fail(down())
    with pytest.raises(AuthServiceUnavailable):
        sibling.verify(two.token(keys.other))

    assert "u1" == verifier.verify(issuer.token()).subject


def test_closing_one_of_them(make, two, bus, keys):
    """A sibling's close does nothing; the first one's is for all, and all start anew."""
    site = two.site
    verifier = make(revocation_bus=bus)
    sibling = verifier.for_issuer(TWO)
    token = two.token(keys.other)
    sibling.verify(token)
    sibling.close()
    assert (0, "u1") == (site.closed, sibling.cached(token).subject)
    verifier.close()
    assert (1, None) == (site.closed, sibling.cached(token))

    assert "u1" == sibling.verify(token).subject


def test_a_revocation_is_everybodys(make, issuer, two, bus, keys):
    """One list and one subscription, whichever of them hears."""
    verifier = make(revocation_bus=bus)
    sibling = verifier.for_issuer(TWO)
    token = two.token(keys.other)
    sibling.verify(token)
    verifier.verify(issuer.token())
    assert "MemoryRevocationBus(1 subscribers)" == repr(bus)
    make(revocation_bus=bus).invalidate(token)

    with pytest.raises(TokenRevoked):
        sibling.verify(token)


def test_each_is_observed_by_its_own_name(make, issuer, two, observer, keys):
    """Verdicts and fetches; the cache has the first one's."""
    sibling = make(on_event=observer).for_issuer(TWO)
    sibling.verify(two.token(keys.other))

    assert [("cache", ONE), ("upstream", TWO), ("verify", TWO)] == sorted(
        (event.kind, event.verifier) for event in observer.events
    )
