"""Two verdicts about one token: that of its signature, and that of whoever was asked live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tokenward.errors import InvalidToken

if TYPE_CHECKING:
    from tokenward.principal import Principal

REVOKED: Final = frozenset({"inactive", "revoked"})
"""Reasons of a refusal that no later question takes back."""


def agreed(signed: Principal, asked: Principal) -> Principal:
    """Return who a token speaks for, after somebody was asked about it.

    Args:
        signed: What the token itself says.
        asked: What the answer says; it may name fewer things, but not others.

    Raises:
        InvalidToken: The two are about somebody else.
    """
    iss, sub = asked.claims.get("iss"), asked.claims.get("sub")
    # An answer with claims and without sub names whom it can, such as the client (RFC 7662, 2.2).
    names_somebody = not asked.claims or sub is not None
    differs = names_somebody and asked.subject != signed.subject
    if differs or iss not in (None, signed.claims.get("iss")):
        hint = "the issuer, asked live, says that the token is somebody else's"
        raise InvalidToken(hint, reason="no_subject")
    # The same person by either way: an answer without an iss has the endpoint's name.
    return replace(asked, subject=signed.subject, kind=signed.kind, issuer=signed.issuer)
