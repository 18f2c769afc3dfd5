"""`IntrospectionVerifier`: policy and caches around what the server says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NoReturn

from tokenward import _fork
from tokenward._events import emit, outcome_of
from tokenward._log import shown
from tokenward.bearer import MAX_TOKEN_BYTES, check_token
from tokenward.cache import CacheStats, Entry, LookupCache, State
from tokenward.claims import ClaimsPolicy, refuse_other_kinds
from tokenward.errors import AuthError, AuthServiceUnavailable, ConfigurationError, InvalidToken

if TYPE_CHECKING:
    from tokenward.introspection.client import IntrospectionClient
    from tokenward.principal import Principal
    from tokenward.protocols import Clock, OnEvent, RevocationBus, SharedCache
    from tokenward.shared_cache import Revocations, SharedAnswers

REFRESH_AHEAD = 0.1
"""The last part of an acceptance's life, in which one request asks again ahead of the end."""

# A token that is merely early is good in a moment, and so is one after a check that crashed.
_NOT_KEPT = frozenset({"not_yet_valid", "issued_in_future", "check_failed"})
# Some servers (Ory Hydra among them) say "access_token".
_USES = frozenset({"access", "access_token"})


class IntrospectionVerifier:
    """Verifies tokens by asking, once for all who present a token at a time; thread-safe.

    Args:
        client: Whom to ask.
        audience: See `ClaimsPolicy`; ``None`` must be written out.
        issuer: See `ClaimsPolicy`.
        leeway: See `ClaimsPolicy`.
        required: See `ClaimsPolicy`.
        roles_claim: See `ClaimsPolicy`.
        check: See `ClaimsPolicy`.
        ttl: Seconds for which an acceptance is served, never beyond ``exp``; so long may a
            revocation go unnoticed. In the last tenth of them one request asks again, while the
            others are served. 0 asks every time.
        negative_ttl: Seconds for which a refusal is served.
        max_entries: Bound of each of the two caches.
        stale_if_error: Seconds beyond ``ttl``, but never beyond ``exp``, for which an acceptance
            is still served while the server fails.
        max_token_bytes: Longer tokens are refused unread.
        shared_cache: Where processes share answers, sealed; each applies its own policy to them,
            and its own ``ttl``.
        revocation_bus: What carries `invalidate`, and a logout or revocation at a tokenward
            service, to every process.
        clock: Seconds since the epoch.
        on_event: Receives an `Event` for each verification, question and use of a cache. What it
            raises is dropped.

    Attributes:
        client: As given.
        issuer: The configured issuer if it is one; else the client's, if it knows one; else the
            endpoint. It stands for the issuer where an answer carries none, and names this
            verifier in logs and events.

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
        shared_cache: SharedCache | None = None,
        revocation_bus: RevocationBus | None = None,
        clock: Clock = time.time,
        on_event: OnEvent | None = None,
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
        self.issuer = issuer if isinstance(issuer, str) else client.issuer or client.shown_endpoint
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._stale_if_error = stale_if_error
        self._max_token_bytes = max_token_bytes
        self._clock = clock
        self._on_event = on_event
        report = None if on_event is None else self._report
        self._cache: LookupCache[Principal] = LookupCache(
            max_entries=max_entries, clock=clock, report=report
        )
        self._shared_hits = 0
        self._shared_errors = 0
        self._shared: SharedAnswers | None = None
        self._revocations: Revocations | None = None
        if shared_cache is not None or revocation_bus is not None:
            self._share(shared_cache, revocation_bus)
        self._listens = revocation_bus is not None
        self._end_listening: Callable[[], None] | None = None
        self._listening = threading.Lock()
        self._circuit_open = False
        if on_event is not None:
            # So that nothing is asked, on the path of every request, when nobody observes.
            self.verify = self._verify_observed  # type: ignore[method-assign]
        _fork.register(self)

    def after_fork(self) -> None:
        """Start over: the parent's subscription, and what it would have taken away, are gone."""
        self._listening = threading.Lock()
        if self._listens:
            self._end_listening = None
            self._cache.after_fork()  # its lock may be held by a thread of the parent's
            self._cache.expire()

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
        return self._look_up(key, token, live=live)

    def cached(self, token: str, /) -> Principal | None:
        """Return the cached decision, or ``None`` where the server would have to be asked.

        Raises:
            InvalidToken: The cached decision is a refusal, or the token is malformed.
        """
        check_token(token, max_bytes=self._max_token_bytes)
        return self._cache.cached(_key(token))

    def invalidate(self, token: str) -> None:
        """Forget ``token``, here, in the shared cache and in the processes on the bus.

        The next request asks, and a look-up under way is not stored. Never raises: what cannot be
        reached keeps its answer for ``ttl`` at most.
        """
        key = _key(token)
        self._cache.invalidate(key)
        if self._revocations is not None:
            self._revocations.publish(key)

    def clear(self) -> None:
        """Forget every token, in this process."""
        self._cache.clear()

    def stats(self) -> CacheStats:
        """Return what the caches did so far."""
        return replace(
            self._cache.stats(), shared_hits=self._shared_hits, shared_errors=self._shared_errors
        )

    def close(self) -> None:
        """Close idle connections, and stop listening for revocations."""
        with self._listening:
            end, self._end_listening = self._end_listening, None
        if end is not None:
            end()
        self.client.close()

    def __reduce__(self) -> NoReturn:
        msg = "an IntrospectionVerifier holds secrets and sockets: make one in each process"
        raise TypeError(msg)

    def _share(
        self, shared_cache: SharedCache | None, revocation_bus: RevocationBus | None
    ) -> None:
        # It brings cryptography along, which nobody else here needs.
        from tokenward import shared_cache as shared  # noqa: PLC0415

        if shared_cache is not None:
            self._shared = shared.SharedAnswers(
                shared_cache,
                endpoint=self.client.server_name,
                client=self.client.client_name,
                failed=self._shared_failed,
            )
        self._revocations = shared.Revocations(
            shared_cache, revocation_bus, clock=self._clock, failed=self._shared_failed
        )

    def _verify_observed(self, token: str, /, *, live: bool = False) -> Principal:
        started = time.perf_counter()
        outcome = "ok"
        try:
            key = _key(token)
            principal = None if live or self._ttl == 0 else self._cache.cached(key)
            return self._look_up(key, token, live=live) if principal is None else principal
        except AuthError as error:
            outcome = outcome_of(error)
            raise
        finally:
            self._emit("verify", outcome, seconds=time.perf_counter() - started)

    def _look_up(self, key: bytes, token: str, *, live: bool) -> Principal:
        check_token(token, max_bytes=self._max_token_bytes)
        if self._listens and self._end_listening is None:
            self._listen()
        # With ttl=0 even an answer under way may have been given before this request came.
        live = live or self._ttl == 0
        if not live and self._on_event is None:
            principal = self._cache.cached(key)
            if principal is not None:
                return principal
        return self._cache.look_up(
            key,
            partial(self._load, token, key, live=live),
            patience=self.client.timeout,
            live=live,
        )

    def _listen(self) -> None:
        with self._listening:
            if self._end_listening is None and self._revocations is not None:
                self._end_listening = self._revocations.subscribe(
                    self._cache.invalidate, missed=self._cache.expire
                )

    def _load(self, token: str, key: bytes, *, live: bool) -> Entry[Principal]:
        shared = self._shared
        if shared is None:
            return self._ask(token)[0]
        found = None if live else self._find(shared, key)
        if found is not None and found.state(self._clock()) is State.FRESH:
            return found
        try:
            entry, claims = self._ask(token)
        except AuthServiceUnavailable:
            now = self._clock()
            if found is None or found.state(now) is State.GONE:
                raise
            self._cache.stale_served += now >= found.ends
            found.back_off(now)
            return found
        lasts = entry.stale_until - self._clock()
        # Acceptances only: with refusals, a flood of made-up tokens would fill it.
        if entry.refusal is None and lasts > 0:
            shared.put(key, claims, asked_at=entry.stored, ttl=lasts)
        elif live or found is not None:
            # What stands there was said earlier. Elsewhere nothing does: it was looked up just now.
            shared.drop(key)
        return entry

    def _find(self, shared: SharedAnswers, key: bytes) -> Entry[Principal] | None:
        answer = shared.get(key)
        entry = None if answer is None else self._entry(answer.claims, answer.asked_at)
        if entry is None or entry.state(self._clock()) is State.GONE:
            self._emit("cache", "shared.miss")
            return None
        self._shared_hits += 1
        self._emit("cache", "shared.hit")
        return entry

    def _ask(self, token: str) -> tuple[Entry[Principal], Mapping[str, Any]]:
        # The life of an answer is counted from before the question: a token revoked while the
        # answer travels is noticed within ttl all the same.
        asked_at = self._clock()
        started = time.perf_counter()
        outcome = "ok"
        self._cache.upstream_calls += 1
        try:
            answer = self.client.ask(token)
        except AuthServiceUnavailable as error:
            self._cache.upstream_errors += 1
            outcome = error.reason
            raise
        except InvalidToken as refusal:
            outcome = refusal.reason
            return self._refused(refusal, asked_at), {}
        finally:
            self._emit("upstream", outcome, seconds=time.perf_counter() - started)
            self._watch_circuit()
        return self._entry(answer.claims, asked_at, storable=answer.storable), answer.claims

    def _entry(
        self, claims: Mapping[str, Any], asked_at: float, *, storable: bool = True
    ) -> Entry[Principal]:
        try:
            principal = self._judge(claims, self._clock())
        except InvalidToken as refusal:
            return self._refused(refusal, asked_at, storable=storable)
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

    def _refused(
        self, refusal: InvalidToken, asked_at: float, *, storable: bool = True
    ) -> Entry[Principal]:
        keep = storable and refusal.reason not in _NOT_KEPT
        ends = asked_at + self._negative_ttl if keep else asked_at
        return Entry(None, stored=asked_at, ends=ends, refusal=refusal)

    def _judge(self, claims: Mapping[str, Any], now: float) -> Principal:
        if claims.get("active") is not True:
            hint = "the server says inactive: expired, revoked, or not one of its own"
            raise InvalidToken(hint, reason="inactive")
        _refuse_other_types(claims)
        self._policy.check_claims(claims, now=now)
        return self._policy.principal(claims, issuer=self.issuer)

    def _emit(self, kind: str, outcome: str, *, seconds: float = 0.0) -> None:
        emit(self._on_event, kind, self.issuer, outcome, seconds=seconds)

    def _report(self, what: str) -> None:
        self._emit("cache", f"process.{what}")

    def _shared_failed(self) -> None:
        self._shared_errors += 1
        self._emit("cache", "shared.error")

    def _watch_circuit(self) -> None:
        if self._on_event is not None and self.client.circuit_open != self._circuit_open:
            self._circuit_open = not self._circuit_open
            self._emit("breaker", "opened" if self._circuit_open else "closed")


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
