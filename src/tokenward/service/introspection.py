"""What an introspection answer says of a good token (RFC 7662, section 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.errors import AuthError, AuthServiceUnavailable
from tokenward.principal import thaw
from tokenward.schemas import IntrospectResponse
from tokenward.service.families import goes_on

if TYPE_CHECKING:
    from tokenward.clients import Client
    from tokenward.principal import Principal
    from tokenward.repositories import Family
    from tokenward.schemas import User
    from tokenward.service.access_tokens import AccessTokens


def state_of(
    access: AccessTokens, token: str, *, audiences: frozenset[str] | None
) -> IntrospectResponse:
    """Return the state of a token; see `AuthService.introspect_token`."""
    try:
        principal = access.verify(token, audiences=audiences)
    except AuthServiceUnavailable:
        raise
    except AuthError:
        return IntrospectResponse(active=False)
    return answer_for(principal)


def answer_for(principal: Principal) -> IntrospectResponse:
    """Return the answer for a token that was verified.

    Members are taken from what the verifier made of the claims, and roles and names from the
    store: a token that carries something odd beside is still described correctly.
    """
    claims = principal.claims
    return IntrospectResponse(
        active=True,
        user=principal.user,
        scope=" ".join(sorted(principal.scopes)) or None,
        client_id=principal.client_id,
        username=principal.username,
        token_type="Bearer",  # noqa: S106 - a token type, not a secret
        exp=principal.expires_at,
        iat=int(claims["iat"]),
        sub=principal.subject,
        aud=thaw(claims["aud"]),
        iss=principal.issuer,
        jti=claims["jti"],
        roles=sorted(principal.roles),
        sid=claims.get("sid"),
        email=principal.email,
        email_verified=principal.email_verified,
    )


def state_of_refresh_token(
    family: Family,
    user: User | None,
    *,
    is_current: bool,
    client: Client,
    issuer: str,
) -> IntrospectResponse:
    """Return the state of a refresh token; see `AuthService.introspect_token`."""
    is_good = is_current and goes_on(family, user) and family.client_id == client.client_id
    if user is None or not is_good:
        return IntrospectResponse(active=False)
    return IntrospectResponse(
        active=True,
        scope=" ".join(family.scopes) or None,
        client_id=family.client_id,
        username=user.username,
        token_type="refresh_token",  # noqa: S106 - a token type, not a secret
        exp=family.expires_at,
        iat=family.used_at,
        sub=family.subject,
        iss=issuer,
        sid=family.id,
    )
