"""Every algorithm, with fetched and with pinned keys (RULES 1, 2, 4, 6)."""

import pytest

from tokenward import _jose
from tokenward.errors import InvalidSignature, InvalidToken

RSA = _jose.to_pem(_jose.generate_key("RS256"))
SIGNING = {
    alg: _jose.from_pem(RSA, alg) if alg[0] in "RP" else _jose.generate_key(alg)
    for alg in sorted(_jose.ASYMMETRIC)
}
SECRETS = {alg: _jose.generate_key(alg) for alg in ("HS256", "HS384", "HS512")}


def oct_jwk(key):
    """Return a secret as a JWK."""
    return {"kty": "oct", "k": _jose.encode(key.private), "alg": key.algorithm, "kid": key.kid}


def reason(verifier, token):
    """Return why a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.reason


def changed(token):
    """Return a token with another signature of the same length."""
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}"


def test_all_are_tried():
    """As many as there are."""
    assert _jose.SUPPORTED == SIGNING.keys() | SECRETS.keys()


@pytest.mark.parametrize("pinned", [False, True], ids=["fetched", "pinned"])
@pytest.mark.parametrize("alg", sorted(SIGNING))
def test_a_signature(make, issuer, alg, pinned):
    """A good token passes, one that was touched does not, nor one of another algorithm."""
    key = SIGNING[alg]
    issuer.publish(key)
    given = {"jwks": {"keys": [_jose.public_jwk(key)]}} if pinned else {}
    verifier = make(algorithms=[alg], **given)
    token = issuer.token(key)
    assert ("u1", "u1") == (verifier.verify(token).subject, verifier.cached(token).subject)
    with pytest.raises(InvalidSignature):
        verifier.verify(changed(token))

    other = "ES256" if alg != "ES256" else "RS256"
    assert "algorithm" == reason(verifier, issuer.token(SIGNING[other]))


@pytest.mark.parametrize("alg", sorted(SECRETS))
def test_a_secret(make, issuer, alg):
    """Pinned, and in a list of HS* only."""
    verifier = make(algorithms=sorted(SECRETS), jwks={"keys": [oct_jwk(SECRETS[alg])]})
    token = issuer.token(SECRETS[alg])
    assert "u1" == verifier.verify(token).subject
    with pytest.raises(InvalidSignature):
        verifier.verify(changed(token))


def test_several_secrets(make, issuer):
    """While one takes another's place both verify."""
    new = _jose.generate_key("HS256")
    verifier = make(algorithms=["HS256"], jwks={"keys": [oct_jwk(SECRETS["HS256"]), oct_jwk(new)]})

    assert ["u1", "u1"] == [
        verifier.verify(issuer.token(key)).subject for key in (SECRETS["HS256"], new)
    ]


def test_a_fetched_secret_is_no_key(make, issuer, site):
    """Nor does the list grow by what is fetched (RULES 1, 3)."""
    site[issuer.jwks_uri] = {
        "keys": [oct_jwk(SECRETS["HS256"]), _jose.public_jwk(SIGNING["ES256"])]
    }
    verifier = make()

    assert "algorithm" == reason(verifier, issuer.token(SECRETS["HS256"]))
    assert "u1" == verifier.verify(issuer.token(SIGNING["ES256"])).subject


def test_the_list_is_an_attribute(make):
    """For whoever shows or compares it."""
    assert frozenset({"RS256", "ES256"}) == make().algorithms
    assert frozenset({"EdDSA"}) == make(algorithms=["EdDSA"]).algorithms
