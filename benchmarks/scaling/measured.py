"""Predictions beside what a simulated and a real fleet do, and what they say of larger ones."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import upstream
from benchmarks.findings import Curve, Line, Point, Result
from benchmarks.machine.programs import Redis, Unavailable
from benchmarks.scaling import redis_costs, revoked
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.model import predict
from benchmarks.scaling.real import Measured, Workers, jobs_of, stood_still, summed
from benchmarks.scaling.sides import ALONE, ATTEMPTS, SHARED, TOLERANCE, off
from benchmarks.scaling.simulation import simulate

if TYPE_CHECKING:
    from benchmarks.findings import Finding
    from benchmarks.harness import Effort
    from benchmarks.scaling.model import Prediction

SIMULATED_TOLERANCE = 1.05
"""Likewise of the simulated one, which no other program disturbs."""

REAL = Fleet(rate=400, tokens=100, ttl=2, processes=4, latency=0.005)
RATES = (50, 100, 200, 400)

GRID = tuple(
    Fleet(
        rate=200, tokens=1_000, zipf=zipf, processes=processes, max_entries=entries, shared=shared
    )
    for shared, zipf, processes, entries in itertools.product(
        (False, True), (0.0, 1.0), (1, 4, 16), (10_000, 300)
    )
)
"""Every one is simulated: with room for all tokens, and with room for a third of them."""

PER_HOST = Fleet(rate=200, tokens=5_000, zipf=1.0, processes=8)
"""A host's share of a fleet that grows with its users."""

HOSTS = (1, 3, 10, 30, 100, 300, 1_000)


def measure(effort: Effort) -> Iterable[Finding]:
    """Compare, then extrapolate."""
    yield from _simulated(effort)
    yield from revoked.real(effort)
    try:
        with tempfile.TemporaryDirectory() as folder, Redis(Path(folder)) as server:
            yield from _loads(effort, server.url)
            yield from redis_costs.costs(server.url, effort)
            yield from revoked.simulated(effort, server.url)
    except Unavailable as error:
        row = f"a real fleet, {SHARED}"
        yield Result(row, None, "x off", TOLERANCE, detail=f"not measured: {error}")
        yield from _loads(effort, None)
        yield from revoked.simulated(effort, None)
    yield fleets(HOSTS if effort.scale else HOSTS[:2])


def _simulated(effort: Effort) -> Iterator[Result]:
    grid = GRID if effort.scale else (replace(GRID[0], ttl=2),)
    requests = min(40_000, effort.rounds(20_000)) if effort.scale else 2_000
    figures: dict[str, list[tuple[float, str]]] = {}
    for fleet in grid:
        said, seen = predict(fleet), simulate(fleet, requests=requests)
        for name, unit, ours, theirs in (
            ("questions", "/s", said.calls, seen.calls),
            ("look-ups", "/s", said.lookups, seen.lookups),
            ("entries", "", said.entries, seen.entries),
        ):
            text = f"predicted {ours:.1f}{unit}, simulated {theirs:.1f}{unit} ({_described(fleet)})"
            figures.setdefault(name, []).append((off(ours, theirs), text))
    for name, found in figures.items():
        worst, text = max(found)
        detail = f"the worst of {len(found)} fleets: {text}"
        row = f"{name}: predicted, over a simulated fleet"
        yield Result(row, worst, "x off", SIMULATED_TOLERANCE, detail=detail)


def _described(fleet: Fleet) -> str:
    cache = SHARED if fleet.shared else ALONE
    return (
        f"{fleet.everywhere} processes, zipf {fleet.zipf:g}, {fleet.max_entries:,} entries, {cache}"
    )


