"""The service's access tokens: issued, verified at the issuer, revoked."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tokenward._spellings import digests_of
from tokenward.bearer import is_scope_token
from tokenward.claims import scopes_in
from tokenward.errors import ConfigurationError, InvalidToken, TokenExpired
from tokenward.service.arguments import claims_said
from tokenward.tokens import LocalVerifier, create_access_token

if TYPE_CHECKING:
    from tokenward.clients import Client
    from tokenward.keys import KeyRing
    from tokenward.principal import Principal
    from tokenward.protocols import Clock
    from tokenward.repositories import TokenRepository, UserRepository
    from tokenward.schemas import User
    from tokenward.shared_cache import Revocations

FIRST_PARTY_CLIENT_ID = "tokenward"
"""The ``client_id`` of tokens from a login that no client vouched for (RFC 9068, section 2.2)."""

ClaimsHook = Callable[["User"], Mapping[str, Any] | None]

# A revocation outlives its token by the largest leeway that a verifier may reasonably have.
_LONGEST_LEEWAY = 300
# What a token says by our own word; the `claims` hook may say anything else.
# `scp` is another name of `scope`, and would say more than a narrowed one.
_OWN_CLAIMS = frozenset(
    (
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf"),
        *("client_id", "scp", "roles", "ver", "sid"),
    )
)


@dataclass(frozen=True, slots=True)
class Issued:
    """An access token, and what it turned out to be.

    Attributes:
        token: The token.
        lifetime: For how many seconds it is good.
        scopes: What it grants, in the order in which it says so.
    """

    token: str = field(repr=False)
    lifetime: int
    scopes: tuple[str, ...]

    @property
    def scope(self) -> str | None:
        """The scopes as RFC 6749, section 3.3, writes them; ``None``: there are none."""
        return " ".join(self.scopes) or None


class AccessTokens:
    """The access tokens of one issuer (RFC 9068).

    Args:
        users: Asked about the user of a token at every verification.
        keys: What signs.
        tokens: Asked about revocations and sessions at every verification.
        issuer: ``iss``.
        audience: ``aud``.
        lifetime: Seconds; a client may have one of its own.
        claims: Returns more claims for a user's tokens.
        clients: Those that are configured: what they may ask about, and whom theirs are for.
        revocations: What takes revoked tokens out of the caches of others.
        clock: Returns seconds since the epoch.

    Attributes:
        own: The audiences of the tokens issued to people.
        everyones: Those, and the audiences of every client's own tokens.

    Raises:
        ConfigurationError: No audience.
    """

    def __init__(
        self,
        users: UserRepository,
        *,
        keys: KeyRing,
        tokens: TokenRepository,
        issuer: str,
        audience: str | Sequence[str],
        lifetime: int,
        claims: ClaimsHook | None = None,
        clients: Iterable[Client] = (),
        revocations: Revocations | None = None,
        clock: Clock = time.time,
    ) -> None:
        if type(lifetime) is not int or lifetime < 1:
            raise ConfigurationError("access_token_lifetime is a number of whole seconds.")
        self.own = frozenset((audience,) if isinstance(audience, str) else audience or ())
        self._keys = keys
        self._tokens = tokens
        self._issuer = issuer
        self._audience = audience
        self._lifetime = lifetime
        self._claims = claims
        self._revocations = revocations
        self._clock = clock
        if not self.own:
            raise ConfigurationError("audience must name whom the tokens are for.")
        known = list(clients)
        self._client_ids = frozenset(client.client_id for client in known)
        self.everyones = self.own.union(*(client.token_audiences or () for client in known))
        asked_about = (client.audiences for client in known)
        self._audiences = {self.own, self.everyones, *filter(None, asked_about)}
        self._use(users)

    def over(self, users: UserRepository) -> AccessTokens:
        """Return the same tokens with ``users`` to be asked about."""
        other = copy.copy(self)
        other._use(users)  # noqa: SLF001 - our own copy
        return other

    def lifetime_for(self, client: Client | None) -> int:
        """Return for how many seconds a token is good that is handed to ``client``."""
        own = None if client is None else client.access_token_lifetime
        return self._lifetime if own is None else own

    def issue_to_user(
        self,
        user: User,
        *,
        client: Client | None = None,
        sid: str | None = None,
        within: Collection[str] | None = None,
        until: int | None = None,
    ) -> Issued:
        """Issue a token that speaks for ``user`` (RFC 9068, section 2).

        Args:
            user: As the store has it now.
            client: Whom it is handed to; ``None``: our own login.
            sid: The session that it belongs to.
            within: What it may grant at most; ``None``: all that the ``claims`` hook says.
            until: Epoch seconds at which the session ends.

        Raises:
            ConfigurationError: The hook returned a claim that is ours to make, or no scope; or
                the user's id is the client's too.
        """
        more, scopes = self._said_by_hook(user)
        if within is not None:
            scopes = tuple(scope for scope in scopes if scope in within)
        client_id = FIRST_PARTY_CLIENT_ID if client is None else client.client_id
        if user.id == client_id:
            # The token would be taken for the client's own (RFC 9700, section 4.15).
            raise ConfigurationError(
                f"A user's id is the client_id {client_id!r}: call the client something else."
            )
        claims = more | {
            "sub": user.id,
            "client_id": client_id,
            "roles": list(user.roles),
            "ver": user.token_version,
        }
        if sid is not None:
            claims["sid"] = sid
        lifetime = self.lifetime_for(client)
        if until is not None:
            lifetime = min(lifetime, until - math.floor(self._clock()))
        return self._issued(claims, scopes, lifetime, self._audience)

    def issue_to_client(
        self, client: Client, scopes: tuple[str, ...], audience: str | Sequence[str] | None
    ) -> Issued:
        """Issue a token that speaks for the client itself (RFC 9068, section 2.2).

        Args:
            client: Whose it is.
            scopes: What it grants.
            audience: Whom it is for; ``None``: the service's own.
        """
        claims = {"sub": client.client_id, "client_id": client.client_id}
        named = self._audience if audience is None else audience
        return self._issued(claims, scopes, self.lifetime_for(client), named)

    def verify(self, token: str, *, audiences: frozenset[str] | None = None) -> Principal:
        """Return who ``token`` speaks for, at the issuer's own strictness.

        A token that was handed to a client is over when the client is not configured any more,
        whomever it speaks for.

        Args:
            token: Anything.
            audiences: The token must be for one of these; ``None``: the issuer's own.

        Raises:
            InvalidToken: The token is refused.
            AuthServiceUnavailable: A store is down.
        """
        wanted = self.own if audiences is None else audiences
        if not wanted:
            raise InvalidToken("no audience may be asked about", reason="audience_mismatch")
        verifier = self._verifiers.get(wanted) or self._verifier(wanted)
        principal = verifier.verify(token)
        # The verifier's leeway is for clocks that differ; of its own `exp` the issuer is the judge.
        if principal.expires_at is None or principal.expires_at <= self._clock():
            raise TokenExpired("expired by the issuer's own clock")
        if not self._is_of_known_client(principal):
            hint = "the client that the token was issued to is not configured any more"
            raise InvalidToken(hint, reason="client_unknown")
        return principal

    def revoke(self, principal: Principal) -> None:
        """End a token at the issuer; `forget` tells the others.

        Args:
            principal: What `verify` made of it.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """
        claims = principal.claims
        self._tokens.revoke(claims["jti"], claims["exp"] + _LONGEST_LEEWAY)

    def forget(self, token: str) -> None:
        """Have everybody else forget what they know of ``token``; never raises.

        Not before the store has it: who forgets a token asks us again at once. A cache or a bus
        that is down is logged, and who knows the token already serves it for a ``ttl`` at most.
        """
        if self._revocations is not None:
            for digest in digests_of(token):
                self._revocations.publish(digest)

    def _is_of_known_client(self, principal: Principal) -> bool:
        claims = principal.claims
        if principal.kind == "client":
            return principal.client_id in self._client_ids
        # Every token that we issue to people has both. Without them it is one that the program
        # around us made by `create_access_token`, whose clients are its own affair.
        client_id = claims.get("client_id")
        if "ver" not in claims or not isinstance(client_id, str):
            return True
        return client_id == FIRST_PARTY_CLIENT_ID or client_id in self._client_ids

    def _said_by_hook(self, user: User) -> tuple[dict[str, Any], tuple[str, ...]]:
        more = claims_said(self._claims, user)
        if taken := _OWN_CLAIMS & more.keys():
            raise ConfigurationError(
                f"The claims hook returned {', '.join(sorted(taken))}; leave these to the service."
            )
        scope = more.pop("scope", None)
        if not isinstance(scope, str | None):
            raise ConfigurationError("The claims hook returned a scope that is no string.")
        scopes = tuple(dict.fromkeys(scopes_in(scope or "")))
        if not all(map(is_scope_token, scopes)):
            raise ConfigurationError("The claims hook returned a scope that RFC 6749 has not.")
        return more, scopes

    def _issued(
        self,
        claims: dict[str, Any],
        scopes: tuple[str, ...],
        lifetime: int,
        audience: str | Sequence[str],
    ) -> Issued:
        scope = {"scope": " ".join(scopes)} if scopes else {}
        token = create_access_token(
            claims | scope,
            timedelta(seconds=lifetime),
            keys=self._keys,
            issuer=self._issuer,
            audience=audience,
            clock=self._clock,
        )
        return Issued(token, lifetime, scopes)

    def _use(self, users: UserRepository) -> None:
        self._users = users
        # One for each set of audiences, so that it is a verifier which compares them.
        self._verifiers = {audiences: self._verifier(audiences) for audiences in self._audiences}

    def _verifier(self, audiences: frozenset[str]) -> LocalVerifier:
        return LocalVerifier(
            self._keys,
            issuer=self._issuer,
            audience=sorted(audiences),
            users=self._users,
            tokens=self._tokens,
            clock=self._clock,
        )
