"""What others need for a signed token, beside tokenward in the same process."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.crowd import throughput
from benchmarks.findings import OURS, Result
from benchmarks.harness import Taken, interleaved, micro
from benchmarks.parts import TOKEN_CHARACTERS, floor_of
from benchmarks.peers import rounds_asked_for, tell
from benchmarks.peers.introspection import in_a_loop_for_all
from benchmarks.peers.jwks import Ask, auth_jwks, clasp_client, jwk_client
from benchmarks.peers.verifiers import AUTH_JWKS, CLASP, JWK_CLIENT, PYJWT, verifiers
from benchmarks.rows.cached_verify import SIGNED
from benchmarks.rows.cached_verify import TOPIC as CACHED
from benchmarks.rows.first_verify import BARS
from benchmarks.rows.first_verify import TOPIC as FIRST
from benchmarks.rows.long_token import TOPIC as LONG
from benchmarks.rows.unknown_kids import BESIDE, FETCHES, LATENCY, TOKENS, p99_beside
from benchmarks.rows.unknown_kids import TOPIC as KIDS
from benchmarks.signed import AUDIENCE, LONG_CHARACTERS, Signer, pinned_verifier, signer
from benchmarks.upstream import Upstream, running

_CALLS = 2_000
"""How often eight threads together, or one, verify a token anew in a round."""


def first_verify(rounds: int) -> Iterator[Result]:
    """Compare with PyJWT's ``decode``, by the CPU time of the thread."""
    with running() as upstream:
        for algorithm in BARS:
            by = signer(algorithm)
            token = by.token()
            peers = verifiers(by, upstream, token)
            calls = peers | {"tokenward": _call(pinned_verifier(by, cache_entries=0).verify, token)}
            taken = interleaved(calls, number=50, rounds=rounds, clock=time.thread_time)
            beside = f"tokenward beside it {taken.over('tokenward', PYJWT):.3g} x"
            for name in peers:
                yield Result(
                    f"first verify, {algorithm}: {name}",
                    taken.over(name, PYJWT),
                    "x PyJWT decode",
                    None,
                    detail=f"{micro(taken[name])} over {micro(taken[PYJWT])}; {beside}",
                    by=name,
                    topic=FIRST,
                    spread=taken.spread(name, PYJWT) if name != PYJWT else None,
                    case=algorithm,
                )


def cached_verify(rounds: int) -> Iterator[Result]:
    """Compare a token that was verified before: none of the others keeps what it found out."""
    by = signer("RS256")
    token = by.token()
    with running() as upstream:
        peers = verifiers(by, upstream, token)
        calls = peers | {
            "floor": floor_of(f"Bearer {token}"),
            "tokenward": _call(pinned_verifier(by).verify, token),
        }
        taken = interleaved(calls, number=50, rounds=rounds, clock=time.thread_time)
    beside = f"tokenward beside it {taken.over('tokenward', 'floor'):.3g} x"
    for name in peers:
        yield Result(
            f"cached verify, a signed token: {name}",
            taken.over(name, "floor"),
            "x floor",
            None,
            detail=f"{micro(taken[name])} over {micro(taken['floor'])}; {beside}",
            by=name,
            topic=CACHED,
            spread=taken.spread(name, "floor"),
            case=SIGNED,
        )


def threads(rounds: int) -> Iterator[Result]:
    """Compare eight threads with one: all verify anew, and some let others run meanwhile."""
    by = signer("RS256")
    token = by.token()
    with running() as upstream:
        peers = verifiers(by, upstream, token, for_threads=True)
        anew = pinned_verifier(by, cache_entries=0)
        ours = {f"{OURS}, cache_entries=0": _call(anew.verify, token)}
        case = "who verifies anew each time (RS256)"
        yield from throughput(ours | peers, rounds=rounds, case=case, calls=_CALLS).values()


def long_token(rounds: int) -> Iterator[Result]:
    """Compare a long token with a short one."""
    by = signer("RS256")
    with running() as upstream:
        short, long = (
            verifiers(by, upstream, by.token(characters=characters), characters=characters)
            for characters in (TOKEN_CHARACTERS, LONG_CHARACTERS)
        )
        for name, call in short.items():
            taken = interleaved(
                {"short": call, "long": long[name]},
                number=50,
                rounds=rounds,
                clock=time.thread_time,
            )
            yield Result(
                f"5 kB token, RS256: {name}",
                taken.over("long", "short"),
                "x a 0.8 kB token",
                None,
                detail=f"{micro(taken['long'])} over {micro(taken['short'])}",
                by=name,
                topic=LONG,
                spread=taken.spread("long", "short"),
            )


def unknown_kids(rounds: int) -> Iterator[Result]:
    """Count the fetches, and time a good token meanwhile; the keys were fetched just before."""
    # Whoever logs each of them would do so here.
    logging.disable()
    by = signer("RS256")
    with running() as upstream:
        peers: dict[str, tuple[Callable[[], Ask], str | None]] = {
            AUTH_JWKS: (lambda: in_a_loop_for_all(auth_jwks(by, upstream, LATENCY)), AUDIENCE),
            JWK_CLIENT: (lambda: jwk_client(by, upstream, LATENCY), AUDIENCE),
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
        detail=f"of {rounds} rounds the most; a token ended in {' or '.join(sorted(refused))}",
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
        case=BESIDE,
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
