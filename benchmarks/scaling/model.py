"""What a fleet asks, keeps and says, in closed form; docs/scaling.md derives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.scaling.cycles import Kind, characteristic_time, entries, epoch
from benchmarks.scaling.popularity import classes
from benchmarks.scaling.staleness import Staleness, staleness

if TYPE_CHECKING:
    from benchmarks.scaling.fleet import Fleet

ENTRY_BYTES = 1_700
"""Of a process's memory, for a token of 800 characters: the row `many_tokens` measures 1.65 KiB."""

LOOKUP_SECONDS, WRITE_SECONDS = 23e-6, 27e-6
"""Of the core of redis-server, for a look-up and for an answer that is put there or taken away.

The least that the benchmark `scaling` has measured, where each comes alone; many at a time take
less.
"""

HEARTBEATS = 1 / 5
"""Of the listener of a process, a second, while nothing is revoked."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a fleet does in a second, on average, once it has been running for some ``ttl``.

    Attributes:
        calls: Questions about good tokens.
        refused_calls: Questions about tokens that are refused.
        lookups: Requests that their process could not answer from its own cache.
        hit_ratio: The part that it could.
        shared_hit_ratio: The part of the look-ups about good tokens that the shared cache
            answered; ``None``: there is none.
        under_way: Questions that the authorization server has before it at a time.
        round_trips: To Redis, for the shared cache and for publishing.
        commands: That Redis executes.
        redis_busy: The part of its one core that takes.
        shared_answers: That Redis holds.
        messages: Of the broadcast, delivered to processes.
        entries: In the caches of one process.
        memory: Bytes that they take.
        staleness: Of a token that is revoked at the authorization server alone.
    """

    calls: float
    refused_calls: float
    lookups: float
    hit_ratio: float
    shared_hit_ratio: float | None
    under_way: float
    round_trips: float
    commands: float
    redis_busy: float
    shared_answers: float
    messages: float
    entries: float
    memory: float
    staleness: Staleness

    @property
    def upstream(self) -> float:
        """All questions, a second."""
        return self.calls + self.refused_calls


def predict(fleet: Fleet) -> Prediction:
    """Return what a fleet does."""
    calls, good_lookups, answers, accepted = _good(fleet)
    refused_calls, refusals = _refused(fleet)
    lookups = good_lookups + refused_calls
    asked = fleet.rate + fleet.refused_rate
    looked_up = written = 0.0
    if fleet.shared:
        # GETRANGE of the answer and of its tombstone in one trip, for each look-up; then SET of
        # what was accepted, DEL of what was refused.
        looked_up = lookups
        # DEL of the answer and SET of the tombstone, for a revocation.
        written = calls + refused_calls + 2 * fleet.revocations
    published = fleet.revocations if fleet.broadcast else 0.0
    signs_of_life = HEARTBEATS * fleet.everywhere if fleet.broadcast else 0.0
    kept = accepted + refusals
    return Prediction(
        calls=calls,
        refused_calls=refused_calls,
        lookups=lookups,
        hit_ratio=1 - lookups / asked,
        shared_hit_ratio=1 - calls / good_lookups if fleet.shared else None,
        under_way=(calls + refused_calls) * fleet.latency,
        round_trips=looked_up + written + published,
        commands=2 * looked_up + written + published + signs_of_life,
        redis_busy=looked_up * LOOKUP_SECONDS + written * WRITE_SECONDS,
        shared_answers=answers,
        messages=published * fleet.everywhere,
        entries=kept,
        memory=kept * ENTRY_BYTES,
        staleness=staleness(fleet),
    )


def _good(fleet: Fleet) -> tuple[float, float, float, float]:
    # Questions, look-ups, answers that the shared cache holds, and entries of a process.
    processes, lives = fleet.everywhere, {"due": fleet.due, "ttl": fleet.ttl}
    kinds, calls, answers = [], 0.0, 0.0
    for one in classes(fleet.tokens, fleet.zipf):
        rate = fleet.rate * one.share
        if fleet.shared:
            found = epoch(rate, processes=processes, latency=fleet.latency, **lives)
            calls += one.tokens * found.calls / found.length
            answers += one.tokens * found.known / found.length
            # In a process the answer lives as long as is left of it: there is no asking ahead.
            # It is held behind answers that came shortly before it and live for all of ttl.
            kinds.append(Kind(one.tokens, rate / processes, found.life, found.life, fleet.ttl))
        else:
            kinds.append(Kind(one.tokens, rate / processes, **lives, held=fleet.ttl))
    stays = characteristic_time(kinds, fleet.max_entries)
    kept = min(fleet.max_entries, entries(kinds, stays))
    if not fleet.shared:
        calls = processes * _questions(kinds, stays)
        return calls, calls, 0.0, kept
    lookups = processes * sum(kind.tokens * kind.lookups_of_shared(stays) for kind in kinds)
    return calls, max(calls, lookups), answers, kept


def _refused(fleet: Fleet) -> tuple[float, float]:
    # Questions, and the refusals that a process keeps. None is shared or asked about ahead.
    if fleet.refused_rate == 0:
        return 0.0, 0.0
    if fleet.negative_ttl == 0:
        return fleet.refused_rate, 0.0
    if fleet.refused_tokens == 0:
        return fleet.refused_rate, fleet.max_entries
    rate = fleet.refused_rate / fleet.refused_tokens / fleet.everywhere
    kind = Kind(fleet.refused_tokens, rate, fleet.negative_ttl, fleet.negative_ttl)
    # They stay when they have ended, until their place is needed.
    stays = characteristic_time([kind], fleet.max_entries)
    calls = fleet.everywhere * _questions([kind], stays)
    return calls, min(fleet.refused_tokens, fleet.max_entries)


def _questions(kinds: list[Kind], stays: float) -> float:
    # Of one process, a second.
    return sum(kind.tokens / kind.cycle(stays).length for kind in kinds)
