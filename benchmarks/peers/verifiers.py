"""Everybody who verifies a signed token, by a short name with the release."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING

from benchmarks.parts import TOKEN_CHARACTERS
from benchmarks.peers.introspection import by_hand, in_a_kept_loop
from benchmarks.peers.jwks import (
    AUTH_JWKS_ALGORITHMS,
    AUTHLIB_ALGORITHMS,
    Ask,
    auth_jwks,
    authlib,
    clasp_key,
    fetched,
    flask_jwt_extended,
    joserfc,
    jwk_client,
    simplejwt,
)
from benchmarks.signed import Signer, pyjwt_decode

if TYPE_CHECKING:
    from benchmarks.upstream import Upstream

AUTHLIB = f"Authlib {metadata.version('Authlib')}"
AUTH_JWKS = f"auth-jwks {metadata.version('auth-jwks')}"
CLASP = f"clasp-jwt {metadata.version('clasp-jwt')}"
FLASK_JWT_EXTENDED = f"Flask-JWT-Extended {metadata.version('Flask-JWT-Extended')}"
JOSERFC = f"joserfc {metadata.version('joserfc')}"
JWK_CLIENT = f"PyJWKClient {metadata.version('PyJWT')}"
PYJWT = f"PyJWT {metadata.version('PyJWT')}, decode"
SIMPLEJWT = f"simplejwt {metadata.version('djangorestframework-simplejwt')}"


def verifiers(
    by: Signer,
    upstream: Upstream,
    token: str,
    *,
    characters: int = TOKEN_CHARACTERS,
    for_threads: bool = False,
) -> dict[str, Callable[[], object]]:
    """Return, for each, a function that verifies a token which it knows the key of.

    Args:
        by: Who signed it.
        upstream: Publishes the key, for those who fetch it.
        token: The token.
        characters: Its length; clasp-jwt refuses every ``aud`` and so gets one of its own.
        for_threads: Leave out whom only one thread may call.
    """
    asks: dict[str, Ask] = {
        PYJWT: pyjwt_decode(by),
        JOSERFC: joserfc(by),
        JWK_CLIENT: jwk_client(by, upstream),
        FLASK_JWT_EXTENDED: flask_jwt_extended(by),
        SIMPLEJWT: simplejwt(by),
    }
    if by.algorithm in AUTHLIB_ALGORITHMS:
        asks[AUTHLIB] = authlib(by)
    if by.algorithm in AUTH_JWKS_ALGORITHMS:
        asks[f"{AUTH_JWKS}, stepped by hand"] = by_hand(fetched(auth_jwks(by, upstream), token))
        if not for_threads:
            asks[f"{AUTH_JWKS}, in a kept loop"] = in_a_kept_loop(auth_jwks(by, upstream))
    calls = {name: _call(ask, token) for name, ask in asks.items()}
    without_audience = by.token(audience=None, characters=characters)
    return calls | {f"{CLASP}, no aud, iss, nbf": _call(clasp_key(by), without_audience)}


def _call(ask: Ask, token: str) -> Callable[[], object]:
    def call() -> object:
        answer = ask(token)
        if not answer:
            raise RuntimeError("a good token was refused")
        return answer

    return call
