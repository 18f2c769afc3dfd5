"""Private keys: made here, written to PEM and read back (PKCS #8)."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tokenward._jose.algorithms import ALGORITHMS, ASYMMETRIC, FOREIGN_ERRORS, SUPPORTED, encode
from tokenward._jose.jwk import JWKError, Key, key_from_jwk, public_jwk, thumbprint
from tokenward._log import shown
from tokenward.errors import ConfigurationError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_RSA_BITS: Final = 2_048
_RSA_EXPONENT: Final = 65_537
_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}
_SECRET_BYTES: Final = 64


def generate_key(algorithm: str) -> Key:
    """Make a new key for ``algorithm``; its ``kid`` is its thumbprint.

    Raises:
        ConfigurationError: There is no such algorithm.
    """
    if algorithm not in SUPPORTED:
        raise ConfigurationError(
            f"There is no algorithm {shown(algorithm)!r}; "
            f"choose from {', '.join(sorted(SUPPORTED))}."
        )
    if algorithm not in ASYMMETRIC:
        jwk = {"kty": "oct", "k": encode(secrets.token_bytes(_SECRET_BYTES)), "alg": algorithm}
        return replace(key_from_jwk(jwk, allow_symmetric=True), kid=thumbprint(jwk))
    private: PrivateKey
    if algorithm in _CURVES:
        private = ec.generate_private_key(_CURVES[algorithm]())
    elif algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)
    return _bound(private, algorithm)


def to_pem(key: Key) -> bytes:
    """Return the private key as unencrypted PKCS #8 PEM: seal it before it is stored.

    Raises:
        JWKError: There is no private key, or it is symmetric.
    """
    if not isinstance(key.private, PrivateKey):
        raise JWKError("there is no private key to write")
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def from_pem(data: bytes, *algorithms: str) -> Key:
    """Read a private key from PEM; its ``kid`` is its thumbprint (RFC 7638).

    Args:
        data: The PEM.
        algorithms: It is bound to the first of these that it fits.

    Raises:
        ConfigurationError: It is no unencrypted private key, or not one for ``algorithms``.
    """
    for algorithm in algorithms:
        if algorithm not in ASYMMETRIC:
            raise ConfigurationError(
                f"A private key signs with one of {', '.join(sorted(ASYMMETRIC))}, "
                f"not {shown(algorithm)}."
            )
    try:
        private = load_pem_private_key(data, password=None)
    except FOREIGN_ERRORS:
        raise ConfigurationError(
            "The private key cannot be read; give an unencrypted PEM (BEGIN PRIVATE KEY)."
        ) from None
    why = "it is of another kind"
    if isinstance(private, PrivateKey):
        for algorithm in algorithms:
            try:
                return _bound(private, algorithm)
            except FOREIGN_ERRORS as error:
                why = str(error) if isinstance(error, JWKError) else why
    names = " or ".join(algorithms)
    raise ConfigurationError(f"The private key is not one for {names}: {why}.")


def _bound(private: PrivateKey, algorithm: str) -> Key:
    # Refuses a key of another family or curve.
    ALGORITHMS[algorithm].prepare_key(private)
    jwk = dict(ALGORITHMS[algorithm].to_jwk(private.public_key(), as_dict=True))
    key = key_from_jwk({**jwk, "alg": algorithm})
    return replace(key, private=private, kid=thumbprint(public_jwk(key)))
