"""What others need for a signed token, beside tokenward in the same process."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.crowd import throughput
from benchmarks.findings import OURS, Result
from benchmarks.harness import Taken, interleaved, micro
from benchmarks.parts import floor_of
from benchmarks.peers import beside, rounds_asked_for, tell
from benchmarks.peers.introspection import in_a_loop_for_all
from benchmarks.peers.jwks import Ask, auth_jwks, clasp_client, jwk_client, simplejwt_client
from benchmarks.peers.verifiers import (
    AUTH_JWKS,
    CLASP,
    JWK_CLIENT,
    PYJWT,
    SIMPLEJWT,
    verifiers,
)
from benchmarks.rows.cached_verify import SIGNED
from benchmarks.rows.cached_verify import TOPIC as CACHED
from benchmarks.rows.first_verify import BARS, BESIDE
from benchmarks.rows.first_verify import TOPIC as FIRST
from benchmarks.rows.long_token import BESIDE as LONG_BESIDE
from benchmarks.rows.long_token import TOPIC as LONG
from benchmarks.rows.threads import ANEW
from benchmarks.rows.unknown_kids import (
    FETCHES,
    LATENCY,
    P99_OF_PEERS,
    TOKENS,
    p99_beside,
    verifying,
)
from benchmarks.rows.unknown_kids import TOPIC as KIDS
from benchmarks.signed import AUDIENCE, LONG_CHARACTERS, Signer, pinned_verifier, signer
from benchmarks.upstream import Upstream, running

SIMPLEJWT_URL = f"{SIMPLEJWT}, JWK_URL"

# By PyJWT's own documentation of ``cooldown_duration``; simplejwt has the same client inside.
_COOLS = "; for 30 s after any fetch, the first one too, PyJWKClient fetches for no unknown kid"
_NOTES = {JWK_CLIENT: _COOLS, SIMPLEJWT_URL: _COOLS}

_CALLS = 2_000
"""How often eight threads together, or one, verify a token anew in a round."""


def first_verify(rounds: int) -> Iterator[Result]:
    """Compare with PyJWT's ``decode``, by the CPU time of the thread."""
    with running() as upstream:
        for algorithm in BARS:
            by = signer(algorithm)
            token = by.token()
            peers = verifiers(by, upstream, token)
            anew = pinned_verifier(by, cache_entries=0)
            calls = {OURS: _call(anew.verify, token)} | peers
            taken = interleaved(calls, number=50, rounds=rounds, clock=time.thread_time)
            row, unit = f"first verify, {algorithm}", "x PyJWT decode"
            drawn = {"topic": FIRST, "case": f"{algorithm}, {BESIDE}"}
            yield from beside(row, taken, [*calls], floor=PYJWT, unit=unit, **drawn)


def cached_verify(rounds: int) -> Iterator[Result]:
    """Compare a token that was verified before: none of the others keeps what it found out."""
    by = signer("RS256")
    token = by.token()
    with running() as upstream:
        peers = verifiers(by, upstream, token)
        calls = {OURS: _call(pinned_verifier(by).verify, token)} | peers
        taken = interleaved(
            calls | {"floor": floor_of(f"Bearer {token}")},
            number=50,
            rounds=rounds,
            clock=time.thread_time,
        )
    row, drawn = "cached verify, a signed token", {"topic": CACHED, "case": SIGNED}
    yield from beside(row, taken, [*calls], floor="floor", unit="x floor", **drawn)


def threads(rounds: int) -> Iterator[Result]:
    """Compare eight threads with one: all verify anew, and some let others run meanwhile."""
    by = signer("RS256")
    token = by.token()
    with running() as upstream:
        peers = verifiers(by, upstream, token, for_threads=True)
        anew = pinned_verifier(by, cache_entries=0)
        ours = {f"{OURS}, cache_entries=0": _call(anew.verify, token)}
        yield from throughput(ours | peers, rounds=rounds, case=ANEW, calls=_CALLS).values()


