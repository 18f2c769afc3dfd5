"""Whom `PasswordBackend` asks: the auth service of this process, or one somewhere else.

Either way a sign-in gives the person, and evidence of it for Django's session: a mapping that JSON
can hold and nobody can use, with which the same service is asked again later.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from django.conf import settings as project
from django.views.decorators.debug import sensitive_variables

from tokenward._log import OncePerMinute
from tokenward.authenticator import EnvironHeaders
from tokenward.cache import Entry, LookupCache
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
    TokenRevoked,
    UserNotFound,
)
from tokenward.principal import Principal

if TYPE_CHECKING:
    from tokenward._seal import Sealer
    from tokenward.config.settings import LoginSection
    from tokenward.django._state import Parts
    from tokenward.schemas import LoginRequest, LoginResponse, PublicUser
    from tokenward.service import AuthService
    from tokenward.service_client import AuthServiceClient

Evidence = Mapping[str, Any]

T = TypeVar("T")

_SEAL_PURPOSE = "sessions (settings.SECRET_KEY first)"
# More than one request's deadline: whoever leads gives up before those who wait.
_PATIENCE = 1.0

_seldom = OncePerMinute(logging.getLogger("tokenward.django.login"))


class Login(Protocol):
    """An auth service that knows passwords.

    Attributes:
        issuer: The service's own.
    """

    issuer: str

    def sign_in(
        self, credentials: LoginRequest, /, *, environ: Mapping[str, Any]
    ) -> tuple[PublicUser, Evidence]:
        """Return whose password this is, and what to keep of it.

        Args:
            credentials: Username and password.
            environ: ``META`` of the request that brought them; empty: there was none.

        Raises:
            InvalidCredentials: Nobody's.
            InvalidRequest: It cannot be one.
            TooManyAttempts: The service throttles.
            AuthServiceUnavailable: Nobody could decide.
        """
        ...

    def check(self, evidence: Evidence, /) -> PublicUser:
        """Return the person as the service has them now.

        Raises:
            InvalidToken: They may not go on.
            AuthServiceUnavailable: Nobody could decide.
        """
        ...

    def sign_out(self, evidence: Evidence, /) -> None:
        """End what the evidence is worth, as far as that can be done.

        Raises:
            AuthError: It cannot.
        """
        ...


def login_of(parts: Parts) -> Login | None:
    """Return whom to ask about passwords; ``None``: there is nobody.

    Raises:
        ConfigurationError: ``django.login`` or ``SECRET_KEY`` cannot be used.
    """
    if parts.django.login is not None:
        return RemoteLogin.of(parts.django.login)
    return None if parts.service is None else LocalLogin(parts.service)


def principal_of(user: PublicUser, issuer: str) -> Principal:
    """Return who an auth service says that ``user`` is; no scopes are of a password."""
    return Principal(
        user.id,
        issuer=issuer,
        roles=frozenset(user.roles),
        username=user.username,
        email=user.email,
        email_verified=user.email_verified,
        user=user,
    )


class LocalLogin:
    """The auth service of this process; the evidence is the user's id and token version."""

    def __init__(self, service: AuthService) -> None:
        self._service = service
        self.issuer = service.issuer

    def sign_in(
        self, credentials: LoginRequest, /, *, environ: Mapping[str, Any]
    ) -> tuple[PublicUser, Evidence]:
        """See `Login.sign_in`."""
        # Only a project that has a service in this process loads what one needs.
        from tokenward.endpoints.addresses import client_address  # noqa: PLC0415
        from tokenward.tokens import get_jwt_payload  # noqa: PLC0415

        service = self._service
        proxies, address = service.trusted_proxies, environ.get("REMOTE_ADDR")
        peer = client_address(address, EnvironHeaders(environ), proxies)
        # Django's own session is what goes on: nobody would hold a refresh token.
        granted = _asked(lambda: service.login_user(credentials, peer=peer, session=False))
        # As of the moment of the login: a version read afterwards could be that of a new password.
        payload = get_jwt_payload(
            granted.access_token,
            keys=service.keys,
            issuer=service.issuer,
            audience=service.audience,
            clock=service.clock,
        )
        return _user_of(granted), {
            "issuer": self.issuer,
            "user": payload.sub,
            "version": payload.ver,
        }

    def check(self, evidence: Evidence, /) -> PublicUser:
        """See `Login.check`."""
        _check_issuer(evidence, self.issuer)
        user = _asked(lambda: self._service.users.get_by_id(str(evidence.get("user"))))
        if user is None or not user.is_active:
            raise UserNotFound("the user of the session is gone or not active")
        if user.token_version != evidence.get("version"):
            raise TokenRevoked("the user's tokens were ended (password, roles or state changed)")
        return user.public()

    def sign_out(self, evidence: Evidence, /) -> None:
        """Do nothing: without its session the evidence is worth nothing."""


