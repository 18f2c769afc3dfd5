"""`JWKSVerifier` says the same wherever its keys come from (RULES 5, 11, 12, 14)."""

import time

import pytest

from tokenward import _jose
from tokenward.errors import InvalidSignature, InvalidToken, TokenExpired, TokenRevoked
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeAuthorizationServer

STRANGER = _jose.generate_key("ES256")


@pytest.fixture(scope="module")
def server():
    """Run an issuer."""
    with FakeAuthorizationServer() as fake:
        yield fake


@pytest.fixture(params=["discovery", "discovery_url", "discovery_url alone", "jwks_uri", "jwks"])
def make(request, server):
    """Return a function that makes a verifier with keys of one source."""
    made = []
    metadata = f"{server.issuer}/.well-known/openid-configuration"
    issuer, source = {
        "discovery": (server.issuer, {}),
        "discovery_url": (server.issuer, {"discovery_url": metadata}),
        "discovery_url alone": (None, {"discovery_url": metadata}),
        "jwks_uri": (server.issuer, {"jwks_uri": server.jwks_uri}),
        "jwks": (server.issuer, {"jwks": server.jwks()}),
    }[request.param]

    def make(**options):
        made.append(
            JWKSVerifier(issuer, audience=server.audience, timeout=120, **source, **options)
        )
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


def reason(verifier, token):
    """Return why a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.reason


def test_a_good_token(make, server):
    """The first time and from the cache."""
    verifier = make()
    token = server.token(sub="alice", scope="a b", roles=["r"])
    principal = verifier.verify(token)

    assert ("alice", server.issuer, {"a", "b"}, {"r"}) == (
        principal.subject,
        principal.issuer,
        principal.scopes,
        principal.roles,
    )
    assert verifier.verify(token) is verifier.cached(token) is principal
    assert "alice" == verifier.verify_token(f"Bearer {token}")["sub"]


def test_the_issuers_name(make, server):
    """It is the issuer's identifier."""
    assert server.issuer == make().issuer


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"iss": "https://other.example"}, "unknown_issuer"),
        ({"iss": None}, "unknown_issuer"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "claim_missing"),
        ({"nbf": 2**40}, "not_yet_valid"),
        ({"cnf": {"jkt": "x"}}, "sender_constrained"),
        ({"typ": "logout+jwt"}, "wrong_type"),
        ({"at_hash": "x"}, "wrong_type"),
        ({"sub": None, "client_id": None}, "no_subject"),
    ],
    ids=str,
)
def test_what_is_not_for_us(make, server, claims, expected):
    """Each by its reason."""
    assert expected == reason(make(), server.token(**claims))


def test_what_the_issuer_did_not_sign(make, server):
    """A key that nobody knows, and a signature that is not the key's."""
    verifier = make()
    claims = {"iss": server.issuer, "sub": "x", "aud": "api", "exp": int(time.time()) + 300}
    assert "unknown_key" == reason(verifier, _jose.sign(claims, STRANGER))
    token = server.token()
    with pytest.raises(InvalidSignature):
        verifier.verify(token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBA"))


def test_keys_are_shown(make, server):
    """As they are published."""
    verifier = make()
    assert verifier.warm_up() is True

    assert server.jwks() == verifier.jwks()


def test_revoked_is_revoked(make, server):
    """And stays it after a refresh and a close."""
    verifier = make()
    token = server.token()
    verifier.verify(token)
    verifier.invalidate(token)
    verifier.refresh()
    verifier.close()
    for ask in (verifier.verify, verifier.cached):
        with pytest.raises(TokenRevoked):
            ask(token)

    assert "user-1" == verifier.verify(server.token()).subject


def test_an_expired_token_asks_nobody(make, server):
    """It is refused before any key is looked for."""
    verifier = make()
    asked = len(server.requests())
    with pytest.raises(TokenExpired):
        verifier.verify(server.token(expires_in=-100))

    assert asked == len(server.requests())
