"""What is an access token, and what is another kind of token that looks like one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tokenward._log import shown
from tokenward.errors import InvalidToken

GENERIC_TYPES = frozenset({"jwt", "application/jwt"})
DEFAULT_TYPES = GENERIC_TYPES | {"at+jwt", "application/at+jwt"}
_OTHER_KINDS = frozenset({"id", "refresh", "offline", "logout"})
_ID_TOKEN_CLAIMS = ("at_hash", "c_hash", "s_hash", "events")


def full_type(typ: str) -> str:
    """Return a ``typ`` with its ``application/`` prefix in lower case (RFC 7515, 4.1.9)."""
    lowered = typ.lower()
    return lowered if "/" in lowered else f"application/{lowered}"


def refuse_other_kinds(
    claims: Mapping[str, Any], *, uses: Collection[str] = frozenset({"access"})
) -> None:
    """Refuse what only ID, refresh and logout tokens say (RFC 8725, section 3.11).

    Args:
        claims: What the issuer said.
        uses: What ``token_use`` may be.

    Raises:
        InvalidToken: With the reason ``wrong_type``.
    """
    typ = claims.get("typ")
    if isinstance(typ, str) and typ.lower() in _OTHER_KINDS:
        raise wrong_type("an access token", f"the payload typ {shown(typ)}")
    use = claims.get("token_use")
    if use is not None and (not isinstance(use, str) or use not in uses):
        raise wrong_type("the token_use access", use)
    for name in ("token_type", "type"):
        kind = claims.get(name)
        if isinstance(kind, str) and kind.lower() == "refresh":
            raise wrong_type("an access token", f"a refresh token ({name})")
    for name in _ID_TOKEN_CLAIMS:
        if name in claims:
            raise wrong_type("an access token", f"the claim {name}, as in an ID or logout token")


def wrong_type(expected: str, actual: object) -> InvalidToken:
    """Return the error for a token of another kind."""
    hint = f"expected {expected}, got {shown(actual)}; send the access token"
    return InvalidToken(hint, reason="wrong_type")
