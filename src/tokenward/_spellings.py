"""What stands for a token where the token itself must not, and every string that is the same token.

Caches, the shared store and the revocation bus know a token by its SHA-256 digest alone.

An ECDSA signature (r, s) has a twin, (r, n - s), that verifies as well and says the same (SEC 1,
section 4.1.4). Whoever holds a token can make it, and present it where the first is known to be
revoked by its digest.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

from tokenward.errors import InvalidToken

# The orders of P-256, P-384 and P-521 (FIPS 186-4, D.1.2), and the bytes of each half.
_P256 = 2**256 - 2**224 + 2**192 - 0x4319055258E8617B0C46353D039CDAAF
_P384 = 2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D
_P521 = 2**521 - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7
_ORDERS: Final = {"ES256": (_P256, 32), "ES384": (_P384, 48), "ES512": (_P521, 66)}


# A copy costs less than a new one, which OpenSSL has to look up.
_blank = sha256().copy


def digest_of(token: str) -> bytes:
    """Return the digest that stands for ``token``.

    Raises:
        InvalidToken: It is no string, or none that can be encoded.
    """
    try:
        made = _blank()
        made.update(token.encode())
        return made.digest()
    except (AttributeError, TypeError, UnicodeEncodeError):
        hint = "the token is not a string of visible ASCII characters"
        raise InvalidToken(hint, reason="malformed") from None


def digests_of(token: object) -> tuple[bytes, ...]:
    """Return the digests of all `spellings` of ``token``; none of what can be no token."""
    if not isinstance(token, str):
        return ()
    try:
        return tuple(digest_of(spelling) for spelling in spellings(token))
    except InvalidToken:
        return ()


def spellings(token: str) -> tuple[str, ...]:
    """Return ``token``, and its twin if it is signed with ECDSA; never raises."""
    signed, dot, last = token.rpartition(".")
    header, dots, _ = signed.partition(".")
    if not dot or not dots:
        return (token,)
    try:
        alg = json.loads(_decoded(header)).get("alg")
        order, size = _ORDERS[alg]
        signature = _decoded(last)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, binascii.Error):
        return (token,)
    s = int.from_bytes(signature[size:], "big")
    if len(signature) != 2 * size or not 0 < s < order:
        return (token,)
    twin = signature[:size] + (order - s).to_bytes(size, "big")
    return (token, f"{signed}.{urlsafe_b64encode(twin).rstrip(b'=').decode()}")


def _decoded(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
