"""Where answers come from: the shared second level, and the authorization server."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenward.cache import Entry, State
from tokenward.errors import AuthServiceUnavailable, InvalidToken

if TYPE_CHECKING:
    from tokenward._events import Events
    from tokenward.introspection._verdicts import Verdicts
    from tokenward.introspection.client import IntrospectionClient
    from tokenward.principal import Principal
    from tokenward.protocols import Clock, SharedCache
    from tokenward.shared_cache import SharedAnswers


class Answers:
    """Finds or asks for answers, one at a time; thread-safe, and caches nothing itself.

    Args:
        client: Whom to ask.
        verdicts: What makes entries of answers.
        clock: Seconds since the epoch.
        events: Told of each question and of each use of the shared level.

    Attributes:
        upstream_calls: Questions put to the server.
        upstream_errors: Those that ended in an outage.
        shared_hits: Answers found in the shared level.
        shared_errors: Times the shared level or the revocation bus failed.
    """

    def __init__(
        self, client: IntrospectionClient, verdicts: Verdicts, *, clock: Clock, events: Events
    ) -> None:
        self._client = client
        self._verdicts = verdicts
        self._clock = clock
        self._events = events
        self._shared: SharedAnswers | None = None
        # Counted without a lock: exact under the GIL, where nothing switches inside "+=".
        self.upstream_calls = 0
        self.upstream_errors = 0
        self.shared_hits = 0
        self.shared_errors = 0
        self._circuit_open = False
        self._circuit_watch = threading.Lock()

    def after_fork(self) -> None:
        """Replace a lock that another thread may hold in the parent."""
        self._circuit_watch = threading.Lock()

    def share(self, cache: SharedCache) -> None:
        """Look for answers in ``cache`` from now on, and put them there.

        Raises:
            ConfigurationError: The cache names no secrets, or weak ones.
        """
        # It brings cryptography along, which nobody else here needs.
        from tokenward.shared_cache import SharedAnswers  # noqa: PLC0415

        self._shared = SharedAnswers(
            cache,
            endpoint=self._client.server_name,
            client=self._client.client_name,
            failed=self.shared_failed,
            clock=self._clock,
        )

    def shared_failed(self) -> None:
        """Count a failure of the shared level or of the bus."""
        self.shared_errors += 1
        self._events.emit("cache", "shared.error")

    def load(self, token: str, key: bytes, *, live: bool) -> Entry[Principal]:
        """Return the entry for a token.

        Args:
            token: What to ask about.
            key: Its digest.
            live: Ask the server, whatever the shared level holds.

        Raises:
            AuthServiceUnavailable: The server cannot be asked, and the shared level holds nothing
                that may stand in.
        """
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
        entry = None
        if answer is not None:
            entry = self._verdicts.of(answer.claims, asked_at=answer.asked_at)
        if entry is None or entry.state(self._clock()) is State.GONE:
            self._events.emit("cache", "shared.miss")
            return None
        self.shared_hits += 1
        self._events.emit("cache", "shared.hit")
        return entry

    def _ask(self, token: str) -> tuple[Entry[Principal], Mapping[str, Any]]:
        asked_at = self._clock()
        started = time.perf_counter()
        outcome = "interrupted"
        self.upstream_calls += 1
        try:
            answer = self._client.ask(token)
            outcome = "ok"
        except AuthServiceUnavailable as error:
            self.upstream_errors += 1
            outcome = error.reason
            raise
        except InvalidToken as refusal:
            outcome = refusal.reason
            return self._verdicts.refused(refusal, asked_at=asked_at), {}
        finally:
            if self._events:
                self._events.emit("upstream", outcome, seconds=time.perf_counter() - started)
                self._watch_circuit()
        entry = self._verdicts.of(answer.claims, asked_at=asked_at, storable=answer.storable)
        return entry, answer.claims

    def _watch_circuit(self) -> None:
        # Looked at under the lock, so that two threads tell of each change once and in its order.
        with self._circuit_watch:
            changed = self._client.circuit_open != self._circuit_open
            self._circuit_open ^= changed
            outcome = "opened" if self._circuit_open else "closed"
        if changed:
            self._events.emit("breaker", outcome)
