"""The issuer: registers people, logs them in, and answers for the tokens it hands out.

===============  ===========================================================================
`core`           `AuthService`, which has its verbs from the next four
`logins`         logins, refreshes, logouts, sessions
`accounts`       registration, passwords, e-mail addresses
`operators`      the same by an operator's word
`client_tokens`  programs in their own name: tokens, introspection, revocation
`access_tokens`  JWT access tokens: issued, verified at the issuer, revoked
`families`       refresh tokens
`one_time`       tokens that are good once, for one purpose
`delivery`       the thread that sends them
`policy`         what a new password must be
`attempts`       what the throttle is told
`introspection`  what an introspection answer says
`metadata`       what is published
`readiness`      whether stores and keys can be used
===============  ===========================================================================
"""

from __future__ import annotations

from tokenward.service.access_tokens import FIRST_PARTY_CLIENT_ID
from tokenward.service.core import AuthService
from tokenward.service.metadata import (
    INTROSPECTION_PATH,
    JWKS_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
)

__all__ = [
    "FIRST_PARTY_CLIENT_ID",
    "INTROSPECTION_PATH",
    "JWKS_PATH",
    "REVOCATION_PATH",
    "TOKEN_PATH",
    "AuthService",
]
