"""Which counters a throttle has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tokenward.errors import ConfigurationError
from tokenward.repositories import MemoryCounterRepository
from tokenward.throttle.counting import FixedWindows, StoreStorage
from tokenward.throttle.outage import Elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenward.protocols import Clock
    from tokenward.repositories import CounterRepository

_TIMEOUT = 1.0
"""Seconds for what a MongoDB is asked: a login waits for it."""


def open_counters(
    storage: str, counters: CounterRepository | None, *, clock: Clock
) -> tuple[FixedWindows, Elsewhere | None]:
    """Return this process's own counters, and those outside of it; see `LoginThrottle.open`.

    Raises:
        ConfigurationError: There is no such storage, or a library is missing.
    """
    if storage == "store" and isinstance(counters, MemoryCounterRepository):
        return FixedWindows(StoreStorage(counters, clock=clock)), None
    own = FixedWindows(StoreStorage(MemoryCounterRepository(), clock=clock))
    if storage == "memory":
        return own, None
    return own, Elsewhere(_maker(storage, counters, clock), clock=clock)


def _maker(
    storage: str, counters: CounterRepository | None, clock: Clock
) -> Callable[[], FixedWindows]:
    scheme = storage.partition("://")[0]
    if storage == "store" and counters is not None:
        return partial(FixedWindows, StoreStorage(counters, clock=clock))
    if scheme in ("redis", "rediss"):
        from tokenward.throttle.on_redis import open_redis  # noqa: PLC0415 - needs redis-py

        open_redis(storage).close()
        return lambda: FixedWindows(open_redis(storage))
    if scheme in ("mongodb", "mongodb+srv"):
        # Not limits' own for MongoDB: its client crosses forks, its database is always "limits",
        # and each key is a call of its own.
        try:
            from tokenward.repositories import mongo  # noqa: PLC0415 - needs pymongo
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("pymongo", "bson"):
                raise
        else:
            store = mongo.MongoStore(storage, timeout=_TIMEOUT)
            elsewhere = mongo.MongoCounterRepository(store)
            return partial(FixedWindows, StoreStorage(elsewhere, clock=clock, close=store.close))
        raise ConfigurationError("Counting in a MongoDB needs pymongo: install tokenward[mongo].")
    what = "cannot count in this store" if storage == "store" else "has no such storage"
    msg = f'The throttle {what}; write "memory", redis://HOST:PORT/DB or mongodb://HOST/DATABASE.'
    raise ConfigurationError(msg)
