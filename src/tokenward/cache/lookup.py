"""`LookupCache`: two bounded caches in front of a source that is asked once for all."""

from __future__ import annotations

import copy
import itertools
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from tokenward import _fork
from tokenward.cache._flight import Flight
from tokenward.cache.entry import CacheStats, Entry, State
from tokenward.errors import AuthError, AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward.protocols import Clock

V = TypeVar("V")

_SECOND_CHANCES = 16


class LookupCache(Generic[V]):
    """Two bounded caches, accepted and refused, in front of a source that is asked once.

    A flood of refused keys cannot evict accepted ones. What is accepted is dropped some time after
    its end, when others come; that is no eviction. A look-up that began before an
    `invalidate`, a `clear` or a live look-up of the same key never stores its result, and answers
    nobody who came later: it is no longer the flight that is registered.

    Args:
        max_entries: Bound of each of the two caches; 0 keeps nothing.
        clock: Seconds since the epoch.
        report: Told, where no lock is held, of each ``hit``, ``negative_hit``, ``miss``, ``stale``
            and ``evicted``, as `CacheStats` counts them; never raises.
        supersedes: Tells whether one value is newer than another. With it, what a look-up brings
            is stored unless something newer is, whichever look-ups of the key began meanwhile:
            for what nobody invalidates. Called under the lock; never raises.
    """

    def __init__(
        self,
        *,
        max_entries: int,
        clock: Clock = time.time,
        report: Callable[[str], None] | None = None,
        supersedes: Callable[[V, V], bool] | None = None,
    ) -> None:
        self.max_entries = max_entries
        self.clock = clock
        self._report = report
        self._supersedes = supersedes
        self.entries: OrderedDict[bytes, Entry[V]] = OrderedDict()
        self.refusals: OrderedDict[bytes, Entry[V]] = OrderedDict()
        # Counted without a lock: exact under the GIL, where nothing switches inside "+=".
        self.hits = 0
        self.negative_hits = 0
        self.misses = 0
        self.stale_served = 0
        self.evictions = 0
        self._lock = threading.Lock()
        self._flights: dict[bytes, Flight[V]] = {}
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
            self._tell("hit")
            return entry.value
        entry = self.refusals.get(key)
        if entry is not None and entry.stored <= now < entry.ends:
            self.negative_hits += 1
            entry.used = True
            self._tell("negative_hit")
            return entry.give()
        return None

    def look_up(
        self,
        key: bytes,
        load: Callable[[], Entry[V]],
        *,
        patience: float,
        wait: Callable[[], float | None] | None = None,
        live: bool = False,
    ) -> V:
        """Return the value for ``key``, asking the source at most once for all who wait.

        Args:
            key: A digest; never a token.
            load: Asks the source. An `AuthServiceUnavailable` from it is shared with those who
                wait and never stored.
            patience: Seconds after which another thread's look-up is given up.
            wait: Returns the seconds to wait for it all the same, if that is less; asked by who
                has to wait.
            live: Ask, whatever is cached or under way; the answer is stored all the same.

        Raises:
            AuthError: The refusal; or an outage that no stale entry covers.
        """
        entry, flight, leads = self._begin(key, live=live)
        if entry is not None:
            return entry.give()
        try:
            if leads:
                entry = self._lead(key, flight, load)
            else:
                entry = self._follow(key, flight, patience, None if wait is None else wait())
            # Past its end, and the source could do no better: see `Entry.back_off`.
            now = self.clock()
            stale = entry.failures > 0 and now >= entry.ends
        except AuthServiceUnavailable:
            now = self.clock()
            entry = None if live else self.entries.get(key)
            if entry is None or entry.state(now) is State.GONE:
                raise
            stale = now >= entry.ends
        if stale:
            self.stale_served += 1
            self._tell("stale")
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

    def refused_at(self, key: bytes) -> float:
        """Return when the source was last asked about a key that it refused; ``-inf``: never.

        Seconds since the epoch, also after the refusal has ended, as long as there is room.
        """
        entry = self.refusals.get(key)
        return -math.inf if entry is None else entry.stored

    def expire(self) -> None:
        """Let nothing be served any more unless the source fails; what is under way is not stored.

        For when what is kept may be out of date, and nobody can say which.
        """
        with self._lock:
            now = self.clock()
            self._flights.clear()
            self.refusals.clear()
            for entry in self.entries.values():
                entry.expire(now)

    def stats(self) -> CacheStats:
        """Return the counters as they are now."""
        return CacheStats(
            hits=self.hits,
            negative_hits=self.negative_hits,
            misses=self.misses,
            stale_served=self.stale_served,
            evictions=self.evictions,
            entries=len(self.entries) + len(self.refusals),
        )

    def _begin(self, key: bytes, *, live: bool) -> tuple[Entry[V] | None, Flight[V], bool]:
        # What can be served after all; else the flight to wait for, and whether to lead it.
        with self._lock:
            flight = self._flights.get(key)
            entry, told = None, ["miss"]
            if not live:
                entry, told = self._servable(key, self.clock(), under_way=flight is not None)
            leads = live or flight is None
            if flight is None or leads:
                flight = Flight()
            elif entry is None:
                flight.join()
            if entry is None:
                self._flights[key] = flight
            self.misses += "miss" in told
        self._tell(*told)
        return entry, flight, leads

    def _servable(
        self, key: bytes, now: float, *, under_way: bool
    ) -> tuple[Entry[V] | None, list[str]]:
        # Under the lock.
        refused = self.refusals.get(key)
        if refused is not None and refused.stored <= now < refused.ends:
            self.negative_hits += 1
            return refused, ["negative_hit"]
        entry = self.entries.get(key)
        if entry is not None:
            state = entry.state(now)
            # What nobody used since it came is not worth a question ahead of time.
            if state is State.FRESH or (state is State.DUE and (under_way or not entry.used)):
                self.hits += 1
                entry.used = True
                return entry, ["hit"]
            if state is State.STALE and now < entry.retry_at:
                self.stale_served += 1
                return entry, ["miss", "stale"]
        return None, ["miss"]

    def _lead(self, key: bytes, flight: Flight[V], load: Callable[[], Entry[V]]) -> Entry[V]:
        try:
            flight.entry = load()
        except AuthError as error:
            flight.error = copy.copy(error)
            raise
        finally:
            # Also when a BaseException kills the leader: nobody is left waiting.
            evicted = 0
            with self._lock:
                registered = self._flights.get(key) is flight
                if registered:
                    del self._flights[key]
                if flight.entry is not None:
                    if self._is_wanted(key, flight.entry, registered=registered):
                        evicted = self._store(key, flight.entry)
                elif registered and isinstance(flight.error, AuthServiceUnavailable):
                    self._put_off(key)
            flight.end()
            self._tell(*["evicted"] * evicted)
        return flight.entry

    def _follow(
        self, key: bytes, flight: Flight[V], patience: float, wait: float | None
    ) -> Entry[V]:
        waited = patience if wait is None else min(wait, patience)
        if flight.wait(waited):
            return flight.landed()
        if waited == patience:
            # Its leader began earlier and is past its own deadline, or was killed before it could
            # say so: the next request leads.
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
        hint = f"another request's look-up of the same takes longer than {waited:g} s"
        raise AuthServiceUnavailable(hint, reason="deadline")

    def _put_off(self, key: bytes) -> None:
        # Under the lock, before anybody else can lead: one failure is one question.
        now = self.clock()
        entry = self.entries.get(key)
        if entry is not None and entry.state(now) in (State.DUE, State.STALE):
            entry.back_off(now)

    def _is_wanted(self, key: bytes, entry: Entry[V], *, registered: bool) -> bool:
        # Under the lock.
        if self._supersedes is None:
            return registered
        known = self.entries.get(key)
        return known is None or self._supersedes(entry.give(), known.give())

    def _store(self, key: bytes, entry: Entry[V]) -> int:
        # Under the lock. Returns how many entries had to go.
        self.entries.pop(key, None)
        self.refusals.pop(key, None)
        kept = self.entries if entry.refusal is None else self.refusals
        now = self.clock()
        if self.max_entries <= 0 or entry.stale_until <= now:
            return 0
        self._drop_ended(now)
        evicted = self._make_room(kept)
        kept[key] = entry
        return evicted

    def _drop_ended(self, now: float) -> None:
        # From the oldest on, so that memory follows what is good and not the bound: two for each
        # that comes catch up with any number. Refusals stay, for `refused_at`.
        for key, entry in list(itertools.islice(self.entries.items(), 2)):
            if now < entry.stale_until:
                break
            del self.entries[key]

    def _make_room(self, kept: OrderedDict[bytes, Entry[V]]) -> int:
        # Second chance: the oldest goes, unless it was used since it last stood here. The chances
        # are bounded, so that a cache full of used entries does not hold the lock for long.
        chances = _SECOND_CHANCES
        evicted = 0
        while len(kept) >= self.max_entries:
            key, entry = kept.popitem(last=False)
            if entry.used and chances > 0:
                chances -= 1
                entry.used = False
                kept[key] = entry
            else:
                evicted += 1
        self.evictions += evicted
        return evicted

    def _tell(self, *events: str) -> None:
        # Where no lock is held.
        if self._report is not None:
            for event in events:
                self._report(event)
