"""Small values sealed for a store that others may read.

Keys are derived from each secret for one purpose by HKDF-SHA-256 (RFC 5869), so that a value sealed
for one purpose never opens for another. `Sealer` is for what is kept: cryptography's `MultiFernet`
(AES-CBC and HMAC-SHA-256). `Box` is for what passes by, and is a fifth of the work: AES-SIV
(RFC 5297), which a nonce that comes twice does not break, over data that says what it belongs to.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Sequence
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tokenward._secrets import check_secrets
from tokenward.errors import ConfigurationError


class Sealer:
    """Seals with the newest of several secrets and opens with any.

    Args:
        secrets: The secrets, newest first; at least 16 bytes each.
        purpose: What the values are, such as ``keys``; also in messages.

    Raises:
        ConfigurationError: There is no secret, or one is too weak.
    """

    __slots__ = ("_box", "_count", "purpose")

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        check_secrets(secrets, purpose)
        self.purpose = purpose
        self._count = len(secrets)
        self._box = MultiFernet([Fernet(_derive(secret, purpose)) for secret in secrets])

    def __repr__(self) -> str:
        return f"Sealer(purpose={self.purpose!r}, secrets={self._count})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Sealer holds secrets and is not pickled")

    def seal(self, value: bytes) -> bytes:
        """Encrypt ``value`` under the newest secret; the result is printable ASCII."""
        return self._box.encrypt(value)

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            ConfigurationError: None of the secrets opens it, or it was changed.
        """
        try:
            return self._box.decrypt(sealed)
        except InvalidToken:
            raise ConfigurationError(
                f"What was sealed for {self.purpose} opens with none of the {self._count} secrets "
                "given. Put the secret that sealed it back into the list, after the newest; if it "
                "is lost, restore a backup or start anew with an empty store."
            ) from None


class Box:
    """Seals values together with what they belong to; opens what any of several secrets sealed.

    Args:
        secrets: The secrets, newest first; at least 16 bytes each.
        purpose: What the values are, such as ``shared cache``; also in messages.

    Raises:
        ConfigurationError: There is no secret, or one is too weak.
    """

    __slots__ = ("_blanks", "_ciphers", "_newest", "purpose")

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        check_secrets(secrets, purpose)
        self.purpose = purpose
        self._ciphers: dict[bytes, AESSIV] = {}
        self._blanks: list[hmac.HMAC] = []
        for secret in secrets:
            length = _KEY_ID_BYTES + _SIV_BYTES + _NAME_BYTES
            material = _expand(secret, f"tokenward box 1 {purpose}", length)
            key_id, rest = material[:_KEY_ID_BYTES], material[_KEY_ID_BYTES:]
            self._ciphers[key_id] = AESSIV(rest[:_SIV_BYTES])
            self._blanks.append(hmac.new(rest[_SIV_BYTES:], digestmod="sha256"))
        self._newest = next(iter(self._ciphers))

    def __repr__(self) -> str:
        return f"Box(purpose={self.purpose!r}, secrets={len(self._blanks)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Box holds secrets and is not pickled")

    def seal(self, value: bytes, bound: bytes = b"") -> bytes:
        """Encrypt ``value`` under the newest secret; it opens with the same ``bound`` only."""
        return _sealed(self._newest, self._ciphers[self._newest], value, bound)

    def seals(self, value: bytes, bound: bytes = b"") -> list[bytes]:
        """Do as `seal` does, under each secret, for readers who do not have the newest yet."""
        return [_sealed(key_id, cipher, value, bound) for key_id, cipher in self._ciphers.items()]

    def open(self, sealed: bytes, bound: bytes = b"") -> bytes | None:
        """Return what was sealed; ``None`` when no secret opens it, or not with this ``bound``."""
        cipher = self._ciphers.get(sealed[:_KEY_ID_BYTES])
        if cipher is None or len(sealed) <= _HEAD_BYTES:
            return None
        try:
            return cipher.decrypt(sealed[_HEAD_BYTES:], [bound, sealed[_KEY_ID_BYTES:_HEAD_BYTES]])
        except (InvalidTag, ValueError):
            return None

    def names(self, value: bytes) -> list[bytes]:
        """Return a name for ``value`` under each secret, newest first.

        Nobody without the secret can compute it.
        """
        return [_named(blank, value) for blank in self._blanks]


def _sealed(key_id: bytes, cipher: AESSIV, value: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return key_id + nonce + cipher.encrypt(value, [bound, nonce])


def _named(blank: hmac.HMAC, value: bytes) -> bytes:
    # A copy costs less than a new one, for which the key is hashed first.
    made = blank.copy()
    made.update(value)
    return made.digest()


_KEY_ID_BYTES: Final = 4
_SIV_BYTES: Final = 64
_NAME_BYTES: Final = 32
_NONCE_BYTES: Final = 16
_HEAD_BYTES: Final = _KEY_ID_BYTES + _NONCE_BYTES


def _derive(secret: str, purpose: str) -> bytes:
    return base64.urlsafe_b64encode(_expand(secret, f"tokenward seal 1 {purpose}", 32))


def _expand(secret: str, info: str, length: int) -> bytes:
    kdf = HKDF(
        algorithm=hashes.SHA256(),
        length=length,
        salt=None,
        info=info.encode("utf-8"),
    )
    return kdf.derive(secret.encode("utf-8", "surrogatepass"))
