"""New accounts: who may have one, and under which password."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from tokenward._audit import audit
from tokenward.errors import ConfigurationError, InvalidRequest, RegistrationClosed
from tokenward.schemas import MIN_PASSWORD_CHARACTERS, PublicUser, RegisterRequest, read_members

if TYPE_CHECKING:
    from tokenward.protocols import Clock
    from tokenward.repositories import UserRepository


class Accounts:
    """The rules for new accounts.

    Args:
        password_min_length: Characters of a new password, at least 6.
        registration: Whether people may register themselves.
        clock: Returns seconds since the epoch.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(
        self, *, password_min_length: int, registration: Literal["closed", "open"], clock: Clock
    ) -> None:
        if type(password_min_length) is not int or password_min_length < MIN_PASSWORD_CHARACTERS:
            raise ConfigurationError(
                f"password_min_length is a number of at least {MIN_PASSWORD_CHARACTERS}."
            )
        if registration not in ("closed", "open"):
            raise ConfigurationError(f"registration is 'closed' or 'open', not {registration!r}.")
        self._password_min_length = password_min_length
        self._registration = registration
        self._clock = clock

    def register(
        self, users: UserRepository, request: RegisterRequest, *, peer: str | None
    ) -> PublicUser:
        """Add somebody who asks for it; see `AuthService.register_user`."""
        if self._registration != "open":
            raise RegistrationClosed("registration is 'closed'; an operator can add the user")
        self._check_password(request.password)
        user = users.create(request)
        audit("user_registered", self._clock(), subject=user.id, username=user.username, peer=peer)
        return user

    def create(
        self,
        users: UserRepository,
        members: dict[str, str],
        *,
        roles: Iterable[str],
        email_verified: bool,
    ) -> PublicUser:
        """Add somebody by an operator's word; see `AuthService.create_user`."""
        request = read_members(RegisterRequest, members)
        self._check_password(request.password)
        return users.create(request, roles=roles, email_verified=email_verified)

    def _check_password(self, password: str) -> None:
        if len(password) < self._password_min_length:
            text = f"must have at least {self._password_min_length} characters"
            raise InvalidRequest({"password": text})
