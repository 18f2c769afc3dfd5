"""The second cache level of one verifier."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenward import _json
from tokenward.shared_cache.careful import Careful, seldom
from tokenward.shared_cache.places import (
    LONGEST_TTL,
    MAX_VALUE_BYTES,
    SCHEMA,
    TOMBSTONE,
    Places,
    bytes_in,
)

if TYPE_CHECKING:
    from tokenward.protocols import Clock, SharedCache


class SharedAnswer(NamedTuple):
    """What the authorization server said, and when it was asked (seconds since the epoch)."""

    claims: Mapping[str, Any]
    asked_at: float


class SharedAnswers:
    """The second cache level of one verifier: sealed answers about tokens, by digest.

    Args:
        cache: Where they are kept.
        endpoint: The introspection endpoint that gave them.
        client: Who asked: other clients may be told other things.
        failed: Called after each failure of the cache, a value that was changed there included.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: The secrets of the cache are weak, or an empty list.
    """

    def __init__(
        self,
        cache: SharedCache,
        *,
        endpoint: str,
        client: str,
        failed: Callable[[], None],
        clock: Clock = time.time,
    ) -> None:
        self._cache = cache
        # One that fetches one value at a time will do, at the price of a round trip for each.
        self._get_many: Callable[[list[bytes]], Sequence[bytes | None]] = getattr(
            cache, "get_many", lambda keys: [cache.get(key) for key in keys]
        )
        self._places = Places(cache)
        # Length first, so that no two pairs read alike.
        where = endpoint.encode("utf-8")
        self._asked = b"%b %d:%b%b" % (SCHEMA, len(where), where, client.encode("utf-8"))
        # Named by the secret too, so that nobody can tell which endpoint and client it is.
        self._suffix = b"a" + self._places.box.names(self._asked)[0].hex().encode()
        self._careful = Careful("the shared cache", failed)
        self._clock = clock

    def get(self, digest: bytes) -> SharedAnswer | None:
        """Return the answer for a token; ``None`` when there is none that may be used."""
        slots = self._places.slots(digest)
        keys = [slots[0] + self._suffix, *[slot + TOMBSTONE for slot in slots]]
        found = self._careful.call(lambda: self._read(keys))
        # What stands at a tombstone's place is not looked at: nobody gains by changing it.
        if found is None or found[0] is None or found.count(None) < len(slots):
            return None
        opened = self._opened(found[0], digest)
        if opened is None:
            self._careful.count()
            seldom.log(
                logging.WARNING,
                ("changed",),
                "a value in the shared cache does not open: it was changed there, or something "
                "else writes under the same prefix",
            )
            return None
        claims, asked_at, until = opened
        return SharedAnswer(claims, asked_at) if self._clock() < until else None

    def put(self, digest: bytes, claims: Mapping[str, Any], *, asked_at: float, ttl: float) -> None:
        """Keep an answer for ``ttl`` seconds, `LONGEST_TTL` at most."""
        ttl = min(ttl, LONGEST_TTL)
        try:
            text = _written(claims)
        except (TypeError, ValueError, RecursionError) as error:
            # Of a client of your own. It says nothing about the cache, which is not left alone.
            self._careful.count()
            seldom.log(
                logging.WARNING,
                (type(error).__name__, "unwritable"),
                "an answer is not shared, for it is not JSON (%s)",
                type(error).__name__,
            )
            return
        # The end is sealed too: nobody who can write there makes an answer last longer.
        times = _TIMES.pack(asked_at, self._clock() + ttl)
        sealed = self._places.box.seal(times + text, self._asked + digest)
        if len(sealed) <= MAX_VALUE_BYTES:
            name = self._name(digest)
            self._careful.call(lambda: self._cache.set(name, sealed, ttl=ttl))

    def drop(self, digest: bytes) -> None:
        """Take the answer for a token away."""
        name = self._name(digest)
        self._careful.call(lambda: self._cache.delete(name))

    def _name(self, digest: bytes) -> bytes:
        return self._places.slots(digest)[0] + self._suffix

    def _read(self, keys: list[bytes]) -> list[bytes | None]:
        found = [*self._get_many(keys)]
        if len(found) != len(keys):
            msg = "not one value for each key"
            raise ValueError(msg)
        return found

    def _opened(self, value: object, digest: bytes) -> tuple[dict[str, Any], float, float] | None:
        sealed = bytes_in(value)
        if sealed is None or len(sealed) > MAX_VALUE_BYTES:
            return None
        opened = self._places.box.open(sealed, self._asked + digest)
        if opened is None:
            return None
        asked_at, until = _TIMES.unpack_from(opened)
        try:
            return _json.loads(opened[_TIMES.size :]), asked_at, until
        except _json.JSONError:
            return None


def _written(claims: Mapping[str, Any]) -> bytes:
    # A dict, for json takes no other mapping.
    text = json.dumps(dict(claims), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


# When it was asked, and until when the answer may be used.
_TIMES = Struct(">dd")
