"""`KeptDocument`: one document of a remote source, kept fresh by those who use it."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from tokenward import _fork
from tokenward.cache.entry import Entry, State
from tokenward.cache.lookup import LookupCache
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from tokenward.protocols import Clock

V = TypeVar("V")

_KEY: Final = b""
# Nothing was sent: our own places were taken, or the breaker stopped the call.
_UNTRIED: Final = frozenset({"busy", "circuit_open"})
# Shorter than any back-off: what somebody else found out this short a time ago is not asked again.
_JUST_NOW: Final = 0.5
# Of a fetch's time, for those who wait for a source that let the last one run out of time.
_SHARE_FOR_WAITING: Final = 0.1


class Fetched(NamedTuple, Generic[V]):
    """What a fetch brought, and for how many seconds the source says that it may be kept."""

    value: V
    max_age: float | None


class Kept(NamedTuple, Generic[V]):
    """A document that can be used.

    Attributes:
        value: The document.
        number: Of the fetch that brought it; see `KeptDocument.begun`.
        asked_at: When that fetch began, in seconds since the epoch.
    """

    value: V
    number: int
    asked_at: float


class NotTried(Exception):
    """Raised by a fetch that could not begin; ``error`` is the outage that this is."""

    def __init__(self, error: AuthServiceUnavailable) -> None:
        super().__init__()
        self.error = error


class _Failure(NamedTuple):
    error: AuthServiceUnavailable
    at: float


class KeptDocument(Generic[V]):
    """Fetches a document once for all who need it, and serves it through the source's outages.

    One user fetches it anew ahead of its end, and the others go on with what there is. When a
    fetch fails, the last good document is served, and the next attempt waits a little longer each
    time. Where there is no document to serve, the source is left alone for a while; and once a
    fetch ran out of time, one thread that waits for the next is enough: until one succeeds, the
    others wait for a tenth of theirs at most.

    Args:
        fetch: Called with a deadline on the ``time.monotonic()`` scale. An `AuthServiceUnavailable`
            or `NotTried` from it is a failure.
        ttl: Seconds for which a document is served as it stands, or less if its source says so.
        refresh_ahead: Seconds before that end at which one user fetches it anew.
        cooldown: Seconds between two fetches on demand, after a failure that leaves nothing to
            serve, and for which a document is kept at least.
        stale_for: Seconds beyond its end for which it is served while the source fails.
        timeout: Seconds for a fetch where no deadline is given.
        clock: Seconds since the epoch.

    Attributes:
        begun: The number of the last fetch that began; 0 before the first.

    Raises:
        ConfigurationError: A number makes no sense.
    """

    def __init__(
        self,
        fetch: Callable[[float], Fetched[V]],
        *,
        ttl: float,
        refresh_ahead: float,
        cooldown: float,
        stale_for: float,
        timeout: float,
        clock: Clock,
    ) -> None:
        self._ttl = _seconds("ttl", ttl, least=0.001)
        self._refresh_ahead = _seconds("refresh_ahead", refresh_ahead)
        self._cooldown = _seconds("cooldown", cooldown, least=0.001)
        self._stale_for = _seconds("stale_for", stale_for)
        self._timeout = _seconds("timeout", timeout, least=0.001)
        self._fetch = fetch
        self._clock = clock
        # A fetch that another one overtook is as good as its number: what it brought is kept
        # unless the other one brought something first.
        self._cache: LookupCache[Kept[V]] = LookupCache(
            max_entries=1, clock=clock, supersedes=_is_newer
        )
        # A demand that was met is an entry that lives for the cooldown: one look-up for all who
        # have it, and none for those who have it a moment later.
        self._demands: LookupCache[None] = LookupCache(max_entries=1, clock=clock)
        self._numbers = itertools.count(1)
        self.begun = 0
        # Each is replaced whole, so none needs a lock.
        self._failure: _Failure | None = None
        self._loading = False
        self._hangs = False
        _fork.register(self)

    def after_fork(self) -> None:
        """Forget a fetch that is under way in the parent."""
        self._loading = False

    @property
    def known(self) -> Kept[V] | None:
        """What could be served if the source failed; no I/O."""
        entry = self._cache.entries.get(_KEY)
        if entry is None or entry.state(self._clock()) is State.GONE:
            return None
        return entry.value

    @property
    def fresh_until(self) -> float:
        """Until when `get` takes no look-up, in seconds since the epoch; ``-inf`` without one."""
        entry = self._cache.entries.get(_KEY)
        return -math.inf if entry is None else entry.fresh_until

    def get(self, *, deadline: float | None = None) -> Kept[V]:
        """Return the document, fetching it if need be.

        Args:
            deadline: When to give up, on the ``time.monotonic()`` scale.

        Raises:
            AuthServiceUnavailable: There is none that can be served.
        """
        entry = self._cache.entries.get(_KEY)
        if entry is not None and entry.value is not None:
            now = self._clock()
            if entry.stored <= now < entry.fresh_until:
                return entry.value
            # Nobody waits to hear once more that the source fails.
            failing = self._loading and entry.failures > 0
            if failing and entry.state(now) is not State.GONE:
                return entry.value
        deadline = self._deadline(deadline)
        load = partial(self._load, deadline)
        return self._cache.look_up(_KEY, load, patience=_left(deadline), wait=self._wait)

    def refresh(self, *, deadline: float | None = None) -> Kept[V]:
        """Fetch the document now, whatever there is.

        Raises:
            AuthServiceUnavailable: The fetch failed.
        """
        deadline = self._deadline(deadline)
        load = partial(self._load, deadline, live=True)
        return self._cache.look_up(_KEY, load, patience=_left(deadline), live=True)

    def renewed(
        self, seen: int, *, had: Kept[V] | None = None, deadline: float | None = None
    ) -> Kept[V]:
        """Return the document as it is after something was missed in it.

        It is fetched for that at most once in ``cooldown`` seconds, by one user for all; fetches
        that were due anyway do not count.

        Args:
            seen: What `begun` was before the caller took the document: one fetched since then is
                new enough.
            had: The document in which it was missed: a newer one is returned rather than an
                outage; default: one that was fetched before ``seen`` began.
            deadline: When to give up, on the ``time.monotonic()`` scale.

        Raises:
            AuthServiceUnavailable: The last fetch failed, or there is no document.
        """
        deadline = self._deadline(deadline)
        oldest = seen if had is None else had.number
        meet = partial(self._meet, seen, deadline)
        try:
            self._demands.look_up(_KEY, meet, patience=_left(deadline), wait=self._wait)
        except AuthServiceUnavailable:
            newer = self._newer_than(oldest)
            if newer is None:
                raise
            return newer
        failure = self._failure
        if failure is None:
            return self.get(deadline=deadline)
        newer = self._newer_than(oldest)
        if newer is None:
            raise self._again(failure)
        return newer

    def _newer_than(self, number: int) -> Kept[V] | None:
        known = self.known
        return known if known is not None and known.number > number else None

    def _meet(self, seen: int, deadline: float) -> Entry[None]:
        began = self._clock()
        if self._newer_than(seen) is None:
            try:
                self.refresh(deadline=deadline)
            except AuthServiceUnavailable as error:
                failure = self._failure
                tried = failure is not None and failure.at >= began
                if not tried and self._newer_than(seen) is None:
                    # Nothing was tried, so it may be tried again at once.
                    raise error from None
        return Entry(None, stored=began, ends=self._clock() + self._cooldown)

    def _load(self, deadline: float, *, live: bool = False) -> Entry[Kept[V]]:
        asked_at = self._clock()
        known = self.known
        if not live:
            self._refuse_too_soon(asked_at, known)
            if known is not None:
                # What there is can be served, so leave time for what it is needed for.
                deadline -= _left(deadline) / 2
        number = self.begun = next(self._numbers)
        self._loading = True
        try:
            fetched = self._fetch(deadline)
        except NotTried as untried:
            error = untried.error
            self._hangs = self._hangs or error.reason == "deadline"
        except AuthServiceUnavailable as failed:
            error = failed
            self._hangs = self._hangs or error.reason == "deadline"
            # What began earlier than the document that there is by now says nothing of its source.
            if failed.reason not in _UNTRIED and self._newer_than(number) is None:
                self._failure = _Failure(copy.copy(failed), self._clock())
                if known is None:
                    error = self._again(self._failure)
        else:
            self._failure = None
            self._hangs = False
            return self._entry(Kept(fetched.value, number, asked_at), fetched.max_age)
        finally:
            self._loading = False
        raise error

    def _entry(self, kept: Kept[V], max_age: float | None) -> Entry[Kept[V]]:
        life = self._ttl if max_age is None else min(max(max_age, self._cooldown), self._ttl)
        due = kept.asked_at + max(life - self._refresh_ahead, min(self._cooldown, life))
        # However short its life: while one user fetches it anew, the others have a document.
        ends = max(kept.asked_at + life, due + self._timeout)
        return Entry(
            kept,
            stored=kept.asked_at,
            ends=ends,
            fresh_until=due,
            stale_until=ends + self._stale_for,
            used=True,
        )

    def _refuse_too_soon(self, now: float, known: Kept[V] | None) -> None:
        failure = self._failure
        pause = self._cooldown if known is None else min(_JUST_NOW, self._cooldown)
        if failure is not None and failure.at <= now < failure.at + pause:
            raise self._again(failure)

    def _again(self, failure: _Failure) -> AuthServiceUnavailable:
        # A fresh copy for each, without the frames of the first.
        error = copy.copy(failure.error)
        error.retry_after = max(1.0, failure.at + self._cooldown - self._clock())
        return error

    def _wait(self) -> float | None:
        return self._timeout * _SHARE_FOR_WAITING if self._hangs else None

    def _deadline(self, deadline: float | None) -> float:
        return time.monotonic() + self._timeout if deadline is None else deadline


def _is_newer(one: Kept[V], other: Kept[V]) -> bool:
    return one.number > other.number


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _seconds(name: str, value: object, *, least: float = 0) -> float:
    # bool is an int, and nobody means it.
    if type(value) not in (int, float) or not least <= value < float("inf"):  # type: ignore[operator]
        what = "more than 0" if least else "0 or more"
        raise ConfigurationError(f"{name} is a number of seconds, {what}.")
    return value  # type: ignore[return-value]
