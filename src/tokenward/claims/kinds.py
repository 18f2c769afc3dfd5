"""What is an access token, and what is another kind of token that looks like one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tokenward._log import shown
from tokenward.errors import InvalidToken

GENERIC_TYPES = frozenset({"jwt", "application/jwt"})
DEFAULT_TYPES = GENERIC_TYPES | {"at+jwt", "application/at+jwt"}
_OTHER_KINDS = frozenset({"id", "refresh", "offline", "logout"})
_LOGOUT_TOKEN_CLAIMS = ("events",)
_OTHER_CLAIMS = (*_LOGOUT_TOKEN_CLAIMS, "at_hash", "c_hash", "s_hash")
_TELLING = frozenset({"typ", "token_use", "token_type", "type", *_OTHER_CLAIMS})


def full_type(typ: str) -> str:
    """Return a ``typ`` with its ``application/`` prefix in lower case (RFC 7515, 4.1.9)."""
    lowered = typ.lower()
    return lowered if "/" in lowered else f"application/{lowered}"


def refuse_other_kinds(
    claims: Mapping[str, Any],
    *,
    uses: Collection[str] = frozenset({"access"}),
    id_tokens: bool = False,
) -> None:
    """Refuse what only ID, refresh and logout tokens say (RFC 8725, section 3.11).

    Args:
        claims: What the issuer said.
        uses: What ``token_use`` may be.
        id_tokens: Let ID tokens pass.

    Raises:
        InvalidToken: With the reason ``wrong_type``.
    """
    if _TELLING.isdisjoint(claims):
        return  # as most access tokens
    typ = _lowered(claims.get("typ"))
    if typ in _OTHER_KINDS and not (id_tokens and typ == "id"):
        actual = f"the payload typ {shown(claims['typ'])}"
        raise wrong_type("an access token", actual, is_id_token=typ == "id")
    use = claims.get("token_use")
    allowed = {*uses, "id"} if id_tokens else uses
    if use is not None and (not isinstance(use, str) or use not in allowed):
        raise wrong_type("the token_use access", use, is_id_token=use == "id")
    for name in ("token_type", "type"):
        if _lowered(claims.get(name)) == "refresh":
            raise wrong_type("an access token", f"a refresh token ({name})")
    for name in _LOGOUT_TOKEN_CLAIMS if id_tokens else _OTHER_CLAIMS:
        if name in claims:
            is_id = name not in _LOGOUT_TOKEN_CLAIMS
            actual = f"the claim {name}, as in {'an ID' if is_id else 'a logout'} token"
            raise wrong_type("an access token", actual, is_id_token=is_id)


def _lowered(value: object) -> str | None:
    return value.lower() if isinstance(value, str) else None


def wrong_type(expected: str, actual: object, *, is_id_token: bool = False) -> InvalidToken:
    """Return the error for a token of another kind."""
    hint = f"expected {expected}, got {shown(actual)}; send the access token"
    if is_id_token:
        hint += ", or set accept_id_tokens if ID tokens are what your clients have to send"
    return InvalidToken(hint, reason="wrong_type")
