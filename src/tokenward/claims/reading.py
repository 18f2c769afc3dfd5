"""What claims say, whatever form the issuer gave it; nothing here refuses anything but nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tokenward.errors import InvalidToken

CLIENT_CLAIMS = ("client_id", "azp", "appid", "cid")
USERNAME_CLAIMS = ("username", "preferred_username")


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the granted scopes: ``scope``, else ``scp``; a string or a list of strings."""
    value = claims.get("scope")
    if value is None:
        value = claims.get("scp")
    if isinstance(value, str):
        return frozenset(scopes_in(value))
    if isinstance(value, list | tuple):
        return frozenset(s for s in value if isinstance(s, str) and s)
    return frozenset()


def scopes_in(scope: str) -> list[str]:
    """Return the scopes of a scope string: SP alone separates them (RFC 6749, section 3.3)."""
    return [name for name in scope.split(" ") if name]


def subject_of(
    claims: Mapping[str, Any], client_id: str | None
) -> tuple[Literal["user", "client", "service"], str]:
    """Return whom claims speak for, and what kind of subject that is.

    Args:
        claims: What the issuer said.
        client_id: What one of `CLIENT_CLAIMS` says.

    Raises:
        InvalidToken: They name nobody.
    """
    subject = text_at(claims, "sub")
    if subject is not None:
        return ("client" if _is_program(claims, subject, client_id) else "user"), subject
    # A username says that a person granted this; taking the client for the subject would make
    # all people who use that client one (some servers name no sub for either).
    username = text_at(claims, *USERNAME_CLAIMS)
    if username is not None:
        return "user", f"username:{username}"
    if client_id is not None:
        return "client", f"client:{client_id}"
    common_name = text_at(claims, "common_name")
    if common_name is not None:
        return "service", f"service:{common_name}"
    hint = "the claims name nobody: no sub, client_id, common_name or username"
    raise InvalidToken(hint, reason="no_subject")


def _is_program(claims: Mapping[str, Any], subject: str, client_id: str | None) -> bool:
    """Tell whether a client speaks for itself; providers have a subject of their own for that."""
    if client_id is None:
        return False
    if subject == client_id:
        return True  # RFC 9068, section 2.2
    if claims.get("gty") == "client-credentials" or claims.get("idtyp") == "app":
        return True  # Auth0; Microsoft Entra ID
    name = claims.get("preferred_username")
    return isinstance(name, str) and name == "service-account-" + client_id  # Keycloak


def text_at(claims: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these claims that is a non-empty string."""
    for name in names:
        value = claims.get(name)
        if value and isinstance(value, str):
            return value
    return None


def strings_at(claims: Mapping[str, Any], path: str) -> list[str]:
    """Return the strings at a claim's name, or else at a dotted path; one string is a list.

    A name on the way may hold dots itself, as a URL does: the longest name that is there counts.
    """
    value = _value_at(claims, path)
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list | tuple):
        return [v for v in value if isinstance(v, str) and v]
    return []


def _value_at(claims: Mapping[str, Any], path: str) -> Any:
    value = claims.get(path)
    if value is not None:
        return value
    cut = path.rfind(".")
    while cut >= 0:
        inner = claims.get(path[:cut])
        if isinstance(inner, Mapping):
            found = _value_at(inner, path[cut + 1 :])
            if found is not None:
                return found
        cut = path.rfind(".", 0, cut)
    return None
