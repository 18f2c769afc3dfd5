"""What counts attempts at passwords."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from tokenward.commands.doctor.finding import Finding
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from tokenward.config.settings import ServiceSection
    from tokenward.repositories import CounterRepository, Repositories

_SETTING = "service.throttle"
_STORAGE = f"{_SETTING}.storage"
_SECONDS = 10


def of_throttle(section: ServiceSection, repositories: Repositories) -> Finding:
    """Count something that nobody attempted, and forget it."""
    if section.throttle is None:
        advice = "off: anybody may guess passwords as fast as they are hashed; leave it out"
        return Finding("warn", _SETTING, advice)
    storage = section.throttle.storage
    if storage.get_secret_value() == "memory":
        found = "each process counts by itself, so that four of them let four times as many by"
        return Finding("ok", _STORAGE, found)
    try:
        if storage.startswith("redis"):
            _try_redis(storage.get_secret_value())
        elif storage.startswith("mongodb"):
            _try_mongo(storage.get_secret_value())
        elif repositories.counters is not None:
            _try(repositories.counters)
    except ConfigurationError as error:
        return Finding("FAIL", _STORAGE, str(error))
    except AuthServiceUnavailable as error:
        why = error.hint or error.description
        advice = f"{why}. Until it answers each process counts by itself"
        return Finding("FAIL", _STORAGE, advice, outage=True)
    return Finding("ok", _STORAGE, "counts attempts for every process")


def _try(counters: CounterRepository) -> None:
    key, now = f"doctor:{secrets.token_hex(16)}", time.time()
    counters.add([key], 1, now=now, expires_at=now + _SECONDS)
    counters.clear([key])


def _try_mongo(url: str) -> None:
    from tokenward.repositories import MongoCounterRepository  # noqa: PLC0415 - of an extra

    counters = MongoCounterRepository(url)
    try:
        _try(counters)
    finally:
        counters.store.close()


def _try_redis(url: str) -> None:
    from tokenward.throttle.on_redis import open_redis  # noqa: PLC0415 - of an extra

    key = f"doctor:{secrets.token_hex(16)}"
    counters = open_redis(url)
    try:
        counters.incr_all([key], _SECONDS, 1)
        counters.clear_all([key])
    except AuthServiceUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a driver raises; its text may be a secret
        why = f"the Redis does not count ({type(error).__name__})"
    else:
        return
    finally:
        counters.close()
    raise AuthServiceUnavailable(why, reason="throttle")
