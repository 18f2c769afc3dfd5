"""The service's access tokens: issued, verified at the issuer, revoked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tokenward._spellings import digests_of
from tokenward.errors import ConfigurationError, InvalidToken, TokenExpired
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

ClaimsHook = Callable[["User"], Mapping[str, Any]]

# A revocation outlives its token by the largest leeway that a verifier may reasonably have.
_LONGEST_LEEWAY = 300
# What a token says by our own word; the `claims` hook may say anything else.
_OWN_CLAIMS = frozenset(
    ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "roles", "ver", "sid", "cnf")
)


class AccessTokens:
    """The access tokens of one issuer (RFC 9068).

    Args:
        users: Asked about the user of a token at every verification.
        keys: What signs.
        tokens: Asked about revocations at every verification.
        issuer: ``iss``.
        audience: ``aud``.
        lifetime: Seconds; a client may have one of its own.
        claims: Returns more claims for a user's tokens.
        asked_about: Further sets of audiences that somebody may ask about.
        revocations: What takes revoked tokens out of the caches of others.
        clock: Returns seconds since the epoch.

    Attributes:
        own: The audiences of the tokens issued here.

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
        asked_about: Iterable[frozenset[str]] = (),
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
        self._audiences = {self.own, *filter(None, asked_about)}
        self.use(users)

    def use(self, users: UserRepository) -> None:
        """Ask ``users`` about the user of a token, from now on."""
        self._users = users
        # One for each set of audiences, so that it is a verifier which compares them.
        self._verifiers = {audiences: self._verifier(audiences) for audiences in self._audiences}

    def lifetime_for(self, client: Client | None) -> int:
        """Return for how many seconds a token is good that is handed to ``client``."""
        own = None if client is None else client.access_token_lifetime
        return self._lifetime if own is None else own

    def issue(self, user: User, *, client: Client | None = None) -> str:
        """Return a token for ``user`` (RFC 9068, section 2).

        Raises:
            ConfigurationError: The ``claims`` hook returned a claim that is ours to make.
        """
        more = dict(self._claims(user)) if self._claims is not None else {}
        if taken := _OWN_CLAIMS & more.keys():
            raise ConfigurationError(
                f"The claims hook returned {', '.join(sorted(taken))}; leave these to the service."
            )
        own = {
            "sub": user.id,
            "client_id": FIRST_PARTY_CLIENT_ID if client is None else client.client_id,
            "roles": list(user.roles),
            "ver": user.token_version,
        }
        return create_access_token(
            more | own,
            timedelta(seconds=self.lifetime_for(client)),
            keys=self._keys,
            issuer=self._issuer,
            audience=self._audience,
            clock=self._clock,
        )

    def verify(self, token: str, *, audiences: frozenset[str] | None = None) -> Principal:
        """Return who ``token`` speaks for, at the issuer's own strictness.

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
        return principal

    def revoke(self, principal: Principal, token: str) -> None:
        """End a token, for every process that uses the same store, cache or bus.

        Args:
            principal: What `verify` made of it.
            token: The token itself.

        Raises:
            AuthServiceUnavailable: The store is busy or down. A cache or a bus that is down is
                logged, and who knows the token already serves it for a ``ttl`` at most.
        """
        claims = principal.claims
        self._tokens.revoke(claims["jti"], claims["exp"] + _LONGEST_LEEWAY)
        # Not before the store has it: who forgets the token asks us again at once.
        if self._revocations is not None:
            for digest in digests_of(token):
                self._revocations.publish(digest)

    def _verifier(self, audiences: frozenset[str]) -> LocalVerifier:
        return LocalVerifier(
            self._keys,
            issuer=self._issuer,
            audience=sorted(audiences),
            users=self._users,
            tokens=self._tokens,
            clock=self._clock,
        )
