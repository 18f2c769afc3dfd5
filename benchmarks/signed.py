"""Signed tokens (JWT) that several rows measure with, and who verifies them."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jwt

from benchmarks.parts import TOKEN_CHARACTERS
from tokenward import JWKSVerifier, _jose
from tokenward.protocols import Request, Response

ISSUER = "https://issuer.example"
AUDIENCE = "bench"

LONG_CHARACTERS = 5_000
_GROUPS = 80
"""Names of groups in a long token: lists of them are what makes tokens long."""


@dataclass(frozen=True, slots=True)
class Signer:
    """An issuer's key, and the tokens that it signs.

    Attributes:
        key: With its private half.
    """

    key: _jose.Key

    @property
    def algorithm(self) -> str:
        """The one algorithm of the key."""
        return next(iter(self.key.algorithms))

    @property
    def verifying(self) -> Any:
        """What others check its signatures with."""
        return self.key.verifying

    @property
    def jwks(self) -> dict[str, Any]:
        """The key as a JWK Set; a secret too, which nobody publishes."""
        if self.key.kty != "oct":
            return {"keys": [_jose.public_jwk(self.key)]}
        secret = {"kty": "oct", "k": _jose.encode(self.key.private)}
        return {"keys": [secret | {"kid": self.key.kid, "alg": self.algorithm}]}

    def token(
        self,
        *,
        characters: int = TOKEN_CHARACTERS,
        issuer: str = ISSUER,
        audience: str | None = AUDIENCE,
        expires_in: int = 3_600,
        kid: str | None = None,
    ) -> str:
        """Return a new access token by RFC 9068 with the claims that an issuer writes.

        Args:
            characters: Its length, to within a few.
            issuer: Its ``iss``.
            audience: Its ``aud``; ``None``: it has none.
            expires_in: Seconds until it expires.
            kid: The key that it says it is signed with; default the one it is signed with.
        """
        key = self.key if kid is None else replace(self.key, kid=kid)
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": issuer,
            "sub": "3f2a7c1e-9a51-4a0b-8f0a-1f5f1a5c7d10",
            "iat": now,
            "exp": now + expires_in,
            "jti": secrets.token_urlsafe(16),
            "client_id": "shop",
            "scope": "orders:read orders:write",
            "roles": ["editor"],
        }
        if audience is not None:
            claims["aud"] = audience
        if characters >= LONG_CHARACTERS:
            claims["groups"] = [str(uuid.uuid4()) for _ in range(_GROUPS)]
        # Three characters of a claim are four of the token; what is too short already, stays.
        missing = characters - len(_sign(claims | {"note": ""}, key))
        return _sign(claims | {"note": "x" * (missing * 3 // 4)}, key)


def _sign(claims: Mapping[str, Any], key: _jose.Key) -> str:
    return _jose.sign(claims, key, typ="at+jwt")


def signer(algorithm: str) -> Signer:
    """Return an issuer's new key."""
    return Signer(_jose.generate_key(algorithm))


def pinned_verifier(by: Signer, **more: Any) -> JWKSVerifier:
    """Return a verifier that has the key of ``by`` configured.

    Args:
        by: Whose tokens it accepts.
        more: Other arguments of the verifier.
    """
    return JWKSVerifier(ISSUER, audience=AUDIENCE, jwks=by.jwks, algorithms=[by.algorithm], **more)


def pyjwt_decode(by: Signer) -> Callable[[str], object]:
    """Return what most people write: PyJWT, with the key at hand."""
    key, algorithms = by.verifying, [by.algorithm]
    return lambda token: jwt.decode(
        token, key, algorithms=algorithms, audience=AUDIENCE, issuer=ISSUER
    )


class DocumentTransport:
    """Answers with documents, without a socket.

    Args:
        documents: What is at each URL.
    """

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self._documents = {url: json.dumps(dict(what)).encode() for url, what in documents.items()}

    def send(self, request: Request, *, deadline: float) -> Response:
        """Return the document at a URL; 404 where there is none."""
        del deadline
        document = self._documents.get(request.url)
        if document is None:
            return Response(404, {}, b"")
        return Response(200, {"content-type": "application/json"}, document)

    def close(self) -> None:
        """Do nothing: nothing is open."""
