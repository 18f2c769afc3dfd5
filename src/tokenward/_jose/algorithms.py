"""The algorithms (RFC 7518, section 3; RFC 8037), and base64url as RFC 7515 means it."""

from __future__ import annotations

import binascii
from collections.abc import Collection

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

from tokenward._log import shown
from tokenward.errors import ConfigurationError

SYMMETRIC = frozenset({"HS256", "HS384", "HS512"})
ASYMMETRIC = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
SUPPORTED = SYMMETRIC | ASYMMETRIC
"""Every ``alg`` a token may have. There is no way to add ``none``."""

ALGORITHMS: dict[str, Algorithm] = {
    name: algorithm for name, algorithm in get_default_algorithms().items() if name in SUPPORTED
}

FOREIGN_ERRORS = (
    ValueError,
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    UnsupportedAlgorithm,
    InternalError,
    PyJWTError,
)
"""What PyJWT and cryptography raise at keys and signatures from outside."""

# "+", "/" and "=" are not in the URL-safe alphabet: they become what the strict decoder refuses.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING = (b"", b"", b"==", b"=")
# The characters that can end a segment whose last character carries spare bits, all zero.
_LAST = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")


def check_algorithms(algorithms: Collection[str]) -> frozenset[str]:
    """Return an allow-list of ``alg`` values (RFC 8725, sections 3.1 and 3.2).

    Raises:
        ConfigurationError: It is empty, holds an unknown name, or has HMAC beside signatures: then
            somebody's public key could be taken for a shared secret.
    """
    if isinstance(algorithms, str):
        raise ConfigurationError(f"algorithms is a list of names; write [{algorithms!r}].")
    if not isinstance(algorithms, Collection):
        raise ConfigurationError("algorithms is a list of names, such as ['ES256'].")
    if not algorithms:
        raise ConfigurationError("algorithms must name at least one algorithm, such as 'ES256'.")
    given: Collection[object] = algorithms
    unknown = sorted(
        shown(name) for name in given if not isinstance(name, str) or name not in SUPPORTED
    )
    if unknown:
        raise ConfigurationError(
            f"algorithms has {', '.join(unknown)}; choose from {', '.join(sorted(SUPPORTED))}."
        )
    names = frozenset(algorithms)
    if names & SYMMETRIC and names & ASYMMETRIC:
        raise ConfigurationError(
            "algorithms mixes HS* with public-key algorithms; give each its own verifier."
        )
    return names


def decode(segment: bytes) -> bytes:
    """Decode canonical, unpadded base64url (RFC 7515, section 2).

    Raises:
        ValueError: Padding, white space, another alphabet, or spare bits that are not zero: two
            texts would stand for one value.
    """
    tail = len(segment) % 4
    if tail and segment[-1] not in _LAST[tail]:
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(segment.translate(_TO_STANDARD) + _PADDING[tail], strict_mode=True)


def encode(data: bytes) -> str:
    """Encode ``data`` as unpadded base64url (RFC 7515, section 2)."""
    text = binascii.b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")
    return text.replace("+", "-").replace("/", "_")
