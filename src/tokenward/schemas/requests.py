"""What is sent to our endpoints; read strictly, unknown members are refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from tokenward.schemas.names import MAX_USERNAME_CHARACTERS, Email, presented_password
from tokenward.schemas.people import IdentityMixin, NewPassword, PasswordMixin
from tokenward.schemas.reading import Received, Secretive

MAX_TOKEN_CHARACTERS = 16_384

Presented = Annotated[str, AfterValidator(presented_password)]
"""A password of 1 to 1,024 UTF-8 bytes."""
SentToken = Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_CHARACTERS)]
"""A token of ours, as somebody sends it back."""


class RegisterRequest(PasswordMixin, IdentityMixin, Received):
    """A new account."""


class LoginRequest(Secretive, Received):
    """A username and a password of 1 to 1,024 UTF-8 bytes."""

    username: str = Field(max_length=MAX_USERNAME_CHARACTERS * 2)
    password: Presented = Field(repr=False, exclude=True)


class LogoutRequest(Received):
    """What a logout may carry beside the bearer token."""

    refresh_token: str | None = Field(default=None, repr=False)


class IntrospectRequest(Received):
    """A token to introspect (RFC 7662, section 2.1)."""

    token: str = Field(repr=False)


class RefreshRequest(Secretive, Received):
    """A refresh token, for the next access token and the next refresh token."""

    refresh_token: SentToken = Field(repr=False, exclude=True)


class ChangePasswordRequest(Secretive, Received):
    """The password of now, and the next one."""

    current_password: Presented = Field(repr=False, exclude=True)
    new_password: NewPassword = Field(repr=False, exclude=True)


class VerifyEmailRequest(Secretive, Received):
    """The one-time token that was sent to an e-mail address."""

    token: SentToken = Field(repr=False, exclude=True)


class ForgotPasswordRequest(Received):
    """Where the way to a new password is to be sent."""

    email: Email


class ResetPasswordRequest(Secretive, Received):
    """The one-time token that was sent to an e-mail address, and the next password."""

    token: SentToken = Field(repr=False, exclude=True)
    new_password: NewPassword = Field(repr=False, exclude=True)


class EndSessionRequest(Received):
    """One of one's own sessions, by its id."""

    sid: Annotated[str, Field(min_length=1, max_length=255)]
