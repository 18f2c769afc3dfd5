"""Programs: the part of `AuthService` for clients that act in their own name."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from tokenward._audit import audit
from tokenward.errors import InvalidScope, InvalidTarget, InvalidToken, UnauthorizedClient
from tokenward.schemas import IntrospectResponse, TokenResponse
from tokenward.service.arguments import client_named
from tokenward.service.base import Base
from tokenward.service.families import wanted_scopes
from tokenward.service.introspection import state_of, state_of_refresh_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.clients import Client, Clients

GRANT = "client_credentials"


class ClientTokens(Base):
    """What clients ask for in their own name: tokens, and what became of tokens."""

    clients: Clients
    issuer: str

    def issue_client_token(
        self,
        client: Client | str,
        scopes: Collection[str] | None = None,
        *,
        audiences: Collection[str] | None = None,
    ) -> TokenResponse:
        """Issue an access token that speaks for the client itself (RFC 6749, section 4.4).

        Its ``sub`` is the ``client_id`` (RFC 9068, section 2.2), and no refresh token comes with it
        (RFC 6749, section 4.4.3). From when the client is not configured any more, the issuer
        refuses it.

        Args:
            client: The client, which has authenticated itself, or its ``client_id``.
            scopes: What the token is to grant, of the client's scopes; ``None`` or none: all.
            audiences: Whom it is to be for, of the client's ``token_audiences`` or else the
                service's own (RFC 8707); ``None`` or none: all.

        Raises:
            UnauthorizedClient: The client's grants have no ``client_credentials``.
            InvalidScope: A scope is none of the client's.
            InvalidTarget: An audience is none of the client's.
            ConfigurationError: No client has this id.
        """
        client = client_named(self.clients, client)
        if GRANT not in client.grants:
            raise UnauthorizedClient(f"add {GRANT!r} to the grants of the client")
        wanted = wanted_scopes(scopes)
        if not wanted <= client.scopes:
            raise InvalidScope("the client asked for scopes that are none of its own")
        named = set((audiences,) if isinstance(audiences, str) else audiences or ())
        allowed = client.token_audiences or self._access.own
        if not named <= allowed:
            raise InvalidTarget("the client asked for an audience that is none of its own")
        audience = _as_claim(named or client.token_audiences)
        issued = self._access.issue_to_client(
            client, tuple(sorted(wanted or client.scopes)), audience
        )
        return TokenResponse(
            access_token=issued.token, expires_in=issued.lifetime, scope=issued.scope
        )

    def introspect_token(
        self,
        token: str,
        *,
        client: Client | str | None = None,
        token_type_hint: str | None = None,
    ) -> IntrospectResponse:
        """Return the state of a token (RFC 7662, section 2.2).

        A refresh token is inactive except to the client it was handed to. That one is told
        ``token_type`` ``refresh_token`` and no ``aud``: an active answer without a type, or with
        the type of an access token, would let a refresh token in at an API that asks in that
        client's name.

        Args:
            token: Anything; what is not a good token of ours is inactive.
            client: Who asks, or its ``client_id``. It learns nothing of an access token that is
                for none of its audiences. ``None``: the program itself, which learns nothing of
                refresh tokens.
            token_type_hint: Makes no difference: an access token has dots, and a refresh token
                none.

        Raises:
            AuthServiceUnavailable: The store is down.
            ConfigurationError: No client has this id. Nothing else is raised.
        """
        del token_type_hint
        client = None if client is None else client_named(self.clients, client)
        found = None if client is None else self._families.find(token)
        if client is not None and found is not None:
            family, is_current = found
            return state_of_refresh_token(
                family,
                self._users.get_by_id(family.subject),
                is_current=is_current,
                client=client,
                issuer=self.issuer,
            )
        return state_of(self._access, token, audiences=client.audiences if client else None)

    def revoke_token(
        self,
        token: str,
        token_type_hint: str | None = None,
        *,
        client: Client | str | None = None,
        peer: str | None = None,
    ) -> None:
        """End a token (RFC 7009): an access token alone, a refresh token with its session.

        A client ends what was issued to it, by ``client_id``; another's token, one of our own
        login among them, stays as it is, and the client is not told so. Users end theirs with
        `logout_user` and `end_session`. What is unknown, expired or ended is no error (section
        2.2).

        Args:
            token: Anything.
            token_type_hint: Makes no difference; see `introspect_token`.
            client: Who asks, or its ``client_id``; ``None``: the program itself, which may end
                every token.
            peer: The address of whoever asks, for the audit trail.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
            ConfigurationError: No client has this id.
        """
        del token_type_hint
        client = None if client is None else client_named(self.clients, client)
        known = {"client_id": client.client_id if client else None, "peer": peer}
        found = self._families.find(token)
        if found is not None:
            family, _ = found
            if client is None or family.client_id == client.client_id:
                if self.tokens.end_family(family.id):
                    audit("revoked", self.clock(), subject=family.subject, sid=family.id, **known)
                self._access.forget(token)
            return
        try:
            principal = self._access.verify(token, audiences=self._access.everyones)
        except InvalidToken:
            return
        if client is None or principal.client_id == client.client_id:
            self._access.revoke(principal)
            self._access.forget(token)
            jti = principal.claims["jti"]
            audit("revoked", self.clock(), subject=principal.subject, jti=jti, **known)


def _as_claim(names: Collection[str] | None) -> str | Sequence[str] | None:
    """Return audiences as ``aud`` has them (RFC 7519, section 4.1.3); ``None``: the service's."""
    ordered = sorted(names or ())
    return (ordered[0] if len(ordered) == 1 else ordered) if ordered else None
