"""What becomes of an answer: accepted or refused, and for how long either may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenward._log import shown
from tokenward.cache import Entry
from tokenward.claims import ClaimsPolicy, refuse_other_kinds
from tokenward.errors import InvalidToken

if TYPE_CHECKING:
    from tokenward.principal import Principal
    from tokenward.protocols import Clock

REFRESH_AHEAD = 0.1
"""The last part of an acceptance's life, in which one request asks again ahead of the end."""

# A token that is merely early is good in a moment, and so is one after a check that crashed.
_NOT_KEPT = frozenset({"not_yet_valid", "issued_in_future", "check_failed"})
# Some servers (Ory Hydra among them) say "access_token".
_USES = frozenset({"access", "access_token"})


class Verdicts:
    """Makes cache entries of answers.

    Args:
        policy: What claims must be.
        issuer: Stands for the issuer where an answer carries none.
        ttl: Seconds for which an acceptance is kept, never beyond ``exp``.
        negative_ttl: Seconds for which a refusal is kept.
        stale_if_error: Seconds beyond ``ttl``, never beyond ``exp``, for which an acceptance may
            be served while the server fails.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        policy: ClaimsPolicy,
        *,
        issuer: str,
        ttl: float,
        negative_ttl: float,
        stale_if_error: float,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._issuer = issuer
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._stale_if_error = stale_if_error
        self._clock = clock

    def of(
        self, claims: Mapping[str, Any], *, asked_at: float, storable: bool = True
    ) -> Entry[Principal]:
        """Return the entry for an answer.

        Args:
            claims: What the server said.
            asked_at: When it was asked: a token revoked while the answer travels is noticed
                within ``ttl`` all the same.
            storable: Whether the answer may be kept at all.
        """
        try:
            principal = self._judge(claims)
        except InvalidToken as refusal:
            return self.refused(refusal, asked_at=asked_at, storable=storable)
        if not storable:
            return Entry(principal, stored=asked_at, ends=asked_at)
        ends = asked_at + self._ttl
        due = ends - self._ttl * REFRESH_AHEAD
        stale_until = ends + self._stale_if_error
        exp = principal.expires_at
        if exp is not None:
            ends, stale_until = min(ends, exp), min(stale_until, exp)
        return Entry(
            principal, stored=asked_at, ends=ends, fresh_until=due, stale_until=stale_until
        )

    def refused(
        self, refusal: InvalidToken, *, asked_at: float, storable: bool = True
    ) -> Entry[Principal]:
        """Return the entry for a refusal."""
        keep = storable and refusal.reason not in _NOT_KEPT
        ends = asked_at + self._negative_ttl if keep else asked_at
        return Entry(None, stored=asked_at, ends=ends, refusal=refusal)

    def _judge(self, claims: Mapping[str, Any]) -> Principal:
        if claims.get("active") is not True:
            hint = "the server says inactive: expired, revoked, or not one of its own"
            raise InvalidToken(hint, reason="inactive")
        _refuse_other_types(claims)
        self._policy.check_claims(claims, now=self._clock())
        return self._policy.principal(claims, issuer=self._issuer)


def _refuse_other_types(claims: Mapping[str, Any]) -> None:
    token_type = claims.get("token_type")
    if token_type is not None and str(token_type).lower() != "bearer":
        hint = f"expected the token_type Bearer, got {shown(token_type)}"
        raise InvalidToken(hint, reason="wrong_type")
    # Servers that introspect refresh and ID tokens as active say so in members of their own.
    refuse_other_kinds(claims, uses=_USES)
