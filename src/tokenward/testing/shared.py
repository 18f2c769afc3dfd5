"""A shared cache and a revocation bus in the process, that fail when a test says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward.protocols import Clock


class MemorySharedCache:
    """A `SharedCache` for verifiers of one process: several of them are as several processes.

    Args:
        secrets: What values are sealed under, newest first; at least 16 bytes each.
        clock: Seconds since the epoch.

    Attributes:
        secrets: As given.
        values: What is kept, sealed, by key; a test may change it.
        down: Set it, and every call fails.
        calls: How many calls there were, failed ones included.
    """

    def __init__(self, *, secrets: Sequence[str], clock: Clock = time.time) -> None:
        self.secrets = tuple(secrets)
        self.values: dict[bytes, bytes] = {}
        self.down = False
        self.calls = 0
        self._ends: dict[bytes, float] = {}
        self._clock = clock

    def __repr__(self) -> str:
        return f"MemorySharedCache({len(self.values)} values)"

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of one key; see `get_many`."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """Return the value of each key, or ``None``.

        Raises:
            AuthServiceUnavailable: It is `down`.
        """
        self._called()
        now = self._clock()
        return [
            self.values.get(key) if now < self._ends.get(key, now + 1) else None for key in keys
        ]

    def set(self, key: bytes, value: bytes, /, *, ttl: float) -> None:
        """Store ``value`` for ``ttl`` seconds.

        Raises:
            AuthServiceUnavailable: It is `down`.
        """
        self._called()
        self.values[key] = value
        self._ends[key] = self._clock() + ttl

    def delete(self, key: bytes, /) -> None:
        """Forget ``key``.

        Raises:
            AuthServiceUnavailable: It is `down`.
        """
        self._called()
        self.values.pop(key, None)

    def _called(self) -> None:
        self.calls += 1
        if self.down:
            raise AuthServiceUnavailable("the test wants it down", reason="shared_cache")


class MemoryRevocationBus:
    """A `RevocationBus` for verifiers of one process; delivers before `publish` returns.

    Args:
        secrets: What messages are sealed under, newest first; at least 16 bytes each.

    Attributes:
        secrets: As given.
        messages: What was published, sealed, in order.
        down: Set it, and publishing fails; subscribing does not, as the protocol wants it.
    """

    def __init__(self, *, secrets: Sequence[str]) -> None:
        self.secrets = tuple(secrets)
        self.messages: list[bytes] = []
        self.down = False
        self._subscribers: list[tuple[Callable[[bytes], None], Callable[[], None]]] = []

    def __repr__(self) -> str:
        return f"MemoryRevocationBus({len(self._subscribers)} subscribers)"

    def publish(self, message: bytes, /) -> None:
        """Send ``message`` to all subscribers.

        Raises:
            AuthServiceUnavailable: It is `down`.
        """
        if self.down:
            raise AuthServiceUnavailable("the test wants it down", reason="shared_cache")
        self.messages.append(message)
        for callback, _ in list(self._subscribers):
            callback(message)

    def subscribe(
        self, callback: Callable[[bytes], None], /, *, missed: Callable[[], None]
    ) -> Callable[[], None]:
        """Have ``callback`` called with each message; calls ``missed`` at once, as it begins."""
        subscriber = (callback, missed)
        self._subscribers.append(subscriber)
        missed()

        def end() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return end

    def lose(self) -> None:
        """Lose the connection for a moment: everybody may have missed messages."""
        for _, missed in list(self._subscribers):
            missed()