def long_token(rounds: int) -> Iterator[Result]:
    """Compare a long token with a short one."""
    by = signer("RS256")
    ours = pinned_verifier(by, cache_entries=0)
    with running() as upstream:
        short, long = (
            {OURS: _call(ours.verify, token)}
            | verifiers(by, upstream, token, characters=len(token))
            for token in (by.token(), by.token(characters=LONG_CHARACTERS))
        )
        calls = {f"{name}: long": call for name, call in long.items()}
        taken = interleaved(short | calls, number=50, rounds=rounds, clock=time.thread_time)
    for name in short:
        both = f"{name}: long", name
        yield Result(
            f"5 kB token, RS256: {name}",
            taken.over(*both),
            "x a 0.8 kB token",
            None,
            detail=" over ".join(micro(taken[one]) for one in both),
            by=name,
            topic=LONG,
            spread=taken.spread(*both),
            case=LONG_BESIDE,
        )


def unknown_kids(rounds: int) -> Iterator[Result]:
    """Count the fetches, and time a good token meanwhile; the keys were fetched just before.

    Ours is told of with a p99 alone: its fetches stand in the row.
    """
    # Whoever logs each of them would do so here.
    logging.disable()
    by = signer("RS256")
    with running() as upstream, contextlib.ExitStack() as open_verifiers:

        def ours() -> Ask:
            return open_verifiers.enter_context(verifying(upstream, by.jwks))

        _fetches, p99 = _unknown_kids(OURS, ours, upstream, by, audience=AUDIENCE, rounds=rounds)
        yield p99
        peers: dict[str, tuple[Callable[[], Ask], str | None]] = {
            AUTH_JWKS: (lambda: in_a_loop_for_all(auth_jwks(by, upstream, LATENCY)), AUDIENCE),
            JWK_CLIENT: (lambda: jwk_client(by, upstream, LATENCY), AUDIENCE),
            SIMPLEJWT_URL: (lambda: simplejwt_client(by, upstream, LATENCY), AUDIENCE),
            CLASP: (lambda: clasp_client(by, upstream, LATENCY), None),
        }
        for name, (make, audience) in peers.items():
            yield from _unknown_kids(name, make, upstream, by, audience=audience, rounds=rounds)


def _unknown_kids(
    name: str,
    make: Callable[[], Ask],
    upstream: Upstream,
    by: Signer,
    *,
    audience: str | None,
    rounds: int,
) -> Iterator[Result]:
    good = by.token(audience=audience)
    unknown = [by.token(audience=audience, kid=f"key-{n}") for n in range(TOKENS)]
    fetches, refused = [], set()
    p99s: dict[str, list[float]] = {"quiet": [], "unknown": []}
    for _ in range(rounds):
        ask = make()
        ask(good)
        p99s["quiet"].append(p99_beside((), ask, good))
        before = upstream.calls()
        p99s["unknown"].append(p99_beside(unknown, ask, good, refusal=Exception))
        fetches.append(upstream.calls() - before)
        refused.add(_refusal(ask, unknown[0]))
    taken = Taken(p99s)
    drawn: dict[str, Any] = {"by": name, "topic": KIDS}
    yield Result(
        f"{TOKENS} unknown kids: fetches: {name}",
        max(fetches),
        "fetches",
        None,
        detail=(
            f"of {rounds} rounds the most; a token ended in {' or '.join(sorted(refused))}"
            f"{_NOTES.get(name, '')}"
        ),
        case=FETCHES,
        **drawn,
    )
    yield Result(
        f"{TOKENS} unknown kids: p99 of a good token beside them: {name}",
        taken.over("unknown", "quiet"),
        "x quiet",
        None,
        detail=f"{micro(taken['unknown'])} over {micro(taken['quiet'])}",
        spread=taken.spread("unknown", "quiet"),
        case=P99_OF_PEERS,
        **drawn,
    )


def _call(ask: Ask, token: str) -> Callable[[], object]:
    return lambda: ask(token)


def _refusal(ask: Ask, token: str) -> str:
    # What becomes of it is part of what is compared.
    try:
        ask(token)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises
        return type(error).__name__
    return "an answer"


ROWS = {
    "first_verify": first_verify,
    "cached_verify": cached_verify,
    "threads": threads,
    "long_token": long_token,
    "unknown_kids": unknown_kids,
}


def main() -> None:
    """Measure one row."""
    row, rounds = rounds_asked_for(choices=ROWS)
    # joserfc warns that EdDSA has another name since RFC 9864; these tokens have the old one.
    warnings.simplefilter("ignore")
    for result in ROWS[row](rounds):
        tell(result)


if __name__ == "__main__":
    main()
