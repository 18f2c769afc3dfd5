"""The pages below docs/verifiers, and the classes that each of them is about."""

from doc_pages import Page

from tokenward import (
    ByIssuer,
    CloudflareAccess,
    IntrospectionClient,
    IntrospectionVerifier,
    JWKSVerifier,
    LocalVerifier,
)

NAMES = ("introspection", "jwks", "cloudflare-access", "local", "by-issuer", "own")
PAGES = {name: Page(f"verifiers/{name}.md") for name in NAMES}

CLASSES = {
    "introspection": (IntrospectionVerifier, IntrospectionClient),
    "jwks": (JWKSVerifier,),
    "cloudflare-access": (CloudflareAccess,),
    "local": (LocalVerifier,),
    "by-issuer": (ByIssuer,),
    "own": (),
}
