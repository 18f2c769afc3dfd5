"""Hundreds of issuers behind one `ByIssuer`: one transport, one cache, keys of their own."""

import pytest
from sites import Site, said

from tokenward import _jose
from tokenward.by_issuer import ByIssuer
from tokenward.errors import InvalidToken
from tokenward.introspection import IntrospectionVerifier
from tokenward.jwks import JWKSVerifier
from tokenward.principal import Principal
from tokenward.testing import FakeClock

TENANTS = [f"https://tenant-{n}.example" for n in range(500)]
# Making a key for each would be most of this file's time; neighbours never share one.
KEYS = [_jose.generate_key("ES256") for _ in range(7)]
ENTRIES = 100


def key_of(issuer):
    """Return the key that a tenant signs with."""
    return KEYS[TENANTS.index(issuer) % len(KEYS)]


def metadata(issuer):
    """Return what RFC 8414 has at the well-known place."""
    return said({"issuer": issuer, "jwks_uri": f"{issuer}/jwks"})


def token(issuer, *, key=None, **claims):
    """Return a token of a tenant."""
    known = {"iss": issuer, "sub": "user-1", "aud": "orders", "exp": FakeClock()() + 300}
    return _jose.sign(known | claims, key or key_of(issuer))


@pytest.fixture
def site():
    """Return every tenant's two documents."""
    site = Site()
    for issuer in TENANTS:
        site[f"{issuer}/.well-known/oauth-authorization-server"] = metadata(issuer)
        site[f"{issuer}/jwks"] = said({"keys": [_jose.public_jwk(key_of(issuer))]})
    return site


@pytest.fixture
def first(site):
    """Return the verifier that the others are made of."""
    return JWKSVerifier(
        TENANTS[0],
        audience="orders",
        transport=site,
        cache_entries=ENTRIES,
        clock=FakeClock(),
    )


class Registry:
    """A table of tenants, as an application has one."""

    def __init__(self, first):
        self.first = first
        self.asked = []

    def __call__(self, issuer):
        self.asked.append(issuer)
        return self.first.for_issuer(issuer) if issuer in TENANTS else None


@pytest.fixture
def registry(first):
    return Registry(first)


@pytest.fixture
def routed(registry):
    return ByIssuer(registry, clock=FakeClock())


def reason(routed, value, **options):
    """Return why a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        routed.verify(value, **options)
    return caught.value.reason


def test_each_has_its_own_keys(routed, site):
    """And everything is asked for once, whoever comes back."""
    for _ in range(2):
        for issuer in TENANTS:
            assert (issuer, "user-1") == (
                routed.verify(token(issuer)).issuer,
                routed.verify(token(issuer)).subject,
            )
    assert 2 * len(TENANTS) == len(site.asked) == len(set(site.asked))


def test_no_key_verifies_anothers_token(routed):
    """RULES 11: also with the same kid."""
    mine, yours = TENANTS[1], TENANTS[2]
    routed.verify(token(mine))
    routed.verify(token(yours))
    assert "unknown_key" == reason(routed, token(yours, key=key_of(mine)))
    assert "unknown_key" == reason(routed, token(mine, key=key_of(yours)))


def test_the_cache_is_one_and_bounded(routed, first):
    """However many issuers there are."""
    for issuer in TENANTS:
        routed.verify(token(issuer))
    assert ENTRIES == first.stats().entries
    assert len(TENANTS) - ENTRIES == first.stats().evictions


def test_what_is_cached_of_one_is_nothing_to_another(first):
    """Two verifiers of one cache: each accepts its own alone."""
    mine, yours = first.for_issuer(TENANTS[1]), first.for_issuer(TENANTS[2])
    value = token(TENANTS[1])
    mine.verify(value)
    assert mine.cached(value) is not None
    assert yours.cached(value) is None
    assert "unknown_issuer" == reason(yours, value)
    assert mine.cached(value) is not None


def test_strangers_cost_nothing(routed, registry, site):
    """An issuer that is not registered is asked about once, and nothing is fetched from it."""
    for n in range(20):
        assert "unknown_issuer" == reason(routed, token("https://x.example", key=KEYS[0], n=n))
    assert ["https://x.example"] == registry.asked
    assert [] == site.asked


def test_an_issuer_has_one_verifier(first, registry, routed):
    """Whoever asks for it again gets the same, and with it the keys."""
    clock = FakeClock()
    routed = ByIssuer(registry, ttl=10, clock=clock)
    for _ in range(3):
        routed.verify(token(TENANTS[3]))
        clock.advance(10)
    assert [TENANTS[3]] * 3 == registry.asked
    assert first.for_issuer(TENANTS[3]) is first.for_issuer(TENANTS[3])
    assert 1 == first.for_issuer(TENANTS[3]).stats().upstream_calls


def test_opaque_tokens_go_elsewhere(first, registry):
    """Together with the function: ``otherwise`` never sees a JWT."""

    class Opaque:
        def __init__(self):
            self.seen = []

        def verify(self, value, /, *, live=False):
            self.seen.append((value, live))
            return Principal("somebody", issuer="https://as.example")

    opaque = Opaque()
    routed = ByIssuer(registry, otherwise=opaque)
    assert "somebody" == routed.verify("opaque-1", live=True).subject
    assert "user-1" == routed.verify(token(TENANTS[4])).subject
    assert "unknown_issuer" == reason(routed, token("https://x.example", key=KEYS[0]))
    assert [("opaque-1", True)] == opaque.seen


def test_sensitive_views_ask_the_issuer(site):
    """JWT first: what is forged is asked about nobody."""

    class Client:
        """An introspection endpoint."""

        issuer = TENANTS[0]
        shown_endpoint = f"{TENANTS[0]}/introspect"
        timeout = 5.0
        hangs = False
        active = True

        def __init__(self):
            self.asked = []

        def introspect(self, value):
            self.asked.append(value)
            return {"active": self.active, "sub": "user-1", "aud": "orders"}

    client = Client()
    live = IntrospectionVerifier(client, audience="orders", clock=FakeClock())
    verifier = JWKSVerifier(
        TENANTS[0], audience="orders", transport=site, clock=FakeClock(), live=live
    )
    routed = ByIssuer({TENANTS[0]: verifier})
    good, forged = token(TENANTS[0]), token(TENANTS[0], key=key_of(TENANTS[1]))

    assert routed.serves_live
    assert TENANTS[0] == routed.verify(good, live=True).issuer
    assert "unknown_key" == reason(routed, forged, live=True)
    assert [good] == client.asked
    client.active = False
    assert "user-1" == routed.verify(good).subject
    assert "inactive" == reason(routed, good, live=True)
    assert "revoked" == reason(routed, good)
