"""RFC 9068, JWT Profile for OAuth 2.0 Access Tokens."""

from __future__ import annotations

import pytest

from tokenward import _jose
from tokenward.errors import InvalidToken, TokenExpired
from tokenward.keys import KeyRing
from tokenward.tokens import LocalVerifier, create_access_token

KEYS = KeyRing.generate()
NOW = 1_700_000_000
ISSUER, AUDIENCE = "https://auth.example", "https://orders.example"
DATA = {"sub": "5ba552d67", "client_id": "s6BhdRkqt3", "scope": "openid profile reademail"}


def clock():
    return NOW


def token(keys=KEYS):
    return create_access_token(DATA, keys=keys, issuer=ISSUER, audience=AUDIENCE, clock=clock)


def verify(text, *, keys=KEYS, issuer=ISSUER, audience=AUDIENCE, now=NOW):
    verifier = LocalVerifier(
        keys, issuer=issuer, audience=audience, users=None, tokens=None, clock=lambda: now
    )
    return verifier.verify(text)


def changed(header=None, **claims):
    """Return the token with other claims, or another type, under a good signature."""
    signed = _jose.parse(token()).claims | claims
    signed = {name: value for name, value in signed.items() if value is not ...}
    return _jose.sign(signed, KEYS.current, typ=header or "at+jwt")


def reason(text, **options):
    with pytest.raises(InvalidToken) as caught:
        verify(text, **options)
    return caught.value.reason


def test_2_1_the_header():
    """Signed, of type at+jwt."""
    header = _jose.parse(token()).header
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256", "EdDSA"])
def test_2_1_rs256_and_others_are_supported(algorithm):
    """RS256 must be; ``none`` cannot be."""
    keys = KeyRing.generate(algorithm)
    assert verify(token(keys), keys=keys).subject == "5ba552d67"


def test_2_2_the_required_claims():
    """Each of iss, exp, aud, sub, client_id, iat and jti is there."""
    claims = _jose.parse(token()).claims
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= set(claims)


def test_2_2_the_claims_make_the_principal():
    """Subject, issuer, client and scopes are what the token says."""
    principal = verify(token())
    assert (principal.subject, principal.issuer, principal.client_id) == (
        "5ba552d67",
        ISSUER,
        "s6BhdRkqt3",
    )
    assert principal.scopes == {"openid", "profile", "reademail"}
    assert principal.expires_at == NOW + 900


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_4_the_type_in_its_spellings(typ):
    """With and without application/, in any case."""
    assert verify(changed(typ)).subject == "5ba552d67"


@pytest.mark.parametrize("typ", ["JWT", "id+jwt", "logout+jwt", "at+jwt+x", "+"])
def test_4_another_type_is_refused(typ):
    """An ID token, or anything else our key signed, is no access token."""
    assert reason(changed(typ)) == "wrong_type"


@pytest.mark.parametrize("iss", ["https://auth.example/", "https://AUTH.example", "x", 7, ...])
def test_4_the_issuer_matches_exactly(iss):
    """A slash, another case, another type, none: refused."""
    assert reason(changed(iss=iss)) == "unknown_issuer"


@pytest.mark.parametrize("aud", ["https://other.example", [], ["x"], 7, [AUDIENCE, 7], ...])
def test_4_the_audience_names_us(aud):
    """A token for others, or for nobody, is refused."""
    assert reason(changed(aud=aud)) == "audience_mismatch"


def test_4_the_audience_may_name_others_too():
    """One of several will do."""
    assert verify(changed(aud=["https://other.example", AUDIENCE])).subject == "5ba552d67"


def test_4_the_signature_is_checked():
    """A token by another issuer's key is refused whatever it says."""
    assert reason(token(KeyRing.generate())) == "unknown_key"


def test_4_the_signature_comes_before_the_claims():
    """A refusal over a claim says that the signature was good."""
    assert reason(token(KeyRing.generate()), now=NOW + 10_000) == "unknown_key"


def test_4_the_time_is_checked():
    """At ``exp`` and the leeway the token is over."""
    assert verify(token(), now=NOW + 929).subject == "5ba552d67"
    with pytest.raises(TokenExpired):
        verify(token(), now=NOW + 930)


@pytest.mark.parametrize("name", ["exp", "iat", "jti"])
def test_4_required_claims_are_required(name):
    """A token without one of them is refused."""
    assert reason(changed(**{name: ...})) == "claim_missing"
