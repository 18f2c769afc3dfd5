"""Keys as JSON: one JWK, and its thumbprint (RFC 7517, RFC 7518 section 6, RFC 7638, RFC 8037)."""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from tokenward._jose.algorithms import ALGORITHMS, FOREIGN_ERRORS, SYMMETRIC, decode, encode
from tokenward._log import shown

MAX_KID_CHARACTERS: Final = 1_024
MIN_RSA_BITS: Final = 2_048
MAX_RSA_BITS: Final = 8_192

# A larger exponent makes every verification slow, and OpenSSL refuses it beside a large modulus.
_MAX_EXPONENT_BYTES = 8
# Some libraries put a zero octet before a modulus (RFC 7518, section 6.3.1.1).
_MAX_MODULUS_BYTES = MAX_RSA_BITS // 8 + 1

_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {
    ("EC", "P-256"): ("ES256", 32),
    ("EC", "P-384"): ("ES384", 48),
    ("EC", "P-521"): ("ES512", 66),
    ("OKP", "Ed25519"): ("EdDSA", 32),
}
_P25519 = 2**255 - 19
# The y of the eight points of edwards25519 whose order divides 8. A signature under such a key is
# good for many messages (RFC 8032, section 8.7).
_Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _P25519 - 1, _Y8, _P25519 - _Y8})
_HASH_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# What identifies a key, in the lexicographic order that RFC 7638, section 3.2 asks for.
_REQUIRED = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}


