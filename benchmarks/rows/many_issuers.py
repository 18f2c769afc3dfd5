"""Hundreds of issuers behind one place in the request: what each of them costs."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.harness import Effort, Result, interleaved, micro
from benchmarks.signed import AUDIENCE, DocumentTransport, Signer, signer
from tokenward import ByIssuer, JWKSVerifier

ISSUERS = 500


def measure(effort: Effort, *, issuers: int = ISSUERS) -> list[Result]:
    """Compare hits on tokens of one issuer with hits on tokens of as many issuers as tokens."""
    signers = {f"https://tenant-{n}.example": signer("ES256") for n in range(issuers)}
    documents: dict[str, Mapping[str, Any]] = {}
    for issuer, by in signers.items():
        documents[f"{issuer}/.well-known/openid-configuration"] = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/keys",
        }
        documents[f"{issuer}/keys"] = by.jwks
    first, *_others = signers
    of_one = [signers[first].token(issuer=first) for _ in signers]
    of_all = [by.token(issuer=issuer) for issuer, by in signers.items()]
    one, many = _verifier(signers, documents), _verifier(signers, documents)
    weight_of_one, weight_of_all = _weight(one, of_one), _weight(many, of_all)
    taken = interleaved(
        {"one": _in_turn(one, of_one), "many": _in_turn(many, of_all)},
        number=2 * issuers,
        rounds=effort.rounds(51),
    )
    return [
        Result(
            f"{issuers} issuers, cached verify",
            taken.over("many", "one"),
            "x 1 issuer",
            None,
            detail=f"{micro(taken['many'])} over {micro(taken['one'])}; {issuers} tokens in turn",
        ),
        Result(
            f"{issuers} issuers: an issuer",
            (weight_of_all - weight_of_one) / (issuers - 1) / 1024,
            "KiB",
            None,
            detail=f"its keys and its verifier; {weight_of_all / 2**20:.1f} MiB with the tokens",
        ),
    ]


def _verifier(
    signers: Mapping[str, Signer], documents: Mapping[str, Mapping[str, Any]]
) -> ByIssuer:
    first, *_others = signers
    verifier = JWKSVerifier(first, audience=AUDIENCE, transport=DocumentTransport(documents))
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
