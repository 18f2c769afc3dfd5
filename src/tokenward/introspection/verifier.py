"""`IntrospectionVerifier`: policy and caches around what the server says."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NoReturn

from tokenward._log import shown
from tokenward.bearer import MAX_TOKEN_BYTES, check_token
from tokenward.cache import CacheStats, Entry, LookupCache
from tokenward.claims import ClaimsPolicy, refuse_other_kinds
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken

if TYPE_CHECKING:
    from tokenward.introspection.client import IntrospectionClient
    from tokenward.principal import Principal
    from tokenward.protocols import Clock

# A token that is merely early is good in a moment, and so is one after a check that crashed.
_NOT_KEPT = frozenset({"not_yet_valid", "issued_in_future", "check_failed"})
# Some servers (Ory Hydra among them) say "access_token".
_USES = frozenset({"access", "access_token"})


class IntrospectionVerifier:
    """Verifies tokens by asking, at most once per token and ``ttl``; thread-safe.

    Args:
        client: Whom to ask.
        audience: See `ClaimsPolicy`; ``None`` must be written out.
        issuer: See `ClaimsPolicy`.
        leeway: See `ClaimsPolicy`.
        required: See `ClaimsPolicy`.
        roles_claim: See `ClaimsPolicy`.
        check: See `ClaimsPolicy`.
        ttl: Seconds for which an acceptance is served, never beyond ``exp``; so long may a
            revocation go unnoticed. 0 asks every time.
        negative_ttl: Seconds for which a refusal is served.
        max_entries: Bound of each of the two caches.
        stale_if_error: Seconds beyond ``ttl``, but never beyond ``exp``, for which an acceptance
            is still served while the server fails.
        max_token_bytes: Longer tokens are refused unread.
        clock: Seconds since the epoch.

    Attributes:
        client: As given.
        issuer: The configured issuer if it is one, else the endpoint: what stands for the issuer
            where an answer carries none, and names this verifier in logs.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(
        self,
        client: IntrospectionClient,
        *,
        audience: str | Sequence[str] | None,
        issuer: str | Sequence[str] | None = None,
        leeway: float = 30,
        required: Collection[str] = (),
        roles_claim: str | Sequence[str] = "roles",
        check: Callable[[Mapping[str, Any]], None] | None = None,
        ttl: float = 60,
        negative_ttl: float = 15,
        max_entries: int = 10_000,
        stale_if_error: float = 0,
        max_token_bytes: int = MAX_TOKEN_BYTES,
        clock: Clock = time.time,
    ) -> None:
        for name, value in (
            ("ttl", ttl),
            ("negative_ttl", negative_ttl),
            ("max_entries", max_entries),
            ("stale_if_error", stale_if_error),
        ):
            if type(value) not in (int, float) or not value >= 0:
                msg = f"{name} is a number, 0 or more"
                raise ConfigurationError(msg)
        self.client = client
        self._policy = ClaimsPolicy(
            audience=audience,
            issuer=issuer,
            leeway=leeway,
            required=required,
            roles_claim=roles_claim,
            check=check,
        )
        self.issuer = issuer if isinstance(issuer, str) else client.shown_endpoint
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._stale_if_error = stale_if_error
        self._max_token_bytes = max_token_bytes
        self._clock = clock
        self._cache: LookupCache[Principal] = LookupCache(max_entries=max_entries, clock=clock)

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Return who ``token`` speaks for.

        Args:
            token: 1 to ``max_token_bytes`` visible ASCII characters.
            live: Ask the server, whatever is cached.

        Raises:
            InvalidToken: The server, or the policy, refuses the token.
            AuthServiceUnavailable: The server cannot be asked, or its answer is none.
        """
        key = _key(token)
        if not live:
            # LookupCache.cached, written out: this is the path of nearly every request.
            cache = self._cache
            entry = cache.entries.get(key)
            if entry is not None and entry.stored <= self._clock() < entry.fresh_until:
                cache.hits += 1
                entry.used = True
                return entry.value  # type: ignore[return-value]  # entries hold acceptances only
        check_token(token, max_bytes=self._max_token_bytes)
        # With ttl=0 even an answer under way may have been given before this request came.
        live = live or self._ttl == 0
        if not live:
            principal = self._cache.cached(key)
            if principal is not None:
                return principal
        return self._cache.look_up(
            key,
            partial(self._load, token),
            patience=self.client.timeout,
            live=live,
        )

    def cached(self, token: str, /) -> Principal | None:
        """Return the cached decision, or ``None`` where the server would have to be asked.

        Raises:
            InvalidToken: The cached decision is a refusal, or the token is malformed.
        """
        check_token(token, max_bytes=self._max_token_bytes)
        return self._cache.cached(_key(token))

    def invalidate(self, token: str) -> None:
        """Forget ``token``: the next request asks, and a look-up under way is not stored."""
        self._cache.invalidate(_key(token))

    def clear(self) -> None:
        """Forget every token."""
        self._cache.clear()

    def stats(self) -> CacheStats:
        """Return what the caches did so far."""
        return self._cache.stats()

    def close(self) -> None:
        """Close idle connections."""
        self.client.close()

    def __reduce__(self) -> NoReturn:
        msg = "an IntrospectionVerifier holds secrets and sockets: make one in each process"
        raise TypeError(msg)

    def _load(self, token: str) -> Entry[Principal]:
        # The life of an answer is counted from before the question: a token revoked while the
        # answer travels is noticed within ttl all the same.
        started = self._clock()
        self._cache.upstream_calls += 1
        try:
            answer = self.client.ask(token)
        except AuthServiceUnavailable:
            self._cache.upstream_errors += 1
            raise
        except InvalidToken as refusal:
            return self._refused(refusal, started, storable=True)
        now = self._clock()
        try:
            principal = self._judge(answer.claims, now)
        except InvalidToken as refusal:
            return self._refused(refusal, started, storable=answer.storable)
        exp = principal.expires_at
        ends = started + self._ttl if answer.storable else started
        stale_until = ends + self._stale_if_error if answer.storable else started
        if exp is not None:
            ends, stale_until = min(ends, exp), min(stale_until, exp)
        return Entry(principal, stored=started, ends=ends, stale_until=stale_until)

    def _refused(
        self, refusal: InvalidToken, started: float, *, storable: bool
    ) -> Entry[Principal]:
        keep = storable and refusal.reason not in _NOT_KEPT
        ends = started + self._negative_ttl if keep else started
        return Entry(None, stored=started, ends=ends, refusal=refusal)

    def _judge(self, claims: Mapping[str, Any], now: float) -> Principal:
        if claims["active"] is not True:
            hint = "the server says inactive: expired, revoked, or not one of its own"
            raise InvalidToken(hint, reason="inactive")
        _refuse_other_types(claims)
        self._policy.check_claims(claims, now=now)
        return self._policy.principal(claims, issuer=self.issuer)


# A copy costs less than a new one, which OpenSSL has to look up.
_blank = sha256().copy


def _key(token: str) -> bytes:
    try:
        made = _blank()
        made.update(token.encode())
        return made.digest()
    except (AttributeError, UnicodeEncodeError):
        hint = "the token is not a string of visible ASCII characters"
        raise InvalidToken(hint, reason="malformed") from None


def _refuse_other_types(claims: Mapping[str, Any]) -> None:
    token_type = claims.get("token_type")
    if token_type is not None and str(token_type).lower() != "bearer":
        hint = f"expected the token_type Bearer, got {shown(token_type)}"
        raise InvalidToken(hint, reason="wrong_type")
    # Servers that introspect refresh and ID tokens as active say so in members of their own.
    refuse_other_kinds(claims, uses=_USES)
