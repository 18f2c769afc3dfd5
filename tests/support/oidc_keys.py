"""Keys for oidc-provider and its clients: made, and written as it reads them."""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm


def new_keys():
    """Make a private key for each algorithm that answers are signed with."""
    # One RSA key for both of its algorithms: no "alg" in its JWK says which.
    rsa_key = rsa.generate_private_key(65537, 2048)
    return {
        "RS256": rsa_key,
        "PS256": rsa_key,
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def new_jwks():
    """Make the private JWKs of a provider that signs access tokens with every algorithm."""
    # Those for SIGNING first, then one for each other algorithm that needs a key of its own.
    more = [ec.generate_private_key(curve()) for curve in (ec.SECP384R1, ec.SECP521R1)]
    return [as_jwk(key) for key in [*distinct(new_keys()), *more]]


def distinct(keys):
    """Return each key once."""
    return list(dict.fromkeys(keys.values()))


def pem(key):
    """Return a private key as PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def as_jwk(key, *, private=True):
    """Return a private key as a JWK, or its public half (RFC 7517)."""
    shown = key if private else key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        jwk = RSAAlgorithm.to_jwk(shown, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        jwk = ECAlgorithm.to_jwk(shown, as_dict=True)
    else:
        jwk = OKPAlgorithm.to_jwk(shown, as_dict=True)
    jwk.pop("key_ops", None)
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {**jwk, "use": "sig", "kid": sha256(der).hexdigest()[:16]}


def certificate_jwk(path):
    """Return a certificate's public key as a JWK that holds the certificate too."""
    certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()
    jwk = ECAlgorithm.to_jwk(certificate.public_key(), as_dict=True)
    x5c = [base64.b64encode(der).decode()]
    return {**jwk, "use": "sig", "x5c": x5c, "x5t#S256": thumbprint}
