"""How others verify a signed token: each a function of the token, for synchronous code."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import clasp  # type: ignore[import-not-found]
import jwt
from auth_jwks import JWKS  # type: ignore[import-not-found]
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt as jose
from joserfc.jwk import KeySet

from benchmarks.peers.introspection import in_a_kept_loop
from benchmarks.signed import AUDIENCE, ISSUER, Signer

if TYPE_CHECKING:
    from benchmarks.upstream import Upstream

Ask = Callable[[str], object]

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


def jwk_client(by: Signer, upstream: Upstream) -> Ask:
    """Have PyJWT's client look for the key among those that were fetched, then decode."""
    client = jwt.PyJWKClient(upstream.publish(by.jwks))
    algorithms = [by.algorithm]

    def ask(token: str) -> object:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms=algorithms, audience=AUDIENCE, issuer=ISSUER)

    return ask


def auth_jwks(by: Signer, upstream: Upstream) -> SimpleNamespace:
    """Return what has a ``verify`` that is a coroutine function, as swarmauri's service has."""
    url = upstream.publish(by.jwks)
    return SimpleNamespace(verify=JWKS(jwks_uri=url, issuer=ISSUER, aud=AUDIENCE).verify_token)


def fetched(service: SimpleNamespace, token: str) -> SimpleNamespace:
    """Have the keys fetched: from then on a known one waits for nothing."""
    in_a_kept_loop(service)(token)
    return service


def clasp_key(by: Signer) -> Ask:
    """Verify with the key at hand; its claims are a string of JSON, and a token has no ``aud``."""
    key = _clasp_key(by)
    return lambda token: json.loads(key.verify(token))


def clasp_client(by: Signer, upstream: Upstream) -> Ask:
    """Verify with the key that was fetched."""
    client, algorithm = clasp.JwksClient(upstream.publish(by.jwks)), by.algorithm
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
