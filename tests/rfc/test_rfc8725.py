"""RFC 8725, JSON Web Token Best Current Practices: the parts about form, keys and algorithms."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tokenward import _jose
from tokenward.errors import ConfigurationError, InvalidToken

RSA = _jose.generate_key("RS256")
EC = _jose.generate_key("ES256")


def token(header, claims, secret):
    first, second = (_jose.encode(json.dumps(part).encode()) for part in (header, claims))
    mac = hmac.digest(secret, f"{first}.{second}".encode(), hashlib.sha256)
    return f"{first}.{second}.{_jose.encode(mac)}"


def refusal(text, *keys, algorithms=_jose.SUPPORTED):
    with pytest.raises(InvalidToken) as caught:
        _jose.verify(
            _jose.parse(text, algorithms=algorithms), _jose.KeySet(keys), algorithms=algorithms
        )
    return caught.value.reason


@pytest.mark.parametrize("alg", ["none", "None", "nONE", "NONE"])
def test_2_1_alg_none_is_refused_in_any_case(alg):
    """A token that says it is not signed is refused, signature or not."""
    assert refusal(token({"alg": alg}, {}, b"x"), RSA, EC) == "algorithm"


def test_2_1_a_public_key_is_no_hmac_secret():
    """RS256 changed to HS256, signed with the public key's PEM, is refused."""
    pem = RSA.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = token({"alg": "HS256", "kid": RSA.kid}, {"sub": "admin"}, pem)
    assert refusal(text, RSA) == "algorithm"
    assert refusal(text, RSA, algorithms=_jose.check_algorithms(["RS256"])) == "algorithm"


@pytest.mark.parametrize("algorithms", [[], ["none"], ["RS256", "HS256"], ["rs256"], "RS256"])
def test_3_1_the_allow_list_is_checked_at_start_up(algorithms):
    """Empty, unknown or mixed lists never come to verify anything."""
    with pytest.raises(ConfigurationError):
        _jose.check_algorithms(algorithms)


def test_3_1_only_allowed_algorithms_verify():
    """A good signature by an algorithm that is not allowed is refused."""
    text = _jose.sign({}, EC, typ="JWT")
    assert refusal(text, EC, algorithms=_jose.check_algorithms(["RS256"])) == "algorithm"


def test_3_1_each_key_has_one_algorithm():
    """A key bound to PS256 does not verify RS256, though the mathematics would."""
    bound = replace(_jose.from_pem(_jose.to_pem(RSA), "PS256"), kid=RSA.kid)
    assert refusal(_jose.sign({}, RSA, typ="JWT"), bound) == "algorithm"


def test_3_3_every_operation_is_checked():
    """A signature that no key made is refused for every algorithm."""
    for algorithm in sorted(_jose.SUPPORTED):
        key = _jose.generate_key(algorithm)
        head, _, tail = _jose.sign({}, key, typ="JWT").rpartition(".")
        other = bytes(len(_jose.decode(tail.encode())))
        assert refusal(f"{head}.{_jose.encode(other)}", key) == "bad_signature"


def test_3_4_cryptographic_inputs_are_checked():
    """A point off its curve is no key."""
    jwk = _jose.public_jwk(EC)
    with pytest.raises(_jose.JWKError):
        _jose.key_from_jwk({**jwk, "x": jwk["y"]})


def test_3_5_weak_keys_are_refused():
    """Short secrets and short moduli are no keys at all."""
    for jwk in (
        {"kty": "oct", "k": _jose.encode(b"secret")},
        {"kty": "RSA", "e": "AQAB", "n": _jose.encode(b"\xff" * 128)},
    ):
        with pytest.raises(_jose.JWKError):
            _jose.key_from_jwk(jwk, allow_symmetric=True)


def test_3_6_compression_is_not_understood():
    """``zip`` is a JWE's; a payload is never inflated, so nothing is learnt from its length."""
    import zlib

    header, payload = _jose.encode(b'{"alg":"HS256","zip":"DEF"}'), zlib.compress(b"{}")
    assert refusal(f"{header}.{_jose.encode(payload)}.AA", RSA) == "malformed"


def test_3_7_utf_8_only():
    """Another encoding of JSON is refused."""
    for encoding in ("utf-16", "utf-32", "latin-1"):
        payload = _jose.encode('{"sub":"é"}'.encode(encoding))
        header = _jose.encode(b'{"alg":"HS256"}')
        assert refusal(f"{header}.{payload}.AA", RSA) == "malformed"


@pytest.mark.parametrize("kid", ["../../dev/null", "' UNION SELECT 'k", "file:///etc/passwd"])
def test_3_10_a_kid_is_only_compared(kid):
    """A ``kid`` is no path, no query and no address."""
    assert refusal(token({"alg": "HS256", "kid": kid}, {}, b""), RSA) == "unknown_key"


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_3_10_addresses_in_a_header_are_not_followed(member):
    """Keys come from configuration; a header's address is not even an error."""
    attacker = _jose.generate_key("ES256")
    headers = {member: "http://169.254.169.254/latest/meta-data"}
    text = jwt.encode({}, attacker.private, "ES256", headers=headers)
    assert refusal(text, EC) == "bad_signature"


def test_3_10_a_key_in_a_header_is_not_used():
    """A token that brings its own key is refused."""
    attacker = _jose.generate_key("ES256")
    text = jwt.encode({}, attacker.private, "ES256", headers={"jwk": _jose.public_jwk(attacker)})
    assert refusal(text, EC) == "bad_signature"
