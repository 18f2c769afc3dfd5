"""`IntrospectionVerifier`: policy and caches around what the server says."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from tokenward import _fork
from tokenward._events import Events, outcome_of
from tokenward._http import count
from tokenward._spellings import digest_of, digests_of
from tokenward.bearer import MAX_TOKEN_BYTES, check_token
from tokenward.cache import CacheStats, LookupCache
from tokenward.claims import ClaimsPolicy
from tokenward.errors import AuthError, ConfigurationError, InvalidToken
from tokenward.introspection._answers import Answers
from tokenward.introspection._verdicts import Verdicts

if TYPE_CHECKING:
    from tokenward.cache import Entry
    from tokenward.introspection.client import IntrospectionClient
    from tokenward.principal import Principal
    from tokenward.protocols import Clock, OnEvent, RevocationBus, SharedCache
    from tokenward.shared_cache import Listening, Revocations


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
        max_token_bytes: Longer tokens are refused unread; at most 16,384.
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
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                msg = f"{name} is a finite number, 0 or more"
                raise ConfigurationError(msg)
        if count("max_token_bytes", max_token_bytes) > MAX_TOKEN_BYTES:
            msg = f"max_token_bytes is at most {MAX_TOKEN_BYTES}: no longer token is sent anywhere"
            raise ConfigurationError(msg)
        if not hasattr(client, "introspect"):
            raise ConfigurationError(
                "IntrospectionVerifier asks through an IntrospectionClient; give it"
                " IntrospectionClient(introspection_endpoint, client_auth=...)."
            )
        self.client = client
        known = client.issuer or client.shown_endpoint
        self.issuer = issuer if isinstance(issuer, str) else known
        policy = ClaimsPolicy(
            audience=audience,
            issuer=issuer,
            leeway=leeway,
            required=required,
            roles_claim=roles_claim,
            check=check,
        )
        verdicts = Verdicts(
            policy,
            issuer=self.issuer,
            ttl=ttl,
            negative_ttl=negative_ttl,
            stale_if_error=stale_if_error,
            clock=clock,
        )
        self._asks_always = ttl == 0
        self._max_token_bytes = max_token_bytes
        self._clock = clock
        self._events = Events(on_event, self.issuer)
        self._answers = Answers(client, verdicts, clock=clock, events=self._events)
        self._cache: LookupCache[Principal] = LookupCache(
            max_entries=max_entries, clock=clock, report=self._report if self._events else None
        )
        self._revocations: Revocations | None = None
        self._listening: Listening | None = None
        if shared_cache is not None or revocation_bus is not None:
            self._share(shared_cache, revocation_bus)
        # What the path of nearly every request looks at: nothing where somebody observes, so that
        # it need not ask whether somebody does.
        self._fast: Mapping[bytes, Entry[Principal]] = {} if self._events else self._cache.entries
        _fork.register(self)

    def after_fork(self) -> None:
        """Start over: the parent's subscription, and what it would have taken away, are gone."""
        self._answers.after_fork()
        if self._listening is not None:
            self._listening.after_fork()
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
        try:
            key = digest_of(token)
        except InvalidToken as refusal:
            self._events.emit("verify", outcome_of(refusal))
            raise
        if not live:
            # LookupCache.cached, written out: this is the path of nearly every request.
            entry = self._fast.get(key)
            if entry is not None and entry.stored <= self._clock() < entry.fresh_until:
                self._cache.hits += 1
                entry.used = True
                return entry.value  # type: ignore[return-value]  # entries hold acceptances only
        if self._events:
            # Others may wait for this thread: they must not wait for an observer that blocks.
            with self._events.timed("verify"), self._events.held():
                return self._look_up(key, token, live=live)
        return self._look_up(key, token, live=live)

    def cached(self, token: str, /) -> Principal | None:
        """Return the cached decision, or ``None`` where the server would have to be asked.

        Raises:
            InvalidToken: The cached decision is a refusal, or the token is malformed.
        """
        started = time.perf_counter()
        try:
            check_token(token, max_bytes=self._max_token_bytes)
            principal = self._cache.cached(digest_of(token))
        except AuthError as refusal:
            self._decided(outcome_of(refusal), started)
            raise
        if principal is not None:
            self._decided("ok", started)
        return principal

    def invalidate(self, token: str) -> None:
        """Forget ``token``, here, in the shared cache and in the processes on the bus.

        The next request asks, and a look-up under way is not stored. Never raises: what cannot be
        reached keeps its answer for ``ttl`` at most. A verifier of signatures on the bus, such as
        `JWKSVerifier`, has nobody to ask: it refuses ``token`` for good.
        """
        for key in digests_of(token):
            # In this order: whoever looks it up in between may still find it in the shared cache.
            self._answers.forget(key)
            if self._revocations is not None:
                self._answers.drop(key)
                self._revocations.publish(key)
            self._cache.invalidate(key)

    def clear(self) -> None:
        """Forget every token, in this process."""
        self._cache.clear()

    def stats(self) -> CacheStats:
        """Return what the caches did so far."""
        return replace(
            self._cache.stats(),
            upstream_calls=self._answers.upstream_calls,
            upstream_errors=self._answers.upstream_errors,
            shared_hits=self._answers.shared_hits,
            shared_errors=self._answers.shared_errors,
        )

    def close(self) -> None:
        """Close idle connections, and stop listening for revocations; verifying starts anew."""
        if self._listening is not None:
            self._listening.end()
            # Nobody takes away any more what is kept.
            self._cache.expire()
        self.client.close()

    def __reduce__(self) -> NoReturn:
        msg = "an IntrospectionVerifier holds secrets and sockets: make one in each process"
        raise TypeError(msg)

    def _share(
        self, shared_cache: SharedCache | None, revocation_bus: RevocationBus | None
    ) -> None:
        # It brings cryptography along, which nobody else here needs.
        from tokenward.shared_cache import Listening, Revocations  # noqa: PLC0415

        failed = self._answers.shared_failed
        revocations = Revocations(shared_cache, revocation_bus, clock=self._clock, failed=failed)
        self._revocations = revocations
        if shared_cache is not None:
            self._answers.share(shared_cache)
        if revocation_bus is not None:
            missed = self._cache.expire
            self._listening = Listening(
                lambda: revocations.subscribe(self._forget, missed=missed), failed=failed
            )

    def _forget(self, key: bytes) -> None:
        self._answers.forget(key)
        self._cache.invalidate(key)

    def _look_up(self, key: bytes, token: str, *, live: bool) -> Principal:
        check_token(token, max_bytes=self._max_token_bytes)
        if self._listening is not None:
            self._listening.begin()
        # With ttl=0 even an answer under way may have been given before this request came.
        live = live or self._asks_always
        if not live:
            principal = self._cache.cached(key)
            if principal is not None:
                return principal
        since = self._cache.refused_at(key)
        load = partial(self._answers.load, token, key, live=live, since=since)
        timeout = self.client.timeout
        return self._cache.look_up(key, load, patience=timeout, wait=self._wait, live=live)

    def _wait(self) -> float | None:
        return self.client.timeout / 10 if self.client.hangs else None

    def _decided(self, outcome: str, started: float) -> None:
        self._events.emit("verify", outcome, seconds=time.perf_counter() - started)

    def _report(self, what: str) -> None:
        self._events.emit("cache", f"process.{what}")
