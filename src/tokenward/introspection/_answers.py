"""Where answers come from: the shared second level, and the authorization server."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tokenward.cache import Entry, State
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.introspection._replies import Answer
from tokenward.introspection.client import IntrospectionClient

if TYPE_CHECKING:
    from tokenward._events import Events
    from tokenward.introspection._verdicts import Verdicts
    from tokenward.principal import Principal
    from tokenward.protocols import Clock, SharedCache
    from tokenward.shared_cache import SharedAnswers


MAX_FORGOTTEN = 10_000
"""Tokens of which is remembered when they were revoked; the shared level has tombstones besides."""


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
        self._put = _asker(client)
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
        self._forgotten: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()
        self._circuit_watch = threading.Lock()

    def after_fork(self) -> None:
        """Replace locks that another thread may hold in the parent."""
        self._lock = threading.Lock()
        self._circuit_watch = threading.Lock()

    def share(self, cache: SharedCache) -> None:
        """Look for answers in ``cache`` from now on, and put them there.

        Raises:
            ConfigurationError: The secrets of the cache are weak, or nothing tells us from other
                clients of the server, which may be told other things.
        """
        # It brings cryptography along, which nobody else here needs.
        from tokenward.shared_cache import SharedAnswers  # noqa: PLC0415

        client = self._client.client_name
        if client is None:
            raise ConfigurationError(
                "What is shared belongs to one client of the server, and client_auth does not say"
                " which one this is: give it, or the callable in it, an attribute client_id."
            )
        self._shared = SharedAnswers(
            cache,
            endpoint=self._client.server_name,
            client=client,
            failed=self.shared_failed,
            clock=self._clock,
        )

    def shared_failed(self) -> None:
        """Count a failure of the shared level or of the bus."""
        self.shared_errors += 1
        self._events.emit("cache", "shared.error")

    def forget(self, key: bytes) -> None:
        """Use no shared answer about a token that was asked for before now.

        Whether or not its tombstone could be written: a Redis that is full takes none.
        """
        if self._shared is not None:
            with self._lock:
                self._forgotten.pop(key, None)
                if len(self._forgotten) >= MAX_FORGOTTEN:
                    self._forgotten.popitem(last=False)
                self._forgotten[key] = self._clock()

    def drop(self, key: bytes) -> None:
        """Take our own answer about a token out of the shared level."""
        if self._shared is not None:
            self._shared.drop(key)

    def load(self, token: str, key: bytes, *, live: bool, since: float) -> Entry[Principal]:
        """Return the entry for a token.

        Args:
            token: What to ask about.
            key: Its digest.
            live: Ask the server, whatever the shared level holds.
            since: A shared answer counts only if it was asked for later, in seconds since the
                epoch: whoever was told no must not come upon an older yes.

        Raises:
            AuthServiceUnavailable: The server cannot be asked, and the shared level holds nothing
                that may stand in.
        """
        shared = self._shared
        if shared is None:
            return self._ask(token)[0]
        found = None if live else self._find(shared, key, max(since, self._forgotten_at(key)))
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
        # Until its end, and not longer: that a server fails is seen by those who ask it. And
        # acceptances only: with refusals, a flood of made-up tokens would fill the cache.
        lasts = entry.ends - self._clock()
        if entry.refusal is None and lasts > 0:
            shared.put(key, claims, asked_at=entry.stored, ttl=lasts)
        else:
            shared.drop(key)
        return entry

    def _forgotten_at(self, key: bytes) -> float:
        return self._forgotten.get(key, -math.inf)

    def _find(self, shared: SharedAnswers, key: bytes, since: float) -> Entry[Principal] | None:
        answer = shared.get(key)
        entry = None
        if answer is not None and answer.asked_at > since:
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
            answer = self._put(token)
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


def _asker(client: IntrospectionClient) -> Callable[[str], Answer]:
    # A client that changes what the public method does means every question.
    if type(client).introspect is IntrospectionClient.introspect:
        return lambda token: client.ask(token)  # noqa: PLW0108 - as it is at that time

    def ask(token: str) -> Answer:
        claims: object = client.introspect(token)
        if not isinstance(claims, Mapping):
            returned = f"introspect returned {type(claims).__name__}, no mapping"
            hint = f"{type(client).__name__}.{returned}"
            raise AuthServiceUnavailable(hint, reason="bad_response")
        return Answer(claims, storable=True)

    return ask
