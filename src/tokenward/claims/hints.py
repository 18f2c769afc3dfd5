"""What to do about a refused claim, as far as the claims themselves say it.

Read where a token was refused, by whoever set it up: what providers are known for, in one sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from tokenward._log import shown

_GRAPH: Final = frozenset(
    {
        "00000003-0000-0000-c000-000000000000",
        "https://graph.microsoft.com",
        "00000002-0000-0000-c000-000000000000",
    }
)
_ENTRA_V1: Final = "https://sts.windows.net/"
_ENTRA: Final = "login.microsoftonline.com"
# What is in ID tokens only, though nothing forbids it elsewhere (OpenID Connect Core, section 2).
_OF_ID_TOKENS: Final = ("nonce", "auth_time", "amr", "acr")
_A_MOMENT: Final = 3_600


def of_audience(expected: Collection[str], claims: Mapping[str, Any]) -> str:
    """Return what to do about an ``aud`` that names somebody else, or nobody."""
    aud = claims.get("aud")
    named = [aud] if isinstance(aud, str) else aud if isinstance(aud, list | tuple) else []
    if not all(isinstance(name, str) for name in named):
        return ""
    if any(_bare(name) in map(_bare, expected) for name in named):
        return "they differ in a scheme or a slash only: write the audience as the token has it"
    if advice := _of_provider(named, claims):
        return advice
    if any(name in claims for name in _OF_ID_TOKENS) and "scope" not in claims:
        return "it looks like an ID token: send the access token, or set accept_id_tokens"
    if aud is None:
        return (
            "have the issuer name one, or write audience=None (in TOML: false) to accept tokens"
            " meant for anybody"
        )
    return ""


def of_issuer(expected: Collection[str], iss: object) -> str:
    """Return what to do about an ``iss`` that is not the configured one."""
    if not isinstance(iss, str):
        return ""
    if iss.rstrip("/") in {name.rstrip("/") for name in expected}:
        return "they differ in a trailing slash: write the issuer exactly as the token has it"
    if iss.startswith(_ENTRA_V1) and any(_host(name) == _ENTRA for name in expected):
        return (
            "it is a version 1.0 token of Microsoft Entra ID: set requestedAccessTokenVersion to 2"
            " in the API's app registration"
        )
    for name in expected:
        if name.partition("://")[2] == iss.partition("://")[2]:
            return (
                "they differ in the scheme: tell the server its public URL, if TLS ends before it"
            )
        if _path(name) == _path(iss) != "" and _host(name) != _host(iss):
            return (
                "the same path on another host: give the server one public name, and have"
                " everybody reach it by that"
            )
    return "is it a token of another environment? Compare it with the configured issuers"


def of_expiry(late: float) -> str:
    """Return what to do about a token that expired ``late`` seconds ago."""
    if late > _A_MOMENT:
        return ""
    return "; if it was issued just now, compare the clocks of this machine and of the issuer"


def _of_provider(named: Collection[str], claims: Mapping[str, Any]) -> str:
    if not _GRAPH.isdisjoint(named):
        return (
            "it is a token for Microsoft Graph, which nobody else can verify: have the client ask"
            " for a scope of your own API"
        )
    if "/realms/" in shown(claims.get("iss", "")):
        return "Keycloak names an API only with an audience mapper: add one to the client's scopes"
    return ""


def _bare(name: object) -> str:
    text = name if isinstance(name, str) else ""
    return text.partition("://")[2].rstrip("/") or text.rstrip("/")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _path(url: str) -> str:
    try:
        return urlsplit(url).path.strip("/")
    except ValueError:
        return ""
