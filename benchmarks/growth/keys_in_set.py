"""What more keys cost in a JWK Set: a token verified for the first time, and the set itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.findings import Curve
from benchmarks.growth.sizes import of_effort, tenfold, timed, times
from benchmarks.signed import AUDIENCE, ISSUER, Signer, signer
from tokenward import InvalidToken, JWKSVerifier, _jose

if TYPE_CHECKING:
    from benchmarks.harness import Effort

WITH_KID, WITHOUT, REFUSED, PARSED = (
    "first verify, with a kid",
    "first verify, without a kid, one key fits",
    "refusal, without a kid, several keys fit",
    "the set is read",
)


def measure(effort: Effort) -> Iterator[Curve]:
    """Verify against sets of 1, 10 and 100 keys, and read them.

    A token without a ``kid`` means the one key that fits its algorithm; where several do, it is
    refused (RFC 7515, section 4.1.4, leaves the choice to the reader).
    """
    most = _jose.MAX_KEYS
    by, others = signer("EdDSA"), [signer("ES256") for _ in range(most - 1)]
    nameless = Signer(replace(by.key, kid=None))
    rivals = [signer("EdDSA") for _ in range(most - 1)]
    calls: dict[str, dict[int, Callable[[], object]]] = {
        name: {} for name in (WITH_KID, WITHOUT, REFUSED, PARSED)
    }
    named, unnamed = by.token(), nameless.token()
    for size in tenfold(1, most):
        mixed = _set(by, *others[: size - 1])
        verifier = _verifier(mixed)
        calls[WITH_KID][size] = _verified(verifier, named)
        calls[WITHOUT][size] = _verified(verifier, unnamed)
        calls[PARSED][size] = _parsed(mixed)
        if size > 1:  # of one key there is nothing to confuse
            alike = _verifier(_set(by, *rivals[: size - 1]))
            calls[REFUSED][size] = _refused(alike, unnamed)
    found = timed(
        calls,
        number=of_effort(effort, once=5, short=20, full=20),
        rounds=effort.rounds(51),
        clock=time.thread_time,
    )
    by_name = {line.name: line for line in found}
    yield Curve(
        "growth-keys",
        f"Among {most} keys a token takes {times(by_name[WITH_KID])} as long to verify as with "
        f"one; reading the set takes {times(by_name[PARSED])} as long",
        "keys in the set",
        "µs a call",
        found,
        detail="EdDSA, cache_entries=0, the set configured; the other keys are ES256, and EdDSA "
        "where several are to fit; medians and quartiles by the CPU time of the thread.",
    )


def _set(*signers: Signer) -> dict[str, Any]:
    return {"keys": [_jose.public_jwk(one.key) for one in signers]}


def _verifier(jwks: dict[str, Any]) -> JWKSVerifier:
    return JWKSVerifier(
        ISSUER, audience=AUDIENCE, jwks=jwks, algorithms=["EdDSA", "ES256"], cache_entries=0
    )


def _verified(verifier: JWKSVerifier, token: str) -> Callable[[], object]:
    return lambda: verifier.verify(token)


def _refused(verifier: JWKSVerifier, token: str) -> Callable[[], object]:
    def call() -> object:
        try:
            verifier.verify(token)
        except InvalidToken as refusal:
            return refusal
        raise RuntimeError("it chose one of several keys")

    return call


def _parsed(jwks: dict[str, Any]) -> Callable[[], object]:
    return lambda: _jose.parse_key_set(jwks)
