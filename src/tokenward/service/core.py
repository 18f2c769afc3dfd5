"""`AuthService`: what the endpoints, the command line and the plain functions call."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tokenward._audit import audit
from tokenward._events import Events
from tokenward.clients import Client, Clients
from tokenward.errors import ConfigurationError, InvalidToken, UserNotFound
from tokenward.schemas import (
    MIN_PASSWORD_CHARACTERS,
    IntrospectResponse,
    LoginRequest,
    LoginResponse,
    LogoutResponse,
    PublicUser,
    RegisterRequest,
    User,
)
from tokenward.service.access_tokens import FIRST_PARTY_CLIENT_ID, AccessTokens, ClaimsHook
from tokenward.service.accounts import Accounts
from tokenward.service.introspection import state_of
from tokenward.service.logins import log_in
from tokenward.service.metadata import check_issuer, metadata_of
from tokenward.service.readiness import is_ready
from tokenward.shared_cache import Revocations

if TYPE_CHECKING:
    from tokenward.keys import KeyRing
    from tokenward.protocols import Clock, OnEvent, RevocationBus, SharedCache
    from tokenward.repositories import TokenRepository, UserRepository


class AuthService:
    """The issuer of access tokens for one store of users; safe to share between threads.

    Tokens are JWT access tokens as in RFC 9068, signed by the current key of the ring: ``sub`` is
    the user's immutable id, ``roles`` the user's roles, ``ver`` the user's ``token_version``, and
    ``client_id`` the client that authenticated itself at the login, or `FIRST_PARTY_CLIENT_ID`.

    Args:
        users: Where users are kept. Its ``issue`` is set to this service's `issue`.
        keys: What signs, and what is published.
        tokens: Where revocations are kept.
        issuer: Our URL, as tokens and metadata name it: https, or http on a literal loopback
            address; no query, no fragment (RFC 8414, section 2).
        audience: Whom our tokens are for; several names are all put into each token.
        clients: The programs that may introspect.
        access_token_lifetime: Seconds; a client may have one of its own.
        password_min_length: Characters of a new password, at least 6.
        registration: Whether people may register themselves.
        shared_cache: The one in which resource servers share answers: what is revoked here is
            marked there.
        revocation_bus: The one that resource servers listen to: they hear of what is revoked here.
        on_event: Receives an `Event` for each login. What it raises is dropped.
        claims: Returns more claims for a user's tokens, ``scope`` among them.
        clock: Returns seconds since the epoch.

    Attributes:
        clients: The clients, and the check that a request is from one of them. ``keys``,
            ``tokens``, ``issuer``, ``audience``, ``access_token_lifetime`` and ``clock`` are as
            given.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(
        self,
        users: UserRepository,
        *,
        keys: KeyRing,
        tokens: TokenRepository,
        issuer: str,
        audience: str | Sequence[str],
        clients: Iterable[Client] = (),
        access_token_lifetime: int = 900,
        password_min_length: int = MIN_PASSWORD_CHARACTERS,
        registration: Literal["closed", "open"] = "closed",
        shared_cache: SharedCache | None = None,
        revocation_bus: RevocationBus | None = None,
        on_event: OnEvent | None = None,
        claims: ClaimsHook | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._accounts = Accounts(
            password_min_length=password_min_length, registration=registration, clock=clock
        )
        self.keys = keys
        self.tokens = tokens
        self.issuer = check_issuer(issuer)
        self.audience = audience
        self.clients = clients if isinstance(clients, Clients) else Clients(clients, clock=clock)
        if any(client.client_id == FIRST_PARTY_CLIENT_ID for client in self.clients):
            raise ConfigurationError(f"No client may be called {FIRST_PARTY_CLIENT_ID!r}.")
        self.access_token_lifetime = access_token_lifetime
        self.clock = clock
        self._users = users
        self._events = Events(on_event, issuer)
        self._access = AccessTokens(
            users,
            keys=keys,
            tokens=tokens,
            issuer=issuer,
            audience=audience,
            lifetime=access_token_lifetime,
            claims=claims,
            asked_about=[c.audiences for c in self.clients if c.audiences is not None],
            revocations=self._revocations(shared_cache, revocation_bus),
            clock=clock,
        )
        users.issue = self.issue

    @property
    def users(self) -> UserRepository:
        """Where users are kept."""
        return self._users

    def with_users(self, users: UserRepository) -> AuthService:
        """Return the same service over another store of users."""
        other = copy.copy(self)
        other._users = users  # noqa: SLF001 - our own copy
        other._access = copy.copy(self._access)  # noqa: SLF001 - our own copy
        other._access.use(users)  # noqa: SLF001 - our own copy
        users.issue = other.issue
        return other

    def register_user(self, request: RegisterRequest, *, peer: str | None = None) -> PublicUser:
        """Register somebody who asks for it.

        Args:
            request: The new account.
            peer: The address of whoever asks, for the audit trail.

        Raises:
            RegistrationClosed: People may not register themselves.
            InvalidRequest: The password is shorter than this service wants it.
            UserAlreadyExists: The username or the e-mail address is taken.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """
        return self._accounts.register(self._users, request, peer=peer)

    def create_user(
        self,
        username: str,
        *,
        email: str,
        password: str,
        roles: Iterable[str] = (),
        email_verified: bool = False,
    ) -> PublicUser:
        """Add a user by an operator's word; works while registration is closed.

        Raises:
            InvalidRequest: An argument is not what a new user may have.
            UserAlreadyExists: The username or the e-mail address is taken.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """
        members = {"username": username, "email": email, "password": password}
        return self._accounts.create(
            self._users, members, roles=roles, email_verified=email_verified
        )

    def login_user(
        self, request: LoginRequest, *, client: Client | None = None, peer: str | None = None
    ) -> LoginResponse:
        """Check a password and issue an access token.

        Args:
            request: Username and password.
            client: The client that sent them and authenticated itself.
            peer: The address of whoever asks, for the audit trail.

        Returns:
            The token, for how many seconds it is good (RFC 6749, section 5.1), and whose it is.

        Raises:
            InvalidCredentials: Unknown, inactive, without a password or wrong; never which.
            InvalidRequest: The password is not a string of 1 to 1,024 bytes.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """
        with self._events.timed("login"):
            return log_in(
                self._users, self._access, request, client=client, peer=peer, now=self.clock()
            )

    def issue(self, user: User, *, client: Client | None = None) -> str:
        """Return an access token for ``user`` (RFC 9068, section 2).

        Args:
            user: As the store has it now; who it is was checked elsewhere.
            client: Whom the token is handed to, and who may have a lifetime of its own for it;
                ``None``: our own login.

        Raises:
            ConfigurationError: The ``claims`` hook returned a claim that is ours to make.
        """
        return self._access.issue(user, client=client)

    def logout_user(
        self,
        token: str | None = None,
        *,
        refresh_token: str | None = None,
        peer: str | None = None,
    ) -> LogoutResponse:
        """End an access token at once; the next use of it, logging out included, is refused.

        Resource servers that share our cache or listen to our bus forget it. Neither being down
        changes anything here; it is logged, once a minute.

        Args:
            token: The access token.
            refresh_token: Ended with it. One that is not known here ends nothing, and alone it
                is refused.
            peer: The address of whoever asks, for the audit trail.

        Raises:
            InvalidToken: The access token is refused.
            AuthServiceUnavailable: The store is busy or down.
        """
        if token is None:
            what = "no token" if refresh_token is None else "an unknown refresh token"
            raise InvalidToken(f"{what} to log out with; send the access token")
        principal = self._access.verify(token)
        self._access.revoke(principal, token)
        jti = principal.claims["jti"]
        audit("logout", self.clock(), subject=principal.subject, jti=jti, peer=peer)
        return LogoutResponse()

    def get_logged_in_user(self, token: str) -> PublicUser:
        """Return the user a token speaks for, as the store has them now.

        Raises:
            InvalidToken: The token is refused: bad, expired, revoked, its user gone or inactive.
            AuthServiceUnavailable: The store is down.
        """
        user = self._access.verify(token).user
        if user is None:
            raise UserNotFound("the token speaks for no user; send one from a login")
        return user

    def introspect_token(self, token: str, *, client: Client | None = None) -> IntrospectResponse:
        """Return the state of a token (RFC 7662, section 2.2).

        Args:
            token: Anything; what is not a good token of ours is inactive.
            client: Who asks. It learns nothing of a token that is for none of its audiences.

        Raises:
            AuthServiceUnavailable: The store is down. Nothing else is raised.
        """
        return state_of(self._access, token, audiences=client.audiences if client else None)

    def public_jwks(self) -> dict[str, Any]:
        """Return the JWK Set that others verify our tokens with (RFC 7517, section 5)."""
        return self.keys.public_jwks()

    def metadata(self) -> dict[str, Any]:
        """Return what we publish about ourselves (RFC 8414, section 3.2)."""
        return metadata_of(self.issuer)

    def ready(self) -> bool:
        """Tell whether our own stores and keys can be used."""
        return is_ready(self._users, self.tokens, self.keys)

    def _revocations(
        self, cache: SharedCache | None, bus: RevocationBus | None
    ) -> Revocations | None:
        if cache is None and bus is None:
            return None
        return Revocations(
            cache,
            bus,
            clock=self.clock,
            failed=lambda: self._events.emit("cache", "shared.error"),
        )
