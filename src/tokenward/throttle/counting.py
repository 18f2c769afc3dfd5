"""The fixed windows of limits, several of them in one step, and over a store of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenward.protocols import Clock
    from tokenward.repositories import CounterRepository
    from tokenward.throttle.rates import Rate

_NAMESPACE = "tokenward"


class Window(NamedTuple):
    """A counter.

    Attributes:
        hits: What it has come to.
        left: Seconds until it is over.
    """

    hits: int
    left: float


class Counted(NamedTuple):
    """What is counted.

    Attributes:
        limit: By which limit, as its setting is named.
        item: So many in so long.
        key: Under which key; at another rate it is another.
    """

    limit: str
    item: RateLimitItem
    key: str


def counted(limit: str, rate: Rate, *identifiers: str) -> Counted:
    """Return what is counted by a limit under ``identifiers``."""
    item = RateLimitItemPerSecond(rate.amount, rate.seconds, _NAMESPACE)
    return Counted(limit, item, item.key_for(limit, *identifiers))


class CountingStorage(Protocol):
    """A storage of limits that counts several keys in one step."""

    def incr_all(self, keys: Sequence[str], expiry: int, amount: int) -> list[Window]:
        """Add to counters; one that is not there begins, and lasts ``expiry`` seconds."""
        ...

    def clear_all(self, keys: Sequence[str]) -> None:
        """Forget counters."""
        ...

    def close(self) -> None:
        """Close what is open; it is opened again when it is used."""
        ...


class FixedWindows(FixedWindowRateLimiter):
    """The fixed window, for several limits at once.

    A window begins with the first that is counted and not at a full minute, so that who has to
    wait can be told for how long.
    """

    storage: CountingStorage  # type: ignore[assignment]

    def __init__(self, storage: CountingStorage) -> None:
        super().__init__(storage)  # type: ignore[arg-type]

    def hit_all(self, what: Sequence[Counted], *, cost: int = 1) -> list[Window]:
        """Count; return each one's window."""
        found: dict[str, Window] = {}
        for expiry in {one.item.get_expiry() for one in what}:
            keys = [one.key for one in what if one.item.get_expiry() == expiry]
            windows = self.storage.incr_all(keys, expiry, cost)
            found.update(zip(keys, windows, strict=True))
        return [found[one.key] for one in what]

    def clear_all(self, what: Sequence[Counted]) -> None:
        """Forget what was counted."""
        self.storage.clear_all([one.key for one in what])


class StoreStorage(Storage):
    """A storage of limits over a store's counters.

    Args:
        counters: Where they are kept.
        clock: Returns epoch seconds.
        close: Closes them, if that is to be done with this storage.
    """

    STORAGE_SCHEME = None

    def __init__(
        self,
        counters: CounterRepository,
        *,
        clock: Clock,
        close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._counters = counters
        self._clock = clock
        self._close = close

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the store raises when it is down."""
        return AuthServiceUnavailable

    def incr_all(self, keys: Sequence[str], expiry: int, amount: int) -> list[Window]:
        """See `CountingStorage.incr_all`."""
        now = self._clock()
        found = self._add(keys, expiry, amount, now)
        # What began by a clock that was far ahead would go on for as long; clocks of several
        # machines that differ by less than a window are no reason to forget anything.
        odd = [key for key, (_, end) in found.items() if end - now > 2 * expiry]
        if odd:
            self._counters.clear(odd)
            found |= self._add(odd, expiry, amount, now)
        return [Window(count, min(end - now, expiry)) for count, end in found.values()]

    def clear_all(self, keys: Sequence[str]) -> None:
        """See `CountingStorage.clear_all`."""
        self._counters.clear(keys)

    def close(self) -> None:
        """See `CountingStorage.close`."""
        if self._close is not None:
            self._close()

    def _add(
        self, keys: Sequence[str], expiry: int, amount: int, now: float
    ) -> dict[str, tuple[int, float]]:
        added = self._counters.add(keys, amount, now=now, expires_at=now + expiry)
        return dict(zip(keys, added, strict=True))

    # limits 4 says more: whether the end is put off, which it is not here.
    def incr(self, key: str, expiry: int, amount: int = 1, **_: object) -> int:
        """Add to one counter; return what it has come to."""
        return self.incr_all([key], expiry, amount)[0].hits

    def get(self, key: str) -> int:
        """Return what a counter has come to."""
        return self._counters.read([key], now=self._clock())[0][0]

    def get_expiry(self, key: str) -> float:
        """Return the epoch seconds at which a counter is over."""
        return self._counters.read([key], now=self._clock())[0][1]

    def clear(self, key: str) -> None:
        """Forget a counter."""
        self._counters.clear([key])

    def check(self) -> bool:
        """Tell whether the store answers."""
        try:
            self._counters.read(["check"], now=self._clock())
        except AuthServiceUnavailable:
            return False
        return True

    def reset(self) -> int | None:
        """Refuse: a store's counters are forgotten key by key."""
        raise NotImplementedError
