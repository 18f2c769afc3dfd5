"""Users: what every store must be able to do, and what is the same for all of them."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from tokenward._log import shown
from tokenward.errors import ConfigurationError
from tokenward.passwords import DEFAULT_COST, PasswordHasher, check_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tokenward.protocols import Clock
    from tokenward.schemas import LoginRequest, PublicUser, RegisterRequest, User

_logger = logging.getLogger("tokenward.repositories")


class UserRepository(ABC):
    """Where users are kept.

    Names and addresses are unique by their canonical key, and it is the store's unique index that
    says so: insert and catch, never look and insert. Whatever cannot be asked is
    `AuthServiceUnavailable`, never "no such user".

    Attributes:
        issue: Makes an access token for a user; set by the service that owns the repository.
        hasher: Hashes and verifies passwords.
    """

    issue: Callable[[User], str] | None = None
    hasher: PasswordHasher = PasswordHasher()
    _clock: Clock = staticmethod(time.time)

    def __init__(self, *, bcrypt_cost: int = DEFAULT_COST, clock: Clock = time.time) -> None:
        self.hasher = PasswordHasher(cost=bcrypt_cost)
        self._clock = clock

    @abstractmethod
    def create(
        self,
        request: RegisterRequest,
        *,
        roles: Iterable[str] = (),
        is_active: bool = True,
        email_verified: bool = False,
    ) -> PublicUser:
        """Add a user under a new random id.

        Raises:
            UserAlreadyExists: The username or the e-mail address is taken.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """

    @abstractmethod
    def get_by_id(self, user_id: str) -> User | None:
        """Return the user with this id."""

    @abstractmethod
    def get_by_username(self, username: str) -> User | None:
        """Return the user of this name, compared by its canonical key."""

    @abstractmethod
    def get_by_email(self, email: str) -> User | None:
        """Return the user of this e-mail address, compared by its canonical key."""

    @abstractmethod
    def get_active_users(self, skip: int = 0, limit: int = 100) -> list[User]:
        """Return a page of the active users in the order of their registration.

        Raises:
            InvalidRequest: ``skip`` is negative, or ``limit`` not within 0..1000.
        """

    @abstractmethod
    def count(self) -> int:
        """Return the number of users, inactive ones included."""

    @abstractmethod
    def set_password(
        self, username: str, password: str | None, *, version: int | None = None
    ) -> None:
        """Replace the password and raise ``token_version``; ``None``: no password opens it.

        A hash takes its time, and the account may be closed meanwhile. Who may set a password
        because of what the account was a moment ago hands in the ``token_version`` it had then:
        comparing and setting are one atomic step.

        Args:
            username: Whose.
            password: The next one.
            version: Only while ``token_version`` is this; ``None``: whatever it is.

        Raises:
            UserNotFound: There is no such user.
            TokenRevoked: The account has another ``version`` by now; nothing was changed.
            InvalidRequest: The password is empty or too long.
        """

    @abstractmethod
    def set_active(self, username: str, active: bool) -> None:  # noqa: FBT001 - the name says it
        """Open or close the account and raise ``token_version``.

        Raises:
            UserNotFound: There is no such user.
        """

    @abstractmethod
    def set_roles(self, username: str, roles: Iterable[str]) -> None:
        """Replace the roles and raise ``token_version``.

        Raises:
            UserNotFound: There is no such user.
            InvalidRequest: ``roles`` is not a list of short, printable strings.
        """

    @abstractmethod
    def set_email_verified(self, username: str, verified: bool) -> None:  # noqa: FBT001 - the same
        """Say whether the e-mail address was shown to be theirs.

        Raises:
            UserNotFound: There is no such user.
        """

    @abstractmethod
    def delete(self, username: str) -> None:
        """Remove the user.

        Raises:
            UserNotFound: There is no such user.
        """

    def replace_hash(self, user: User, hashed_password: str) -> bool:
        """Store another hash of the same password, unless the password changed since ``user``.

        Leaves ``token_version`` as it is. A store may do without: it keeps the hashes it has.

        Returns:
            Whether the hash was stored.
        """
        del user, hashed_password
        return False

    def verify_credentials(self, credentials: LoginRequest) -> User | None:
        """Return the active user whose password this is, and bring an old hash up to date.

        Unknown, inactive, without a password and wrong each do the work of one hash at the
        configured cost, so that the time taken tells nothing.

        Raises:
            InvalidRequest: The password is not a string of 1 to 1,024 bytes; nothing was looked up.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """
        check_password(credentials.password)
        user = self.get_by_username(credentials.username)
        hashed = user.hashed_password if user is not None and user.is_active else None
        verified = self.hasher.verify(credentials.password, hashed)
        if user is None or hashed is None or not verified:
            return None
        if self.hasher.needs_rehash(hashed):
            self._rehash(user, credentials.password)
        return user

    def _rehash(self, user: User, password: str) -> None:
        try:
            self.replace_hash(user, self.hasher.hash(password))
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the login stands
            _logger.warning("An old password hash was not renewed: %s", shown(error))

    def authenticate_user(self, credentials: LoginRequest) -> dict[str, Any] | None:
        """Return ``{"access_token": …, "user": PublicUser}``, or ``None`` for a failed login.

        Raises:
            ConfigurationError: Nothing set ``issue``.
            InvalidRequest: See `verify_credentials`.
            AuthServiceUnavailable: See `verify_credentials`.
        """
        if self.issue is None:
            msg = (
                "The user repository cannot issue tokens by itself: give it to an AuthService, "
                "or set its attribute `issue` to a function that makes a token for a User."
            )
            raise ConfigurationError(msg)
        user = self.verify_credentials(credentials)
        if user is None:
            return None
        return {"access_token": self.issue(user), "user": user.public()}
