"""RFC 8037, CFRG Elliptic Curves in JOSE."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tokenward import _jose
from tokenward.errors import ConfigurationError, InvalidSignature, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeClock

KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
SIGNING_INPUT = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
SIGNATURE = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

# A.6 and A.7: the recipients' keys, and the ephemeral one of A.6, all for key agreement.
BOB = {
    "kty": "OKP",
    "crv": "X25519",
    "kid": "Bob",
    "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
}
EPHEMERAL = {
    "kty": "OKP",
    "crv": "X25519",
    "x": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo",
}
DAVE = {
    "kty": "OKP",
    "crv": "X448",
    "kid": "Dave",
    "x": "PreoKbDNIPW8_AtZm2_sz22kYnEHvbDU80W0MCfYuXL8PjT7QjKhPKcG3LV67D2uB73BxnvzNgk",
}


def check(signature, signing_input=SIGNING_INPUT):
    unverified = _jose.Unverified({}, {}, "EdDSA", None, signing_input.encode(), signature)
    keys = _jose.KeySet([_jose.key_from_jwk(KEY)])
    _jose.verify(unverified, keys, algorithms=_jose.SUPPORTED)


def test_a_1_a_private_key_in_a_set_is_skipped():
    """The example private key is not used to verify with."""
    with pytest.raises(_jose.JWKError, match="private"):
        _jose.key_from_jwk({**KEY, "d": D})


def test_a_2_the_public_key():
    """The example public key serves EdDSA and nothing else."""
    key = _jose.key_from_jwk(KEY)
    assert (key.kty, key.algorithms) == ("OKP", {"EdDSA"})


def test_a_3_the_thumbprint():
    """The thumbprint of the example key."""
    assert _jose.thumbprint(KEY) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_4_and_a_5_the_signature():
    """The example signature verifies, and not over anything else."""
    check(_jose.decode(SIGNATURE.encode()))
    with pytest.raises(InvalidSignature):
        check(_jose.decode(SIGNATURE.encode()), SIGNING_INPUT + "x")


def test_a_4_the_private_key_signs_the_example():
    """The same octets each time: what the private key says, the public key confirms."""
    private = Ed25519PrivateKey.from_private_bytes(_jose.decode(D.encode()))
    signed = _jose.algorithms.ALGORITHMS["EdDSA"].sign(SIGNING_INPUT.encode(), private)

    assert SIGNATURE == _jose.encode(signed)
    assert KEY["x"] == _jose.encode(private.public_key().public_bytes_raw())


def test_a_4_a_token_of_the_example_key():
    """Claims under the example's header, signed with the example's key, and one octet changed."""
    private = Ed25519PrivateKey.from_private_bytes(_jose.decode(D.encode()))
    verifier = JWKSVerifier(
        None,
        audience=None,
        jwks={"keys": [KEY]},
        algorithms=["EdDSA"],
        required=(),
        clock=FakeClock(),
    )

    def token(sub, signed=None):
        payload = _jose.encode(f'{{"sub":"{sub}"}}'.encode())
        text = f"eyJhbGciOiJFZERTQSJ9.{payload}"
        return f"{text}.{_jose.encode(private.sign((signed or text).encode()))}"

    assert "alice" == verifier.verify(token("alice")).subject
    with pytest.raises(InvalidSignature):
        verifier.verify(token("alice", SIGNING_INPUT))


@pytest.mark.parametrize("jwk", [BOB, DAVE], ids=["a_6", "a_7"])
def test_a_6_and_a_7_keys_for_key_agreement_verify_nothing(jwk):
    """X25519 and X448 keys are skipped; alone they are nothing to verify with."""
    key_set = _jose.parse_key_set({"keys": [jwk, KEY]})
    assert [None] == [key.kid for key in key_set.keys]
    assert [(0, jwk["kid"])] == [skipped[:2] for skipped in key_set.skipped]
    with pytest.raises(ConfigurationError, match=jwk["crv"]):
        JWKSVerifier(None, audience=None, jwks={"keys": [jwk]}, algorithms=["EdDSA"])


def test_a_6_encrypted_for_such_a_key_is_no_token():
    """The example's header: neither before a JWE nor, with three segments, a signed token."""
    header = json.dumps({"alg": "ECDH-ES+A128KW", "epk": EPHEMERAL, "enc": "A128GCM", "kid": "Bob"})
    for segments, reason in [("AA.AA.AA.AA", "malformed"), ("e30.AA", "algorithm")]:
        with pytest.raises(InvalidToken) as caught:
            _jose.parse(f"{_jose.encode(header.encode())}.{segments}")
        assert reason == caught.value.reason


def test_a_4_a_payload_that_is_no_json_is_no_token():
    """The example is a JWS; as a token it has no claims."""
    with pytest.raises(InvalidToken) as caught:
        _jose.parse(f"{SIGNING_INPUT}.{SIGNATURE}")
    assert caught.value.reason == "malformed"


def test_3_1_a_signature_has_64_bytes():
    """One less, one more: refused."""
    signature = _jose.decode(SIGNATURE.encode())
    for other in (signature[:-1], signature + b"\0", bytes(64)):
        with pytest.raises(InvalidSignature):
            check(other)


@pytest.mark.parametrize("crv", ["Ed448", "X25519", "X448", "ed25519", "P-256", "", None])
def test_2_other_curves_are_skipped(crv):
    """Only Ed25519 verifies here; key agreement curves never do."""
    with pytest.raises(_jose.JWKError, match="crv"):
        _jose.key_from_jwk({**KEY, "crv": crv})


def test_2_x_has_32_bytes():
    """A public key of another length is none."""
    for x in (bytes(31), bytes(33), b""):
        with pytest.raises(_jose.JWKError):
            _jose.key_from_jwk({**KEY, "x": _jose.encode(x)})
