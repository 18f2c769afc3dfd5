"""Operators: the part of `AuthService` that works by an operator's word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tokenward._audit import audit
from tokenward._log import shown
from tokenward.errors import ConfigurationError, UserNotFound
from tokenward.schemas import PublicUser, RegisterRequest, read_members
from tokenward.service.accounts import Accounts

if TYPE_CHECKING:
    from tokenward.schemas import User


class Operators(Accounts):
    """Accounts made and changed by those who run the service; nothing of it is throttled."""

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
        request = read_members(RegisterRequest, members)
        self._policy.check(request.password, field="password")
        return self._users.create(request, roles=roles, email_verified=email_verified)

    def deactivate_user(self, username: str) -> None:
        """Close a user's account; every token and session of theirs ends.

        Raises:
            UserNotFound: There is no such user.
            AuthServiceUnavailable: The store is busy or down.
        """
        user = self._named(username)
        self._users.set_active(user.username, active=False)
        self._end_all(user, "user_disabled")

    def reactivate_user(self, username: str) -> None:
        """Open a user's account again; they have to log in anew.

        Raises:
            UserNotFound: There is no such user.
            AuthServiceUnavailable: The store is busy or down.
        """
        user = self._named(username)
        self._users.set_active(user.username, active=True)
        self._end_all(user, "user_enabled")

    def set_roles(self, username: str, roles: Iterable[str]) -> None:
        """Replace a user's roles; every token and session of theirs ends.

        Raises:
            UserNotFound: There is no such user.
            InvalidRequest: ``roles`` is not a list of short, printable strings.
            AuthServiceUnavailable: The store is busy or down.
        """
        user = self._named(username)
        self._users.set_roles(user.username, roles)
        self._end_all(user, "role_changed")

    def set_password(self, username: str, password: str | None) -> None:
        """Replace a user's password; every token and session of theirs ends.

        Args:
            username: Whose.
            password: The next one; ``None``: no password opens the account, and none is reset.

        Raises:
            UserNotFound: There is no such user.
            InvalidRequest: The password is not what this service wants.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """
        if password is not None:
            self._policy.check(password, field="password")
        user = self._named(username).public()
        self._replace_password(user, password)
        self._say_changed(user, how="set")

    def send_email_verification(self, username: str) -> None:
        """Have ``deliver`` send a one-time token for `verify_email`, soon; see `flush`.

        Nothing is sent to an address that is verified, or to somebody who is not active.

        Raises:
            UserNotFound: There is no such user.
            ConfigurationError: The service has no ``deliver``.
            AuthServiceUnavailable: The store is down.
        """
        if self.deliver is None:
            raise ConfigurationError("Nothing can be sent: give the service a `deliver`.")
        user = self._named(username)
        if not user.email_verified:
            self._send_soon("verify_email", user.id)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until ``deliver`` was given what waits for it: before a process ends, say.

        Args:
            timeout: Seconds.

        Returns:
            Whether nothing waits any more.
        """
        return self._delivery.flush(timeout)

    def _named(self, username: str) -> User:
        user = self._users.get_by_username(username)
        if user is None:
            raise UserNotFound(f"there is no user named {shown(username)}")
        return user

    def _end_all(self, user: User, event: str) -> None:
        # The change itself raised `token_version`, which ends every token; this tidies up.
        self.tokens.end_all(user.id)
        audit(event, self.clock(), subject=user.id, username=user.username)
