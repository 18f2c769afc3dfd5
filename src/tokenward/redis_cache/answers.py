"""`RedisSharedCache`: a `SharedCache` on Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from tokenward._secrets import check_secrets
from tokenward.redis_cache.server import Server, packed, plain
from tokenward.shared_cache import MAX_VALUE_BYTES


class RedisSharedCache:
    """A `SharedCache` on Redis; thread-safe, and connects when it is first used.

    Args:
        url: ``redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]``; ``rediss://`` likewise for TLS, always
            verified, with ``?ssl_ca_certs=PATH`` for authorities of your own and ``ssl_certfile``
            and ``ssl_keyfile`` for a client certificate; ``unix://[[USER]:PASSWORD@]/PATH[?db=DB]``.
        secrets: What values are sealed under, newest first; at least 16 bytes each.
        timeout: Seconds for each call, with waiting for a connection, connecting and TLS.
        pool_size: Calls at once, and connections kept; more wait, no longer than ``timeout``.
        prefix: What the names of all keys begin with.

    Raises:
        ConfigurationError: An argument cannot be what was meant, or redis-py is not installed:
            ``tokenward[redis]``.
    """

    def __init__(
        self,
        url: str,
        *,
        secrets: Sequence[str],
        timeout: float = 0.25,
        pool_size: int = 10,
        prefix: str = "tokenward:",
    ) -> None:
        self._secrets = check_secrets(secrets, "the shared cache")
        self._prefix = plain(prefix, "prefix")
        self._server = Server(url, timeout=timeout, pool_size=pool_size)

    def __repr__(self) -> str:
        return f"RedisSharedCache({self._server.shown})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RedisSharedCache holds secrets and sockets: make one in each process")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that values are sealed under, newest first."""
        return self._secrets

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of one key; see `get_many`."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """Return the value of each key, or ``None``, in one round trip.

        A value longer than `MAX_VALUE_BYTES` comes cut to one byte more. Where something stands
        that is no value at all, it comes empty.

        Raises:
            AuthServiceUnavailable: Redis cannot say (``shared_cache``).
        """
        if not keys:
            return []
        # Not MGET, which would bring along whatever size somebody has put there.
        names = [self._prefix + key for key in keys]
        commands = b"".join([_GETRANGE % (len(name), name) for name in names])
        return [_value(reply) for reply in self._server.call(commands, replies=len(keys))]

    def set(self, key: bytes, value: bytes, /, *, ttl: float) -> None:
        """Store ``value`` for ``ttl`` seconds.

        Raises:
            AuthServiceUnavailable: It is not stored (``shared_cache``).
        """
        milliseconds = max(1, int(ttl * 1_000))
        self._server.call(packed(b"SET", self._prefix + key, value, b"PX", b"%d" % milliseconds))

    def delete(self, key: bytes, /) -> None:
        """Forget ``key``.

        Raises:
            AuthServiceUnavailable: Redis cannot be told (``shared_cache``).
        """
        self._server.call(packed(b"DEL", self._prefix + key))

    def close(self) -> None:
        """Close idle connections; using the cache again opens new ones."""
        self._server.close()


_LAST_BYTE = b"%d" % MAX_VALUE_BYTES
# Packed once but for the key, which comes with its length before it.
_GETRANGE = packed(b"GETRANGE", b"%b", b"0", _LAST_BYTE).replace(b"$2\r\n%b", b"$%d\r\n%b")


def _value(reply: object) -> bytes | None:
    # GETRANGE of a key that is not there is empty, and nobody stores an empty value.
    if isinstance(reply, bytes):
        return reply or None
    return b""
