"""What the verbs of `AuthService` work with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.errors import UserNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenward._events import Events
    from tokenward.principal import Principal
    from tokenward.protocols import Clock
    from tokenward.repositories import TokenRepository, UserRepository
    from tokenward.schemas import PublicUser, User
    from tokenward.service.access_tokens import AccessTokens
    from tokenward.service.attempts import Attempts
    from tokenward.service.delivery import Delivery
    from tokenward.service.families import Families
    from tokenward.service.one_time import OneTimeTokens
    from tokenward.service.policy import PasswordPolicy


class Base:
    """One service's parts; made by `AuthService`, which says what each is."""

    tokens: TokenRepository
    clock: Clock
    registration: str
    deliver: Callable[[str, User, str], None] | None
    _users: UserRepository
    _access: AccessTokens
    _families: Families
    _one_time: OneTimeTokens
    _policy: PasswordPolicy
    _attempts: Attempts
    _events: Events
    _delivery: Delivery

    def _bearer(self, token: str) -> tuple[Principal, PublicUser]:
        """Return whom an access token speaks for, as the store has them now.

        Raises:
            InvalidToken: The token is refused, or speaks for a program.
            AuthServiceUnavailable: The store is down.
        """
        principal = self._access.verify(token)
        if principal.user is None:
            raise UserNotFound("the token speaks for no user; send one from a login")
        return principal, principal.user
