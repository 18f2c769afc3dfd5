"""The plain functions, over a default service and a default authenticator.

Both are made on first use, from what `configure` was given or from the TOML file that
``TOKENWARD_CONFIG`` names. Programs that hold their own `AuthService` or `Authenticator` call
those, and need nothing here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tokenward import _fork, tokens
from tokenward.authenticator import Authenticator, Credential, authorization, put_in_force
from tokenward.by_issuer import ByIssuer, Unreserved
from tokenward.config import (
    Shared,
    build_authenticator,
    build_service,
    build_shared,
    build_verifier,
)
from tokenward.config.settings import LocalEntry, Settings, as_settings
from tokenward.errors import ConfigurationError, InvalidToken
from tokenward.introspection import IntrospectionVerifier
from tokenward.principal import thaw
from tokenward.schemas import (
    IntrospectResponse,
    LoginRequest,
    LoginResponse,
    LogoutResponse,
    PublicUser,
    RegisterRequest,
    TokenPayload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from tokenward.protocols import TokenVerifier
    from tokenward.repositories import UserRepository
    from tokenward.service import AuthService


class _Defaults:
    """The default service and authenticator; made once, under a lock, when first needed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._settings: Settings | Mapping[str, Any] | None = None
        self._service: AuthService | None = None
        self._authenticator: Authenticator | None = None
        self._shared: Shared | None = None
        _fork.register(self)

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def replace(
        self,
        settings: Settings | Mapping[str, Any] | None,
        service: AuthService | None,
        authenticator: Authenticator | None,
    ) -> None:
        parsed = None if settings is None else as_settings(settings)
        with self._lock:
            self._settings, self._service, self._authenticator = parsed, service, authenticator
            self._shared = None

    def service(self) -> AuthService:
        with self._lock:
            if self._service is None:
                settings = as_settings(self._settings)
                shared = self._shared_by(settings)
                self._service = build_service(settings, shared=shared)
                self._shared = shared
            return self._service

    def authenticator(self) -> Authenticator:
        override = put_in_force()
        if override is not None:
            return override
        with self._lock:
            if self._authenticator is None:
                self._authenticator = self._make_authenticator()
            return self._authenticator

    def _make_authenticator(self) -> Authenticator:
        if self._settings is None and self._service is not None:
            return Authenticator(Credential(authorization(), _local(self._service)))
        settings = as_settings(self._settings)
        service = None if settings.service is None else self.service()
        return build_authenticator(settings, service=service, shared=self._shared_by(settings))

    def _shared_by(self, settings: Settings) -> Shared:
        return build_shared(settings) if self._shared is None else self._shared


_defaults = _Defaults()


def configure(
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    service: AuthService | None = None,
    authenticator: Authenticator | None = None,
) -> None:
    """Set what the plain functions work with; called again, it replaces everything.

    Args:
        settings: The configuration, parsed or as a mapping. Without any argument, the defaults
            are made from ``TOKENWARD_CONFIG`` again, on next use.
        service: Instead of the one that the settings describe.
        authenticator: Instead of the one that the settings describe.

    Raises:
        ConfigurationError: The settings are wrong; what was configured before stands.
    """
    _defaults.replace(settings, service, authenticator)


def register_user(user: RegisterRequest, repo: UserRepository | None = None) -> PublicUser:
    """Register a user; see `AuthService.register_user`. ``repo`` stands in for the default one."""
    return _service(repo).register_user(user)


def login_user(user: LoginRequest, repo: UserRepository | None = None) -> LoginResponse:
    """Log a user in; see `AuthService.login_user`. ``repo`` stands in for the default one."""
    return _service(repo).login_user(user)


def refresh(refresh_token: str, repo: UserRepository | None = None) -> LoginResponse:
    """Exchange a refresh token for the next tokens; see `AuthService.refresh`."""
    return _service(repo).refresh(refresh_token)


def logout_user(token: str | None = None, *, refresh_token: str | None = None) -> LogoutResponse:
    """End a token and its session at the issuer; see `AuthService.logout_user`."""
    return _service().logout_user(token, refresh_token=refresh_token)


def get_logged_in_user(token: str, repo: UserRepository | None = None) -> PublicUser:
    """Return the user a token speaks for; see `AuthService.get_logged_in_user`."""
    return _service(repo).get_logged_in_user(token)


