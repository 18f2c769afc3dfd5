"""For how long a revoked token is still accepted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.scaling.cycles import cycle, epoch, unused_when_due
from benchmarks.scaling.popularity import Class, classes

if TYPE_CHECKING:
    from benchmarks.scaling.fleet import Fleet

BROADCAST_SECONDS = 1.0
"""What is promised of a broadcast; in a network that is well it takes some milliseconds."""

_STEPS = 200


@dataclass(frozen=True, slots=True)
class Staleness:
    """Seconds from a revocation to the last request that is accepted after it, by any process.

    Attributes:
        mean: Over the tokens and the moments at which they may be revoked; 0 for a token that
            nobody presents in time.
        p99: That 99 of 100 do not exceed.
        worst: That none exceeds.
    """

    mean: float
    p99: float
    worst: float


def staleness(fleet: Fleet) -> Staleness:
    """Return the staleness of a token that is revoked at the authorization server."""
    parts = [(one.tokens / fleet.tokens, _survival(fleet, one)) for one in _spread(fleet)]

    def later(seconds: float) -> float:
        return sum(weight * survival(seconds) for weight, survival in parts)

    step = fleet.ttl / _STEPS
    # Simpson's rule: the mean is the integral of the chance to be later.
    values = [later(number * step) for number in range(_STEPS + 1)]
    mean = step / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))
    low, high = 0.0, fleet.ttl
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if later(middle) > 0.01 else (low, middle)
    return Staleness(mean, high if later(0) > 0.01 else 0.0, fleet.ttl)


def _spread(fleet: Fleet) -> list[Class]:
    return classes(fleet.tokens, fleet.zipf)


def _survival(fleet: Fleet, one: Class) -> Callable[[float], float]:
    processes, rate = fleet.everywhere, fleet.rate * one.share
    if fleet.shared:
        # All processes serve one answer, so its age is the same everywhere.
        return _of_one_answer(fleet, rate, processes)
    each = _of_one_answer(fleet, rate / processes, 1)
    return lambda seconds: _any(each(seconds), processes)


def _of_one_answer(fleet: Fleet, rate: float, processes: int) -> Callable[[float], float]:
    due, ttl = fleet.due, fleet.ttl
    length = (
        cycle(rate, due=due, ttl=ttl).length
        if processes == 1
        else epoch(rate, processes=processes, due=due, ttl=ttl).length
    )
    unused = unused_when_due(rate, processes=processes, due=due)

    def later(seconds: float) -> float:
        # The answer is of an age that is spread evenly over the cycle. Somebody is accepted later
        # if the token is presented between that time and the moment when it is due ...
        left = max(0.0, due - seconds)
        before = left + math.expm1(-rate * left) / rate
        # ... or if it is presented when it is due, where nobody made use of it before.
        alone = (left + (processes - 1) * -math.expm1(-rate * left) / rate) / processes
        after = alone * _soon(rate * unused, ttl - due)
        low, high = max(seconds, due), min(due + seconds, ttl)
        if low < high:
            after += _soon_within(rate * unused, ttl - high, ttl - low)
        rest = ttl - due - seconds
        if rest > 0:
            after += unused * (_soon(rate, rest) / rate - rest * math.exp(-rate * rest))
        return min(1.0, (before + after) / length)

    return later


def _soon(rate: float, seconds: float) -> float:
    return -math.expm1(-rate * seconds)


def _soon_within(rate: float, low: float, high: float) -> float:
    # The integral of `_soon`.
    if rate * high < 1e-9:
        return rate * (high**2 - low**2) / 2
    return high - low - (math.exp(-rate * low) - math.exp(-rate * high)) / rate


def _any(one: float, processes: int) -> float:
    return -math.expm1(processes * math.log1p(-min(one, 1 - 1e-15)))
