"""What more entries in the cache cost: the time of a hit, and memory."""

from __future__ import annotations

import gc
import itertools
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from benchmarks.findings import Curve, Line, Point
from benchmarks.growth.sizes import of_effort, tenfold, timed, times
from benchmarks.parts import canned_verifier, new_token
from benchmarks.rows.many_tokens import SIGNED_CHARACTERS
from benchmarks.signed import pinned_verifier, signer

if TYPE_CHECKING:
    from benchmarks.harness import Effort

ASKED = 1_000
"""Tokens that are asked for in turn, or all there are: what the processor finds in its own caches
is then the same from 1,000 entries on."""

INTROSPECTED, SIGNED, FLOOR = "introspected", "signed", "the floor: sha256, a dict, the expiry"

_DAY = 86_400
_KIB = 1_024


@dataclass(frozen=True, slots=True)
class Filled:
    """A cache with so many entries in it.

    Attributes:
        call: Asks for one of its tokens, the next at each call.
        floor: Does the least that any cache must do for that, among as many entries.
        weight: Bytes that all entries take.
    """

    call: Callable[[], object]
    floor: Callable[[], object]
    weight: int


def measure(effort: Effort) -> Iterator[Curve]:
    """Fill caches with 100 entries and more; time hits, and weigh what is in the caches."""
    sizes = of_effort(
        effort, once=(10, 100), short=tenfold(100, 100_000), full=tenfold(100, 1_000_000)
    )
    # Each has to be signed and verified before: a million would take most of the time.
    signed = of_effort(effort, once=sizes, short=sizes[:-1], full=sizes[:-1])
    filled: dict[str, dict[int, Filled]] = {
        INTROSPECTED: {size: _introspected(size) for size in sizes},
        SIGNED: {size: _signed(size) for size in signed},
    }
    calls = {name: {size: one.call for size, one in at.items()} for name, at in filled.items()}
    calls[FLOOR] = {size: one.floor for size, one in filled[INTROSPECTED].items()}
    found = timed(
        calls,
        number=of_effort(effort, once=10, short=2_000, full=2_000),
        rounds=effort.rounds(31),
        clock=time.thread_time,
    )
    by_name = {line.name: line for line in found}
    yield Curve(
        "growth-entries",
        f"Among {sizes[-1]:,} entries a hit takes {times(by_name[INTROSPECTED])} as long as among "
        f"{sizes[0]}; the floor, {times(by_name[FLOOR])}",
        "entries in the cache",
        "µs a hit",
        found,
        detail=f"{ASKED:,} tokens in turn, spread over all entries; the floor looks as many up; "
        f"medians and quartiles by the CPU time of the thread.{_stops(signed, sizes)}",
    )
    most = filled[INTROSPECTED][sizes[-1]].weight
    yield Curve(
        "growth-memory",
        f"{sizes[-1]:,} entries take {most / 2**20:,.0f} MiB, "
        f"{most / sizes[-1] / _KIB:.2f} KiB each",
        "entries in the cache",
        "KiB",
        [line for name, at in filled.items() for line in _weights(name, at)],
        detail="Bytes allocated while the cache was filled, by tracemalloc, over the entries and "
        f"in all; the tokens themselves are not kept.{_stops(signed, sizes)}",
    )


def _stops(signed: tuple[int, ...], sizes: tuple[int, ...]) -> str:
    if signed == sizes:
        return ""
    return f" Signed tokens stop at {signed[-1]:,}: each has to be signed and verified once before."


def _weights(name: str, filled: dict[int, Filled]) -> Iterator[Line]:
    weights = {size: one.weight / _KIB for size, one in filled.items()}
    each = [Point(size, weight / size) for size, weight in weights.items()]
    yield Line(f"an entry, {name}", each)
    yield Line(f"all entries, {name}", [Point(size, weight) for size, weight in weights.items()])


def _introspected(entries: int) -> Filled:
    verifier = canned_verifier(max_entries=entries, ttl=_DAY)
    return _filled(verifier.verify, lambda: verifier.stats().entries, new_token, entries)


def _signed(entries: int) -> Filled:
    by = signer("HS256")
    verifier = pinned_verifier(by, cache_entries=entries)

    def token() -> str:
        return by.token(characters=SIGNED_CHARACTERS, expires_in=_DAY)

    return _filled(verifier.verify, lambda: verifier.stats().entries, token, entries)


def _filled(
    ask: Callable[[str], object], held: Callable[[], int], token: Callable[[], str], entries: int
) -> Filled:
    """Fill a cache, weighing it; the tokens that are asked for again are not of its weight."""
    every = max(1, entries // ASKED)
    asked: list[str] = []
    gc.collect()
    tracemalloc.start()
    before, _peak = tracemalloc.get_traced_memory()
    for number in range(entries):
        new = token()
        ask(new)
        if number % every == 0:
            asked.append(new)
    gc.collect()
    after, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if held() != entries:
        raise RuntimeError(f"the cache holds {held():,} of {entries:,} entries")
    kept = sys.getsizeof(asked) + sum(map(sys.getsizeof, asked))
    following, least = (itertools.cycle(asked).__next__ for _ in range(2))
    floor = _floor(asked, entries)
    return Filled(lambda: ask(following()), lambda: floor(least()), after - before - kept)


def _floor(tokens: list[str], entries: int) -> Callable[[str], object]:
    ends = time.time() + _DAY
    cache = {
        sha256(str(number).encode()).digest(): ("alice", ends)
        for number in range(entries - len(tokens))
    }
    cache.update((sha256(token.encode()).digest(), ("alice", ends)) for token in tokens)

    def call(token: str) -> object:
        value, end = cache[sha256(token.encode()).digest()]
        return value if time.time() < end else None

    return call
