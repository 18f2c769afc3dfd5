"""The names that people are found by, and passwords as they are typed."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, EmailStr

MAX_USERNAME_CHARACTERS = 150
MAX_PASSWORD_BYTES = 1_024
MIN_PASSWORD_CHARACTERS = 6

_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})


def canonical_key(name: str) -> str:
    """Return the key under which a username or an e-mail address is unique.

    ``strip``, NFKC, ``casefold``, NFKC: names that a reader takes for the same have the same key.

    Raises:
        ValueError: The name is empty or too long, or holds white space inside, or a control,
            format, surrogate, private or unassigned character.
    """
    key = unicodedata.normalize("NFKC", name.strip())
    key = unicodedata.normalize("NFKC", key.casefold())
    for text in (name.strip(), key):
        if not text:
            msg = "must not be empty"
            raise ValueError(msg)
        if len(text) > MAX_USERNAME_CHARACTERS * 2:
            msg = "is too long"
            raise ValueError(msg)
        if any(c.isspace() or unicodedata.category(c) in _REFUSED_CATEGORIES for c in text):
            msg = "must not hold white space, control or unassigned characters"
            raise ValueError(msg)
    return key


def _username(name: str) -> str:
    name = name.strip()
    if len(name) > MAX_USERNAME_CHARACTERS:
        msg = f"must have at most {MAX_USERNAME_CHARACTERS} characters"
        raise ValueError(msg)
    canonical_key(name)
    return name


def _bare_address(address: object) -> object:
    # email-validator would also take "Name <addr>"; an address is an addr-spec and nothing else.
    if isinstance(address, str) and any(c in address for c in '<>"(), \t\r\n'):
        msg = "must be a bare e-mail address"
        raise ValueError(msg)
    return address


def registered_password(password: str) -> str:
    """Return a password that may be a new one."""
    if len(password) < MIN_PASSWORD_CHARACTERS:
        msg = f"must have at least {MIN_PASSWORD_CHARACTERS} characters"
        raise ValueError(msg)
    return presented_password(password)


def presented_password(password: str) -> str:
    """Return a password that may be hashed."""
    # Login never applies the registration policy: only what bounds the work of a hash.
    try:
        size = len(password.encode("utf-8"))
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= MAX_PASSWORD_BYTES:
        msg = f"must have 1 to {MAX_PASSWORD_BYTES} bytes"
        raise ValueError(msg)
    return password


Username = Annotated[str, AfterValidator(_username)]
Email = Annotated[EmailStr, BeforeValidator(_bare_address)]
