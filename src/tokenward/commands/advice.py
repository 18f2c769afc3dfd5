"""What to do about a token that is refused, as far as its form says it.

An error's ``hint`` says what was wrong, and is logged; here stands what whoever asks why has to
know of the world: what such a token is, and where people get one by mistake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tokenward._jose import ASYMMETRIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenward.errors import AuthError

_ENCRYPTED: Final = 4
"""Dots in an encrypted token in compact form (RFC 7516, section 3.1)."""


def of_refusal(error: AuthError, token: str, header: Mapping[str, Any]) -> str:
    """Return what to do about a token that a verifier of signed tokens refused; perhaps nothing.

    Args:
        error: The refusal.
        token: The token.
        header: What its header says.
    """
    match error.reason:
        case "malformed":
            return of_presentation(token) or _of_form(token)
        case "algorithm" if str(header.get("alg")).startswith("HS"):
            return (
                "it is signed with a secret that only the issuer should have: set the server's"
                " signing algorithm for this API to RS256 or ES256"
            )
        case "algorithm" if header.get("alg") in ASYMMETRIC:
            return "if the issuer is meant to sign so, write it in algorithms"
        case "bad_signature" if "nonce" in header:
            return (
                "a nonce in the header is what Microsoft's tokens for its own APIs (Graph) have,"
                " which nobody else can verify: have the client ask for a scope of your own API"
            )
        case "unknown_key":
            return (
                "is it a token of another environment, or signed before the keys were replaced?"
                " `tokenward jwks ISSUER` shows the keys that there are"
            )
    return ""


def of_presentation(token: str) -> str:
    """Return what to do about what cannot be a token of any kind; nothing of what can be one."""
    if not token:
        return "nothing came on standard input"
    if token[:7].lower() == "bearer ":
        return "send the token alone, without Bearer before it"
    return ""


def _of_form(token: str) -> str:
    dots = token.count(".")
    if dots == 0:
        return (
            "it is an opaque token, which only its issuer can read: ask there with a credential of"
            " type introspection, or have the client ask for a token for this API by name"
            " (audience, resource), for which many servers make JWTs"
        )
    if dots == _ENCRYPTED:
        return (
            "it is encrypted, for its issuer to read: have the client ask for a token for this API"
            " by name (Auth0: audience), and switch encryption of access tokens off"
        )
    return ""
