"""`RedisRevocationBus`: a `RevocationBus` on Redis's PUBLISH and SUBSCRIBE."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from tokenward import _fork
from tokenward._secrets import check_secrets
from tokenward.redis_cache.listener import Listener, Subscriber
from tokenward.redis_cache.server import Server, packed, plain

_PUBLISHERS = 10


class RedisRevocationBus:
    """A `RevocationBus` on Redis; thread-safe, and connects when it is first used.

    One daemon thread listens for all subscribers of a process, from the first `subscribe` until
    nobody is left. It connects again by itself, and notices a connection that is dead without
    having been closed within `HEARTBEAT_SECONDS` twice.

    Args:
        url: See `RedisSharedCache`.
        secrets: What messages are sealed under, newest first; at least 16 bytes each.
        channel: The channel's name.
        timeout: Seconds for publishing a message, and for subscribing.

    Raises:
        ConfigurationError: An argument cannot be what was meant, or redis-py is not installed:
            ``tokenward[redis]``.
    """

    def __init__(
        self,
        url: str,
        *,
        secrets: Sequence[str],
        channel: str = "tokenward:revocations",
        timeout: float = 0.25,
    ) -> None:
        self._secrets = check_secrets(secrets, "the revocation bus")
        self._channel = plain(channel, "channel")
        self._server = Server(url, timeout=timeout, pool_size=_PUBLISHERS)
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        _fork.register(self)

    def after_fork(self) -> None:
        """Listen to nothing: the thread is not here, and subscribers subscribe again."""
        self._lock = threading.Lock()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.abandon()

    def __repr__(self) -> str:
        return f"RedisRevocationBus({self._server.shown})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RedisRevocationBus holds secrets and sockets: make one in each process")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that messages are sealed under, newest first."""
        return self._secrets

    def publish(self, message: bytes, /) -> None:
        """Send ``message`` to all subscribers.

        Raises:
            AuthServiceUnavailable: It was not sent (``shared_cache``).
        """
        self._server.call(packed(b"PUBLISH", self._channel, message))

    def subscribe(
        self, callback: Callable[[bytes], None], /, *, missed: Callable[[], None]
    ) -> Callable[[], None]:
        """Have ``callback`` called with each message, on a thread of the bus.

        Args:
            callback: Gets a message.
            missed: Called whenever messages may have been missed: each time the subscription
                begins, the first time included, and each time it is lost.

        Returns:
            What ends the subscription.
        """
        subscriber = Subscriber(callback, missed)
        while True:
            with self._lock:
                if self._listener is None or self._listener.has_ended:
                    self._listener = Listener(self._server, self._channel)
                listener = self._listener
            # False when the last subscriber of before has left in the meantime.
            if listener.add(subscriber):
                return lambda: listener.remove(subscriber)

    def close(self) -> None:
        """End all subscriptions and close idle connections; using the bus again starts over."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.end()
        self._server.close()
