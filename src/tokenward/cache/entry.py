"""An answer, and where it is in its life."""

from __future__ import annotations

import copy
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from tokenward._chance import between

if TYPE_CHECKING:
    from tokenward.errors import AuthError

V = TypeVar("V")

_FIRST_BACK_OFF = 1.0
_LONGEST_BACK_OFF = 30.0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a verifier's caches did since it was made; read at one moment.

    Each token that reaches the cache, well-formed as it is, counts as one of ``hits``,
    ``negative_hits`` and ``misses``, and as nothing else; ``stale_served`` are some of the misses.

    Attributes:
        hits: Tokens accepted without asking anybody.
        negative_hits: Tokens refused without asking anybody.
        misses: Tokens of which no answer was at hand, or one that is due, or that were to be
            asked about ``live``.
        upstream_calls: Questions put to the issuer, those that its breaker stopped included.
        upstream_errors: Those that ended in an outage.
        stale_served: Answers served past their end because the issuer failed.
        shared_hits: Answers found in the shared second level.
        shared_errors: Times the shared second level or the revocation bus failed.
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
    shared_errors: int = 0


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
        fresh_until: From when on one request asks again ahead of the end, if the entry is in
            use; default ``ends``.
        stale_until: Until when it may be served while the source fails; default ``ends``.
        refusal: The answer was no: raised, as a fresh copy, for everyone who asks.
        used: Whether it counts as in use before anybody was served from it.
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
        used: bool = False,
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
        self.used = used

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

    def expire(self, now: float) -> None:
        """Let the entry be served no more unless the source fails."""
        # Not before it was stored: a clock that jumped back makes it a miss, not a stale answer.
        grace = self.stale_until - self.ends
        self.ends = self.fresh_until = max(self.stored, min(self.ends, now))
        self.stale_until = self.ends + grace
        # A failure from before says nothing of the question that is to be asked now.
        self.retry_at = 0.0

    def back_off(self, now: float) -> None:
        """Put off the next attempt after a failed one, a little longer each time."""
        longest = min(_FIRST_BACK_OFF * 2**self.failures, _LONGEST_BACK_OFF)
        self.failures = min(self.failures + 1, 10)
        # Jitter, so that processes which saw one outage do not ask again in step.
        self.retry_at = now + longest * between(0.5, 1.0)
        if now < self.ends:
            self.fresh_until = min(self.retry_at, self.ends)
