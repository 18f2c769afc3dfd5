"""Refresh families: what one login leads to (RFC 9700, section 4.14.2)."""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection
from typing import TYPE_CHECKING

from tokenward._audit import audit
from tokenward._secrets import digest_of_random_token, random_token
from tokenward.claims import scopes_in
from tokenward.errors import ConfigurationError, InvalidGrant, InvalidScope, UnauthorizedClient
from tokenward.repositories import Family, Rotation
from tokenward.schemas import LoginResponse
from tokenward.service.access_tokens import FIRST_PARTY_CLIENT_ID, Issued

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenward.clients import Client
    from tokenward.protocols import Clock
    from tokenward.repositories import TokenRepository, UserRepository
    from tokenward.schemas import User
    from tokenward.service.access_tokens import AccessTokens

GRANT = "refresh_token"

MAX_SESSIONS = 100
"""So many sessions a user has at most: the login after that ends their oldest one.

Whoever knows one password could fill the store otherwise, and no list of sessions would end. It is
never one whose last access token is still good: no good token is refused for it. So a program that
logs in all the time may have more, as many as it makes in the life of a token.
"""

_ID_BYTES = 16


class Families:
    """The refresh families of one issuer.

    Args:
        tokens: Where they are kept.
        lifetime: Seconds for which a refresh token is good; ``None`` or 0: none is handed out.
        session_lifetime: Seconds after its login at which a family ends, however often it is
            refreshed; 0: never.
        access_lifetime: Seconds for which access tokens are good that are handed out beside.
        clock: Returns seconds since the epoch.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(
        self,
        tokens: TokenRepository,
        *,
        lifetime: int | None,
        session_lifetime: int,
        access_lifetime: int,
        clock: Clock,
    ) -> None:
        for name, seconds in (
            ("refresh_token_lifetime", 0 if lifetime is None else lifetime),
            ("session_lifetime", session_lifetime),
        ):
            if type(seconds) is not int or seconds < 0:
                raise ConfigurationError(f"{name} is a number of whole seconds, 0 or more.")
            if lifetime and 0 < seconds < access_lifetime:
                raise ConfigurationError(
                    f"{name} is {seconds} seconds, and an access token is good for "
                    f"{access_lifetime}: it would outlive its session. Make the first longer."
                )
        self._tokens = tokens
        self._lifetime = lifetime or 0
        self._session_lifetime = session_lifetime
        self._access_lifetime = access_lifetime
        self._clock = clock

    def grants_to(self, client: Client | None) -> bool:
        """Tell whether a login that ``client`` passes on starts a family."""
        return self._lifetime > 0 and (client is None or GRANT in client.grants)

    def log_in(
        self, access: AccessTokens, user: User, client: Client | None, *, session: bool
    ) -> LoginResponse:
        """Return the first tokens of a new family, or an access token alone.

        Beyond `MAX_SESSIONS` it ends the user's oldest family that is not at work.
        """
        if not session or not self.grants_to(client):
            return _answer(access.issue_to_user(user, client=client), user, None)
        now = math.floor(self._clock())
        sid, ends = secrets.token_urlsafe(_ID_BYTES), self._end(now, now)
        issued = access.issue_to_user(user, client=client, sid=sid)
        family = Family(
            id=sid,
            subject=user.id,
            client_id=id_of(client),
            scopes=issued.scopes,
            version=user.token_version,
            created_at=now,
            used_at=now,
            expires_at=ends,
        )
        refresh_token, digest = random_token()
        self._make_room(user, now)
        self._tokens.start_family(family, digest)
        return _answer(issued, user, refresh_token)

    def refresh(
        self,
        access: AccessTokens,
        users: UserRepository,
        refresh_token: str,
        *,
        client: Client | None,
        scopes: Iterable[str] | None,
        peer: str | None,
    ) -> LoginResponse:
        """Exchange a refresh token; see `AuthService.refresh`."""
        if client is not None and GRANT not in client.grants:
            raise UnauthorizedClient(f"add {GRANT!r} to the grants of the client")
        digest = digest_of_random_token(refresh_token)
        found = None if digest is None else self._tokens.find_family(digest)
        if digest is None or found is None:
            raise InvalidGrant("no family that goes on has this refresh token")
        family, is_current = found
        if not is_current:
            self._tokens.end_family(family.id)
            raise self._reused(family, peer)
        if family.client_id != id_of(client):
            raise InvalidGrant("the refresh token was handed to another client")
        user = users.get_by_id(family.subject)
        now = math.floor(self._clock())
        ends = self._end(family.created_at, now)
        if user is None or not goes_on(family, user) or ends <= now:
            raise InvalidGrant("the session has ended")
        granted = _narrowed(family.scopes, scopes)
        # Before the exchange: when no token can be made now, the refresh token stays good.
        issued = access.issue_to_user(
            user, client=client, sid=family.id, within=granted, until=ends
        )
        successor, new_digest = random_token()
        rotation = self._tokens.rotate(digest, new_digest, ends)
        if rotation == Rotation.REUSED:
            raise self._reused(family, peer)
        if rotation != Rotation.ROTATED:
            raise InvalidGrant("the session has ended meanwhile")
        return _answer(issued, user, successor)

    def find(self, refresh_token: object) -> tuple[Family, bool] | None:
        """Return the family of a refresh token, and whether the token is its current one.

        Raises:
            AuthServiceUnavailable: The store is down.
        """
        digest = digest_of_random_token(refresh_token)
        return None if digest is None else self._tokens.find_family(digest)

    def _make_room(self, user: User, now: int) -> None:
        going_on = self._tokens.families(user.id)
        too_many = max(0, len(going_on) + 1 - MAX_SESSIONS)
        idle = [family for family in going_on if family.used_at + self._access_lifetime <= now]
        for family in idle[:too_many]:
            self._tokens.end_family(family.id)
            audit("session_ended", now, subject=user.id, sid=family.id, how="too_many")

    def _end(self, created_at: int, now: int) -> int:
        ends = now + self._lifetime
        return min(ends, created_at + self._session_lifetime) if self._session_lifetime else ends

    def _reused(self, family: Family, peer: str | None) -> InvalidGrant:
        audit(
            "refresh_reuse",
            self._clock(),
            subject=family.subject,
            client_id=family.client_id,
            sid=family.id,
            peer=peer,
        )
        return InvalidGrant("the refresh token was used before; its session was ended")


def id_of(client: Client | None) -> str:
    """Return the ``client_id`` that a login of this client's is bound to."""
    return FIRST_PARTY_CLIENT_ID if client is None else client.client_id


def goes_on(family: Family, user: User | None) -> bool:
    """Tell whether ``user``, as the store has them now, still has this session."""
    return (
        user is not None
        and user.is_active
        and user.token_version == family.version
        and not family.ended
    )


def _narrowed(granted: tuple[str, ...], asked: Iterable[str] | None) -> Collection[str]:
    wanted = wanted_scopes(asked)
    if not wanted <= set(granted):
        raise InvalidScope("a refresh may ask for less than the login granted, never for more")
    return wanted or granted


def wanted_scopes(asked: Iterable[str] | None) -> set[str]:
    """Return what is asked for; nothing: whatever there is."""
    return set(scopes_in(asked) if isinstance(asked, str) else asked or ())


def _answer(issued: Issued, user: User, refresh_token: str | None) -> LoginResponse:
    return LoginResponse(
        access_token=issued.token,
        expires_in=issued.lifetime,
        refresh_token=refresh_token,
        scope=issued.scope,
        user=user.public(),
    )
