"""What more threads do to the throughput of cached verification: a lock on the way would show."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environment import interpreter
from benchmarks.findings import Curve, Line
from benchmarks.growth.inside import with_peers
from benchmarks.growth.sizes import of_effort, point
from benchmarks.parts import canned_verifier, floor_of, new_token
from benchmarks.signed import pinned_verifier, signer
from benchmarks.together import calls_together

if TYPE_CHECKING:
    from benchmarks.harness import Effort

THREADS = (1, 2, 4, 8, 16, 32)

OURS = "tokenward, introspected"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> Iterator[Curve]:
    """Compare the throughput of as many as 32 threads with that of one.

    Args:
        effort: As everywhere.
        made: Returns the interpreter of the peers' environment, or raises `Unavailable`.
    """
    found, missing = with_peers("thread_counts", effort, made=made)
    ours = next(line for line in found if line.name == OURS)
    most = ours.points[-1]
    yield Curve(
        "growth-threads",
        f"{most.x:.0f} threads together verify {most.y:.2f} times as many cached tokens as one",
        "threads",
        "throughput over that of one thread",
        found,
        detail="Calls of all threads together in a second, over those of one thread in the same "
        "round; medians and quartiles. One interpreter runs one thread at a time: 1 is as good as "
        f"it gets.{missing}",
    )


def lines(effort: Effort, *, peers: bool) -> list[Line]:
    """Measure here; swarmauri only where ``peers`` are installed."""
    header, by = f"Bearer {new_token()}", signer("RS256")
    signed = f"Bearer {by.token()}"
    verifier, jwks_verifier = canned_verifier(), pinned_verifier(by)
    candidates: dict[str, Callable[[], object]] = {
        OURS: lambda: verifier.verify(header[7:]),
        "tokenward, signed": lambda: jwks_verifier.verify(signed[7:]),
        "the floor: sha256, a dict, the expiry": floor_of(header),
    }
    if peers:
        name, ask = _swarmauri()
        candidates[name] = lambda: ask(header[7:])
    for call in candidates.values():
        call()
    return over_one(
        candidates,
        threads=of_effort(effort, once=(1, 2), short=THREADS, full=THREADS),
        calls=of_effort(effort, once=320, short=64_000, full=192_000),
        rounds=min(40, effort.rounds(11)),
    )


def over_one(
    candidates: dict[str, Callable[[], object]],
    *,
    threads: tuple[int, ...],
    calls: int,
    rounds: int,
) -> list[Line]:
    """Return each candidate's throughput over that of its one thread, in the same round.

    Args:
        candidates: What is called, by name.
        threads: How many at once; the first is one.
        calls: Of all threads together.
        rounds: Rounds; each has every candidate with every number of threads, in disorder.
    """
    ratios: dict[tuple[str, int], list[float]] = {(n, c): [] for n in candidates for c in threads}
    order, shuffle = list(ratios), random.Random(0).shuffle  # noqa: S311 - no secret
    for _ in range(rounds):
        shuffle(order)
        seconds = {(n, c): calls_together(candidates[n], calls, threads=c) for n, c in order}
        for name, count in order:
            ratios[name, count].append(seconds[name, 1] / seconds[name, count])
    return [
        Line(name, [point(count, ratios[name, count]) for count in threads]) for name in candidates
    ]


def _swarmauri() -> tuple[str, Callable[[str], object]]:
    # Is in the environment of the peers only.
    from benchmarks.peers.introspection import (  # noqa: PLC0415
        answered_at_once,
        by_hand,
        swarmauri,
    )

    version = metadata.version("swarmauri_tokens_introspection")
    ask = by_hand(answered_at_once(swarmauri("http://127.0.0.1:1/")))
    return f"swarmauri {version}, its coroutine stepped by hand", ask
