"""Our URL, and what we publish about ourselves (RFC 8414)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tokenward._http import check_url
from tokenward.clients import METHODS
from tokenward.errors import ConfigurationError

JWKS_PATH = "/.well-known/jwks.json"
INTROSPECTION_PATH = "/introspect"


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


def metadata_of(issuer: str) -> dict[str, Any]:
    """Return what clients may know of this issuer (RFC 8414, section 2), all of it true.

    OpenID Connect Discovery 1.0, section 3, asks for more; the rest would name an authorization
    endpoint and ID tokens, and this issuer has neither.
    """
    base = issuer.removesuffix("/")
    return {
        "issuer": issuer,
        "jwks_uri": base + JWKS_PATH,
        "introspection_endpoint": base + INTROSPECTION_PATH,
        "introspection_endpoint_auth_methods_supported": list(METHODS),
        # Empty and yet there: the first is required, and leaving out the second would claim two
        # grants that need a browser.
        "response_types_supported": [],
        "grant_types_supported": [],
        "subject_types_supported": ["public"],
    }
