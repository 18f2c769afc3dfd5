"""`JWKSVerifier`, as a program sees it that is checked by ``mypy --strict``."""

from collections.abc import Mapping
from typing import Any, assert_type

from tokenward import ClaimsPolicy, InvalidClaim, JWKSVerifier, Principal, TokenVerifier
from tokenward.cache import CacheStats
from tokenward.protocols import CachingVerifier, Event, RevocationBus, Transport


def same_tenant(claims: Mapping[str, Any]) -> None:
    """What only you know."""
    if claims.get("tenant") != "t1":
        raise InvalidClaim("tenant", "t1", claims.get("tenant"))


def sources(jwks: Mapping[str, Any]) -> None:
    """One place for the keys, and nothing turned off by omission."""
    JWKSVerifier("https://as.example", audience="orders")
    JWKSVerifier(audience=["a", "b"], discovery_url="https://as.example/.well-known/x")
    JWKSVerifier(None, audience=None, jwks_uri="https://as.example/keys")
    JWKSVerifier("urn:partner", audience="orders", jwks=jwks, algorithms=["HS256"])
    JWKSVerifier(issuer=None, audience="orders", jwks='{"keys": []}', algorithms=("EdDSA",))
    JWKSVerifier("https://as.example")  # type: ignore[call-arg]
    JWKSVerifier("https://as.example", "orders")  # type: ignore[call-arg]
    JWKSVerifier(["https://as.example"], audience="orders")  # type: ignore[arg-type]
    JWKSVerifier("https://as.example", audience="orders", jwks=[])  # type: ignore[arg-type]


def options(transport: Transport, bus: RevocationBus, live: TokenVerifier) -> JWKSVerifier:
    """Every option, as it may be written."""

    def observe(event: Event) -> None:
        assert_type(event.outcome, str)

    return JWKSVerifier(
        "https://as.example",
        audience="orders",
        token_types={"at+jwt"},
        accept_id_tokens=False,
        required=("exp", "jti"),
        leeway=0.5,
        roles_claim=["realm_access.roles", "groups"],
        check=same_tenant,
        ttl=900,
        refresh_ahead=60,
        cooldown=30.0,
        stale_for=3_600,
        timeout=5.0,
        connect_timeout=2,
        retries=0,
        verify_tls="/etc/ssl/ours.pem",
        proxies={"https": "http://proxy.example:3128"},
        max_token_bytes=8_192,
        cache_entries=0,
        live=live,
        revocation_bus=bus,
        transport=transport,
        clock=lambda: 0.0,
        on_event=observe,
    )


def use(verifier: JWKSVerifier) -> None:
    """What it returns."""
    one: TokenVerifier = verifier
    two: CachingVerifier = verifier
    assert_type(verifier.verify("t"), Principal)
    assert_type(verifier.verify("t", live=True), Principal)
    verifier.verify(token="t")  # type: ignore[call-arg]
    assert_type(verifier.cached("t"), Principal | None)
    assert_type(verifier.verify_token("Bearer t"), dict[str, Any])
    assert_type(verifier.jwks(), dict[str, Any])
    assert_type(verifier.warm_up(), bool)
    assert_type(verifier.keys_age(), float | None)
    assert_type(verifier.stats(), CacheStats)
    assert_type(verifier.issuer, str)
    assert_type(verifier.algorithms, frozenset[str])
    assert_type(verifier.serves_live, bool)
    assert_type(verifier.for_issuer("https://two.example"), JWKSVerifier)
    verifier.refresh()
    verifier.invalidate("t")
    verifier.close()
    ClaimsPolicy(audience=None, accept_id_tokens=True)
    del one, two
