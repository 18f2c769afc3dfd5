"""A Redis server: few connections, each call within one deadline, and one kind of error."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from tokenward import _fork
from tokenward._log import shown
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.redis_cache import address

if TYPE_CHECKING:
    from tokenward.redis_cache.connection import Connection

# Beyond that, something between here and there may have forgotten the connection.
_MAX_IDLE_SECONDS = 60.0

_SIGN_IN = "check the user name and the password in its URL"
_CLUSTER = "it belongs to a cluster; name a single server or a proxy"
_ADVICE = {
    "NOAUTH": _SIGN_IN,
    "WRONGPASS": _SIGN_IN,
    "AuthenticationError": _SIGN_IN,
    "NOPERM": "its user may not do what is needed; see tokenward.redis_cache",
    "NoPermissionError": "its user may not do what is needed; see tokenward.redis_cache",
    "READONLY": "it is a replica; name the primary",
    "ReadOnlyError": "it is a replica; name the primary",
    "OOM": "its memory is full; raise maxmemory, or set maxmemory-policy to volatile-ttl",
    "OutOfMemoryError": "its memory is full; raise maxmemory, or set maxmemory-policy to"
    " volatile-ttl",
    "MISCONF": "it cannot write to its disk",
    "MOVED": _CLUSTER,
    "MovedError": _CLUSTER,
    "AskError": _CLUSTER,
    "ClusterDownError": _CLUSTER,
}


def packed(*parts: bytes) -> bytes:
    """Return one command as the protocol has it."""
    head = b"*%d\r\n" % len(parts)
    return head + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


_plain = re.compile(r"[!-~]+").fullmatch


def plain(name: str, what: str) -> bytes:
    """Return a name as Redis has it.

    Raises:
        ConfigurationError: It has other characters than visible ASCII, or none.
    """
    if type(name) is not str or not _plain(name):
        raise ConfigurationError(f"{what} is a string of visible ASCII characters.")
    return name.encode()


class Server:
    """Speaks to one Redis; thread-safe, and connects when it is first used.

    Args:
        url: See `address.read`.
        timeout: Seconds for each call, with waiting for a connection and connecting.
        pool_size: Calls at once; more wait.

    Attributes:
        shown: Where it is, for logs.
        timeout: As given.

    Raises:
        ConfigurationError: An argument cannot be what was meant, or redis-py is not installed.
    """

    def __init__(self, url: str, *, timeout: float, pool_size: int) -> None:
        try:
            import redis  # noqa: F401, PLC0415 - an extra: who shares nothing does without
        except ImportError:
            missing = True
        else:
            missing = False
        if missing:
            raise ConfigurationError("Redis needs redis-py: install tokenward[redis].")
        if type(timeout) not in (int, float) or not 0 < timeout < math.inf:
            raise ConfigurationError("timeout is a number of seconds, more than 0.")
        if type(pool_size) is not int or pool_size < 1:
            raise ConfigurationError("pool_size is a whole number, 1 or more.")
        self._address = address.read(url)
        self.shown = self._address.shown
        self.timeout = timeout
        self._pool_size = pool_size
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Use nothing of the parent's: its connections carry its calls."""
        self._places = threading.Semaphore(self._pool_size)
        self._idle: list[Connection] = []

    def __repr__(self) -> str:
        return f"Server({self.shown})"

    def call(self, commands: bytes, *, replies: int = 1) -> list[Any]:
        """Send packed commands in one round trip and return so many replies.

        Returns:
            Each reply; ``WRONGTYPE`` is an exception among them.

        Raises:
            AuthServiceUnavailable: There is no reply, or a refusal (``shared_cache``).
        """
        deadline = time.monotonic() + self.timeout
        # A fork replaces both; what was taken from the old ones goes back to them.
        places, idle = self._places, self._idle
        if not places.acquire(timeout=self.timeout):
            raise self._failure("all connections are in use; raise pool_size or look at its load")
        try:
            connection = self._take(idle) or self._connected(deadline)
            received = connection.exchange(commands, replies, deadline)
            refusal = next(filter(_is_refusal, received), None)
            if refusal is None:
                if connection.has_unread:
                    connection.close()
                else:
                    connection.used_at = deadline - self.timeout
                    idle.append(connection)
                return received
            connection.close()
            failure = self.explained(refusal)
        except Exception as error:  # noqa: BLE001 - redis-py's, and of its parser on garbage
            failure = self.explained(error)
        finally:
            places.release()
        # The others are to the same server: broken likewise, or to one that is primary no more.
        self.close()
        # Raised here and not above: as its context, a foreign error would bring its text along.
        raise failure

    def connect(self) -> Connection:
        """Return a new connection, signed in, that the caller closes.

        Raises:
            AuthServiceUnavailable: There is none (``shared_cache``).
        """
        try:
            return self._connected(time.monotonic() + self.timeout)
        except Exception as error:  # noqa: BLE001 - as above
            failure = self.explained(error)
        raise failure

    def close(self) -> None:
        """Close idle connections; calling again opens new ones."""
        idle = self._idle
        with contextlib.suppress(IndexError):
            while True:
                idle.pop().close()

    def explained(self, error: Exception) -> AuthServiceUnavailable:
        """Return the error of ours that stands for a foreign one, without a text of the server's.

        A server repeats what it did not understand, and that may be the password.
        """
        if isinstance(error, AuthServiceUnavailable):
            # One of ours names the server already; one of the resolver's does not.
            return error if error.reason == "shared_cache" else self._failure(error.hint)
        name = type(error).__name__
        if name in ("ConnectionError", "TimeoutError"):
            return self._failure(shown(str(error)))
        code = str(error).partition(" ")[0]
        if _is_refusal(error) and code in _ADVICE:
            name = code
        return self._failure(f"it answers {name}; {_ADVICE.get(name, 'look at its log')}")

    def _failure(self, why: str) -> AuthServiceUnavailable:
        return AuthServiceUnavailable(f"Redis at {self.shown}: {why}", reason="shared_cache")

    def _connected(self, deadline: float) -> Connection:
        from tokenward.redis_cache.connection import Connection  # noqa: PLC0415 - needs the extra

        return Connection(self._address, deadline)

    def _take(self, idle: list[Connection]) -> Connection | None:
        # The one that was used last, unless the server has closed it in the meantime.
        while idle:
            try:
                connection = idle.pop()
            except IndexError:
                return None
            age = time.monotonic() - connection.used_at
            if age < _MAX_IDLE_SECONDS and connection.is_silent():
                return connection
            connection.close()
        return None


def _is_refusal(reply: object) -> bool:
    # A value of another type is no trouble of the server's.
    return isinstance(reply, Exception) and not str(reply).startswith("WRONGTYPE")
