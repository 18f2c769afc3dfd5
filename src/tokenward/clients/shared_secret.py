"""``client_secret_basic`` and ``client_secret_post`` (RFC 6749, section 2.3.1)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from urllib.parse import unquote_plus

# RFC 7235, section 2.1: the scheme in any case, and what base64 may hold.
_basic = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE).fullmatch
_is_basic = re.compile(r"basic(?: |$)", re.IGNORECASE).match


def is_basic(authorization: str) -> bool:
    """Tell whether an ``Authorization`` header is of the scheme ``Basic``."""
    return _is_basic(authorization) is not None


def readings(authorization: str) -> list[tuple[str, str]]:
    """Return what Basic credentials may mean: raw, and form-decoded where that differs."""
    matched = _basic(authorization)
    found: list[tuple[str, str]] = []
    if matched is not None:
        with contextlib.suppress(ValueError):
            text = base64.b64decode(matched[1], validate=True).decode("utf-8")
            client_id, colon, secret = text.partition(":")
            if colon:
                found.append((client_id, secret))
                decoded = [unquote_plus(part, errors="strict") for part in (client_id, secret)]
                found.append((decoded[0], decoded[1]))
    return list(dict.fromkeys(found))


def digest_of(secret: str) -> bytes:
    """Return what a secret is compared by."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
