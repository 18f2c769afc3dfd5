"""RFC 7517, JSON Web Key."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tokenward import _jose

EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "use": "enc",
    "kid": "1",
}
EC_D = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
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

B = {
    "kty": "RSA",
    "use": "sig",
    "kid": "1b94c",
    "n": "vrjOfz9Ccdgx5nQudyhdoR17V-IubWMeOZCwX_jj0hgAsz2J_pqYW08PLbK_PdiVGKPrqzmDIsLI7sA25VEn"
    "HU1uCLNwBuUiCO11_-7dYbsr4iJmG0Qu2j8DsVyT1azpJC_NG84Ty5KKthuCaPod7iI7w0LK9orSMhBEwwZD"
    "CxTWq4aYWAchc8t-emd9qOvWtVMDC2BXksRngh6X5bUYLy6AyHKvj-nUy1wgzjYQDwHMTplCoLtU-o-8SNnZ"
    "1tmRoGE9uJkBLdh5gFENabWnU5m1ZqZPdwS-qo-meMvVfJb6jJVWRpl2SUtCnYG2C32qvbWbjZ_jBPD5eunq"
    "sIo1vQ",
    "e": "AQAB",
    "x5c": [
        (
            "MIIDQjCCAiqgAwIBAgIGATz/FuLiMA0GCSqGSIb3DQEBBQUAMGIxCzAJBgNVBAYTAlVTMQswCQYDVQQIEwJD"
            "TzEPMA0GA1UEBxMGRGVudmVyMRwwGgYDVQQKExNQaW5nIElkZW50aXR5IENvcnAuMRcwFQYDVQQDEw5Ccmlh"
            "biBDYW1wYmVsbDAeFw0xMzAyMjEyMzI5MTVaFw0xODA4MTQyMjI5MTVaMGIxCzAJBgNVBAYTAlVTMQswCQYD"
            "VQQIEwJDTzEPMA0GA1UEBxMGRGVudmVyMRwwGgYDVQQKExNQaW5nIElkZW50aXR5IENvcnAuMRcwFQYDVQQD"
            "Ew5CcmlhbiBDYW1wYmVsbDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAL64zn8/QnHYMeZ0Lnco"
            "XaEde1fiLm1jHjmQsF/449IYALM9if6amFtPDy2yvz3YlRij66s5gyLCyO7ANuVRJx1NbgizcAblIgjtdf/u"
            "3WG7K+IiZhtELto/A7Fck9Ws6SQvzRvOE8uSirYbgmj6He4iO8NCyvaK0jIQRMMGQwsU1quGmFgHIXPLfnpn"
            "fajr1rVTAwtgV5LEZ4Iel+W1GC8ugMhyr4/p1MtcIM42EA8BzE6ZQqC7VPqPvEjZ2dbZkaBhPbiZAS3YeYBR"
            "DWm1p1OZtWamT3cEvqqPpnjL1XyW+oyVVkaZdklLQp2Btgt9qr21m42f4wTw+Xrp6rCKNb0CAwEAATANBgkq"
            "hkiG9w0BAQUFAAOCAQEAh8zGlfSlcI0o3rYDPBB07aXNswb4ECNIKG0CETTUxmXl9KUL+9gGlqCz5iWLOgWs"
            "nrcKcY0vXPG9J1r9AqBNTqNgHq2G03X09266X5CpOe1zFo+Owb1zxtp3PehFdfQJ610CDLEaS9V9Rqp17hCy"
            "ybEpOGVwe8fnk+fbEL2Bo3UPGrpsHzUoaGpDftmWssZkhpBJKVMJyf/RuP2SmmaIzmnw9JiSlYhzo4tpzd5r"
            "FXhjRbg4zW9C+2qok+2+qDM1iJ684gPHMIY8aLWrdgQTxkumGmTqgawR+N5MDtdPTEQ0XfIBc2cJEUyMTY5M"
            "PvACWpkA6SdS4xSvdXK3IVfOWA=="
        )
    ],
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
    assert "private members" in reasons({**EC, "use": "sig", "d": EC_D})[0]
    assert "private members" in reasons({**RSA, "d": EC_D})[0]


def test_a_3_example_symmetric_keys():
    """Symmetric keys are skipped, and only used where the set was configured."""
    assert len(reasons(AES, HMAC)) == 2
    key_set = _jose.parse_key_set({"keys": [AES, HMAC]}, allow_symmetric=True)
    assert [key.kid for key in key_set.keys] == [HMAC["kid"]]


def test_a_1_and_a_2_the_private_key_is_that_of_the_public_one():
    """Whoever publishes A.2 publishes what signs for the key of A.1."""
    private = ec.derive_private_key(
        int.from_bytes(_jose.decode(EC_D.encode()), "big"), ec.SECP256R1()
    )
    numbers = private.public_key().public_numbers()

    assert (EC["x"], EC["y"]) == tuple(
        _jose.encode(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y)
    )


def test_b_the_certificate_is_not_looked_at():
    """The key of the JWK is used, whatever is in ``x5c`` beside it: it expired in 2018."""
    key = _jose.key_from_jwk(B)
    assert "1b94c" == key.kid
    without = {name: value for name, value in B.items() if name != "x5c"}
    assert key.public == _jose.key_from_jwk(without).public

    certificate = x509.load_der_x509_certificate(base64.b64decode(B["x5c"][0]))
    assert key.public == certificate.public_key()
    assert key.public == _jose.key_from_jwk({**B, "x5c": ["AAAA"]}).public
    assert key.public != _jose.key_from_jwk({**B, "n": RSA["n"]}).public


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
