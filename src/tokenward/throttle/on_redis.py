"""Counters in a Redis, by the storage of limits for it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from limits.errors import ConfigurationError as LimitsConfigurationError
from limits.storage import RedisStorage

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.throttle.counting import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TIMEOUT = 0.5
"""Seconds for connecting, and for each answer: a login waits for it."""

_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_MALFORMED = (
    "The URL of the throttle's Redis is none; write redis://HOST:PORT/DB, or rediss://HOST:PORT/DB"
    " for TLS (with ?ssl_ca_certs=PATH for authorities of your own), with USER:PASSWORD@ after the"
    " // where it asks for one, percent-encoded."
)

_RIGHTS = (
    "the user of the Redis may not run all that the throttle needs: EVALSHA, SCRIPT LOAD, INCRBY,"
    " PTTL, PEXPIRE and DEL on LIMITS:*; see docs/service/throttling.md"
)
_NO_RIGHT = "user executing the script can't"

# All counters in one step and one round trip. None goes below zero, and each gets its end in the
# same step as its beginning.
_INCR_ALL = """
local windows = {}
for i, key in ipairs(KEYS) do
    local count = redis.call('INCRBY', key, ARGV[2])
    if count < 0 then
        count = redis.call('INCRBY', key, -count)
    end
    if redis.call('PTTL', key) < 0 then
        redis.call('PEXPIRE', key, ARGV[1])
    end
    windows[i] = {count, redis.call('PTTL', key)}
end
return windows
"""


class SeveralInRedis(RedisStorage):
    """The storage of limits for Redis, which counts several keys in one round trip.

    It connects when it is used.

    Args:
        url: See `check_redis_url`.
    """

    STORAGE_SCHEME = None  # type: ignore[assignment]  # limits' own stays registered

    def __init__(self, url: str) -> None:
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
        }
        if url.startswith("rediss:"):
            # Some releases of redis-py take any valid certificate for this host's.
            options["ssl_check_hostname"] = True
        super().__init__(url, **options)
        self._incr_all = self.storage.register_script(_INCR_ALL)

    def incr_all(self, keys: Sequence[str], expiry: int, amount: int) -> list[Window]:
        """See `CountingStorage.incr_all`."""
        prefixed = [self.prefixed_key(key) for key in keys]
        with self._told_of_rights():
            found = self._incr_all(prefixed, [expiry * 1_000, amount])
        return [Window(int(count), int(left) / 1_000) for count, left in found]

    def clear_all(self, keys: Sequence[str]) -> None:
        """See `CountingStorage.clear_all`."""
        with self._told_of_rights():
            self.storage.delete(*(self.prefixed_key(key) for key in keys))

    def close(self) -> None:
        """See `CountingStorage.close`."""
        self.storage.close()

    @contextlib.contextmanager
    def _told_of_rights(self) -> Iterator[None]:
        try:
            yield
        except self.base_exceptions as error:
            # Of what a script may not do, the Redis says so in words alone.
            if type(error).__name__ != "NoPermissionError" and _NO_RIGHT not in str(error):
                raise
            raise AuthServiceUnavailable(_RIGHTS, reason="throttle") from None


def open_redis(url: str) -> SeveralInRedis:
    """Return the counters of a Redis; nothing is connected yet.

    Raises:
        ConfigurationError: See `check_redis_url`, or redis-py is not installed.
    """
    check_redis_url(url)
    try:
        return SeveralInRedis(url)
    except LimitsConfigurationError:
        msg = "Counting in a Redis needs redis-py: install tokenward[redis]."
    except (ValueError, TypeError):
        # Not the library's text: it may hold the password.
        msg = _MALFORMED
    raise ConfigurationError(msg)


def check_redis_url(url: str) -> None:
    """Refuse what is no URL of a Redis, or says more than where it is.

    Raises:
        ConfigurationError: As said. The message does not hold the URL.
    """
    try:
        parts = urlsplit(url)
        options = {name for name, _ in parse_qsl(parts.query, strict_parsing=bool(parts.query))}
        sound = (
            parts.scheme in ("redis", "rediss")
            and bool(parts.hostname)
            and parts.port != 0
            and (parts.path in ("", "/") or parts.path[1:].isdecimal())
            and not parts.fragment
            and options <= (_TLS_OPTIONS if parts.scheme == "rediss" else frozenset())
        )
    except ValueError:
        sound = False
    if not sound:
        raise ConfigurationError(_MALFORMED)
