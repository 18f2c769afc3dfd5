"""200,000 distinct tokens through a cache of 10,000: memory must stay flat."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from pathlib import Path

from benchmarks.harness import Effort, Result
from benchmarks.parts import canned_verifier, new_token

ENTRIES = 10_000
TOKENS = 200_000


def measure(effort: Effort) -> list[Result]:
    """Weigh an entry, then watch the process while the flood goes on."""
    del effort
    gc.collect()
    tracemalloc.start()
    before, _peak = tracemalloc.get_traced_memory()
    verifier = canned_verifier(max_entries=ENTRIES)
    for _ in range(ENTRIES):
        verifier.verify(new_token())
    gc.collect()
    after, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for _ in range(2 * ENTRIES):
        verifier.verify(new_token())
    full = _resident()
    for _ in range(TOKENS - 3 * ENTRIES):
        verifier.verify(new_token())
    grown = _resident() - full
    entries = verifier.stats().entries
    return [
        Result(
            "200,000 tokens: an entry",
            (after - before) / ENTRIES / 1024,
            "KiB",
            2,
            detail=f"{(after - before) / 2**20:.1f} MiB for {ENTRIES:,} entries",
        ),
        Result(
            "200,000 tokens: growth after the bound",
            grown / 2**20,
            "MiB",
            2,
            detail=f"{entries:,} entries held at the end",
        ),
    ]


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize()
