"""The whole machine: what it does in a second, and what it does when something is taken away."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.findings import OURS, Finding, Result
from benchmarks.machine import calm, told
from benchmarks.machine.calm import Round, Tokens
from benchmarks.machine.faults import GRACE, Drill, Pace
from benchmarks.machine.percentiles import percentile
from benchmarks.machine.stack import stack

if TYPE_CHECKING:
    from benchmarks.harness import Effort

TTL = 3_600.0
"""Seconds: nothing is asked again because its time is over."""

TOPIC = "machine-load"
PERCENTILES = {"p50": 0.50, "p99": 0.99, "p99.9": 0.999}

COLD = 1_200
"""New tokens for each application: so many that one in a thousand of them means something."""

_LONG = {"access_token_lifetime": 7_200}
_KINDS = {
    "plain": "plain view",
    "hit": "protected, token in use",
    "1 % bad": "the same beside 1 % forged",
    "cold": "protected, new token",
}


def measure(effort: Effort) -> Iterator[Finding]:
    """Run both example applications, an auth service, Redis and a store; load them, break them."""
    with tempfile.TemporaryDirectory() as folder:
        yield from measured(Path(folder), effort)


def measured(folder: Path, effort: Effort) -> Iterator[Finding]:
    """Do the same, and leave every program's log in ``folder``."""
    seconds, rounds, cold = amounts(effort)
    with stack(folder, ttl=TTL, service=_LONG) as machine:
        tokens = Tokens.of(machine)
        found = calm.measured(machine, tokens, seconds=seconds, rounds=rounds, cold=cold)
        yield from loads(found)
        yield from questions(found)
        happened = Drill(machine, tokens, pace(effort)).run()
        yield from told.findings(happened, width=1.0 if effort.scale >= 1 else 0.5)
        # Whatever was broken, the caches do what they did before.
        kinds = ("hit", "cold")
        found = calm.measured(machine, tokens, seconds=0.3, rounds=1, cold=20, kinds=kinds)
        yield from questions(found, when=", after the faults")


def amounts(effort: Effort) -> tuple[float, int, int]:
    """Return seconds for each kind of load, rounds, and new tokens a round."""
    seconds, rounds = min(6.0, max(0.3, 4 * effort.scale)), min(4, effort.rounds(3))
    return seconds, rounds, math.ceil(COLD / rounds) if effort.scale >= 1 else int(60 * seconds)


def pace(effort: Effort) -> Pace:
    """Return how long the faults take: a server is away for 30 s in the full run."""
    if effort.scale < 1:
        return Pace(calm=GRACE, away=1.0, slow=0.5)
    return Pace(calm=min(10.0, 5.0 * effort.scale), away=min(30.0, 6.0 * effort.scale), slow=3.0)


def loads(found: Mapping[tuple[str, str], Sequence[Round]]) -> Iterator[Result]:
    """Yield throughput and percentiles of each kind of load on each application."""
    for (name, kind), rounds in found.items():
        what = f"{name.capitalize()}, {_KINDS[kind]}"
        answers = [answer for one in rounds for answer in one.answers if answer.kind != "bad"]
        rates = sorted(one.throughput for one in rounds)
        detail = f"{len(answers):,} answers, {calm.CONNECTIONS} connections, as fast as it answers"
        by = f"{OURS}, {what}"
        yield Result(
            f"{what}: throughput",
            percentile(rates, 0.5),
            "requests a second",
            None,
            ">=",
            detail,
            by,
            TOPIC,
            (rates[0], rates[-1]) if len(rates) > 1 else None,
            "Throughput",
        )
        for named, share in PERCENTILES.items():
            row, case = f"{what}: {named}", f"Latency, {named}"
            if not is_enough(len(answers), share):
                why = f"too few answers: {len(answers):,}"
                yield Result(row, None, "ms", None, "<=", why, by, TOPIC, None, case)
                continue
            took = percentile([answer.seconds for answer in answers], share) * 1e3
            yield Result(row, took, "ms", None, "<=", detail, by, TOPIC, None, case)


def is_enough(answers: int, share: float) -> bool:
    """Whether so many answers have a percentile: at least one of them is beyond it."""
    return round(answers * (1 - share), 6) >= 1


def questions(found: Mapping[tuple[str, str], Sequence[Round]], when: str = "") -> Iterator[Result]:
    """Yield how many questions the auth service was asked that it need not have been."""
    for (name, kind), rounds in found.items():
        asked = sum(one.asked for one in rounds)
        must = sum(one.new for one in rounds)
        yield Result(
            f"{name.capitalize()}, {_KINDS[kind]}: questions too many, or too few{when}",
            abs(asked - must),
            "questions",
            0,
            detail=f"{asked:,} asked; {must:,} tokens that nobody had seen before",
        )
