"""The Redis that processes share answers and revocations by."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from tokenward._http import is_loopback
from tokenward._seal import Box
from tokenward.commands.doctor.finding import Finding
from tokenward.config.build import redis_of
from tokenward.errors import AuthServiceUnavailable
from tokenward.shared_cache import Revocations

if TYPE_CHECKING:
    from tokenward.config.settings import SharedCacheSection
    from tokenward.protocols import RevocationBus, SharedCache

SLOW = 0.02
"""Seconds for one round trip from which on the cache is worth a word."""

PATIENCE = 2.0
"""Seconds for a message to come back."""

_TTL = 10.0
_TRIPS = 3
_URL, _BROADCAST = "shared_cache.url", "shared_cache (broadcast)"
_BEST_POLICY = "volatile-ttl"


def of_shared_cache(section: SharedCacheSection) -> Iterator[Finding]:
    """Put something in, read it and take it out; send a message about a token that nobody has."""
    url = section.url.get_secret_value()
    if section.url.hides_something and url.startswith("redis:") and not is_loopback(url):
        advice = "the password travels in the clear; write rediss://, and have the server speak TLS"
        yield Finding("warn", _URL, advice)
    if len(section.secrets) > 1:
        found = f"{len(section.secrets)}; the older can go once every process has the newest"
        yield Finding("ok", "shared_cache.secrets", found)
    cache, bus = redis_of(section)
    try:
        works = yield from _kept(cache)
        if works:
            yield from _policy(section)
            yield _broadcast(bus, timeout=section.timeout)
    finally:
        cache.close()
        bus.close()


def _kept(cache: SharedCache) -> Generator[Finding, None, bool]:
    box = Box(cache.secrets, "doctor")
    key, value = b"doctor:" + os.urandom(16).hex().encode(), box.seal(b"probe")
    try:
        cache.set(key, value, ttl=_TTL)
        found = box.open(cache.get(key) or b"")
        took = min(_timed(cache, key) for _ in range(_TRIPS))
        cache.delete(key)
    except AuthServiceUnavailable as error:
        # What it answers somebody has to change; that it does not answer may pass.
        outage = " it answers " not in error.hint
        text = f"{error.hint}. Until then each process asks the authorization server by itself"
        yield Finding("FAIL", _URL, text, outage=outage)
        return False
    if found != b"probe":
        advice = "does not give back what was put in; name a Redis of your own, and no replica"
        yield Finding("FAIL", _URL, advice)
        return False
    yield of_round_trip(took)
    return True


def of_round_trip(seconds: float) -> Finding:
    """Say how long the cache takes, and whether that is too long."""
    trip = f"a round trip takes {seconds * 1_000:.1f} ms"
    if seconds > SLOW:
        advice = f"works, but {trip}, for every token that is new to a process; put it nearer"
        return Finding("warn", _URL, advice)
    return Finding("ok", _URL, f"keeps sealed answers; {trip}")


def _timed(cache: SharedCache, key: bytes) -> float:
    started = time.perf_counter()
    cache.get(key)
    return time.perf_counter() - started


def _policy(section: SharedCacheSection) -> Iterator[Finding]:
    from tokenward.redis_cache.server import Server, packed  # noqa: PLC0415 - of an extra

    server = Server(section.url.get_secret_value(), timeout=section.timeout, pool_size=1)
    names = (b"maxmemory", b"maxmemory-policy")
    try:
        asked = b"".join(packed(b"CONFIG", b"GET", name) for name in names)
        limit, policy = (reply[1].decode() for reply in server.call(asked, replies=2))
    except (AuthServiceUnavailable, LookupError, AttributeError, TypeError):
        # Few users may ask, and few hosted servers answer.
        return
    finally:
        server.close()
    if limit != "0" and policy != _BEST_POLICY:
        advice = (
            f"its maxmemory-policy is {policy}: when it is full it takes no new answers"
            if policy == "noeviction"
            else f"its maxmemory-policy is {policy}: it may drop what says that a token is revoked"
        )
        yield Finding("warn", _URL, f"{advice}; set it to {_BEST_POLICY}")


def _broadcast(bus: RevocationBus, *, timeout: float) -> Finding:
    revocations = Revocations(None, bus, clock=time.time)
    probe = os.urandom(32)
    begun, came = threading.Event(), threading.Event()

    def forget(digest: bytes) -> None:
        if digest == probe:
            came.set()

    revocations.subscribe(forget, missed=begun.set)
    if begun.wait(PATIENCE):
        revocations.publish(probe)
        if came.wait(PATIENCE):
            return Finding("ok", _BROADCAST, "a message came back to where it was sent from")
    advice = (
        f"no message came back within {PATIENCE:.0f} s, so that a revocation is noticed only after "
        "ttl; let the user of the Redis PUBLISH and SUBSCRIBE on the channel tokenward:revocations,"
        f" or, if it is slow, raise shared_cache.timeout ({timeout:g} s)"
    )
    return Finding("FAIL", _BROADCAST, advice)
