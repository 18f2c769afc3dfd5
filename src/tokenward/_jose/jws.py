"""Signed tokens in compact form: parsed, verified, signed (RFC 7515, RFC 7519, RFC 8725)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tokenward import _json
from tokenward._jose.algorithms import ALGORITHMS, FOREIGN_ERRORS, SUPPORTED, decode, encode
from tokenward._jose.jwk import MAX_KID_CHARACTERS, JWKError, Key
from tokenward._log import shown
from tokenward.errors import InvalidSignature, InvalidToken

if TYPE_CHECKING:
    from tokenward._jose.keyset import KeySet

MAX_TOKEN_BYTES: Final = 16_384
"""Larger tokens are refused before anything of them is decoded."""

_PSS = frozenset({"PS256", "PS384", "PS512"})
_SEGMENTS = 3
_JWE_SEGMENTS = 5
_HEADERS_REMEMBERED = 64


class Unverified(NamedTuple):
    """What a token says, before anybody checked who says it.

    Attributes:
        header: The protected header.
        claims: The payload.
        alg: A supported algorithm.
        kid: The key it claims to be signed with.
        signing_input: What the signature is over.
        signature: The signature.
    """

    header: Mapping[str, Any]
    claims: dict[str, Any]
    alg: str
    kid: str | None
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Unverified(alg={self.alg!r})"


def parse(
    token: object,
    *,
    max_bytes: int = MAX_TOKEN_BYTES,
    algorithms: frozenset[str] | None = SUPPORTED,
) -> Unverified:
    """Read a token strictly, without checking its signature.

    Header members that carry or point to keys (``jwk``, ``jku``, ``x5c``, ``x5u``) mean nothing
    here (RFC 8725, section 3.10).

    Args:
        token: The compact form, without a scheme.
        max_bytes: The largest token to look at.
        algorithms: The allow-list, as `check_algorithms` returned it; ``None`` for who only wants
            to know whose the token says it is.

    Raises:
        InvalidToken: With the reason ``malformed``, ``too_large``, ``algorithm`` or
            ``critical_header``. Nothing else is raised, whatever the input.
    """
    if not isinstance(token, str) or not token.isascii():
        raise _malformed("a token is a string of ASCII characters")
    if len(token) > max_bytes:
        hint = f"the token has {len(token)} bytes; at most {max_bytes} are looked at"
        raise InvalidToken(hint, reason="too_large")
    octets = token.encode("ascii")
    segments = octets.split(b".", _JWE_SEGMENTS)
    if len(segments) != _SEGMENTS:
        what = "an encrypted token" if len(segments) == _JWE_SEGMENTS else "not a signed token"
        raise _malformed(f"{what}: a JWT in compact form has three segments")
    first, second, third = segments
    try:
        header, alg, kid = _read_header(first, algorithms)
        claims = _json.loads(decode(second))
        signature = decode(third)
    except (ValueError, MemoryError) as error:
        raise _malformed(f"a segment of the token cannot be read: {error}") from None
    if not signature:
        raise _malformed("the token has no signature")
    signing_input = octets[: -len(third) - 1]
    return Unverified(header, claims, alg, kid, signing_input, signature)


# The tokens of an issuer begin alike, and a header says the same each time it is read.
@lru_cache(maxsize=_HEADERS_REMEMBERED)
def _read_header(
    segment: bytes, algorithms: frozenset[str] | None
) -> tuple[Mapping[str, Any], str, str | None]:
    header = _json.loads(decode(segment))
    alg, kid = _check_header(header, algorithms)
    return MappingProxyType(header), alg, kid


def _check_header(
    header: Mapping[str, Any], algorithms: frozenset[str] | None
) -> tuple[str, str | None]:
    alg = header.get("alg")
    allowed = isinstance(alg, str) and (
        alg.lower() != "none" if algorithms is None else alg in algorithms
    )
    if not isinstance(alg, str) or not allowed:
        expected = ", ".join(sorted(algorithms or SUPPORTED))
        hint = f"expected an alg of {expected}, got {shown(alg)}"
        raise InvalidToken(hint, reason="algorithm")
    if "crit" in header or "b64" in header:
        hint = (
            f"no extension is understood, got crit {shown(header.get('crit'))} (RFC 7515, 4.1.11)"
        )
        raise InvalidToken(hint, reason="critical_header")
    if "kid" not in header:
        return alg, None
    kid = header["kid"]
    if not isinstance(kid, str) or len(kid) > MAX_KID_CHARACTERS:
        raise _malformed(f"kid is not a string of at most {MAX_KID_CHARACTERS} characters")
    return alg, kid


def verify(unverified: Unverified, key_set: KeySet, *, algorithms: frozenset[str]) -> None:
    """Check the signature with the one key of ``key_set`` that the token means.

    Args:
        unverified: What `parse` returned.
        key_set: The issuer's keys.
        algorithms: The allow-list, as `check_algorithms` returned it.

    Raises:
        InvalidSignature: It is not the key's signature over this content.
        InvalidToken: With the reason ``algorithm``, ``unknown_key`` or ``ambiguous_key``.
    """
    alg = unverified.alg
    if alg not in algorithms:
        hint = f"expected an alg of {', '.join(sorted(algorithms))}, got {alg}"
        raise InvalidToken(hint, reason="algorithm")
    key = key_set.select(alg, unverified.kid)
    signature = unverified.signature
    try:
        # OpenSSL takes an RSASSA-PSS signature without its leading zeros: a second spelling of the
        # token, which nobody would know to be revoked (RFC 8017, section 8.1.2).
        if alg in _PSS and len(signature) * 8 < key.verifying.key_size:
            raise ValueError("a signature has the length of the modulus")
        good = ALGORITHMS[alg].verify(unverified.signing_input, key.verifying, signature)
    except FOREIGN_ERRORS:
        good = False
    if not good:
        hint = f"the {alg} signature is not that of the {key.kty} key {shown(key.kid)}"
        raise InvalidSignature(hint)


def sign(claims: Mapping[str, Any], key: Key, *, typ: str = "JWT") -> str:
    """Sign ``claims`` and return the compact form.

    Args:
        claims: The payload; JSON types only.
        key: A key with its private half, bound to one algorithm.
        typ: The header's ``typ``, such as ``at+jwt`` (RFC 9068, section 2.1).

    Raises:
        JWKError: The key cannot sign, or is not bound to one algorithm.
        ValueError: ``claims`` is not JSON (NaN, a lone surrogate).
        TypeError: ``claims`` is not JSON (another type).
    """
    if key.algorithm is None or key.private is None:
        raise JWKError("signing needs a private key that is bound to one algorithm")
    header = {"alg": key.algorithm, "typ": typ}
    if key.kid is not None:
        header["kid"] = key.kid
    signing_input = f"{_segment(header)}.{_segment(claims)}"
    signature = ALGORITHMS[key.algorithm].sign(signing_input.encode("ascii"), key.private)
    return f"{signing_input}.{encode(signature)}"


def _segment(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return encode(text.encode("utf-8"))


def _malformed(hint: str) -> InvalidToken:
    return InvalidToken(hint, reason="malformed")