def _loads(effort: Effort, redis: str | None) -> Iterator[Finding]:
    # At no effort at all it only has to run: fewer processes, for less time.
    tiny = not effort.scale
    real = replace(REAL, processes=2, ttl=0.4) if tiny else REAL
    rates = RATES[-2:] if tiny else RATES
    seconds = real.ttl * min(10, effort.rounds(6))
    points: dict[tuple[str, str], list[Point]] = {}
    with upstream.running() as issuer, Workers(2 * real.processes) as workers:
        for rate in rates:
            pair = [replace(real, rate=rate)]
            if redis is not None:
                pair.append(replace(real, rate=rate, shared=True))
            for _ in range(ATTEMPTS):
                both = _run(workers, pair, issuer, redis, seconds)
                if tiny or not any(stood_still(real.ttl, seen.late) for seen in both):
                    break
            for fleet, seen in zip(pair, both, strict=True):
                how, said = SHARED if fleet.shared else ALONE, predict(fleet)
                is_valid = tiny or not stood_still(fleet.ttl, seen.late)
                yield _beside(fleet, said, seen, is_valid=is_valid)
                requests = min(40_000, effort.rounds(20_000)) if effort.scale else 1_000
                simulated = simulate(fleet, requests=requests).calls
                for what, calls in (
                    ("predicted", said.calls),
                    ("simulated", simulated),
                    *([("measured", seen.calls)] if is_valid else []),
                ):
                    points.setdefault((how, what), []).append(Point(rate, calls))
    yield Curve(
        "scaling-load",
        "What the authorization server is asked: predicted, simulated and measured",
        "requests a second, of the fleet",
        "questions a second",
        [Line(f"{how}, {what}", line) for (how, what), line in points.items() if len(line) > 1],
        detail=(
            f"{real.tokens} tokens, ttl {real.ttl:g} s, {real.processes} processes over HTTP; "
            f"{seconds:g} s each"
        ),
    )


def _run(
    workers: Workers,
    fleets: list[Fleet],
    issuer: upstream.Upstream,
    redis: str | None,
    seconds: float,
) -> list[Measured]:
    warm_up = 2 * fleets[0].ttl
    url, before = issuer.url(), issuer.calls()
    jobs = [list(jobs_of(fleet, url, redis, warm_up=warm_up, seconds=seconds)) for fleet in fleets]
    counted = workers.do([job for of_fleet in jobs for job in of_fleet])
    asked = issuer.calls() - before
    told = sum(one.all_calls for one in counted)
    if asked != told:
        raise RuntimeError(f"the endpoint was asked {asked} times, and the processes say {told}")
    rest = iter(counted)
    return [summed(list(itertools.islice(rest, len(of_fleet))), seconds) for of_fleet in jobs]


def _beside(fleet: Fleet, said: Prediction, seen: Measured, *, is_valid: bool) -> Result:
    how = SHARED if fleet.shared else ALONE
    row = f"questions: predicted, over a real fleet at {fleet.rate:g} requests/s, {how}"
    if not is_valid:
        why = f"not measured: the machine stood still for {seen.late:.1f} s, {ATTEMPTS} times"
        return Result(row, None, "x off", TOLERANCE, detail=why)
    return Result(
        row,
        off(said.calls, seen.calls),
        "x off",
        TOLERANCE,
        detail=(
            f"predicted {said.calls:.1f}/s, measured {seen.calls:.1f}/s; look-ups predicted "
            f"{said.lookups:.1f}/s, measured {seen.lookups:.1f}/s; of {seen.requests:.0f} "
            f"requests/s the latest came {seen.late * 1e3:.0f} ms after its time"
        ),
    )


def fleets(sizes: Sequence[int] = HOSTS) -> Curve:
    """Return what fleets of so many hosts are predicted to ask."""
    kinds = {ALONE: False, SHARED: True}
    found = {
        how: [
            predict(
                replace(
                    PER_HOST,
                    rate=PER_HOST.rate * hosts,
                    tokens=PER_HOST.tokens * hosts,
                    hosts=hosts,
                    shared=shared,
                )
            )
            for hosts in sizes
        ]
        for how, shared in kinds.items()
    }

    def line(name: str, values: Iterable[float]) -> Line:
        return Line(name, [Point(x, y) for x, y in zip(sizes, values, strict=True)])

    alone, shared_one = found[ALONE][-1].upstream, found[SHARED][-1].upstream
    return Curve(
        "scaling-fleet",
        f"{sizes[-1]:,} hosts are predicted to ask {alone:,.0f} questions a second, each process "
        f"alone, and {shared_one:,.0f} {SHARED}",
        "hosts",
        "a second",
        [
            line(f"questions, {SHARED}", (one.upstream for one in found[SHARED])),
            line(f"questions, {ALONE}", (one.upstream for one in found[ALONE])),
            line("commands of Redis", (one.commands for one in found[SHARED])),
            line("requests", (PER_HOST.rate * hosts for hosts in sizes)),
        ],
        detail=(
            f"predicted, not measured: {PER_HOST.rate:g} requests/s, {PER_HOST.tokens:,} tokens "
            f"and {PER_HOST.processes} processes a host, ttl {PER_HOST.ttl:g} s, popularity by "
            f"Zipf's law"
        ),
    )
