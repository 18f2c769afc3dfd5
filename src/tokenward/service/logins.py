"""Logins and what they lead to: the part of `AuthService` for sessions."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from tokenward._audit import audit
from tokenward.errors import InvalidCredentials, InvalidRequest, InvalidToken
from tokenward.schemas import (
    LoginRequest,
    LoginResponse,
    LogoutResponse,
    PublicUser,
    Session,
    SessionsResponse,
    User,
)
from tokenward.service.access_tokens import FIRST_PARTY_CLIENT_ID
from tokenward.service.base import Base

if TYPE_CHECKING:
    from tokenward.clients import Client
    from tokenward.principal import Principal
    from tokenward.repositories import Family


class Logins(Base):
    """Logins, refreshes, logouts, and the sessions between them."""

    def login_user(
        self,
        request: LoginRequest,
        *,
        client: Client | None = None,
        peer: str | None = None,
        session: bool = True,
    ) -> LoginResponse:
        """Check a password and issue tokens.

        A refresh token comes with them unless the service hands out none, or the client's grants
        have no ``refresh_token``. It begins a session: its id is the access token's ``sid``, and
        the refresh tokens that follow are bound to the user, the client and the scopes of now.
        A user has at most 100 sessions; the login after that ends the oldest.

        Args:
            request: Username and password.
            client: The client that sent them and authenticated itself; one of the service's, which
                refuses the tokens of others.
            peer: The address of whoever asks, for the throttle and the audit trail.
            session: Whether a session may begin; ``False`` for who would keep no refresh token.

        Returns:
            The tokens, for how many seconds the first is good (RFC 6749, section 5.1), and whose
            they are.

        Raises:
            InvalidCredentials: Unknown, inactive, without a password or wrong; never which.
            InvalidRequest: The password is not a string of 1 to 1,024 bytes.
            TooManyAttempts: The throttle does not look at this one.
            AuthServiceUnavailable: The store or the hashing is busy or down.
        """
        with self._events.timed("login"):
            attempt = self._attempts.begin(
                "login", request.username, peer, vouched=client is not None
            )
            user = self._users.verify_credentials(request)
            known = {"client_id": client.client_id if client else None, "peer": peer}
            if user is None:
                audit("login_failed", self.clock(), username=request.username, **known)
                raise InvalidCredentials
            attempt.succeeded()
            answer = self._families.log_in(self._access, user, client, session=session)
            audit("login_ok", self.clock(), subject=user.id, **known)
            return answer

    def refresh(
        self,
        refresh_token: str,
        *,
        client: Client | None = None,
        scopes: Collection[str] | None = None,
        peer: str | None = None,
    ) -> LoginResponse:
        """Exchange a refresh token for an access token and the next refresh token.

        A refresh token is good once (RFC 9700, section 4.14.2). Presented a second time it ends its
        session, for somebody else may have it. So does an answer that was lost on the way: who
        sends the old one again has used it twice, and logs in anew. One refresh at a time, then,
        and the new token is kept before the old one is thrown away.

        Args:
            refresh_token: The last one of the session.
            client: The client that authenticated itself: the one of the login, which had none
                where this is ``None``.
            scopes: What the access token is to grant: less than the login did, or the same;
                ``None`` or none: the same. What the ``claims`` hook does not say any more is left
                out.
            peer: The address of whoever asks, for the audit trail.

        Raises:
            InvalidGrant: Unknown, used before, expired, ended, another client's; the user is gone,
                not active, or past it. Never which.
            InvalidScope: More was asked for than the login granted; the token stays good.
            UnauthorizedClient: The client's grants have no ``refresh_token``.
            AuthServiceUnavailable: The store is busy or down.
        """
        return self._families.refresh(
            self._access, self._users, refresh_token, client=client, scopes=scopes, peer=peer
        )

    def issue(self, user: User, *, client: Client | None = None) -> str:
        """Return an access token for ``user`` (RFC 9068, section 2) that belongs to no session.

        Args:
            user: As the store has it now; who it is was checked elsewhere.
            client: Whom the token is handed to, and who may have a lifetime of its own for it; one
                of the service's. ``None``: our own login.

        Raises:
            ConfigurationError: The ``claims`` hook returned a claim that is ours to make.
        """
        return self._access.issue_to_user(user, client=client).token

    def logout_user(
        self,
        token: str | None = None,
        *,
        refresh_token: str | None = None,
        peer: str | None = None,
    ) -> LogoutResponse:
        """End an access token and its session at once; their tokens are refused from then on.

        Resource servers that share our cache or listen to our bus forget the tokens that were sent
        here. Neither being down changes anything; it is logged, once a minute.

        Args:
            token: The access token.
            refresh_token: Its session is ended too, if it is the same user's; one that is not known
                here ends nothing. Alone, it ends its session if that is one of our own login: a
                client revokes its own by `revoke_token`.
            peer: The address of whoever asks, for the audit trail.

        Raises:
            InvalidToken: The access token is refused; or, alone, the refresh token.
            AuthServiceUnavailable: The store is busy or down.
        """
        principal = None if token is None else self._access.verify(token)
        found = None if refresh_token is None else self._families.find(refresh_token)
        family = self._ends_with(principal, None if found is None else found[0])
        subject, jti, sid = None, None, None
        # The token that asks ends last: where the store fails on the way, it can ask again.
        if family is not None:
            self.tokens.end_family(family.id)
            subject, sid = family.subject, family.id
        if principal is not None:
            subject, jti, own = self._ended(principal)
            sid = own or sid
        for sent in (token, refresh_token if family is not None else None):
            if sent is not None:
                self._access.forget(sent)
        audit("logout", self.clock(), subject=subject, jti=jti, sid=sid, peer=peer)
        return LogoutResponse()

    def get_logged_in_user(self, token: str) -> PublicUser:
        """Return the user a token speaks for, as the store has them now.

        Raises:
            InvalidToken: The token is refused: bad, expired, revoked, its user gone or inactive.
            AuthServiceUnavailable: The store is down.
        """
        _, user = self._bearer(token)
        return user

    def sessions(self, token: str) -> SessionsResponse:
        """Return the sessions of the user a token speaks for, in the order of their logins.

        Raises:
            InvalidToken: The token is refused.
            AuthServiceUnavailable: The store is down.
        """
        principal, _ = self._bearer(token)
        current = principal.claims.get("sid")
        return SessionsResponse(
            sessions=tuple(
                Session(
                    sid=family.id,
                    client_id=family.client_id,
                    created_at=family.created_at,
                    used_at=family.used_at,
                    expires_at=family.expires_at,
                    current=family.id == current,
                )
                for family in self._going_on(principal)
            )
        )

    def end_session(self, token: str, sid: str, *, peer: str | None = None) -> None:
        """End one of the sessions of the user a token speaks for; its tokens are refused at once.

        Args:
            token: An access token of theirs, of this session or of another.
            sid: As `sessions` says it.
            peer: The address of whoever asks, for the audit trail.

        Raises:
            InvalidToken: The token is refused.
            InvalidRequest: They have no such session.
            AuthServiceUnavailable: The store is busy or down.
        """
        principal, _ = self._bearer(token)
        if not any(family.id == sid for family in self._going_on(principal)):
            raise InvalidRequest({"sid": "is none of your sessions"}, reason="session_unknown")
        self.tokens.end_family(sid)
        if principal.claims.get("sid") == sid:
            self._access.forget(token)
        audit("session_ended", self.clock(), subject=principal.subject, sid=sid, peer=peer)

    def end_sessions(self, token: str, *, peer: str | None = None) -> None:
        """End every session of the user a token speaks for, and the token itself.

        Raises:
            InvalidToken: The token is refused.
            AuthServiceUnavailable: The store is busy or down.
        """
        principal, _ = self._bearer(token)
        self.tokens.end_all(principal.subject)
        self._access.revoke(principal)
        self._access.forget(token)
        audit("session_ended", self.clock(), subject=principal.subject, sid="all", peer=peer)

    def _ends_with(self, principal: Principal | None, family: Family | None) -> Family | None:
        """Return the family that a logout ends beside the access token's own."""
        if principal is not None:
            return family if family is not None and family.subject == principal.subject else None
        if family is None or family.ended or family.client_id != FIRST_PARTY_CLIENT_ID:
            raise InvalidToken("nothing to log out with: send the access token")
        return family

    def _ended(self, principal: Principal) -> tuple[str, str, str | None]:
        sid: str | None = principal.claims.get("sid")
        if sid is not None:
            self.tokens.end_family(sid)
        self._access.revoke(principal)
        jti: str = principal.claims["jti"]
        return principal.subject, jti, sid

    def _going_on(self, principal: Principal) -> list[Family]:
        # Those of before a change of the password, the roles or the state are over, whether or not
        # whoever made the change ended them.
        version = principal.claims.get("ver", 0)
        return [f for f in self.tokens.families(principal.subject) if f.version == version]
