"""What is remembered of tokens: the verified ones and the revoked ones, each bounded."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tokenward import _fork
from tokenward._log import OncePerMinute
from tokenward.cache import Entry, LookupCache
from tokenward.errors import TokenRevoked
from tokenward.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenward._jose import KeySet
    from tokenward.protocols import Clock, RevocationBus
    from tokenward.shared_cache import Listening

MAX_DENIED: Final = 50_000
"""Revoked tokens that are remembered; beyond that the oldest is accepted again until it expires."""

_logger = logging.getLogger("tokenward.jwks")
_seldom = OncePerMinute(_logger)


class VerifiedEntry(Entry[Principal]):
    """A token that was verified, and with which keys.

    Args:
        principal: Who it speaks for.
        key_set: The keys. Verifiers share a cache: each knows its own entries by their keys.
        stored: When it was verified, in seconds since the epoch.
        ends: When it expires.
        fresh_until: Until when nobody needs to look whether the keys are still the same.
    """

    __slots__ = ("key_set",)

    def __init__(
        self,
        principal: Principal,
        *,
        key_set: KeySet,
        stored: float,
        ends: float,
        fresh_until: float,
    ) -> None:
        super().__init__(principal, stored=stored, ends=ends, fresh_until=fresh_until)
        self.key_set = key_set


class Memory:
    """The cache of verified tokens and the list of revoked ones, of one verifier or of several.

    Args:
        max_entries: Bound of the cache; 0 remembers no verified token.
        clock: Seconds since the epoch.
        bus: What tells all processes of revocations.
        report: See `LookupCache`.

    Attributes:
        cache: The verified tokens, by digest.
        bus_errors: Times the bus failed.

    Raises:
        ConfigurationError: The secrets of the bus are weak.
    """

    def __init__(
        self,
        *,
        max_entries: int,
        clock: Clock,
        bus: RevocationBus | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.cache: LookupCache[Principal] = LookupCache(
            max_entries=max_entries, clock=clock, report=report
        )
        self.bus_errors = 0
        self._report = report
        self._denied: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self._listening: Listening | None = None
        self._publish: Callable[[bytes], None] = lambda _digest: None
        if bus is not None:
            self._connect(bus, clock)
        _fork.register(self)

    def after_fork(self) -> None:
        """Start over: the parent's subscription, and what it would have taken away, are gone."""
        self._lock = threading.Lock()
        if self._listening is not None:
            self._listening.after_fork()
            self.cache.after_fork()  # its lock may be held by a thread of the parent's
            self.cache.clear()

    def begin(self) -> None:
        """Listen for revocations, if there is a bus and nobody does yet. Never raises."""
        if self._listening is not None:
            self._listening.begin()

    def end(self) -> None:
        """Stop listening; `begin` starts anew. Never raises."""
        if self._listening is not None:
            self._listening.end()
            # Nobody takes away any more what is kept.
            self.cache.clear()

    def entry(self, digest: bytes) -> VerifiedEntry | None:
        """Return what is known of the token with this digest."""
        return self.cache.entries.get(digest)  # type: ignore[return-value]  # nothing else is kept

    def hit(self, entry: VerifiedEntry) -> Principal:
        """Return whom an entry is about that is served."""
        self.cache.hits += 1
        entry.used = True
        self._tell("hit")
        return entry.give()

    def missed(self) -> None:
        """Count an entry that is known and could not be served."""
        self.cache.misses += 1
        self._tell("miss")

    def is_denied(self, digest: bytes) -> bool:
        """Tell whether the token with this digest was revoked."""
        return digest in self._denied

    def refuse_denied(self, digest: bytes) -> None:
        """Refuse a token that was revoked, and count that.

        Raises:
            TokenRevoked: It was.
        """
        if self.is_denied(digest):
            self.cache.negative_hits += 1
            self._tell("negative_hit")
            raise revoked()

    def deny(self, digest: bytes) -> None:
        """Refuse the token with this digest from now on, in this process."""
        with self._lock:
            full = len(self._denied) >= MAX_DENIED and digest not in self._denied
            if full:
                self._denied.popitem(last=False)
            self._denied[digest] = None
        # After it is denied: a verification under way is not stored, and a later one is refused.
        self.cache.invalidate(digest)
        if full:
            _seldom.log(
                logging.WARNING,
                ("denied",),
                "more than %d revoked tokens are remembered; the oldest are accepted again until "
                "they expire",
                MAX_DENIED,
            )

    def deny_everywhere(self, digest: bytes) -> None:
        """Refuse it from now on, here and in the processes on the bus. Never raises."""
        self.deny(digest)
        self._publish(digest)

    def _connect(self, bus: RevocationBus, clock: Clock) -> None:
        from tokenward.shared_cache import Listening, Revocations  # noqa: PLC0415 - few have one

        revocations = Revocations(None, bus, clock=clock, failed=self._bus_failed)
        self._publish = revocations.publish
        # What was said before, or while the bus was away, nobody can repeat.
        self._listening = Listening(
            lambda: revocations.subscribe(self.deny, missed=lambda: None),
            failed=self._bus_failed,
            clock=time.monotonic,
        )

    def _bus_failed(self) -> None:
        self.bus_errors += 1

    def _tell(self, what: str) -> None:
        if self._report is not None:
            self._report(what)


def revoked() -> TokenRevoked:
    """Return the refusal of a token that is on the list."""
    return TokenRevoked("the token was revoked")