class RemoteLogin:
    """An auth service somewhere else; the evidence is the access token, sealed.

    Args:
        client: Asks the service.
        sealer: Seals tokens for the session store.
    """

    def __init__(self, client: AuthServiceClient, sealer: Sealer) -> None:
        self._client = client
        self._sealer = sealer
        self.issuer = client.issuer
        # Keeps nothing; whoever asks about one session at one time asks once.
        self._checks: LookupCache[PublicUser] = LookupCache(max_entries=0)

    @classmethod
    def of(cls, section: LoginSection) -> RemoteLogin:
        """Return what the section describes."""
        # Only a project with such a section loads what asks a service.
        from tokenward._seal import Sealer  # noqa: PLC0415
        from tokenward.service_client import AuthServiceClient  # noqa: PLC0415

        auth = ClientSecretBasic(section.client_id, section.client_secret.get_secret_value())
        client = AuthServiceClient(
            section.issuer,
            client_auth=auth,
            timeout=section.timeout,
            connect_timeout=section.connect_timeout,
            verify_tls=section.verify_tls,
        )
        return cls(client, Sealer(_secrets(), _SEAL_PURPOSE))

    def sign_in(
        self, credentials: LoginRequest, /, *, environ: Mapping[str, Any]
    ) -> tuple[PublicUser, Evidence]:
        """See `Login.sign_in`."""
        del environ
        granted = self._client.login_user(credentials)
        sealed = self._sealer.seal(granted.access_token.encode()).decode()
        return _user_of(granted), {"issuer": self.issuer, "token": sealed}

    @sensitive_variables("token")
    def check(self, evidence: Evidence, /) -> PublicUser:
        """See `Login.check`."""
        token = self._token(evidence)

        def ask() -> Entry[PublicUser]:
            now = time.time()
            return Entry(self._client.get_logged_in_user(token), stored=now, ends=now)

        key = hashlib.sha256(token.encode()).digest()
        return self._checks.look_up(key, ask, patience=self._client.timeout + _PATIENCE)

    @sensitive_variables("token")
    def sign_out(self, evidence: Evidence, /) -> None:
        """See `Login.sign_out`."""
        token = self._token(evidence)
        self._client.logout_user(token)

    def _token(self, evidence: Evidence) -> str:
        _check_issuer(evidence, self.issuer)
        try:
            return self._sealer.open(str(evidence.get("token")).encode(errors="replace")).decode()
        except ConfigurationError:
            # Another SECRET_KEY, and this one is no longer among the fallbacks.
            raise InvalidToken("what the session holds opens with no SECRET_KEY") from None


def _user_of(granted: LoginResponse) -> PublicUser:
    # A login's answer names its user: what does not is refused by the service's client.
    return cast("PublicUser", granted.user)


def _secrets() -> list[str]:
    keys = [project.SECRET_KEY, *project.SECRET_KEY_FALLBACKS]
    return [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys]


def _check_issuer(evidence: Evidence, issuer: str) -> None:
    if evidence.get("issuer") != issuer:
        raise InvalidToken("the session is of another auth service")


def _asked(question: Callable[[], T]) -> T:
    """Return the answer; a store of the project's own may raise anything."""
    try:
        return question()
    except (AuthError, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001 - as it says
        name = type(error).__name__
        _seldom.log(logging.ERROR, ("store", name), "A store raised %s.", name)
        hint = f"a store raised {name} instead of AuthServiceUnavailable"
        raise AuthServiceUnavailable(hint, reason="store") from None
