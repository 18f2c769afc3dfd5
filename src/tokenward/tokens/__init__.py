"""Our own access tokens: made, read and verified (RFC 7519, RFC 9068)."""

from tokenward.tokens.access_token import (
    DEFAULT_LIFETIME,
    create_access_token,
    get_jwt_payload,
    payload_of,
)
from tokenward.tokens.verifier import LocalVerifier

__all__ = [
    "DEFAULT_LIFETIME",
    "LocalVerifier",
    "create_access_token",
    "get_jwt_payload",
    "payload_of",
]
