"""Peers that protect a Flask view."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import jwt
from authlib.integrations.flask_oauth2 import (  # type: ignore[import-untyped]
    ResourceProtector,
)
from authlib.oauth2.rfc6750 import BearerTokenValidator  # type: ignore[import-untyped]
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from flask_jwt_extended import (  # type: ignore[import-not-found]
    JWTManager,
    create_access_token,
    jwt_required,
)
from joserfc.jwk import KeySet, RSAKey

from benchmarks.parts import authenticator_of, bearer_call, canned_authenticator, new_token
from benchmarks.peers import Call, Peer, padded, rounds_asked_for, run
from benchmarks.peers.introspection import AuthlibIntrospection
from benchmarks.signed import pinned_verifier, signer
from benchmarks.upstream import running
from tokenward.flask import Tokenward, login_required

if TYPE_CHECKING:
    from tokenward import Authenticator

ISSUER = "https://issuer.example"


class _Stored:
    """A token as an application of Authlib keeps it."""

    def is_expired(self) -> bool:
        return time.time() > 4_102_444_800

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return "orders:read orders:write"


class _Dictionary(BearerTokenValidator):  # type: ignore[misc] # untyped
    def __init__(self, tokens: dict[str, _Stored]) -> None:
        super().__init__()
        self._tokens = tokens

    def authenticate_token(self, token_string: str) -> _Stored | None:
        return self._tokens.get(token_string)


class _Signed(JWTBearerTokenValidator):  # type: ignore[misc] # untyped
    def __init__(self, keys: KeySet) -> None:
        super().__init__(ISSUER, "bench")
        self._keys = keys

    def get_jwks(self) -> KeySet:
        return self._keys


def peers(url: str) -> Iterator[Peer]:
    """Yield the peers; ``url`` is an introspection endpoint."""
    plain, token = _plain(), new_token()
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)

    def peer(package: str, does: str, call: Call, algorithm: str = "", **more: Any) -> Peer:
        anew = (algorithm, verified_anew[algorithm]) if algorithm else None
        return Peer("Flask", package, does, call, plain, tokenward, anew, **more)

    tokenward = _tokenward(canned_authenticator(), token)
    verified_anew = {algorithm: _anew(algorithm) for algorithm in ("HS256", "RS256")}
    for algorithm in verified_anew:
        call = _jwt_extended(algorithm, key)
        yield peer("Flask-JWT-Extended", algorithm, call, algorithm)
    signed, keys = _signed(key)
    yield peer("Authlib", "RS256, the keys at hand", _authlib(_Signed(keys), signed), "RS256")
    found = _Dictionary({token: _Stored()})
    yield peer("Authlib", "a token that is in a dict", _authlib(found, token))
    asking = _authlib(AuthlibIntrospection(url), token)
    does, case = (
        "introspection, an endpoint at 0 ms",
        "likewise, by the wall clock, beside who asks every time",
    )
    yield peer("Authlib", does, asking, waits=True, case=case)


def _view() -> dict[str, str]:
    return {"for": "anybody"}


def _calling(app: Flask, view: Callable[[], Any], token: str) -> Call:
    app.add_url_rule("/", view_func=view)
    return bearer_call(app, "/", token)


def _plain() -> Call:
    return _calling(Flask("plain"), _view, new_token())


def _tokenward(authenticator: Authenticator, token: str) -> Call:
    app = Flask("tokenward")
    Tokenward().init_app(app, authenticator=authenticator)
    return _calling(app, login_required(_view), token)


def _anew(algorithm: str) -> Call:
    by = signer(algorithm)
    verifier = pinned_verifier(by, cache_entries=0)
    return _tokenward(authenticator_of(verifier), by.token())


def _jwt_extended(algorithm: str, key: rsa.RSAPrivateKey) -> Call:
    app = Flask("flask_jwt_extended")
    app.config |= {
        "JWT_ALGORITHM": algorithm,
        "JWT_SECRET_KEY": "of the benchmarks, and of no use elsewhere",
        "JWT_PRIVATE_KEY": key,
        "JWT_PUBLIC_KEY": key.public_key(),
        "JWT_ACCESS_TOKEN_EXPIRES": False,
    }
    JWTManager(app)

    def mint(padding: str) -> str:
        with app.app_context():
            more = {"scope": "orders:read orders:write", "padding": padding}
            token: str = create_access_token("alice", additional_claims=more)
        return token

    return _calling(app, jwt_required()(_view), padded(mint))


def _signed(key: rsa.RSAPrivateKey) -> tuple[str, KeySet]:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "bench",
        "sub": "alice",
        "client_id": "bench",
        "iat": now,
        "exp": now + 86_400,
        "jti": "1",
        "scope": "orders:read orders:write",
    }

    def mint(padding: str) -> str:
        headers = {"typ": "at+jwt", "kid": "1"}
        return jwt.encode(claims | {"padding": padding}, key, "RS256", headers)

    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return padded(mint), KeySet([RSAKey.import_key(public, {"kid": "1"})])


def _authlib(validator: Any, token: str) -> Call:
    protected = ResourceProtector()
    protected.register_token_validator(validator)
    return _calling(Flask("authlib"), protected()(_view), token)


if __name__ == "__main__":
    with running() as upstream:
        run(peers(upstream.url()), rounds_asked_for()[1])
