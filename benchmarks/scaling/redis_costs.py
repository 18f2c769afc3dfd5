"""What one Redis is asked to do for a fleet, and how long its broadcast takes."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import redis

from benchmarks.findings import Point, Result
from benchmarks.parts import canned_verifier
from benchmarks.scaling.simulation import SECRETS
from benchmarks.scaling.worker import token
from benchmarks.upstream import ANSWER
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.shared_cache import SharedAnswers

if TYPE_CHECKING:
    from benchmarks.harness import Effort

_PATIENCE = 10.0
_TTL = 600.0


def costs(url: str, effort: Effort) -> list[Result]:
    """Measure the time and the memory of ``redis-server`` for look-ups and answers.

    Args:
        url: Of a Redis that holds nothing else.
        effort: How many.
    """
    number = effort.rounds(5_000)
    cache = RedisSharedCache(url, secrets=SECRETS)
    answers = SharedAnswers(
        cache, endpoint="https://issuer.example/introspect", client="bench", failed=_failed
    )
    digests = [sha256(token(one).encode()).digest() for one in range(number)]
    with redis.Redis.from_url(url) as client, contextlib.closing(cache):
        client.ping()
        start = _info(client)
        for digest in digests:
            answers.put(digest, ANSWER, asked_at=time.time(), ttl=_TTL)
        written = _info(client)
        for digest in digests:
            answers.get(digest)
        read = _info(client)
    put, got = (
        (after["cpu"] - before["cpu"]) / number
        for before, after in ((start, written), (written, read))
    )
    size = (written["memory"] - start["memory"]) / number
    return [
        _row("redis-server: processor time of a look-up, one at a time", got),
        _row("redis-server: processor time of an answer that is put there", put),
        Result(
            "redis-server: memory of an answer",
            size,
            "bytes",
            None,
            detail=f"{number:,} answers; a million take {size * 1e6 / 2**20:,.0f} MiB",
        ),
    ]


def broadcast(url: str, listeners: int, *, rounds: int) -> Point:
    """Measure how long a revocation takes until every listener has forgotten the token.

    Args:
        url: Of a Redis.
        listeners: Verifiers, each with a connection and a thread of its own.
        rounds: Revocations.

    Returns:
        The listeners, and the median in seconds.
    """
    with contextlib.ExitStack() as stack:
        buses = [RedisRevocationBus(url, secrets=SECRETS) for _ in range(listeners + 1)]
        verifiers = [canned_verifier(revocation_bus=bus, ttl=_TTL) for bus in buses]
        for bus, verifier in zip(buses, verifiers, strict=True):
            stack.callback(bus.close)
            stack.callback(verifier.close)
            verifier.verify(token(0))
        with redis.Redis.from_url(url) as client:
            _until(lambda: dict(client.pubsub_numsub(*_channels(client))), listeners + 1)
        first, *others = verifiers
        taken = [_once(first, others, token(number)) for number in range(1, rounds + 1)]
    middle = statistics.median(taken)
    spread = None if len(taken) < 2 else _quartiles(taken)
    return Point(listeners, middle, spread)


def _once(first: Any, others: list[Any], revoked: str) -> float:
    deadline = time.monotonic() + _PATIENCE
    # What a connection missed while it began is forgotten once; then it stays.
    while not all(other.cached(revoked) for other in others):
        for other in others:
            other.verify(revoked)
        _in_time(deadline)
    started = time.perf_counter()
    first.invalidate(revoked)
    while any(other.cached(revoked) for other in others):
        _in_time(deadline)
        time.sleep(0)
    return time.perf_counter() - started


def _channels(client: redis.Redis) -> Any:
    return client.pubsub_channels()


def _until(subscribed: Any, number: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while sum(subscribed().values()) < number:
        _in_time(deadline)
        time.sleep(0.01)


def _in_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise RuntimeError("the broadcast does not arrive")


def _quartiles(values: list[float]) -> tuple[float, float]:
    first, _median, third = statistics.quantiles(values, n=4)
    return first, third


def _info(client: redis.Redis) -> dict[str, float]:
    found: Any = client.info()
    cpu = found["used_cpu_user"] + found["used_cpu_sys"]
    return {"cpu": cpu, "memory": found["used_memory"]}


def _row(row: str, seconds: float) -> Result:
    a_second = math.inf if seconds <= 0 else 1 / seconds
    detail = f"{a_second:,.0f} /s would fill the one core that it uses"
    return Result(row, seconds * 1e6, "µs", None, detail=detail)


def _failed() -> None:
    raise RuntimeError("the shared cache failed")
