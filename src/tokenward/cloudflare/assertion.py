"""What is an application's assertion, and whom it speaks for.

The profile of Cloudflare Access: an assertion is a JWT whose payload has the ``type`` ``app``. That
of a person has ``sub`` and ``email``; that of a service token has ``common_name`` and an empty
``sub``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tokenward._log import shown
from tokenward.errors import InvalidClaim, InvalidToken

if TYPE_CHECKING:
    from tokenward.principal import Principal

_HEADER_TYPES: Final = frozenset({"jwt", "application/jwt"})


def check_assertion(header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Refuse a JWT that is not the assertion of an application, or speaks for nobody.

    Needs no signature: what fails is not worth a key fetch.

    Args:
        header: The JWT's header.
        claims: Its payload.

    Raises:
        InvalidToken: With the reason ``wrong_type``, ``claim_missing`` or ``no_subject``.
    """
    typ = header.get("typ")
    if typ is not None and (not isinstance(typ, str) or typ.lower() not in _HEADER_TYPES):
        hint = f"expected a header typ of JWT or none, got {shown(typ)}"
        raise InvalidToken(hint, reason="wrong_type")
    _check_type(claims.get("type"))
    sub = claims.get("sub")
    if _is_text(sub):
        if not _is_text(claims.get("email")):
            hint = "expected the email of the person that sub names, and there is none"
            raise InvalidClaim("email", "present", None, hint, reason="claim_missing")
    elif sub not in (None, "") or not _is_text(claims.get("common_name")):
        hint = (
            "the assertion names nobody: a person's has sub and email, a service token's an empty "
            "sub and a common_name; let people or service tokens through, not everybody"
        )
        raise InvalidToken(hint, reason="no_subject")


def speaker(principal: Principal) -> Principal:
    """Return whom an assertion that was verified speaks for: a person or a service token."""
    claims = principal.claims
    if claims.get("sub"):
        return principal if principal.kind == "user" else replace(principal, kind="user")
    return replace(
        principal,
        kind="service",
        subject=f"service:{claims['common_name']}",
        email=None,
        email_verified=None,
        username=None,
    )


def _check_type(kind: object) -> None:
    if kind == "app":
        return
    hint = f"expected the type app of an application's assertion, got {shown(kind)}"
    if kind == "org":
        hint += (
            "; that is the team's own session, the cookie of the team's domain: send what "
            "Cloudflare adds to requests for the application"
        )
    raise InvalidToken(hint, reason="wrong_type")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
