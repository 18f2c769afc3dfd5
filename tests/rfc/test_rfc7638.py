"""RFC 7638, JSON Web Key Thumbprint."""

from __future__ import annotations

import hashlib

import pytest

from tokenward import _jose

KEY = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx"
    "4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
    "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2"
    "QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI"
    "SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqb"
    "w0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def test_3_1_the_example():
    """The thumbprint of the example key."""
    assert _jose.thumbprint(KEY) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_3_1_the_example_step_by_step():
    """The hash input of the example is its three members in this order, without white space."""
    text = f'{{"e":"AQAB","kty":"RSA","n":"{KEY["n"]}"}}'

    assert _jose.encode(hashlib.sha256(text.encode()).digest()) == _jose.thumbprint(KEY)


def test_3_2_only_the_required_members_count():
    """The other members, and the order of all, change nothing."""
    bare = {name: KEY[name] for name in ("n", "e", "kty")}
    assert _jose.thumbprint(bare) == _jose.thumbprint(KEY)
    assert _jose.thumbprint({**KEY, "d": "AQAB", "use": "sig"}) == _jose.thumbprint(KEY)


@pytest.mark.parametrize("member", ["e", "kty", "n"])
def test_3_2_each_required_member_counts(member):
    """Without one of them there is no thumbprint; with another value there is another."""
    with pytest.raises(_jose.JWKError):
        _jose.thumbprint({name: value for name, value in KEY.items() if name != member})
    if member != "kty":
        assert _jose.thumbprint({**KEY, member: "AQAC"}) != _jose.thumbprint(KEY)


@pytest.mark.parametrize("algorithm", sorted(_jose.SUPPORTED))
def test_3_our_key_ids_are_thumbprints(algorithm):
    """A key we make is named by what it is, so a name never means another key."""
    key = _jose.generate_key(algorithm)
    if algorithm in _jose.ASYMMETRIC:
        assert key.kid == _jose.thumbprint(_jose.public_jwk(key))
    assert len(key.kid) == 43
