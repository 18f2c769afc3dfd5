"""For how long a revoked token is accepted: predicted, simulated and measured."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks import upstream
from benchmarks.findings import Curve, Line, Point, Result
from benchmarks.scaling import redis_costs
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.real import Workers, jobs_of, stood_still
from benchmarks.scaling.sides import ALONE, ATTEMPTS, SHARED, TOLERANCE, off
from benchmarks.scaling.simulation import simulate_revocations
from benchmarks.scaling.staleness import Staleness, staleness
from benchmarks.scaling.worker import token

if TYPE_CHECKING:
    from benchmarks.findings import Finding
    from benchmarks.harness import Effort
    from benchmarks.scaling.worker import Counted

STALE = Fleet(rate=30, tokens=100)
"""A token is presented to a process every three seconds or so, however many processes."""

RARE = Fleet(rate=40, tokens=300, processes=4)
"""A token is presented to a process every half minute."""

_RARE_SAMPLES = 6_000
"""Of these, whose waits differ more: with a sixth of them the mean is 5 % off by chance."""

REAL = Fleet(rate=400, tokens=50, ttl=2, processes=4, latency=0.005)
"""A token comes to a process twice a second; the endpoint is told of its end, nobody else."""

_WARM_UP = 1.5
"""Times ``ttl``."""

_SPREAD = 1.5
"""Times ``ttl`` in which the tokens are revoked, each at a moment of its own."""

_OVER = 1.2
"""Times ``ttl`` after the last revocation: nobody accepts any of the tokens then."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of the revocations of a real fleet.

    Attributes:
        waits: Seconds from each revocation to the last acceptance after it.
        late: The longest that a request came after its time, in seconds.
    """

    waits: Sequence[float]
    late: float


def real(effort: Effort) -> Iterator[Result]:
    """Revoke tokens of a real fleet at its endpoint, without a broadcast, and wait."""
    fleet = REAL if effort.scale else replace(REAL, processes=2, ttl=0.4)
    said, waits, late = staleness(fleet), list[float](), 0.0
    with Workers(fleet.processes) as workers:
        for seed in range(min(8, effort.rounds(4))):
            for _ in range(ATTEMPTS):
                seen = revocations(workers, fleet, seed=seed)
                if not (is_late := effort.scale > 0 and stood_still(fleet.ttl, seen.late)):
                    break
            late = max(late, seen.late)
            if is_late:
                break
            waits += seen.waits
    kinds = {"mean staleness": "mean", "staleness of 99 of 100": "p99"}
    found = None if is_late else summary(waits)
    for what, name in kinds.items():
        row = f"{what}: predicted, over a real fleet without a broadcast, {ALONE}"
        if found is None:
            why = f"not measured: the machine stood still for {late:.1f} s, {ATTEMPTS} times"
            yield Result(row, None, "x off", TOLERANCE, detail=why)
            continue
        ours, theirs = getattr(said, name), getattr(found, name)
        yield Result(
            row,
            off(ours, theirs),
            "x off",
            TOLERANCE,
            detail=(
                f"predicted {ours:.2f} s, measured {theirs:.2f} s; {len(waits):,} revocations at "
                f"the endpoint alone, none accepted for longer than {found.worst:.2f} s; ttl "
                f"{fleet.ttl:g} s, {fleet.processes} processes, {fleet.rate:g} requests/s of "
                f"{fleet.tokens} tokens"
            ),
        )


def revocations(workers: Workers, fleet: Fleet, *, seed: int) -> Seen:
    """Revoke every token of a real fleet at a moment of its own.

    Args:
        workers: As many as the fleet has processes.
        fleet: With no shared cache.
        seed: Of the moments.
    """
    warm_up, pick = _WARM_UP * fleet.ttl, random.Random(seed)  # noqa: S311 - no secret
    after = sorted((warm_up + pick.random() * _SPREAD * fleet.ttl, n) for n in range(fleet.tokens))
    seconds = (_SPREAD + _OVER) * fleet.ttl
    moments: dict[int, float] = {}
    # Its own endpoint: what another run has revoked would be refused from the beginning.
    with upstream.running() as issuer:

        def revoke(begin: float) -> None:
            for at, number in after:
                time.sleep(max(0.0, begin + at - time.monotonic()))
                issuer.revoke(token(number))
                moments[number] = time.monotonic()

        jobs = list(jobs_of(fleet, issuer.url(), None, warm_up=warm_up, seconds=seconds))
        counted = workers.do(jobs, meanwhile=revoke)
    return Seen(waits(moments, counted), max(one.late for one in counted))


def waits(moments: Mapping[int, float], counted: Sequence[Counted]) -> list[float]:
    """Return for how long each token was accepted after its revocation, by any process.

    Args:
        moments: When each was revoked, in seconds of ``time.monotonic``.
        counted: By each process.
    """
    return [
        max(0.0, *(one.accepted.get(str(number), at) - at for one in counted))
        for number, at in moments.items()
    ]


def summary(waits: Sequence[float]) -> Staleness:
    """Return what these come to."""
    ordered = sorted(waits)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return Staleness(sum(ordered) / len(ordered), p99, ordered[-1])


def simulated(effort: Effort, redis: str | None) -> Iterator[Finding]:
    """Compare predictions with simulated fleets of several sizes, and measure the broadcast.

    Args:
        effort: As everywhere.
        redis: A server's URL; ``None``: the broadcast is not measured.
    """
    sizes = (1, 2, 4, 8, 16) if effort.scale else (1, 2)
    samples = min(1_000, effort.rounds(400)) if effort.scale else 20
    lines, pairs = [], list[tuple[Fleet, Staleness, Staleness]]()
    for shared in (False, True):
        for processes in sizes:
            # Each process gets as many requests, whatever their number.
            fleet = replace(STALE, rate=STALE.rate * processes, processes=processes, shared=shared)
            seen = simulate_revocations(fleet, samples=samples)
            pairs.append((fleet, staleness(fleet), seen))
        how, ours = SHARED if shared else ALONE, pairs[-len(sizes) :]
        lines += [
            Line(f"{how}, predicted", [Point(f.processes, said.mean) for f, said, _ in ours]),
            Line(f"{how}, simulated", [Point(f.processes, seen.mean) for f, _, seen in ours]),
        ]
    yield from _worst(pairs, "fleets")
    if effort.scale:
        rare = [replace(RARE, shared=shared) for shared in (False, True)]
        found = [simulate_revocations(one, samples=_RARE_SAMPLES) for one in rare]
        yield from _worst(
            [(one, staleness(one), seen) for one, seen in zip(rare, found, strict=True)],
            "fleets whose tokens come to a process every half minute",
        )
    if redis is not None:
        rounds = min(100, effort.rounds(50))
        heard = [_in_ms(redis_costs.broadcast(redis, one, rounds=rounds)) for one in sizes]
        how = "median; listeners are threads of one process, each on a connection of its own"
        yield Result(
            f"a revocation by broadcast, until {sizes[-1]} others have forgotten the token",
            heard[-1].y,
            "ms",
            1_000,
            detail=how,
            spread=heard[-1].spread,
        )
        yield Curve(
            "scaling-broadcast",
            f"A revocation by broadcast has reached {sizes[-1]} others in {heard[-1].y:.1f} ms",
            "processes that listen",
            "ms",
            [Line("until all have forgotten the token", heard)],
            detail=how,
        )
    means = [seen.mean for _, _, seen in pairs]
    longest = max(seen.worst for _, _, seen in pairs)
    yield Curve(
        "scaling-staleness",
        f"A revoked token is accepted for {min(means):.0f} to {max(means):.0f} s on average, and "
        f"for {longest:.0f} s at most, of a ttl of {STALE.ttl:g} s",
        "processes",
        f"seconds, of a ttl of {STALE.ttl:g}",
        lines,
        detail=(
            f"{STALE.tokens} tokens, each presented to each process every "
            f"{STALE.tokens / STALE.rate:.1f} s; until no process accepts it any more"
        ),
    )


def _worst(pairs: Sequence[tuple[Fleet, Staleness, Staleness]], which: str) -> Iterator[Result]:
    for what, name in (("mean staleness", "mean"), ("staleness of 99 of 100", "p99")):
        found = [(getattr(said, name), getattr(seen, name), fleet) for fleet, said, seen in pairs]
        ours, theirs, fleet = max(found, key=lambda one: off(one[0], one[1]))
        row = f"{what}: predicted, over simulated {which}"
        detail = (
            f"the worst of {len(pairs)}: predicted {ours:.1f} s, simulated {theirs:.1f} s "
            f"({fleet.processes} processes, {SHARED if fleet.shared else ALONE})"
        )
        yield Result(row, off(ours, theirs), "x off", TOLERANCE, detail=detail)


def _in_ms(point: Point) -> Point:
    spread = point.spread
    in_ms = None if spread is None else (spread[0] * 1e3, spread[1] * 1e3)
    return Point(point.x, point.y * 1e3, in_ms)
