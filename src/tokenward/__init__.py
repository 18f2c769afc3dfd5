"""tokenward protects Flask, Django and any WSGI application with bearer tokens."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Where each public name lives. Resolved on first use (PEP 562), so that importing tokenward
# loads no framework and no driver.
_HOMES = {
    "tokenward.errors": (
        "AuthError AuthServiceUnavailable ConfigurationError CrossSiteRequest Forbidden "
        "InsufficientScope InvalidAuthorizationHeader InvalidClaim InvalidClient "
        "InvalidCredentials InvalidGrant InvalidRequest InvalidScope InvalidSignature InvalidToken "
        "NotAuthenticated OAuthError PayloadTooLarge RegistrationClosed TokenExpired TokenRevoked "
        "TooManyAttempts UnauthorizedClient UnsupportedGrantType UnsupportedMediaType "
        "UserAlreadyExists UserNotFound"
    ),
    "tokenward.principal": "ANONYMOUS Principal",
    "tokenward.schemas": (
        "IntrospectRequest IntrospectResponse LoginRequest LoginResponse LogoutResponse "
        "PublicUser RegisterRequest TokenPayload User"
    ),
    "tokenward.protocols": "TokenVerifier",
    "tokenward.bearer": "error_response",
    "tokenward.claims": "ClaimsPolicy",
    "tokenward.authenticator": "Authentication Authenticator Credential",
    "tokenward.introspection": "IntrospectionClient IntrospectionVerifier",
    "tokenward.tokens": "LocalVerifier",
    "tokenward.by_issuer": "ByIssuer",
    "tokenward.client_auth": "BearerAuth ClientSecretBasic ClientSecretPost",
    "tokenward.service": "AuthService",
    "tokenward.keys": "KeyRing",
    "tokenward.repositories": "TokenRepository UserRepository",
    "tokenward.app": (
        "authenticate_request configure get_logged_in_user introspect_token login_user "
        "logout_user register_user"
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605 - computed, so that a name is written once


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module 'tokenward' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
