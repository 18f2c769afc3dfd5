"""How requests are spread over tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

_ALONE = 64
_GROWTH = 1.15
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Class:
    """Tokens that are presented alike.

    Attributes:
        tokens: How many there are.
        share: What part of all requests one of them has; the parts of all tokens add up to 1.
    """

    tokens: int
    share: float


def classes(tokens: int, zipf: float) -> list[Class]:
    """Return the tokens in classes, the most popular first.

    Args:
        tokens: How many there are, 1 or more.
        zipf: The exponent of Zipf's law: the token of rank r has a share that goes with
            ``r ** -zipf``; 0: all are alike.
    """
    if zipf == 0:
        return [Class(tokens, 1 / tokens)]
    bins = [(rank, rank, rank**-zipf) for rank in range(1, min(_ALONE, tokens) + 1)]
    first = _ALONE + 1
    while first <= tokens:
        last = min(tokens, int(first * _GROWTH))
        # The sum by its integral: so far from rank 1 they agree to a millionth.
        bins.append((first, last, _integral(first - 0.5, last + 0.5, zipf)))
        first = last + 1
    whole = sum(weight for _, _, weight in bins)
    sizes = [(last - first + 1, weight) for first, last, weight in bins]
    return [Class(size, weight / whole / size) for size, weight in sizes]


def shares(tokens: int, zipf: float) -> list[float]:
    """Return the share of each token, the most popular first."""
    weights = [rank**-zipf for rank in range(1, tokens + 1)]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def appearances(tokens: int, ttl: float, *, process: int, shared: bool) -> list[float]:
    """Return how many seconds after the beginning a process is presented each token first.

    Spread evenly over ``ttl``: tokens that all came at once would be asked about again at one time,
    for long, and one token by all processes likewise. An answer that is shared is of one age
    everywhere, so there a token comes to all processes at one time.

    Args:
        tokens: How many there are.
        ttl: Seconds.
        process: The number of the process.
        shared: Whether the processes share answers.
    """
    first = 0 if shared else process * tokens
    return [number * _GOLDEN % 1 * ttl for number in range(first, first + tokens)]


def _integral(low: float, high: float, zipf: float) -> float:
    if zipf == 1:
        return math.log(high / low)
    return float((high ** (1 - zipf) - low ** (1 - zipf)) / (1 - zipf))
