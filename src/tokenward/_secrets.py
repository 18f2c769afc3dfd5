"""Secrets: whether one that was configured can be one, and new ones that are known by digest alone.

Refresh tokens and one-time tokens are `random_token`: nobody guesses one, so that a plain digest is
enough to know it by, and a comparison of digests tells nothing by the time it takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from tokenward.errors import ConfigurationError

MIN_SECRET_BYTES: Final = 16

_MIN_DIFFERENT = 5
_MIN_UNGUESSED = 8
_MIN_GUESSED = 6
# What people write where a secret belongs, and sequences from the keyboard.
_PLACEHOLDERS = re.compile(
    "change|replace|insert|example|sample|placeholder|default|dummy|secret|passw(?:or)?d|passphrase"
    "|token|client|cookie|django|flask|insecure|production|development|testing|test|super|very"
    "|random|long|unit|put|string|value|please|your|this|here|with|some|todo|fixme|admin|letmein|qwerty|asdf"
    "|0123456789|1234567890|12345678|abcdefgh|ijklmnop|abcdef|key|not|the|and|for|foo|bar|baz|me|my"
    r"|!@#\$%\^&\*\(\)"
)
_SYMBOLS = re.compile(r"[\W_]+")
# What a shell, a chart or a template should have filled in.
_is_unfilled = re.compile(r"\$\{.*\}|\$?\{\{.*\}\}|<%.*%>", re.DOTALL).fullmatch
_ADVICE: Final = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


_TOKEN_BYTES: Final = 32
_is_random_token = re.compile("[A-Za-z0-9_-]{43}").fullmatch


def random_token() -> tuple[str, bytes]:
    """Return a new secret, and the digest (SHA-256) that stands for it at rest.

    The secret is 256 random bits as base64url: 43 characters, and no dot as a JWT has.
    """
    token = token_urlsafe(_TOKEN_BYTES)
    return token, sha256(token.encode("ascii")).digest()


def digest_of_random_token(token: object) -> bytes | None:
    """Return the digest that stands for ``token``; ``None``: no `random_token` is like it."""
    if not isinstance(token, str) or not _is_random_token(token):
        return None
    return sha256(token.encode("ascii")).digest()


def check_secret(secret: object, *, what: str, is_text: bool = True) -> str:
    """Return ``secret`` if it can be one.

    Args:
        secret: The secret.
        what: What it is for, as the message says it: a setting's path.
        is_text: Whether somebody can have written it; bytes as they come are no placeholder.

    Raises:
        ConfigurationError: It is shorter than 16 bytes, repeats a few characters, or stands where
            a real one was to be put. The message does not hold it.
    """
    if not isinstance(secret, str):
        raise ConfigurationError(f"{what} must be a string; {_ADVICE}.")
    if len(secret.encode("utf-8", "surrogatepass")) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"{what} is shorter than {MIN_SECRET_BYTES} bytes and can be guessed; {_ADVICE}."
        )
    if len(set(secret)) < _MIN_DIFFERENT:
        raise ConfigurationError(f"{what} repeats a few characters; {_ADVICE}.")
    if is_text and _is_placeholder(secret.casefold()):
        raise ConfigurationError(f"{what} is a placeholder; {_ADVICE}.")
    return secret


def _is_placeholder(secret: str) -> bool:
    if _is_unfilled(secret):
        return True
    symbols, letters = "".join(_SYMBOLS.findall(secret)), _SYMBOLS.sub("", secret)
    unguessed = _PLACEHOLDERS.sub("", letters)
    guessed = (len(letters) - len(unguessed), len(secret) - len(_PLACEHOLDERS.sub("", secret)))
    # Symbols around what people write are ornament; a random secret has many kinds.
    if max(guessed) < _MIN_GUESSED and len(set(symbols)) >= _MIN_DIFFERENT:
        unguessed += symbols
    return len(set(unguessed)) < _MIN_DIFFERENT or len(unguessed) < _MIN_UNGUESSED


def check_secrets(secrets: Sequence[str], purpose: str) -> tuple[str, ...]:
    """Return ``secrets``, newest first, if each of them can be one.

    Args:
        secrets: The secrets.
        purpose: What they are for, as the message says it.

    Raises:
        ConfigurationError: There is none, or one is too weak; see `check_secret`.
    """
    if isinstance(secrets, str) or not (secrets and isinstance(secrets, Sequence)):
        raise ConfigurationError(
            f"The secrets for {purpose} are a list, newest first, of at least one."
        )
    return tuple(
        check_secret(secret, what=f"Secret {position} for {purpose}")
        for position, secret in enumerate(secrets, start=1)
    )
