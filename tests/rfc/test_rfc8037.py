"""RFC 8037, CFRG Elliptic Curves in JOSE."""

from __future__ import annotations

import pytest

from tokenward import _jose
from tokenward.errors import InvalidSignature, InvalidToken

KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
SIGNING_INPUT = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
SIGNATURE = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"


def check(signature, signing_input=SIGNING_INPUT):
    unverified = _jose.Unverified({}, {}, "EdDSA", None, signing_input.encode(), signature)
    keys = _jose.KeySet([_jose.key_from_jwk(KEY)])
    _jose.verify(unverified, keys, algorithms=_jose.SUPPORTED)


def test_a_1_a_private_key_in_a_set_is_skipped():
    """The example private key is not used to verify with."""
    with pytest.raises(_jose.JWKError, match="private"):
        _jose.key_from_jwk({**KEY, "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"})


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
