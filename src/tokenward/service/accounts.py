"""Accounts: the part of `AuthService` for people who open one and look after it themselves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tokenward._audit import audit
from tokenward._log import OncePerMinute
from tokenward.errors import InvalidCredentials, RegistrationClosed, TooManyAttempts
from tokenward.schemas import (
    ForgotPasswordRequest,
    LoginRequest,
    PublicUser,
    RegisterRequest,
    read_members,
)
from tokenward.service.base import Base
from tokenward.service.policy import presented

if TYPE_CHECKING:
    from tokenward.schemas import User
    from tokenward.service.one_time import Purpose

_logger = logging.getLogger("tokenward.service")
_seldom = OncePerMinute(_logger)


class Accounts(Base):
    """Registration, passwords, e-mail addresses."""

    def register_user(self, request: RegisterRequest, *, peer: str | None = None) -> PublicUser:
        """Register somebody who asks for it; with ``deliver``, their address is to be verified.

        Args:
            request: The new account.
            peer: The address of whoever asks, for the throttle and the audit trail.

        Raises:
            RegistrationClosed: People may not register themselves.
            InvalidRequest: The password is not what this service wants.
            UserAlreadyExists: The username or the e-mail address is taken.
            TooManyAttempts: The throttle does not look at this one.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """
        if self.registration != "open":
            raise RegistrationClosed("registration is 'closed'; an operator can add the user")
        self._policy.check(request.password, field="password")
        attempt = self._attempts.begin("register", request.username, peer)
        user = self._users.create(request)
        attempt.succeeded()
        audit("user_registered", self.clock(), subject=user.id, username=user.username, peer=peer)
        if self.deliver is not None:
            self._send_soon("verify_email", user.id)
        return user

    def change_password(
        self, token: str, current: str, new: str, *, peer: str | None = None
    ) -> None:
        """Exchange a user's password for another; every token and session of theirs ends.

        Args:
            token: An access token of theirs.
            current: Their password of now.
            new: Their next one.
            peer: The address of whoever asks, for the throttle and the audit trail.

        Raises:
            InvalidToken: The token is refused; or it was ended while this was under way
                (`TokenRevoked`), and the password is what it was made by whoever ended it.
            InvalidRequest: One of the two is no password, or ``new`` is not what this service wants
                (field ``new_password``).
            InvalidCredentials: ``current`` is wrong.
            TooManyAttempts: The throttle does not look at this one.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """
        principal, user = self._bearer(token)
        presented(current, field="current_password")
        self._policy.check(new, field="new_password")
        attempt = self._attempts.begin("password", user.username, peer)
        credentials = LoginRequest(username=user.username, password=current)
        verified = self._users.verify_credentials(credentials)
        if verified is None or verified.id != principal.subject:
            raise InvalidCredentials
        attempt.succeeded()
        # Of what the token was verified for: whatever an operator did since then stands.
        self._replace_password(user, new, version=principal.claims.get("ver", 0))
        self._access.forget(token)
        self._say_changed(user, how="changed", peer=peer)

    def forgot_password(self, email: str, *, peer: str | None = None) -> None:
        """Have ``deliver`` send the way to a new password, if an active user has this address.

        Whether anybody has it is told by nothing, the time it takes included: the look-up and what
        follows wait for a thread of their own. Somebody without a password gets none: an operator
        decided that no password opens the account.

        The throttle bounds what is sent to one address, see `MESSAGES_PER_MAILBOX`. Beyond that
        nothing is sent, and that is not told either; what was sent before stays good.

        Args:
            email: The address.
            peer: The address of whoever asks, for the throttle and the audit trail.

        Raises:
            InvalidRequest: It is no address.
            TooManyAttempts: The throttle does not look at this one.
        """
        address = read_members(ForgotPasswordRequest, {"email": email}).email
        # Never forgiven: each may send a message to somebody who has not asked for it.
        self._attempts.begin("forgot", address, peer)
        if self.deliver is None:
            _seldom.log(logging.WARNING, ("deliver",), "without `deliver` no password is reset")
            return

        def look_up_and_send() -> None:
            user = self._users.get_by_email(address)
            if user is not None and user.is_active and user.hashed_password is not None:
                try:
                    self._attempts.begin("message", user.email, peer)
                except TooManyAttempts:
                    return
                who = {"subject": user.id, "username": user.username}
                audit("password_reset_asked", self.clock(), **who, peer=peer)
                self._send("reset_password", user)

        self._delivery.submit("a password reset", look_up_and_send)

    def reset_password(self, token: str, new_password: str, *, peer: str | None = None) -> None:
        """Set a password by a one-time token; every token and session of the user ends.

        The token was sent to the user's address and is bound to it, so the address is theirs from
        then on, as if they had used a token of `verify_email`.

        Args:
            token: What ``deliver`` was given for ``reset_password``, at most an hour ago.
            new_password: The next password.
            peer: The address of whoever asks, for the throttle and the audit trail.

        Raises:
            InvalidRequest: The password is not what this service wants, and the token stays good;
                or the token is not valid any more (reason ``one_time_token``): the account was
                changed since it was made, up to the moment at which the password is stored.
            TooManyAttempts: The throttle does not look at this one.
            AuthServiceUnavailable: A store or the hashing is busy or down; the token stays good,
                unless its store went down while it was being used: then another is asked for.
        """
        self._policy.check(new_password, field="new_password")
        attempt = self._attempts.begin("one_time", None, peer)

        def change(user: User) -> None:
            # First, because the token is good for nothing once the password is another. Whoever
            # sent it reads what is sent to the address, whether or not the password is set.
            if not user.email_verified:
                self._verify_address(user, peer=peer)
            self._replace_password(user.public(), new_password, version=user.token_version)
            self._say_changed(user.public(), how="reset", peer=peer)

        self._one_time.use(token, "reset_password", self._users, change)
        attempt.succeeded()

    def verify_email(self, token: str, *, peer: str | None = None) -> None:
        """Take it as shown that an address is its user's, by a one-time token that was sent there.

        Args:
            token: What ``deliver`` was given for ``verify_email``, at most a day ago.
            peer: The address of whoever asks, for the throttle and the audit trail.

        Raises:
            InvalidRequest: The token is not valid any more (reason ``one_time_token``): the address
                has changed, for instance.
            TooManyAttempts: The throttle does not look at this one.
            AuthServiceUnavailable: The store is busy or down; the token stays good, unless its
                store went down while it was being used: then another is sent.
        """
        attempt = self._attempts.begin("one_time", None, peer)

        def verify(user: User) -> None:
            self._verify_address(user, peer=peer)

        self._one_time.use(token, "verify_email", self._users, verify)
        attempt.succeeded()

    def _replace_password(
        self, user: PublicUser, password: str | None, *, version: int | None = None
    ) -> None:
        # Raising `token_version`, this ends every token; what follows only tidies up.
        self._users.set_password(user.username, password, version=version)
        self.tokens.end_all(user.id)

    def _say_changed(self, user: PublicUser, *, how: str, peer: str | None = None) -> None:
        who = {"subject": user.id, "username": user.username}
        audit("password_changed", self.clock(), **who, how=how, peer=peer)

    def _verify_address(self, user: User, *, peer: str | None) -> None:
        self._users.set_email_verified(user.username, verified=True)
        who = {"subject": user.id, "username": user.username}
        audit("email_verified", self.clock(), **who, peer=peer)

    def _send_soon(self, purpose: Purpose, user_id: str) -> None:
        def look_up_and_send() -> None:
            user = self._users.get_by_id(user_id)
            if user is not None:
                self._send(purpose, user)

        self._delivery.submit("an e-mail verification", look_up_and_send)

    def _send(self, purpose: Purpose, user: User) -> None:
        if self.deliver is not None and user.is_active and user.email is not None:
            self.deliver(purpose, user, self._one_time.make(purpose, user))
