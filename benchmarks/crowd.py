"""Many threads at once."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.findings import OURS, Result
from benchmarks.harness import quartiles
from benchmarks.parts import new_token
from benchmarks.together import calls_together, together

if TYPE_CHECKING:
    from benchmarks.upstream import Upstream

COLD = "cold-token"
THREADS_TOPIC = "threads"
HITS = "who keeps what was found out"
"""The case of those that have a cache, and of the floor."""

THREADS = 32
"""How many present one token at once."""

LATENCY = 0.02
"""Seconds for which the endpoint lets them wait for an answer."""

DEADLINE = 0.25
"""Seconds after which a caller gives a hanging endpoint up."""

HANGS = 30.0
"""Seconds for which a hanging endpoint says nothing."""

EIGHT = 8
CALLS = 200_000
"""How often eight threads together, or one, ask for a token that is cached."""

Ask = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Case:
    """How an endpoint behaves while many ask it about one token.

    Attributes:
        name: For the table.
        delay: Seconds until it answers.
        status: What it answers then.
        bound: What the time is compared with: its latency, or the callers' deadline.
    """

    name: str
    delay: float
    status: int
    bound: float

    def url(self, upstream: Upstream) -> str:
        """Return the URL at which ``upstream`` behaves so."""
        return upstream.url(delay=self.delay, status=self.status)


CASES = (
    Case("200", LATENCY, 200, LATENCY),
    Case("503", LATENCY, 503, LATENCY),
    Case("hanging", HANGS, 200, DEADLINE),
)


def one_cold_token(
    upstream: Upstream,
    case: Case,
    make: Callable[[str], Ask],
    *,
    rounds: int,
    by: str = OURS,
    bars: tuple[float, float] | None = None,
) -> list[Result]:
    """Have 32 threads ask about a token that nobody knows; count calls, time the last answer.

    Args:
        upstream: The endpoint.
        case: How it behaves.
        make: Returns what each thread calls with the token, given the endpoint's URL; a new one
            each round, so that nothing is known from the last.
        rounds: Rounds; the most calls and the median time of them count.
        by: Who asks.
        bars: The most calls, and the longest time as a multiple of the case's bound.
    """
    calls, times = [], []
    seen: set[str] = set()
    for _ in range(rounds):
        ask, token = make(case.url(upstream)), new_token()
        before = upstream.calls()
        times.append(together(partial(_try, ask, token, seen), threads=THREADS))
        calls.append(upstream.calls() - before)
    row = f"32 threads, one cold token, upstream {case.name}{f': {by}' if by != OURS else ''}"
    last = statistics.median(times)
    took = f"{last * 1e3:.1f} ms at {case.bound * 1e3:.0f} ms"
    ends = f"of {rounds} rounds the most; every thread got {' or '.join(sorted(seen))}"
    unit = "x deadline" if case.bound == DEADLINE else "x latency"
    most, longest = bars or (None, None)
    drawn: dict[str, Any] = {"by": by, "topic": COLD, "case": f"upstream {case.name}"}
    spread = quartiles([one / case.bound for one in times])
    return [
        Result(f"{row}: calls", max(calls), "calls", most, detail=ends, **drawn),
        Result(
            f"{row}: the last answer",
            last / case.bound,
            unit,
            longest,
            detail=took,
            spread=spread,
            **drawn,
        ),
    ]


def throughput(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    case: str = HITS,
    calls: int = CALLS,
    floor: str = "",
) -> dict[str, Result]:
    """Return, for each candidate, how much eight threads do over what one does.

    Args:
        candidates: What is called, by whose it is.
        rounds: Rounds; the figure is the median of their ratios.
        case: What the candidates have in common.
        calls: How often eight threads together, or one, call in a round.
        floor: The candidate that the others' gain is told over, if there is one.
    """
    ones: dict[str, list[float]] = {name: [] for name in candidates}
    eights: dict[str, list[float]] = {name: [] for name in candidates}
    order, shuffle = list(candidates.items()), random.Random(0).shuffle  # noqa: S311 - no secret
    for _ in range(rounds):
        shuffle(order)
        for name, call in order:
            ones[name].append(calls_together(call, calls, threads=1))
            eights[name].append(calls_together(call, calls, threads=EIGHT))
    gains = {
        name: [one / eight for one, eight in zip(ones[name], eights[name], strict=True)]
        for name in candidates
    }
    found = {}
    for name, ratios in gains.items():
        rates = (f"{calls / statistics.median(times):,.0f}" for times in (eights[name], ones[name]))
        detail = " over ".join(rates) + " calls a second"
        if floor not in ("", name):
            detail += over_the_floor(ratios, gains[floor])
        found[name] = _gained(name, case, ratios, detail)
    return found


def over_the_floor(ratios: Sequence[float], floor: Sequence[float]) -> str:
    """Return what a gain is over the floor's gain of the same round, and what that one is.

    The floor alone may miss the bar, where eight threads have less than a processor to themselves.

    Args:
        ratios: The gains, round by round.
        floor: Those of the floor.
    """
    over = [one / other for one, other in zip(ratios, floor, strict=True)]
    between = quartiles(over)
    spread = f" ({between[0]:.3g} to {between[1]:.3g})" if between else ""
    itself = f"which itself gains {statistics.median(floor):.3g} x"
    return f"; {statistics.median(over):.3g} x the floor of the same round{spread}, {itself}"


def _gained(name: str, case: str, ratios: Sequence[float], detail: str) -> Result:
    return Result(
        f"8 threads over 1, {case}: {name}",
        statistics.median(ratios),
        "x throughput",
        None,
        ">=",
        detail,
        by=name,
        topic=THREADS_TOPIC,
        spread=quartiles(ratios),
        case=case,
    )


def _try(ask: Ask, token: str, seen: set[str]) -> None:
    # What becomes of a failure is part of what is compared.
    try:
        seen.add("an answer" if ask(token) else "a refusal")
    except Exception as error:  # noqa: BLE001 - whatever a peer raises
        seen.add(type(error).__name__)
