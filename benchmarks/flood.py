"""200,000 distinct tokens: what an entry weighs, and whether the process grows without end."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from benchmarks.findings import OURS, Result
from benchmarks.parts import new_token

TOPIC = "memory"
WEIGHT = "a remembered token"
GROWTH = "what the process gains once a bounded cache would be full"

ENTRIES = 10_000
"""The bound of a cache that has one."""

TOKENS = 200_000


def flood(
    name: str,
    ask: Callable[[str], object],
    *,
    held: Callable[[], int],
    by: str = OURS,
    bars: tuple[float, float] | None = None,
    entries: int = ENTRIES,
    tokens: int = TOKENS,
) -> list[Result]:
    """Weigh an entry, then watch the process while the flood goes on.

    Args:
        name: What the cache is of.
        ask: Called with each token; keeps what it hears of it.
        held: Returns how many entries the cache holds.
        by: Whose it is; the row of somebody else's ends with it.
        bars: The most KiB an entry, and the most MiB of growth.
        entries: The bound, or what would be one; growth counts from three times as many tokens on.
        tokens: Tokens altogether.
    """
    weight, growth = bars or (None, None)
    gc.collect()
    tracemalloc.start()
    before, _peak = tracemalloc.get_traced_memory()
    for _ in range(entries):
        ask(new_token())
    gc.collect()
    after, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for _ in range(2 * entries):
        ask(new_token())
    full = _resident()
    for _ in range(tokens - 3 * entries):
        ask(new_token())
    grown = (_resident() - full) / 2**20
    weighed = f"{(after - before) / 2**20:.1f} MiB for {entries:,} entries"
    whose = "" if by.split(",", maxsplit=1)[0] == OURS else f": {by}"
    return [
        Result(
            f"{tokens:,} {name}: an entry{whose}",
            (after - before) / entries / 1024,
            "KiB",
            weight,
            detail=weighed,
            by=by,
            topic=TOPIC,
            case=WEIGHT,
        ),
        Result(
            f"{tokens:,} {name}: growth after the bound{whose}",
            grown,
            "MiB",
            growth,
            detail=f"{held():,} entries held at the end",
            by=by,
            topic=TOPIC,
            case=GROWTH,
        ),
    ]


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize()
