"""RFC 7518, JSON Web Algorithms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokenward import _jose
from tokenward.errors import ConfigurationError, InvalidToken

EC_SIZES = {"ES256": 64, "ES384": 96, "ES512": 132}


def secret(size):
    return {"kty": "oct", "k": _jose.encode(bytes(range(size)))}


def refused(token, key):
    with pytest.raises(InvalidToken) as caught:
        _jose.verify(_jose.parse(token), _jose.KeySet([key]), algorithms=_jose.SUPPORTED)
    return caught.value.reason


def test_3_1_the_algorithms():
    """Every signature algorithm of the table is there; ``none`` is not, nor any for encryption."""
    table = {f"{kind}{size}" for kind in ("HS", "RS", "ES", "PS") for size in (256, 384, 512)}
    assert {*table, "EdDSA"} == _jose.SUPPORTED


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_3_2_a_secret_is_at_least_as_long_as_the_hash(algorithm, size):
    """One byte less does not serve the algorithm."""
    assert algorithm in _jose.key_from_jwk(secret(size), allow_symmetric=True).algorithms
    with pytest.raises(_jose.JWKError):
        _jose.key_from_jwk({**secret(size - 1), "alg": algorithm}, allow_symmetric=True)


def test_3_3_rsa_keys_have_2048_bits_or_more():
    """A modulus of 2047 bits is refused."""
    n = (1 << 2_046) + 1
    jwk = {"kty": "RSA", "e": "AQAB", "n": _jose.encode(n.to_bytes(256, "big"))}
    with pytest.raises(_jose.JWKError, match="2047 bits"):
        _jose.key_from_jwk(jwk)


def test_3_3_rsa_keys_have_8192_bits_or_less():
    """A modulus that would make every verification slow is refused."""
    n = (1 << 8_192) + 1
    jwk = {"kty": "RSA", "e": "AQAB", "n": _jose.encode(n.to_bytes(1_025, "big"))}
    with pytest.raises(_jose.JWKError, match="8193 bits"):
        _jose.key_from_jwk(jwk)


@pytest.mark.parametrize(("algorithm", "size"), EC_SIZES.items())
def test_3_4_an_ecdsa_signature_is_r_and_s_of_fixed_length(algorithm, size):
    """R and S are as long as the order, leading zeros included."""
    key = _jose.generate_key(algorithm)
    for number in range(8):
        assert len(_jose.parse(_jose.sign({"n": number}, key, typ="JWT")).signature) == size


@pytest.mark.parametrize("algorithm", EC_SIZES)
def test_3_4_an_ecdsa_signature_of_another_length_is_refused(algorithm):
    """Without its leading half, or with a zero octet more, it is no signature."""
    key = _jose.generate_key(algorithm)
    head, _, tail = _jose.sign({}, key, typ="JWT").rpartition(".")
    signature = _jose.decode(tail.encode())
    for other in (signature[1:], signature + b"\0", b"\0" + signature):
        assert refused(f"{head}.{_jose.encode(other)}", key) == "bad_signature"


@pytest.mark.parametrize("algorithm", EC_SIZES)
def test_3_4_a_signature_of_zeros_is_refused(algorithm):
    """Both numbers zero verify nothing, whatever the content."""
    key = _jose.generate_key(algorithm)
    head, _, _ = _jose.sign({}, key, typ="JWT").rpartition(".")
    assert refused(f"{head}.{_jose.encode(bytes(EC_SIZES[algorithm]))}", key) == "bad_signature"


@pytest.mark.parametrize("algorithm", EC_SIZES)
def test_3_4_a_curve_has_one_algorithm(algorithm):
    """The key of a curve serves the hash that belongs to it, and no other."""
    assert _jose.generate_key(algorithm).algorithms == {algorithm}
    others = set(EC_SIZES) - {algorithm}
    pem = _jose.to_pem(_jose.generate_key(algorithm))
    for other in others:
        with pytest.raises(ConfigurationError):
            _jose.from_pem(pem, other)


def test_3_5_pss_and_pkcs1_are_different_algorithms():
    """A PS256 signature is no RS256 signature of the same key, and the other way about."""
    pss = _jose.generate_key("PS256")
    pkcs1 = replace(_jose.from_pem(_jose.to_pem(pss), "RS256"), kid=pss.kid)
    assert refused(_jose.sign({}, pss, typ="JWT"), pkcs1) == "algorithm"
    assert refused(_jose.sign({}, pkcs1, typ="JWT"), pss) == "algorithm"


def test_3_6_none_is_in_no_allow_list():
    """Unsecured tokens cannot be switched on."""
    with pytest.raises(ConfigurationError):
        _jose.check_algorithms(["none"])


def test_6_2_1_2_coordinates_have_the_length_of_the_curve():
    """A coordinate whose leading zero was cut off is refused, not guessed."""
    jwk = _jose.public_jwk(_jose.generate_key("ES256"))
    x = _jose.decode(jwk["x"].encode())
    for other in (x[1:], b"\0" + x):
        with pytest.raises(_jose.JWKError, match="32 bytes"):
            _jose.key_from_jwk({**jwk, "x": _jose.encode(other)})


def test_6_2_a_point_is_on_its_curve():
    """Coordinates that are no point of the curve are no key."""
    jwk = _jose.public_jwk(_jose.generate_key("ES256"))
    with pytest.raises(_jose.JWKError, match="curve"):
        _jose.key_from_jwk({**jwk, "y": _jose.encode(bytes(31) + b"\x07")})


def test_6_3_1_numbers_are_base64url():
    """Another alphabet, padding and white space are no numbers."""
    jwk = _jose.public_jwk(_jose.generate_key("RS256"))
    for n in (jwk["n"] + "==", jwk["n"].replace("-", "+") + "+", " " + jwk["n"]):
        with pytest.raises(_jose.JWKError, match="n is not base64url"):
            _jose.key_from_jwk({**jwk, "n": n})
