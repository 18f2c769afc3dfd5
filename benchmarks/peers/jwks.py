"""How others verify a signed token: each a function of the token, for synchronous code."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import clasp  # type: ignore[import-not-found]
import jwt
from auth_jwks import JWKS  # type: ignore[import-not-found]
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from flask_jwt_extended import JWTManager, decode_token  # type: ignore[import-not-found]
from joserfc import jwt as jose
from joserfc.jwk import KeySet

from benchmarks.django_site import set_up
from benchmarks.peers.introspection import in_a_kept_loop
from benchmarks.signed import AUDIENCE, ISSUER, Signer

if TYPE_CHECKING:
    from benchmarks.upstream import Upstream

Ask = Callable[[str], object]

AUTHLIB_ALGORITHMS = ("HS256", "RS256", "ES256")
"""Those that its validator of access tokens takes; of `benchmarks.rows.first_verify`."""

AUTH_JWKS_ALGORITHMS = ("RS256", "ES256")
"""Those it has."""


def joserfc(by: Signer) -> Ask:
    """Verify with the key at hand, then check the claims, as its documentation has it."""
    keys = KeySet.import_key_set(by.jwks)  # type: ignore[arg-type] # a JWK Set
    registry = jose.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    )

    def ask(token: str) -> object:
        decoded = jose.decode(token, keys, algorithms=[by.algorithm])
        registry.validate(decoded.claims)
        return decoded.claims

    return ask


def authlib(by: Signer) -> Ask:
    """Verify an access token by RFC 9068, with the key at hand."""
    validator = AtHand(KeySet.import_key_set(by.jwks))  # type: ignore[arg-type] # a JWK Set

    def ask(token: str) -> object:
        claims = validator.authenticate_token(token)
        validator.validate_token(claims, ["orders:read"], None)
        return claims

    return ask


class AtHand(JWTBearerTokenValidator):  # type: ignore[misc] # untyped
    """Authlib's validator of access tokens, with the keys at hand."""

    def __init__(self, keys: KeySet) -> None:
        super().__init__(ISSUER, AUDIENCE)
        self._keys = keys

    def get_jwks(self) -> KeySet:
        """Return the keys."""
        return self._keys


def flask_jwt_extended(by: Signer) -> Ask:
    """Decode, in the context of an application, with the key at hand."""
    app = Flask("flask_jwt_extended")
    app.config |= {
        "JWT_ALGORITHM": by.algorithm,
        "JWT_SECRET_KEY": by.verifying,
        "JWT_PUBLIC_KEY": by.verifying,
        "JWT_DECODE_AUDIENCE": AUDIENCE,
        "JWT_DECODE_ISSUER": ISSUER,
    }
    JWTManager(app)

    def ask(token: str) -> object:
        with app.app_context():
            return decode_token(token)

    return ask


def simplejwt(by: Signer) -> Ask:
    """Decode with the key at hand."""
    set_up()
    from rest_framework_simplejwt.backends import (  # type: ignore[import-not-found] # noqa: PLC0415
        TokenBackend,
    )

    keys = {"signing_key": by.verifying, "verifying_key": by.verifying}
    decode: Ask = TokenBackend(by.algorithm, **keys, audience=AUDIENCE, issuer=ISSUER).decode
    return decode


def simplejwt_client(by: Signer, upstream: Upstream, delay: float = 0) -> Ask:
    """Have simplejwt look for the key by its ``JWK_URL``, then decode."""
    set_up()
    from rest_framework_simplejwt.backends import TokenBackend  # noqa: PLC0415

    url = upstream.publish(by.jwks, delay=delay)
    given = {"audience": AUDIENCE, "issuer": ISSUER, "jwk_url": url}
    decode: Ask = TokenBackend(by.algorithm, **given).decode
    return decode


def jwk_client(by: Signer, upstream: Upstream, delay: float = 0) -> Ask:
    """Have PyJWT's client look for the key among those that were fetched, then decode."""
    client = jwt.PyJWKClient(upstream.publish(by.jwks, delay=delay))
    algorithms = [by.algorithm]

    def ask(token: str) -> object:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms=algorithms, audience=AUDIENCE, issuer=ISSUER)

    return ask


def auth_jwks(by: Signer, upstream: Upstream, delay: float = 0) -> SimpleNamespace:
    """Return what has a ``verify`` that is a coroutine function, as swarmauri's service has."""
    url = upstream.publish(by.jwks, delay=delay)
    return SimpleNamespace(verify=JWKS(jwks_uri=url, issuer=ISSUER, aud=AUDIENCE).verify_token)


def fetched(service: SimpleNamespace, token: str) -> SimpleNamespace:
    """Have the keys fetched: from then on a known one waits for nothing."""
    in_a_kept_loop(service)(token)
    return service


def clasp_key(by: Signer) -> Ask:
    """Verify with the key at hand; its claims are a string of JSON, and a token has no ``aud``."""
    key = _clasp_key(by)
    return lambda token: json.loads(key.verify(token))


def clasp_client(by: Signer, upstream: Upstream, delay: float = 0) -> Ask:
    """Verify with the key that was fetched."""
    client, algorithm = clasp.JwksClient(upstream.publish(by.jwks, delay=delay)), by.algorithm
    return lambda token: json.loads(client.verify(token, algorithm))


def _clasp_key(by: Signer) -> Any:
    if by.key.kty == "oct":
        return clasp.SymmetricKey(by.verifying, by.algorithm)
    pem = by.verifying.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    make = {
        "RSA": clasp.AsymmetricKey.from_rsa_pem,
        "EC": clasp.AsymmetricKey.from_ec_pem,
        "OKP": clasp.AsymmetricKey.from_ed_pem,
    }
    return make[by.key.kty](pem, by.algorithm)
