"""What our endpoints answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_serializer

from tokenward.schemas.people import PublicUser
from tokenward.schemas.reading import Read


class LoginResponse(Read):
    """A successful login (RFC 6749, section 5.1); ``expires_in`` in seconds."""

    access_token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a token type, not a secret
    expires_in: int
    refresh_token: str | None = Field(default=None, repr=False)
    scope: str | None = None
    user: PublicUser | None = None


class LogoutResponse(Read):
    """A successful logout."""

    message: str = "Logged out."


class IntrospectResponse(Read):
    """The state of a token (RFC 7662, section 2.2); an inactive one says nothing else."""

    active: bool
    user: PublicUser | None = None
    scope: str | None = None
    client_id: str | None = None
    username: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    nbf: int | None = None
    sub: str | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    jti: str | None = None
    roles: list[str] | None = None
    sid: str | None = None
    email: str | None = None
    email_verified: bool | None = None

    @model_serializer(mode="wrap")
    def _present_members_only(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class TokenPayload(Read):
    """The claims of an access token we issued (RFC 9068, section 2.2); times in epoch seconds."""

    sub: str
    exp: int
    iat: int
    iss: str | None = None
    aud: str | list[str] | None = None
    jti: str
    client_id: str | None = None
    scope: str | None = None
    roles: tuple[str, ...] = ()
    sid: str | None = None
    ver: int | None = None


class TokenResponse(Read):
    """A successful answer of the token endpoint (RFC 6749, section 5.1); seconds."""

    access_token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a token type, not a secret
    expires_in: int
    refresh_token: str | None = Field(default=None, repr=False)
    scope: str | None = None


class Session(Read):
    """What one login has led to; times in epoch seconds.

    ``sid`` is what its access tokens carry; ``current``: the request came with one of them.
    """

    sid: str
    client_id: str
    created_at: int
    used_at: int
    expires_at: int
    current: bool = False


class SessionsResponse(Read):
    """A user's sessions, in the order of their logins."""

    sessions: tuple[Session, ...] = ()
