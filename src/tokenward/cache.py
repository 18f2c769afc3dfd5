"""Bounded caches with lock-free reads, one state machine and single flight.

What a remote source said is, in this order:

.. code-block:: text

    stored        fresh_until       ends            stale_until
      │── fresh ──────│───── due ─────│───── stale ─────│── gone ──▶
      served           one request     served only while
                       asks again,     the source fails
                       the others
                       are served

Before ``stored`` (a clock that jumped back) an entry is gone too. Reading takes no lock: looking
up a key in a dictionary is atomic, and recency is approximate. Writing takes one, and never while
something is asked, called back or logged.
"""

from __future__ import annotations

import copy
import enum
import random
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from tokenward import _fork
from tokenward.errors import AuthError, AuthServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenward.protocols import Clock

V = TypeVar("V")

_SECOND_CHANCES = 16
_FIRST_BACK_OFF = 1.0
_LONGEST_BACK_OFF = 30.0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a verifier's caches did since it was made; read at one moment.

    Attributes:
        hits: Tokens accepted without asking anybody.
        negative_hits: Tokens refused without asking anybody.
        misses: Tokens that had to be looked up.
        upstream_calls: Requests sent to the issuer.
        upstream_errors: Those that ended in an outage.
        stale_served: Answers served past their end because the issuer failed.
        shared_hits: Answers found in the shared second level.
        evictions: Entries dropped to stay within the bound.
        entries: Entries held now, accepted and refused.
    """

    hits: int = 0
    negative_hits: int = 0
    misses: int = 0
    upstream_calls: int = 0
    upstream_errors: int = 0
    stale_served: int = 0
    shared_hits: int = 0
    evictions: int = 0
    entries: int = 0


class State(enum.Enum):
    """Where an entry is in its life."""

    FRESH = "fresh"
    DUE = "due"
    STALE = "stale"
    GONE = "gone"


class Entry(Generic[V]):
    """An answer and the moments, in seconds since the epoch, at which its state changes.

    Args:
        value: What was answered; or, with ``refusal``, nothing.
        stored: When the question was asked.
        ends: Until when the answer may be served as it stands.
        fresh_until: From when on one request asks again ahead of the end; default ``ends``.
        stale_until: Until when it may be served while the source fails; default ``ends``.
        refusal: The answer was no: raised, as a fresh copy, for everyone who asks.
    """

    __slots__ = (
        "ends",
        "failures",
        "fresh_until",
        "refusal",
        "retry_at",
        "stale_until",
        "stored",
        "used",
        "value",
    )

    def __init__(
        self,
        value: V | None,
        *,
        stored: float,
        ends: float,
        fresh_until: float | None = None,
        stale_until: float | None = None,
        refusal: AuthError | None = None,
    ) -> None:
        self.value = value
        self.stored = stored
        self.ends = ends
        self.fresh_until = ends if fresh_until is None else min(fresh_until, ends)
        self.stale_until = ends if stale_until is None else max(stale_until, ends)
        # A copy has no traceback: the frames of the original hold the token.
        self.refusal = None if refusal is None else copy.copy(refusal)
        self.retry_at = 0.0
        self.failures = 0
        self.used = False

    def state(self, now: float) -> State:
        """Return the entry's state at ``now``."""
        if now < self.stored or now >= self.stale_until:
            return State.GONE
        if now < self.fresh_until:
            return State.FRESH
        return State.DUE if now < self.ends else State.STALE

    def give(self) -> V:
        """Return the value, or raise a fresh copy of the refusal."""
        if self.refusal is not None:
            raise copy.copy(self.refusal)
        return self.value  # type: ignore[return-value]  # no refusal, so there is a value

    def back_off(self, now: float) -> None:
        """Put off the next attempt after a failed one, a little longer each time."""
        longest = min(_FIRST_BACK_OFF * 2**self.failures, _LONGEST_BACK_OFF)
        self.failures = min(self.failures + 1, 10)
        # Jitter, so that processes which saw one outage do not ask again in step.
        self.retry_at = now + longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if now < self.ends:
            self.fresh_until = min(self.retry_at, self.ends)


