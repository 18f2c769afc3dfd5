"""tokenward protects Flask, Django and any other WSGI application with bearer tokens."""

from __future__ import annotations

from importlib import import_module

# Type checkers know the name; loading typing would be nine tenths of what this import costs.
TYPE_CHECKING = False

# Where each public name lives. Resolved on first use (PEP 562), so that importing tokenward
# loads no framework and no driver.
_HOMES = {
    "tokenward.errors": (
        "AuthError AuthServiceUnavailable ConfigurationError CrossSiteRequest Forbidden "
        "InsufficientScope InvalidAuthorizationHeader InvalidClaim InvalidClient "
        "InvalidCredentials InvalidGrant InvalidRequest InvalidScope InvalidSignature "
        "InvalidTarget InvalidToken NotAuthenticated OAuthError PayloadTooLarge "
        "RegistrationClosed TokenExpired "
        "TokenRevoked TooManyAttempts UnauthorizedClient UnsupportedGrantType "
        "UnsupportedMediaType UserAlreadyExists UserNotFound"
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
    "tokenward.jwks": "JWKSVerifier",
    "tokenward.tokens": "LocalVerifier",
    "tokenward.by_issuer": "ByIssuer",
    "tokenward.cloudflare": "CloudflareAccess",
    "tokenward.client_auth": (
        "BearerAuth ClientCredentials ClientSecretBasic ClientSecretPost MutualTLS PrivateKeyJWT"
    ),
    "tokenward.service": "AuthService",
    "tokenward.service_client": "AuthServiceClient",
    "tokenward.keys": "KeyRing",
    "tokenward.repositories": "TokenRepository UserRepository",
    "tokenward.app": (
        "authenticate_request configure get_logged_in_user introspect_token login_user "
        "logout_user register_user"
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605 - computed, so that a name is written once


if TYPE_CHECKING:
    # The same names for type checkers, which do not run what stands below.
    from tokenward.app import authenticate_request as authenticate_request
    from tokenward.app import configure as configure
    from tokenward.app import get_logged_in_user as get_logged_in_user
    from tokenward.app import introspect_token as introspect_token
    from tokenward.app import login_user as login_user
    from tokenward.app import logout_user as logout_user
    from tokenward.app import register_user as register_user
    from tokenward.authenticator import Authentication as Authentication
    from tokenward.authenticator import Authenticator as Authenticator
    from tokenward.authenticator import Credential as Credential
    from tokenward.bearer import error_response as error_response
    from tokenward.by_issuer import ByIssuer as ByIssuer
    from tokenward.claims import ClaimsPolicy as ClaimsPolicy
    from tokenward.client_auth import BearerAuth as BearerAuth
    from tokenward.client_auth import ClientCredentials as ClientCredentials
    from tokenward.client_auth import ClientSecretBasic as ClientSecretBasic
    from tokenward.client_auth import ClientSecretPost as ClientSecretPost
    from tokenward.client_auth import MutualTLS as MutualTLS
    from tokenward.client_auth import PrivateKeyJWT as PrivateKeyJWT
    from tokenward.cloudflare import CloudflareAccess as CloudflareAccess
    from tokenward.errors import AuthError as AuthError
    from tokenward.errors import AuthServiceUnavailable as AuthServiceUnavailable
    from tokenward.errors import ConfigurationError as ConfigurationError
    from tokenward.errors import CrossSiteRequest as CrossSiteRequest
    from tokenward.errors import Forbidden as Forbidden
    from tokenward.errors import InsufficientScope as InsufficientScope
    from tokenward.errors import InvalidAuthorizationHeader as InvalidAuthorizationHeader
    from tokenward.errors import InvalidClaim as InvalidClaim
    from tokenward.errors import InvalidClient as InvalidClient
    from tokenward.errors import InvalidCredentials as InvalidCredentials
    from tokenward.errors import InvalidGrant as InvalidGrant
    from tokenward.errors import InvalidRequest as InvalidRequest
    from tokenward.errors import InvalidScope as InvalidScope
    from tokenward.errors import InvalidSignature as InvalidSignature
    from tokenward.errors import InvalidTarget as InvalidTarget
    from tokenward.errors import InvalidToken as InvalidToken
    from tokenward.errors import NotAuthenticated as NotAuthenticated
    from tokenward.errors import OAuthError as OAuthError
    from tokenward.errors import PayloadTooLarge as PayloadTooLarge
    from tokenward.errors import RegistrationClosed as RegistrationClosed
    from tokenward.errors import TokenExpired as TokenExpired
    from tokenward.errors import TokenRevoked as TokenRevoked
    from tokenward.errors import TooManyAttempts as TooManyAttempts
    from tokenward.errors import UnauthorizedClient as UnauthorizedClient
    from tokenward.errors import UnsupportedGrantType as UnsupportedGrantType
    from tokenward.errors import UnsupportedMediaType as UnsupportedMediaType
    from tokenward.errors import UserAlreadyExists as UserAlreadyExists
    from tokenward.errors import UserNotFound as UserNotFound
    from tokenward.introspection import IntrospectionClient as IntrospectionClient
    from tokenward.introspection import IntrospectionVerifier as IntrospectionVerifier
    from tokenward.jwks import JWKSVerifier as JWKSVerifier
    from tokenward.keys import KeyRing as KeyRing
    from tokenward.principal import ANONYMOUS as ANONYMOUS
    from tokenward.principal import Principal as Principal
    from tokenward.protocols import TokenVerifier as TokenVerifier
    from tokenward.repositories import TokenRepository as TokenRepository
    from tokenward.repositories import UserRepository as UserRepository
    from tokenward.schemas import IntrospectRequest as IntrospectRequest
    from tokenward.schemas import IntrospectResponse as IntrospectResponse
    from tokenward.schemas import LoginRequest as LoginRequest
    from tokenward.schemas import LoginResponse as LoginResponse
    from tokenward.schemas import LogoutResponse as LogoutResponse
    from tokenward.schemas import PublicUser as PublicUser
    from tokenward.schemas import RegisterRequest as RegisterRequest
    from tokenward.schemas import TokenPayload as TokenPayload
    from tokenward.schemas import User as User
    from tokenward.service import AuthService as AuthService
    from tokenward.service_client import AuthServiceClient as AuthServiceClient
    from tokenward.tokens import LocalVerifier as LocalVerifier

else:

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            msg = f"module 'tokenward' has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
