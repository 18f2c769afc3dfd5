"""One connection, with redis-py to speak the protocol over a socket of ours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import redis.connection
from redis.exceptions import ResponseError

from tokenward.redis_cache.sockets import Bounded, connected

if TYPE_CHECKING:
    from tokenward.redis_cache.address import Address


class Connection:
    """A connection to a Redis, for one thread at a time; connected when it is made.

    One that broke is closed, and never opened again. What its methods raise is redis-py's, or an
    `OSError`, also where the server says more than it was asked while we sign in.

    Args:
        address: Where the Redis is.
        deadline: When to give up connecting and signing in, on the ``time.monotonic()`` scale.

    Attributes:
        used_at: When it was last used, on the same scale.
        has_unread: Whether more came than was asked for: what is read next may answer something
            else.
    """

    def __init__(self, address: Address, deadline: float) -> None:
        self.used_at = time.monotonic()
        # Of any type: the releases of redis-py differ in how much they say about theirs.
        made: Any = _RedisConnection
        self._redis = made(
            host=address.path or address.host,
            port=address.port,
            db=address.db,
            username=address.username,
            password=address.password,
            protocol=2,
        )
        # Two round trips to say which library this is, and which user may not say so is logged. The
        # releases of redis-py keep it in one of these.
        self._redis.driver_info = self._redis.lib_name = self._redis.lib_version = None
        self._redis.opened = partial(connected, address, deadline)
        self._redis.connect()
        self._socket: Bounded = self._redis.bounded
        self.has_unread = self._holds_more()
        # In the kernel it is the end, or a refusal, which whoever reads next is told of.
        if self.has_unread and not self._socket.has_input():
            self.close()
            raise ConnectionError("it says more than it was asked")

    def exchange(self, commands: bytes, replies: int, deadline: float) -> list[Any]:
        """Send packed commands, and return so many replies; a refusal is an exception in it."""
        self._socket.allow(deadline)
        self._redis.send_packed_command([commands])
        # What redis-py holds already comes before what the socket has.
        if not self.has_unread:
            try:
                received = self._socket.recv(_CHUNK_BYTES)
            except OSError:
                received = b""  # as redis-py will find too, and say in its own words
            values = _bulk_strings(received, replies)
            if values is not None:
                return values
            # Anything else is redis-py's to read, from the beginning.
            self._socket.give_back(received)
        read = [self._reply() for _ in range(replies)]
        self.has_unread = self._holds_more()
        return read

    def send(self, command: bytes, *, within: float) -> None:
        """Send a packed command, of which the reply will be read later."""
        self._socket.allow(time.monotonic() + within)
        self._redis.send_packed_command([command])

    def has_reply(self, *, within: float) -> bool:
        """Wait until something comes; ``False`` when nothing did."""
        self._socket.allow(time.monotonic() + within)
        return bool(self._redis.can_read(timeout=within))

    def reply(self, *, within: float) -> Any:
        """Return what came; a refusal is an exception."""
        self._socket.allow(time.monotonic() + within)
        return self._reply()

    def is_silent(self) -> bool:
        """Tell whether nothing came, and not the end either, though nothing was asked."""
        return not self._socket.has_input()

    def interrupt(self) -> None:
        """Let the thread that reads find the end."""
        self._socket.shut()

    def close(self) -> None:
        """Close it; in a forked child, without the parent noticing."""
        self._redis.disconnect()

    def _holds_more(self) -> bool:
        # Past its deadline the socket gives nothing: then redis-py looks into its own buffer only.
        self._socket.allow(0.0)
        return self._socket.has_input() or bool(self._redis.can_read(timeout=0))

    def _reply(self) -> Any:
        try:
            return self._redis.read_response(disable_decoding=True)
        except ResponseError as refusal:
            return refusal


_CHUNK_BYTES = 65_536
_bulk_head = re.compile(rb"\$([0-9]{1,7})\r\n").match


def _bulk_strings(received: bytes, count: int) -> list[bytes] | None:
    """Return what came if it is so many whole bulk strings, as nearly always; else ``None``.

    redis-py takes as long for this as the whole round trip does.
    """
    values = []
    at = 0
    for _ in range(count):
        head = _bulk_head(received, at)
        if head is None:
            return None
        start = head.end()
        end = start + int(head[1])
        at = end + 2
        if received[end:at] != b"\r\n":
            return None
        values.append(received[start:end])
    return values if at == len(received) else None


class _RedisConnection(redis.connection.Connection):
    opened: Callable[[], Bounded]
    bounded: Bounded

    def _connect(self) -> Bounded:
        # Also when redis-py would open one that is gone once more; then the deadline has passed.
        self.bounded = self.opened()
        return self.bounded
