"""200 tokens that name keys nobody has, beside good ones: what is fetched, and who waits."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, Taken, micro
from benchmarks.signed import AUDIENCE, ISSUER, signer
from benchmarks.upstream import Upstream, running
from tokenward import InvalidToken, JWKSVerifier

TOPIC = "unknown-kids"
FETCHES = "fetches of the keys"
P99 = "a good token's p99 beside them"
P99_OF_PEERS = "a good token's p99 beside them, of the peers"

TOKENS = 200
LATENCY = 0.05
"""Seconds that a fetch of the keys takes: some hundred times what a good token takes."""

COOLDOWN = 30.0
ROUNDS = 11

_THREADS = 4
_PAUSE = 0.001
"""Seconds between one token and the next, of every thread."""

Ask = Callable[[str], object]


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Count fetches, and time good tokens without a flood, and in two kinds of it."""
    by = signer("RS256")
    good = by.token()
    unknown = [by.token(kid=f"key-{n}") for n in range(TOKENS)]
    expired = [by.token(expires_in=-3_600) for _ in range(TOKENS)]
    fetches: list[int] = []
    p99s: dict[str, list[float]] = {"quiet": [], "unknown": [], "expired": []}
    with running() as upstream:
        for _ in range(effort.rounds(ROUNDS)):
            with verifying(upstream, by.jwks) as ask:
                p99s["quiet"].append(p99_beside((), ask, good))
                p99s["expired"].append(p99_beside(expired, ask, good))
                before = upstream.calls()
                p99s["unknown"].append(p99_beside(unknown, ask, good))
                fetches.append(upstream.calls() - before)
    taken = Taken(p99s)
    return [
        Result(
            f"{TOKENS} unknown kids: fetches",
            max(fetches),
            "fetches",
            1,
            detail=f"of {len(fetches)} rounds the most; the cooldown is {COOLDOWN:.0f} s",
            topic=TOPIC,
            case=FETCHES,
        ),
        Result(
            f"{TOKENS} unknown kids: p99 of a good token beside them",
            taken.over("unknown", "quiet"),
            "x quiet",
            2,
            detail=(
                f"{micro(taken['unknown'])} over {micro(taken['quiet'])}, while a fetch takes"
                f" {LATENCY * 1e3:.0f} ms; beside {TOKENS} expired tokens"
                f" {taken.over('expired', 'quiet'):.3g} x; the bar is 2 because a p99 of some"
                " hundred answers doubles by the noise of a machine that others use too"
            ),
            topic=TOPIC,
            spread=taken.spread("unknown", "quiet"),
            case=P99,
        ),
        *measured(
            f"{TOKENS} unknown kids: peers",
            "jwks_peers",
            "unknown_kids",
            f"--rounds={effort.rounds(3)}",
            made=made,
        ),
    ]


@contextlib.contextmanager
def verifying(upstream: Upstream, jwks: Mapping[str, Any]) -> Iterator[Ask]:
    """Give what verifies every token anew; its keys were fetched just before."""
    verifier = JWKSVerifier(
        ISSUER,
        audience=AUDIENCE,
        jwks_uri=upstream.publish(jwks, delay=LATENCY),
        cooldown=COOLDOWN,
        cache_entries=0,
    )
    verifier.refresh()
    try:
        yield verifier.verify
    finally:
        verifier.close()


def p99_beside(
    flood: Sequence[str], ask: Ask, good: str, *, refusal: type[Exception] = InvalidToken
) -> float:
    """Return the p99 of the seconds that a good token takes, while the others pass.

    Args:
        flood: The others.
        ask: Verifies a token.
        good: The good one.
        refusal: What the others are refused with.
    """
    threads = [
        threading.Thread(target=_refused, args=(ask, flood[n::_THREADS], refusal))
        for n in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    taken: list[float] = []
    while len(taken) < TOKENS or any(thread.is_alive() for thread in threads):
        started = time.perf_counter()
        ask(good)
        taken.append(time.perf_counter() - started)
        time.sleep(_PAUSE / _THREADS)
    return statistics.quantiles(taken, n=100)[98]


def _refused(ask: Ask, tokens: Sequence[str], refusal: type[Exception]) -> None:
    for token in tokens:
        with contextlib.suppress(refusal):
            ask(token)
        time.sleep(_PAUSE)
