"""The thread that listens to a channel, for all who subscribed in a process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tokenward._chance import between
from tokenward._log import OncePerMinute
from tokenward.errors import AuthServiceUnavailable
from tokenward.redis_cache.server import packed

if TYPE_CHECKING:
    from tokenward.redis_cache.connection import Connection
    from tokenward.redis_cache.server import Server

HEARTBEAT_SECONDS: Final = 5.0
"""Of silence, after which the server is asked for a sign of life; after as many more it is lost."""

_FIRST_BACK_OFF = 0.1
_LONGEST_BACK_OFF = 2.0
_PATIENCE_AT_THE_END = 1.0

_logger = logging.getLogger("tokenward.redis_cache")
_seldom = OncePerMinute(_logger)


class Subscriber(NamedTuple):
    """Who wants messages: see `RevocationBus.subscribe`."""

    callback: Callable[[bytes], None]
    missed: Callable[[], None]


class Listener:
    """Subscribes to one channel, again and again, until nobody is left who wants messages.

    Args:
        server: Where the channel is.
        channel: Its name.
        heartbeat: See `HEARTBEAT_SECONDS`.
    """

    def __init__(
        self, server: Server, channel: bytes, *, heartbeat: float = HEARTBEAT_SECONDS
    ) -> None:
        self._server = server
        self._channel = channel
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._subscribers: tuple[Subscriber, ...] = ()
        self._is_subscribed = False
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def has_ended(self) -> bool:
        """Whether it takes no more subscribers."""
        return self._ended.is_set()

    def add(self, subscriber: Subscriber) -> bool:
        """Let ``subscriber`` have what comes from now on; ``False`` when it has ended."""
        thread = None
        with self._lock:
            if self._ended.is_set():
                return False
            self._subscribers += (subscriber,)
            begins_now = self._is_subscribed
            if self._thread is None:
                # A daemon: whoever forgets to close a verifier can still end the program.
                thread = self._thread = threading.Thread(
                    target=self._run, name="tokenward-revocations", daemon=True
                )
        if thread is not None and not self._started(thread):
            raise AuthServiceUnavailable("no thread could be started", reason="shared_cache")
        if begins_now:
            _contained(subscriber.missed)
        return True

    def _started(self, thread: threading.Thread) -> bool:
        try:
            thread.start()
        except RuntimeError:
            self._ended.set()
            return False
        return True

    def remove(self, subscriber: Subscriber) -> None:
        """Let ``subscriber`` have nothing any more; without any left it ends."""
        with self._lock:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)
            is_last = not self._subscribers
        if is_last:
            self._interrupt()

    def end(self) -> None:
        """Listen no more, and wait a moment until the thread is gone."""
        self._interrupt()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE_AT_THE_END)

    def abandon(self) -> None:
        """Leave the subscription to the parent, whose thread reads from the connection."""
        self._subscribers = ()
        # A greenlet goes on in the child, and has to end. The event of before may be locked.
        self._ended = threading.Event()
        self._ended.set()
        if self._connection is not None:
            self._connection.close()

    def _interrupt(self) -> None:
        with self._lock:
            self._ended.set()
            connection = self._connection
        if connection is not None:
            connection.interrupt()

    def _run(self) -> None:
        failures, hint = 0, ""
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - whatever it is, it tries again
                hint = self._server.explained(error).hint
            if self._ended.is_set():
                return
            if time.monotonic() - began > self._heartbeat:
                failures = 0
            longest = min(_FIRST_BACK_OFF * 2**failures, _LONGEST_BACK_OFF)
            failures = min(failures + 1, 10)
            # Jitter, so that processes which lost one server do not come back in step.
            pause = longest * between(0.5, 1.0)
            _seldom.log(
                logging.WARNING,
                (self._server.shown, "lost"),
                "not subscribed to revocations, next attempt in %.1f s: %s",
                pause,
                hint,
            )
            self._ended.wait(pause)

    def _listen(self) -> None:
        connection = self._server.connect()
        try:
            # Whoever ends it now shuts the connection; who did before is seen when it listens.
            self._connection = connection
            deadline = time.monotonic() + self._server.timeout
            (reply,) = connection.exchange(packed(b"SUBSCRIBE", self._channel), 1, deadline)
            if isinstance(reply, Exception):
                raise reply
            self._change(is_subscribed=True)
            self._receive(connection)
        finally:
            self._connection = None
            connection.close()
            if self._is_subscribed:
                self._change(is_subscribed=False)

    def _change(self, *, is_subscribed: bool) -> None:
        with self._lock:
            self._is_subscribed = is_subscribed
            subscribers = self._subscribers
        for subscriber in subscribers:
            _contained(subscriber.missed)

    def _receive(self, connection: Connection) -> None:
        asked = False
        while not self._ended.is_set():
            if connection.has_reply(within=self._heartbeat):
                asked = False
                self._deliver(connection.reply(within=self._server.timeout))
            elif asked:
                raise TimeoutError
            else:
                asked = True
                connection.send(packed(b"PING"), within=self._server.timeout)

    def _deliver(self, reply: Any) -> None:
        # Others are answers to PING.
        if isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message":
            for subscriber in self._subscribers:
                _contained(subscriber.callback, reply[2])


def _contained(callback: Callable[..., None], *args: bytes) -> None:
    try:
        callback(*args)
    except Exception as error:  # noqa: BLE001 - the others still want to hear
        _seldom.log(
            logging.ERROR,
            (type(error).__name__, "subscriber"),
            "a subscriber to revocations failed: %s",
            type(error).__name__,
        )
