"""`AuthService`: what the endpoints, the command line and the plain functions call."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tokenward._events import Events
from tokenward.clients import Client, Clients
from tokenward.errors import ConfigurationError
from tokenward.repositories import TokenRepository
from tokenward.schemas import MIN_PASSWORD_CHARACTERS
from tokenward.service.access_tokens import FIRST_PARTY_CLIENT_ID, AccessTokens, ClaimsHook
from tokenward.service.arguments import check_hooks, check_throttle, checked_clients
from tokenward.service.attempts import Attempts
from tokenward.service.client_tokens import ClientTokens
from tokenward.service.delivery import Delivery
from tokenward.service.families import GRANT as REFRESH
from tokenward.service.families import Families
from tokenward.service.logins import Logins
from tokenward.service.metadata import check_issuer, metadata_of
from tokenward.service.one_time import OneTimeTokens
from tokenward.service.operators import Operators
from tokenward.service.policy import PasswordPolicy
from tokenward.service.readiness import is_ready
from tokenward.shared_cache import Revocations
from tokenward.throttle.networks import read_trusted

if TYPE_CHECKING:
    from tokenward.keys import KeyRing
    from tokenward.protocols import Clock, OnEvent, RevocationBus, SharedCache
    from tokenward.repositories import UserRepository
    from tokenward.schemas import User
    from tokenward.throttle import LoginThrottle


class AuthService(Logins, Operators, ClientTokens):
    """The issuer of tokens for one store of users; safe to share between threads.

    Access tokens are JWTs as in RFC 9068, signed by the current key of the ring: ``sub`` is the
    user's immutable id, ``roles`` the user's roles, ``ver`` the user's ``token_version``, ``sid``
    the session, and ``client_id`` the client that authenticated itself at the login, or
    `FIRST_PARTY_CLIENT_ID`. A program's own tokens have its ``client_id`` as ``sub``. Refresh
    tokens and one-time tokens are 256 random bits each; the store has their digests.

    Args:
        users: Where users are kept. Its ``issue`` is set to this service's `issue`.
        keys: What signs, and what is published; told how long our tokens are good, see
            `KeyRing.outlast`.
        tokens: Where sessions, revocations and one-time tokens are kept.
        issuer: Our URL, as tokens and metadata name it: https, or http on a literal loopback
            address; no query, no fragment (RFC 8414, section 2).
        audience: Whom our tokens are for; several names are all put into each token.
        clients: The programs that may act in their own name.
        access_token_lifetime: Seconds; a client may have one of its own.
        refresh_token_lifetime: Seconds, from each refresh on; ``None`` or 0: there are none.
        session_lifetime: Seconds after a login at which its session ends, however often it was
            refreshed; 0: never.
        password_min_length: Characters of a new password, at least 6.
        common_passwords: Whether one of the most common passwords may be a new one.
        registration: Whether people may register themselves.
        throttle: Counts attempts before anybody is looked up; ``None``: nothing does, and something
            before the service has to.
        trusted_proxies: Addresses and networks whose ``X-Forwarded-For`` says where a request
            comes from; ``unix``: whoever is connected without an address.
        shared_cache: The one in which resource servers share answers: what is revoked here is
            marked there.
        revocation_bus: The one that resource servers listen to: they hear of what is revoked here.
        on_event: Receives an `Event` for each login. What it raises is dropped.
        deliver: Is given a purpose (``verify_email`` or ``reset_password``), a user, and a one-time
            token that is to reach the user's address in a link to a page of yours, which POSTs it.
            Called on a thread of its own, one call after the other.
        claims: Returns more claims for a user's tokens, ``scope`` among them.
        clock: Returns seconds since the epoch; give the repositories the same.

    Attributes:
        clients: The clients, and the check that a request is from one of them. Everything else
            is as given.

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
        refresh_token_lifetime: int | None = 2_592_000,
        session_lifetime: int = 0,
        password_min_length: int = MIN_PASSWORD_CHARACTERS,
        common_passwords: bool = False,
        registration: Literal["closed", "open"] = "closed",
        throttle: LoginThrottle | None = None,
        trusted_proxies: Sequence[str] = (),
        shared_cache: SharedCache | None = None,
        revocation_bus: RevocationBus | None = None,
        on_event: OnEvent | None = None,
        deliver: Callable[[str, User, str], None] | None = None,
        claims: ClaimsHook | None = None,
        clock: Clock = time.time,
    ) -> None:
        if registration not in ("closed", "open"):
            raise ConfigurationError(f"registration is 'closed' or 'open', not {registration!r}.")
        check_hooks(claims=claims, deliver=deliver, on_event=on_event)
        check_throttle(throttle)
        self.keys = keys
        self.tokens = tokens
        self.issuer = check_issuer(issuer)
        self.audience = audience
        self.clients = (
            clients
            if isinstance(clients, Clients)
            else Clients(checked_clients(clients), clock=clock)
        )
        if any(client.client_id == FIRST_PARTY_CLIENT_ID for client in self.clients):
            raise ConfigurationError(f"No client may be called {FIRST_PARTY_CLIENT_ID!r}.")
        self.access_token_lifetime = access_token_lifetime
        self.refresh_token_lifetime = refresh_token_lifetime
        self.session_lifetime = session_lifetime
        self.password_min_length = password_min_length
        self.common_passwords = common_passwords
        self.registration = registration
        self.throttle = throttle
        self.trusted_proxies = _proxies(trusted_proxies)
        self.deliver = deliver
        self.clock = clock
        self._users = users
        self._events = Events(on_event, issuer)
        self._policy = PasswordPolicy(min_length=password_min_length, common=common_passwords)
        self._attempts = Attempts(throttle, clock=clock)
        self._one_time = OneTimeTokens(tokens, clock=clock)
        self._delivery = Delivery()
        self._access = AccessTokens(
            users,
            keys=keys,
            tokens=tokens,
            issuer=issuer,
            audience=audience,
            lifetime=access_token_lifetime,
            claims=claims,
            clients=self.clients,
            revocations=self._revocations(shared_cache, revocation_bus),
            clock=clock,
        )
        keys.outlast(max(map(self._access.lifetime_for, (None, *self.clients))))
        refreshing = [None, *(client for client in self.clients if REFRESH in client.grants)]
        self._families = Families(
            tokens,
            lifetime=refresh_token_lifetime,
            session_lifetime=session_lifetime,
            access_lifetime=max(map(self._access.lifetime_for, refreshing)),
            clock=clock,
        )
        users.issue = self.issue
        if clock is not time.time and isinstance(tokens, TokenRepository):
            # By another time a session that begins now would be over, or never be.
            tokens.go_by(clock)

    @property
    def users(self) -> UserRepository:
        """Where users are kept."""
        return self._users

    def with_users(self, users: UserRepository) -> AuthService:
        """Return the same service over another store of users."""
        other = copy.copy(self)
        other._users = users  # noqa: SLF001 - our own copy
        other._access = self._access.over(users)  # noqa: SLF001 - our own copy
        users.issue = other.issue
        return other

    def public_jwks(self) -> dict[str, Any]:
        """Return the JWK Set that others verify our tokens with (RFC 7517, section 5)."""
        return self.keys.public_jwks()

    def metadata(self) -> dict[str, Any]:
        """Return what we publish about ourselves (RFC 8414, section 3.2)."""
        refreshing = bool(self.refresh_token_lifetime)
        return metadata_of(self.issuer, self.clients, refreshing=refreshing)

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


def _proxies(proxies: Sequence[str]) -> tuple[str, ...]:
    try:
        if not isinstance(proxies, str):
            read_trusted(tuple(proxies))
            return tuple(proxies)
    except (ValueError, TypeError):
        pass
    raise ConfigurationError(
        "trusted_proxies is a list of addresses or networks, such as ['10.0.0.0/8'], and of 'unix' "
        "for a proxy that is connected over a Unix socket."
    )