class JWKError(ValueError):
    """A JWK or a JWK Set cannot be used; the message says why and holds no key material.

    For a document that was fetched the caller turns this into `AuthServiceUnavailable`; for one
    from the configuration, into `ConfigurationError`.
    """


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Key:
    """A key with everything that limits its use already checked.

    Attributes:
        kty: ``RSA``, ``EC``, ``OKP`` or ``oct``.
        algorithms: The ``alg`` values it may be used with.
        public: The public key; ``None`` for ``oct``, which has no public half.
        private: The private key, or the secret of an ``oct`` key; ``None`` where it is not known.
        kid: Its name in a set.
        algorithm: The one algorithm it is bound to; ``None`` where the JWK names none.
    """

    kty: str
    algorithms: frozenset[str]
    public: Any
    private: Any = None
    kid: str | None = None
    algorithm: str | None = None

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r}, kty={self.kty!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not pickled")

    @property
    def verifying(self) -> Any:
        """What a signature is checked with."""
        return self.private if self.kty == "oct" else self.public


def key_from_jwk(jwk: object, *, allow_symmetric: bool = False) -> Key:
    """Read one key to verify with (RFC 7517, section 4).

    Raises:
        JWKError: It is malformed, weak, private, not for signatures, or of an unknown kind.
    """
    if not isinstance(jwk, Mapping):
        raise JWKError("not an object")
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _REQUIRED:
        raise JWKError(f"kty {shown(kty)} is not one of {', '.join(_REQUIRED)}")
    kid = _check_use(jwk)
    if kty == "oct":
        key = _symmetric(jwk) if allow_symmetric else _refuse("a symmetric key in a public set")
    elif _PRIVATE_MEMBERS.intersection(jwk):
        raise JWKError("private members in a public set; its owner must replace this key")
    else:
        key = _rsa(jwk) if kty == "RSA" else _on_curve(jwk, kty)
    if "alg" not in jwk:
        return replace(key, kid=kid)
    alg = jwk["alg"]
    if not isinstance(alg, str) or alg not in key.algorithms:
        raise JWKError(f"alg {shown(alg)} does not belong to this key")
    return replace(key, kid=kid, algorithm=alg, algorithms=frozenset({alg}))


def public_jwk(key: Key) -> dict[str, Any]:
    """Return the public half as a JWK with ``kid``, ``alg`` and ``use`` (RFC 7517, section 4).

    Raises:
        JWKError: The key is symmetric: there is nothing to publish.
    """
    if key.kty == "oct":
        raise JWKError("a symmetric key is never published")
    members: dict[str, Any] = dict(ALGORITHMS[min(key.algorithms)].to_jwk(key.public, as_dict=True))
    jwk = {name: members[name] for name in ("kty", *_REQUIRED[key.kty])}
    if key.kid is not None:
        jwk["kid"] = key.kid
    if key.algorithm is not None:
        jwk["alg"] = key.algorithm
    jwk["use"] = "sig"
    return jwk


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the SHA-256 thumbprint (RFC 7638, section 3), base64url.

    Raises:
        JWKError: A member that the thumbprint is made of is missing.
    """
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _REQUIRED:
        raise JWKError("a thumbprint needs a known kty")
    members = {name: jwk.get(name) for name in _REQUIRED[kty]}
    if not all(isinstance(value, str) for value in members.values()):
        raise JWKError(f"a thumbprint of this kty needs {', '.join(members)}")
    text = json.dumps(members, separators=(",", ":"), ensure_ascii=False)
    return encode(hashlib.sha256(text.encode("utf-8")).digest())


def _refuse(reason: str) -> NoReturn:
    raise JWKError(reason)


def _check_use(jwk: Mapping[str, Any]) -> str | None:
    if "use" in jwk and jwk["use"] != "sig":
        raise JWKError(f"use is {shown(jwk['use'])}, not sig")
    if "key_ops" in jwk:
        operations = jwk["key_ops"]
        if not isinstance(operations, list | tuple) or "verify" not in operations:
            raise JWKError("key_ops does not list verify")
    if "kid" not in jwk:
        return None
    kid = jwk["kid"]
    if not isinstance(kid, str) or len(kid) > MAX_KID_CHARACTERS:
        raise JWKError(f"kid is not a string of at most {MAX_KID_CHARACTERS} characters")
    return kid


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    try:
        if isinstance(value, str) and value:
            return decode(value.encode("ascii"))
    except ValueError:
        pass
    raise JWKError(f"{name} is not base64url")


def _symmetric(jwk: Mapping[str, Any]) -> Key:
    secret = _octets(jwk, "k")
    fitting = frozenset(alg for alg in SYMMETRIC if len(secret) >= _HASH_BYTES[alg])
    if not fitting:
        raise JWKError(f"k has {len(secret)} bytes; HS256 needs 32 (RFC 7518, section 3.2)")
    # Somebody's public key is not a secret, in whatever form it is shown.
    for text in (secret, _der_in(secret)):
        try:
            # Refuses PEM, DER, SSH and JWK texts.
            ALGORITHMS["HS256"].prepare_key(text)
        except FOREIGN_ERRORS:
            raise JWKError("k holds a public key or a JWK, which is not a secret") from None
    return Key("oct", fitting, None, secret)


def _der_in(secret: bytes) -> bytes:
    """Return what is base64 in a secret; some servers show a key so, without the lines of PEM."""
    try:
        return binascii.a2b_base64(b"".join(secret.split()), strict_mode=True)
    except ValueError:
        return secret


def _rsa(jwk: Mapping[str, Any]) -> Key:
    if len(_octets(jwk, "n")) > _MAX_MODULUS_BYTES:
        raise JWKError(f"n has more than {MAX_RSA_BITS} bits")
    if len(_octets(jwk, "e")) > _MAX_EXPONENT_BYTES:
        raise JWKError(f"e has more than {_MAX_EXPONENT_BYTES * 8} bits")
    public = _build("RS256", jwk)
    if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        raise JWKError(
            f"n has {public.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
        )
    return Key("RSA", _RSA_ALGORITHMS, public)


def _on_curve(jwk: Mapping[str, Any], kty: str) -> Key:
    crv = jwk.get("crv")
    if not isinstance(crv, str) or (kty, crv) not in _CURVES:
        raise JWKError(f"crv {shown(crv)} is not supported for {kty}")
    alg, size = _CURVES[kty, crv]
    for name in ("x", "y") if kty == "EC" else ("x",):
        if len(_octets(jwk, name)) != size:
            raise JWKError(f"{name} has not the {size} bytes of {crv}")
    if kty == "OKP" and _y_of(_octets(jwk, "x")) in _SMALL_ORDER:
        raise JWKError("x is a point of small order: anybody could sign for this key")
    return Key(kty, frozenset({alg}), _build(alg, jwk))


def _y_of(encoded: bytes) -> int:
    # RFC 8032, section 5.1.2: the most significant bit is that of x.
    return (int.from_bytes(encoded, "little") & ~(1 << 255)) % _P25519


def _build(alg: str, jwk: Mapping[str, Any]) -> Any:
    members = {name: jwk[name] for name in _REQUIRED[jwk["kty"]]}
    try:
        return ALGORITHMS[alg].from_jwk(members)
    except FOREIGN_ERRORS:
        raise JWKError("the numbers are no key of this kind (a point off its curve?)") from None