def get_current_user(token: str, repo: UserRepository | None = None) -> PublicUser:
    """Return the user a token speaks for; another name of `get_logged_in_user`."""
    return get_logged_in_user(token, repo)


def introspect_token(token: str, repo: UserRepository | None = None) -> IntrospectResponse:
    """Return the state of one of our own tokens; see `AuthService.introspect_token`."""
    return _service(repo).introspect_token(token)


def introspect_configured(token: str) -> dict[str, Any]:
    """Return what the configured introspection endpoint says about ``token``, cached nowhere.

    Importable as ``tokenward.introspection.introspect_token``.

    Raises:
        ConfigurationError: The configuration has no ``introspection`` credential.
        InvalidToken: The token is not one to send.
        AuthServiceUnavailable: The endpoint cannot be asked, or its answer is none.
    """
    for credential in _defaults.authenticator().credentials:
        verifier: TokenVerifier | None = credential.verifier
        if isinstance(verifier, ByIssuer):
            verifier = verifier.otherwise
        if isinstance(verifier, Unreserved):
            verifier = verifier.verifier
        if isinstance(verifier, IntrospectionVerifier):
            return dict(thaw(verifier.client.introspect(token)))
    msg = "no credential of type 'introspection' is configured, so there is no endpoint to ask"
    raise ConfigurationError(msg)


def authenticate_request(
    should_skip_authentication: bool | Callable[[str, str], bool],  # noqa: FBT001 - the contract
    *,
    method: str,
    path: str,
    authorization_token: str | None,
) -> PublicUser | None:
    """Return the user a request speaks for.

    Args:
        should_skip_authentication: Whether to look at the token at all; or a function of method
            and path that tells.
        method: The request's method.
        path: The request's path.
        authorization_token: The token itself, without a scheme.

    Returns:
        ``None`` only when authentication was skipped. A token that has no user of ours gives a
        `PublicUser` of its username, or else its subject.

    Raises:
        InvalidToken: The token is missing or refused.
        AuthServiceUnavailable: Nobody could decide.
        ConfigurationError: Nothing is configured that reads the ``Authorization`` header.
    """
    skip = should_skip_authentication
    if skip(method, path) if callable(skip) else skip:
        return None
    if not authorization_token:
        raise InvalidToken("no token was handed in", reason="not_authenticated")
    principal = _verifier_of_the_header().verify(authorization_token)
    if principal.user is not None:
        return principal.user
    # Without an id: the subject is another issuer's, and could be one of our ids by chance.
    return PublicUser(username=principal.username or principal.subject, email=None, is_active=True)


def create_access_token(data: Mapping[str, Any], expires_delta: timedelta | None = None) -> str:
    """Sign an access token with the default service's key; see `tokens.create_access_token`."""
    service = _service()
    return tokens.create_access_token(
        data,
        expires_delta,
        keys=service.keys,
        issuer=service.issuer,
        audience=service.audience,
    )


def get_jwt_payload(token: str) -> TokenPayload:
    """Return the claims of a token that the default service signed; see `tokens.get_jwt_payload`.

    The signature and the claims are checked; a revocation, or the user's state, is not.
    """
    service = _service()
    return tokens.get_jwt_payload(
        token, keys=service.keys, issuer=service.issuer, audience=service.audience
    )


def get_validated_token_payload(token: str) -> TokenPayload:
    """Return the claims of one of our own tokens that is good now: not revoked, its user active.

    Raises:
        InvalidToken: The token is refused.
        AuthServiceUnavailable: The store cannot be asked.
    """
    return tokens.payload_of(_local(_service()).verify(token).claims)


def get_user_repository() -> UserRepository:
    """Return the default service's users."""
    return _service().users


def _service(repo: UserRepository | None = None) -> AuthService:
    service = _defaults.service()
    return service if repo is None else service.with_users(repo)


def _verifier_of_the_header() -> TokenVerifier:
    place = authorization().place
    for credential in _defaults.authenticator().credentials:
        if credential.source.place == place:
            return credential.verifier
    msg = "no credential reads the Authorization header, so there is nothing to verify its token"
    raise ConfigurationError(msg)


def _local(service: AuthService) -> TokenVerifier:
    return build_verifier(LocalEntry(type="local"), service=service)
