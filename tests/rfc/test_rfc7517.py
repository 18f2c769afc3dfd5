"""RFC 7517, JSON Web Key."""

from __future__ import annotations

import pytest

from tokenward import _jose

EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "use": "enc",
    "kid": "1",
}
RSA = {
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
AES = {"kty": "oct", "alg": "A128KW", "k": "GawgguFyGrWKav7AX4VKUg"}
HMAC = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "kid": "HMAC key used in JWS spec Appendix A.1 example",
}


def reasons(*entries, **options):
    return [one.reason for one in _jose.parse_key_set({"keys": list(entries)}, **options).skipped]


def test_a_1_example_public_keys():
    """Of the two example keys the one for signatures is used, the one for encryption skipped."""
    key_set = _jose.parse_key_set({"keys": [EC, RSA]})
    assert [(key.kid, key.algorithm) for key in key_set.keys] == [("2011-04-29", "RS256")]
    assert [one[:2] for one in key_set.skipped] == [(0, "1")]


def test_a_2_example_private_keys():
    """A private key in a set is skipped: whoever published it must replace it."""
    d = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
    assert "private members" in reasons({**EC, "use": "sig", "d": d})[0]
    assert "private members" in reasons({**RSA, "d": d})[0]


def test_a_3_example_symmetric_keys():
    """Symmetric keys are skipped, and only used where the set was configured."""
    assert len(reasons(AES, HMAC)) == 2
    key_set = _jose.parse_key_set({"keys": [AES, HMAC]}, allow_symmetric=True)
    assert [key.kid for key in key_set.keys] == [HMAC["kid"]]


@pytest.mark.parametrize("kty", ["rsa", "DSA", "", None, 1, ["RSA"]])
def test_4_1_kty_is_a_known_string(kty):
    """A key of an unknown kind is ignored (section 5), in any spelling."""
    assert "kty" in reasons({**RSA, "kty": kty})[0]


@pytest.mark.parametrize("use", ["enc", "SIG", "", None, 1])
def test_4_2_use_is_sig(use):
    """A key for another use verifies nothing."""
    assert "use" in reasons({**RSA, "use": use})[0]


@pytest.mark.parametrize("operations", [["sign"], ["Verify"], [], "verify", None, {"verify": 1}])
def test_4_3_key_ops_list_verify(operations):
    """A key whose operations do not list verify verifies nothing."""
    assert "key_ops" in reasons({**RSA, "key_ops": operations})[0]


def test_4_3_key_ops_may_list_more():
    """Verify among others will do."""
    assert reasons({**RSA, "key_ops": ["sign", "verify"]}) == []


def test_4_4_alg_binds_the_key():
    """A key with ``alg`` serves that algorithm alone; without, what its kind allows."""
    assert _jose.key_from_jwk(RSA).algorithms == {"RS256"}
    free = {name: value for name, value in RSA.items() if name != "alg"}
    assert "PS512" in _jose.key_from_jwk(free).algorithms


def test_4_4_alg_of_another_kind_is_refused():
    """``alg`` and ``kty`` agree or the key is skipped."""
    assert "alg" in reasons({**RSA, "alg": "ES256"})[0]


def test_4_6_to_4_9_certificates_are_never_looked_at():
    """The x5 members are neither fetched nor read."""
    extra = {"x5u": "https://attacker.example/", "x5c": ["?"], "x5t": 1, "x5t#S256": None}
    assert reasons({**RSA, **extra}) == []


@pytest.mark.parametrize(
    "document", [None, [], "x", 1, {}, {"keys": None}, {"keys": "x"}, {"keys": {}}, {"Keys": []}]
)
def test_5_1_a_set_is_an_object_with_a_list_of_keys(document):
    """Anything else is no JWK Set."""
    with pytest.raises(_jose.JWKError):
        _jose.parse_key_set(document)


def test_5_entries_that_are_not_understood_are_ignored():
    """One bad entry of any shape does not take the others along."""
    entries = [None, 1, "x", [], {}, {"kty": "RSA"}, {**RSA, "n": 1}, EC, RSA, {"kty": "new"}]
    key_set = _jose.parse_key_set({"keys": entries, "other": 1})
    assert [key.kid for key in key_set.keys] == ["2011-04-29"]
    assert len(key_set.skipped) == len(entries) - 1
