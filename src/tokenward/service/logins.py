"""A password against a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward._audit import audit
from tokenward.errors import InvalidCredentials
from tokenward.schemas import LoginRequest, LoginResponse

if TYPE_CHECKING:
    from tokenward.clients import Client
    from tokenward.repositories import UserRepository
    from tokenward.service.access_tokens import AccessTokens


def log_in(
    users: UserRepository,
    access: AccessTokens,
    request: LoginRequest,
    *,
    client: Client | None,
    peer: str | None,
    now: float,
) -> LoginResponse:
    """Check a password and issue an access token; see `AuthService.login_user`."""
    user = users.verify_credentials(request)
    known = {"client_id": client.client_id if client else None, "peer": peer}
    if user is None:
        audit("login_failed", now, username=request.username, **known)
        raise InvalidCredentials
    token = access.issue(user, client=client)
    audit("login_ok", now, subject=user.id, **known)
    return LoginResponse(
        access_token=token, expires_in=access.lifetime_for(client), user=user.public()
    )