class _Flight(Generic[V]):
    """One look-up under way, which others wait for."""

    __slots__ = ("done", "entry", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.entry: Entry[V] | None = None
        self.error: AuthError | None = None

    def landed(self) -> Entry[V]:
        if self.entry is not None:
            return self.entry
        raise copy.copy(self.error) if self.error is not None else _interrupted()


class LookupCache(Generic[V]):
    """Two bounded caches, accepted and refused, in front of a source that is asked once.

    A flood of refused keys cannot evict accepted ones. A look-up that began before an
    `invalidate`, a `clear` or a live look-up of the same key never stores its result, and answers
    nobody who came later: it is no longer the flight that is registered.

    Args:
        max_entries: Bound of each of the two caches; 0 keeps nothing.
        clock: Seconds since the epoch.
    """

    def __init__(self, *, max_entries: int, clock: Clock = time.time) -> None:
        self.max_entries = max_entries
        self.clock = clock
        self.entries: OrderedDict[bytes, Entry[V]] = OrderedDict()
        self.refusals: OrderedDict[bytes, Entry[V]] = OrderedDict()
        # Counted without a lock: exact under the GIL, where nothing switches inside "+=".
        self.hits = 0
        self.negative_hits = 0
        self.misses = 0
        self.upstream_calls = 0
        self.upstream_errors = 0
        self.stale_served = 0
        self.evictions = 0
        self._lock = threading.Lock()
        self._flights: dict[bytes, _Flight[V]] = {}
        _fork.register(self)

    def after_fork(self) -> None:
        """Drop what another thread held, or was looking up, in the parent."""
        self._lock = threading.Lock()
        self._flights = {}

    def cached(self, key: bytes) -> V | None:
        """Return what can be served without asking; ``None`` when somebody must be asked.

        Raises:
            AuthError: The cached answer is a refusal.
        """
        now = self.clock()
        entry = self.entries.get(key)
        if entry is not None and entry.stored <= now < entry.fresh_until:
            self.hits += 1
            entry.used = True
            return entry.value
        entry = self.refusals.get(key)
        if entry is not None and entry.stored <= now < entry.ends:
            self.negative_hits += 1
            entry.used = True
            return entry.give()
        return None

    def look_up(
        self, key: bytes, load: Callable[[], Entry[V]], *, patience: float, live: bool = False
    ) -> V:
        """Return the value for ``key``, asking the source at most once for all who wait.

        Args:
            key: A digest; never a token.
            load: Asks the source. An `AuthServiceUnavailable` from it is shared with those who
                wait and never stored.
            patience: Seconds to wait for another thread's look-up.
            live: Ask, whatever is cached or under way; the answer is stored all the same.

        Raises:
            AuthError: The refusal; or an outage that no stale entry covers.
        """
        with self._lock:
            now = self.clock()
            flight = self._flights.get(key)
            if not live:
                entry = self._servable(key, now, under_way=flight is not None)
                if entry is not None:
                    return entry.give()
            leads = live or flight is None
            if leads or flight is None:
                flight = self._flights[key] = _Flight()
            self.misses += 1
        try:
            entry = self._lead(key, flight, load) if leads else self._follow(key, flight, patience)
        except AuthServiceUnavailable:
            stale = None if live else self._stale(key, leads=leads)
            if stale is None:
                raise
            return stale.give()
        return entry.give()

    def invalidate(self, key: bytes) -> None:
        """Forget ``key``; a look-up of it that is under way is not stored."""
        with self._lock:
            self._flights.pop(key, None)
            self.entries.pop(key, None)
            self.refusals.pop(key, None)

    def clear(self) -> None:
        """Forget everything; look-ups under way are not stored."""
        with self._lock:
            self._flights.clear()
            self.entries.clear()
            self.refusals.clear()

    def stats(self) -> CacheStats:
        """Return the counters as they are now."""
        return CacheStats(
            hits=self.hits,
            negative_hits=self.negative_hits,
            misses=self.misses,
            upstream_calls=self.upstream_calls,
            upstream_errors=self.upstream_errors,
            stale_served=self.stale_served,
            evictions=self.evictions,
            entries=len(self.entries) + len(self.refusals),
        )

    def _servable(self, key: bytes, now: float, *, under_way: bool) -> Entry[V] | None:
        # Under the lock.
        refused = self.refusals.get(key)
        if refused is not None and refused.stored <= now < refused.ends:
            self.negative_hits += 1
            return refused
        entry = self.entries.get(key)
        if entry is None:
            return None
        state = entry.state(now)
        if state is State.FRESH or (state is State.DUE and under_way):
            self.hits += 1
            return entry
        if state is State.STALE and now < entry.retry_at:
            self.stale_served += 1
            return entry
        return None

    def _lead(self, key: bytes, flight: _Flight[V], load: Callable[[], Entry[V]]) -> Entry[V]:
        try:
            flight.entry = load()
        except AuthError as error:
            flight.error = copy.copy(error)
            raise
        finally:
            # Also when a BaseException kills the leader: nobody is left waiting.
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                    if flight.entry is not None:
                        self._store(key, flight.entry)
            flight.done.set()
        return flight.entry

    def _follow(self, key: bytes, flight: _Flight[V], patience: float) -> Entry[V]:
        if flight.done.wait(patience):
            return flight.landed()
        # Its leader began earlier and is past its own deadline, or was killed before it could
        # say so: the next request leads.
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
        hint = f"another request's look-up of the same token took more than {patience:g} s"
        raise AuthServiceUnavailable(hint, reason="deadline")

    def _stale(self, key: bytes, *, leads: bool) -> Entry[V] | None:
        now = self.clock()
        entry = self.entries.get(key)
        if entry is None or entry.state(now) is State.GONE:
            return None
        if leads:
            entry.back_off(now)
        self.stale_served += now >= entry.ends
        return entry

    def _store(self, key: bytes, entry: Entry[V]) -> None:
        # Under the lock.
        self.entries.pop(key, None)
        self.refusals.pop(key, None)
        kept = self.entries if entry.refusal is None else self.refusals
        if self.max_entries <= 0 or entry.ends <= self.clock():
            return
        self._make_room(kept)
        kept[key] = entry

    def _make_room(self, kept: OrderedDict[bytes, Entry[V]]) -> None:
        # Second chance: the oldest goes, unless it was used since it last stood here. The chances
        # are bounded, so that a cache full of used entries does not hold the lock for long.
        chances = _SECOND_CHANCES
        while len(kept) >= self.max_entries:
            key, entry = kept.popitem(last=False)
            if entry.used and chances > 0:
                chances -= 1
                entry.used = False
                kept[key] = entry
            else:
                self.evictions += 1


def _interrupted() -> AuthServiceUnavailable:
    return AuthServiceUnavailable("the look-up was interrupted", reason="interrupted")
