"""What a longer token costs: verified for the first time, and found in the cache."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environment import interpreter
from benchmarks.findings import Curve, Line
from benchmarks.growth.inside import with_peers
from benchmarks.growth.sizes import of_effort, timed, times
from benchmarks.signed import AUDIENCE, ISSUER, Signer, pinned_verifier, pyjwt_decode, signer
from tokenward import _jose

if TYPE_CHECKING:
    from benchmarks.harness import Effort

CHARACTERS = (320, 800, 2_000, 5_000, 10_000, 16_000)

FIRST, CACHED = "tokenward, first verify", "tokenward, cached verify"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> Iterator[Curve]:
    """Verify tokens of 0.3 to 16 kB, beside PyJWT and joserfc.

    Args:
        effort: As everywhere.
        made: Returns the interpreter of the peers' environment, or raises `Unavailable`.
    """
    found, missing = with_peers("token_sizes", effort, made=made)
    by_name = {line.name: line for line in found}
    first, cached = by_name[FIRST], by_name[CACHED]
    others = [
        f"{line.name.partition(' ')[0]} {times(line)}"
        for line in found
        if line not in (first, cached)
    ]
    shortest, longest = first.points[0].x, first.points[-1].x
    yield Curve(
        "growth-token-size",
        f"A token {longest / shortest:.0f} times as long takes {times(first)} as long to verify"
        f" ({', '.join(others)}), and {times(cached)} as long to find in the cache",
        "characters of the token",
        "µs a call",
        found,
        detail="HS256, whose signature costs least, so that what grows is seen; the claims of an "
        "access token by RFC 9068, and as many groups as fit; medians and quartiles by the CPU "
        f"time of the thread.{missing}",
    )


def lines(effort: Effort, *, peers: bool) -> list[Line]:
    """Measure here; joserfc only where ``peers`` are installed."""
    by = signer("HS256")
    sizes = of_effort(effort, once=CHARACTERS[::3], short=CHARACTERS, full=CHARACTERS)
    tokens = {size: token_of(by, size) for size in sizes}
    first, cached = pinned_verifier(by, cache_entries=0), pinned_verifier(by)
    asks: dict[str, Callable[[str], object]] = {
        FIRST: first.verify,
        CACHED: cached.verify,
        f"PyJWT decode {metadata.version('PyJWT')}": pyjwt_decode(by),
    }
    if peers:
        from benchmarks.peers.jwks import joserfc  # noqa: PLC0415 - is in their environment only

        asks[f"joserfc {metadata.version('joserfc')}"] = joserfc(by)
    calls = {
        name: {size: _call(ask, token) for size, token in tokens.items()}
        for name, ask in asks.items()
    }
    return timed(calls, number=50, rounds=effort.rounds(51), clock=time.thread_time)


def token_of(by: Signer, characters: int) -> str:
    """Return a new access token of so many characters, to within a few.

    Args:
        by: Whose.
        characters: 320 and more; what is beyond the shortest are groups, as issuers write them who
            list all groups of a person.
    """
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "client_id": "shop",
        "iat": now,
        "exp": now + 3_600,
        "jti": "0",
    }
    key = by.key
    group = len(str(uuid.UUID(int=0))) + len('"",')
    # Three characters of a claim are four of the token.
    room = (characters - len(_jose.sign(claims, key, typ="at+jwt"))) * 3 // 4
    groups = max(0, (room - len(',"groups":[]')) // group)
    if groups:
        claims["groups"] = [str(uuid.uuid4()) for _ in range(groups)]
    missing = (characters - len(_jose.sign(claims, key, typ="at+jwt"))) * 3 // 4
    claims["jti"] = "0" * max(1, missing + 1)
    return _jose.sign(claims, key, typ="at+jwt")


def _call(ask: Callable[[str], object], token: str) -> Callable[[], object]:
    return lambda: ask(token)
