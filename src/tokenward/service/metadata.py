"""Our URL, and what we publish about ourselves (RFC 8414)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenward._http import check_url
from tokenward.clients import METHODS, SIGNING_ALGORITHMS
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.clients import Client

JWKS_PATH = "/.well-known/jwks.json"
INTROSPECTION_PATH = "/introspect"
REVOCATION_PATH = "/revoke"
TOKEN_PATH = "/token"  # noqa: S105 - a path, not a secret
DOCS_PATH = "/docs"


_ENDPOINTS = {
    "token_endpoint": TOKEN_PATH,
    "introspection_endpoint": INTROSPECTION_PATH,
    "revocation_endpoint": REVOCATION_PATH,
}


def check_issuer(issuer: str) -> str:
    """Return ``issuer`` if tokens and metadata can carry it (RFC 8414, section 2).

    Raises:
        ConfigurationError: It is not https, nor http on a literal loopback address; or it has a
            query, a fragment, or an empty or dot segment in its path.
    """
    check_url(issuer, what="The issuer")
    segments = urlsplit(issuer).path.removesuffix("/").split("/")[1:]
    # The paths of our endpoints are put behind it, and compared as they stand.
    if "?" in issuer or "#" in issuer or "%" in issuer or not all(s.strip(".") for s in segments):
        raise ConfigurationError(
            "The issuer must be a URL without query, fragment, percent-encoding, empty or dot "
            "segments, such as https://auth.example.com or https://example.com/auth."
        )
    return issuer


def url_of(issuer: str, path: str) -> str:
    """Return where an endpoint of this issuer is; ``path`` is one of those above."""
    return issuer.removesuffix("/") + path


def metadata_of(
    issuer: str, clients: Iterable[Client] = (), *, refreshing: bool = False
) -> dict[str, Any]:
    """Return what clients may know of this issuer (RFC 8414, section 2), all of it true.

    OpenID Connect Discovery 1.0, section 3, asks for more; the rest would name an authorization
    endpoint and ID tokens, and this issuer has neither.

    Args:
        issuer: As `check_issuer` returned it.
        clients: Those that are configured: what any of them may be granted is what is supported.
        refreshing: Whether refresh tokens are handed out.
    """
    clients = tuple(clients)
    grants = {grant for client in clients for grant in client.grants}
    if not refreshing:
        grants.discard("refresh_token")
    published: dict[str, Any] = {
        "issuer": issuer,
        "jwks_uri": url_of(issuer, JWKS_PATH),
        "service_documentation": url_of(issuer, DOCS_PATH),
        # There even when empty: the first is required, and leaving the second out would claim two
        # grants that need a browser.
        "response_types_supported": [],
        "grant_types_supported": sorted(grants),
        "subject_types_supported": ["public"],
    }
    for name, path in _ENDPOINTS.items():
        published[name] = url_of(issuer, path)
        published[f"{name}_auth_methods_supported"] = list(METHODS)
        published[f"{name}_auth_signing_alg_values_supported"] = list(SIGNING_ALGORITHMS)
    scopes = sorted({scope for client in clients for scope in client.scopes})
    # Section 3.2: a member without a value is left out.
    return published | ({"scopes_supported": scopes} if scopes else {})
