"""The life of one token in the caches, from one question about it to the next.

A token is presented at random moments (a Poisson process). Each question starts its life anew, so
that what happens a second is what happens in one cycle over the cycle's mean length (the renewal
reward theorem). docs/scaling.md derives what stands here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FOREVER = math.inf

# Logarithms of seconds: from a microsecond to thirty thousand years.
_SHORTEST, _LONGEST = -14.0, 28.0
_HALVINGS = 36


@dataclass(frozen=True, slots=True)
class Cycle:
    """What happens between two questions about a token, on average.

    Attributes:
        length: Seconds.
        kept: Seconds for which the process has an entry: to its end, or to the turn after it.
    """

    length: float
    kept: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """What happens between two answers about a token that processes share, on average.

    Attributes:
        length: Seconds.
        calls: Questions: more than one where processes ask while the answer is on its way.
        life: Seconds that are left of the answer when a process comes upon it.
        known: Seconds for which the shared cache holds an answer.
    """

    length: float
    calls: float
    life: float
    known: float


@dataclass(frozen=True, slots=True)
class Kind:
    """Tokens of which a process treats each alike.

    Attributes:
        tokens: How many there are.
        rate: Requests a second that reach the process, for one of them.
        due: Seconds after which its entry is asked about again if it was used.
        ttl: Seconds after which it is in any case.
        held: See `cycle`.
    """

    tokens: int
    rate: float
    due: float
    ttl: float
    held: float = FOREVER

    def cycle(self, stays: float) -> Cycle:
        """Return what becomes of one of them; see `cycle`."""
        return cycle(self.rate, due=self.due, ttl=self.ttl, held=self.held, stays=stays)

    def lookups_of_shared(self, stays: float) -> float:
        """Return how often a second the process looks one of them up where answers are shared.

        What was dropped is looked up again, and is as old as it was. An entry leaves when its turn
        comes; here it leaves at a constant rate, from half a turn on.
        """
        exposed = max(0.0, self.ttl - stays / 2)
        leaves = 0.0 if stays == FOREVER else math.exp(-self.rate * stays) / stays
        both = leaves + self.rate
        again = leaves * self.rate / both * (exposed + math.expm1(-both * exposed) / both)
        return (1 + again) / (self.ttl + 1 / self.rate)


def cycle(
    rate: float, *, due: float, ttl: float, held: float = FOREVER, stays: float = FOREVER
) -> Cycle:
    """Return the cycle of a token in one process that shares nothing.

    Args:
        rate: Requests a second.
        due: Seconds after which an entry that was used is asked about again.
        ttl: Seconds after which any is.
        held: Seconds after which its turn comes in any case, and what has ended by its turn is
            dropped, used or not; `FOREVER`: what has ended is treated as what has not.
        stays: Seconds from where an entry is put in the cache to where it is dropped or, if it was
            used meanwhile, put once more: the characteristic time of the cache.
    """
    turn = min(stays, held)
    if turn == FOREVER:
        passes, rest, again = 0, due, FOREVER
    else:
        passes = max(0, math.ceil(due / turn) - 1)
        rest = due - passes * turn
        again = turn - rest
    window = min(ttl - due, again)
    unused = math.exp(-rate * turn)
    survived = (1 - unused) ** passes
    dropped_at = 0.0
    if passes and unused > 1e-12:
        dropped_at = turn * (1 - survived * (1 + passes * unused)) / unused
    idle = math.exp(-rate * rest)
    # An entry that nobody used is served once more when it is due, and then counts as used.
    served = idle * -math.expm1(-rate * window)
    length = dropped_at + survived * (due + served / rate) + 1 / rate
    has_ended = held < FOREVER and again >= ttl - due
    last = again if has_ended else again + turn
    until_used = -math.expm1(-rate * last) / rate
    until_idle = -math.expm1(-rate * again) / rate
    # From where it is served once more to the next request or the turn, whichever comes first.
    then = served / rate - idle * window * math.exp(-rate * last)
    after = (1 - idle) * until_used + idle * until_idle + then
    return Cycle(length, dropped_at + survived * (due + after))


def characteristic_time(kinds: Sequence[Kind], max_entries: int) -> float:
    """Return for how many seconds an entry stays in a process's cache before its turn comes.

    The caches of tokenward give an entry that was used a second chance. As in Che's approximation,
    the time is taken to be the same for all entries; it is the one with which the entries that are
    kept fill the cache. `FOREVER`: there is room for all that are kept to their end.

    Args:
        kinds: All tokens that reach the process.
        max_entries: The bound.
    """
    tokens = sum(kind.tokens for kind in kinds)
    if tokens <= max_entries or entries(kinds, FOREVER) <= max_entries:
        return FOREVER
    low, high = _SHORTEST, _LONGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = entries(kinds, math.exp(middle)) < max_entries
        low, high = (middle, high) if fits else (low, middle)
    return math.exp(high)


def entries(kinds: Sequence[Kind], stays: float) -> float:
    """Return how many entries a process has, on average; see `cycle`."""
    cycles = ((kind.tokens, kind.cycle(stays)) for kind in kinds)
    return sum(tokens * one.kept / one.length for tokens, one in cycles)


def epoch(rate: float, *, processes: int, due: float, ttl: float, latency: float = 0.0) -> Epoch:
    """Return the cycle of a token about which processes share the answers.

    Args:
        rate: Requests a second, of all processes.
        processes: How many there are.
        due: See `cycle`.
        ttl: See `cycle`.
        latency: Seconds that an answer takes.
    """
    each = rate / processes
    length = due + (1 + _served_once(rate, processes, due, ttl)) / rate
    calls = 1 + (processes - 1) * -math.expm1(-each * latency)
    # The one that asked has its answer; every other looks it up when it is first presented.
    lookups = max(calls, 1 + (processes - 1) * -math.expm1(-each * due))
    life = max(0.0, processes * length / lookups - 1 / each)
    known = length - math.exp(-rate * (ttl - due)) / rate
    return Epoch(length, calls, life, known)


def unused_when_due(rate: float, *, processes: int, due: float) -> float:
    """Return the chance that a request finds an entry due of which its process made no use yet.

    It was the process's own question, and nobody came since; or another's, and one came.

    Args:
        rate: Requests a second, of all processes.
        processes: How many share the answer.
        due: See `cycle`.
    """
    each = rate * due / processes
    return math.exp(-each) * (1 + (processes - 1) * each) / processes


def _served_once(rate: float, processes: int, due: float, ttl: float) -> float:
    # Requests that such entries answer before somebody asks, each in another process.
    unused = unused_when_due(rate, processes=processes, due=due)
    expected, chance = 0.0, 1.0
    window = rate * (ttl - due)
    at_least, term = 1.0, math.exp(-window)
    for number in range(processes):
        chance *= unused * (processes - number) / processes
        at_least -= term
        term *= window / (number + 1)
        if chance < 1e-9 or at_least <= 0:
            break
        expected += chance * at_least
    return expected
