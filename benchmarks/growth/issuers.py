"""What more issuers cost behind one place in the request."""

from __future__ import annotations

import gc
import itertools
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.findings import Curve, Result
from benchmarks.growth.sizes import of_effort, tenfold, timed, times
from benchmarks.signed import AUDIENCE, DocumentTransport, Signer, signer
from tokenward import ByIssuer, JWKSVerifier

if TYPE_CHECKING:
    from benchmarks.harness import Effort

CACHED, FIRST = "cached verify", "first verify"


def measure(effort: Effort) -> Iterator[Curve | Result]:
    """Verify tokens of 1 to 1,000 issuers in turn, always as many tokens as there are issuers."""
    most = of_effort(effort, once=10, short=1_000, full=1_000)
    signers = {f"https://tenant-{n}.example": signer("ES256") for n in range(most)}
    documents = _documents(signers)
    calls: dict[str, dict[int, Callable[[], object]]] = {CACHED: {}, FIRST: {}}
    weights: dict[int, int] = {}
    for size in tenfold(1, most):
        ours = dict(itertools.islice(signers.items(), size))
        # As many tokens whatever the number of issuers, so that the cache is the same.
        tokens = [
            by.token(issuer=issuer)
            for issuer, by in itertools.islice(itertools.cycle(ours.items()), most)
        ]
        cached = _verifier(ours, documents)
        weights[size] = _weight(cached, tokens)
        calls[CACHED][size] = _in_turn(cached, tokens)
        keeping_nothing = _verifier(ours, documents, cache_entries=0)
        for token in tokens:
            keeping_nothing.verify(token)
        calls[FIRST][size] = _in_turn(keeping_nothing, tokens)
    found = timed(
        calls,
        number=of_effort(effort, once=10, short=200, full=1_000),
        rounds=effort.rounds(31),
        clock=time.thread_time,
    )
    hit, first = found
    yield Curve(
        "growth-issuers",
        f"Among {most:,} issuers a cached token takes {times(hit)} as long as of one, a new one "
        f"{times(first)}",
        "issuers",
        "µs a call",
        found,
        detail=f"ByIssuer, each issuer with an ES256 key of its own; {most:,} tokens in turn, "
        "whatever the number of issuers; the keys were fetched before; medians and quartiles by "
        "the CPU time of the thread.",
    )
    yield Result(
        f"{most:,} issuers: an issuer",
        (weights[most] - weights[1]) / (most - 1) / 1024,
        "KiB",
        None,
        detail=f"its keys and its verifier; {weights[most] / 2**20:.1f} MiB with {most:,} tokens",
    )


def _documents(signers: Mapping[str, Signer]) -> DocumentTransport:
    documents: dict[str, Mapping[str, Any]] = {}
    for issuer, by in signers.items():
        documents[f"{issuer}/.well-known/openid-configuration"] = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/keys",
        }
        documents[f"{issuer}/keys"] = by.jwks
    return DocumentTransport(documents)


def _verifier(signers: Mapping[str, Signer], documents: DocumentTransport, **more: Any) -> ByIssuer:
    first, *_others = signers
    verifier = JWKSVerifier(first, audience=AUDIENCE, transport=documents, **more)
    return ByIssuer(lambda issuer: verifier.for_issuer(issuer) if issuer in signers else None)


def _weight(verifier: ByIssuer, tokens: Sequence[str]) -> int:
    """Verify every token once, and return the bytes that are remembered of it all."""
    gc.collect()
    tracemalloc.start()
    before, _peak = tracemalloc.get_traced_memory()
    for token in tokens:
        verifier.verify(token)
    gc.collect()
    after, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


def _in_turn(verifier: ByIssuer, tokens: Sequence[str]) -> Callable[[], object]:
    following = itertools.cycle(tokens).__next__
    return lambda: verifier.verify(following())
