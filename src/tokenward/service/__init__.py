"""The issuer: registers people, logs them in, and answers for the tokens it hands out."""

from __future__ import annotations

from tokenward.service.access_tokens import FIRST_PARTY_CLIENT_ID
from tokenward.service.core import AuthService
from tokenward.service.metadata import INTROSPECTION_PATH, JWKS_PATH

__all__ = ["FIRST_PARTY_CLIENT_ID", "INTROSPECTION_PATH", "JWKS_PATH", "AuthService"]
