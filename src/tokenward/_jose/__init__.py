"""JOSE: the strict reading, checking and making of signed tokens and of the keys for it.

The only package that knows PyJWT, whose algorithm objects do the mathematics. Its parsing is not
used: it takes what RFC 7515 forbids (other alphabets, padding, duplicate members).

=============  ===============================================================================
`algorithms`   which algorithms there are, and base64url
`jwk`          a key as JSON (RFC 7517, 7518, 7638, 8037)
`keyset`       many of them, and which one a token means (RFC 7517)
`private`      private keys: made, written to PEM and read back
`jws`          tokens: parsed, verified, signed (RFC 7515, 7519)
=============  ===============================================================================
"""

from tokenward._jose.algorithms import (
    ASYMMETRIC,
    SUPPORTED,
    check_algorithms,
    decode,
    encode,
)
from tokenward._jose.jwk import JWKError, Key, key_from_jwk, public_jwk, thumbprint
from tokenward._jose.jws import MAX_TOKEN_BYTES, Unverified, parse, sign, verify
from tokenward._jose.keyset import MAX_ENTRIES, MAX_KEYS, KeySet, Skipped, parse_key_set
from tokenward._jose.private import from_pem, generate_key, to_pem

__all__ = [
    "ASYMMETRIC",
    "MAX_ENTRIES",
    "MAX_KEYS",
    "MAX_TOKEN_BYTES",
    "SUPPORTED",
    "JWKError",
    "Key",
    "KeySet",
    "Skipped",
    "Unverified",
    "check_algorithms",
    "decode",
    "encode",
    "from_pem",
    "generate_key",
    "key_from_jwk",
    "parse",
    "parse_key_set",
    "public_jwk",
    "sign",
    "thumbprint",
    "to_pem",
    "verify",
]
