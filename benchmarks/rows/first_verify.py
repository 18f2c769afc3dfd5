"""A signed token that nobody has seen before: every rule, and the signature."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path

import jwt

from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.signed import Signer, pinned_verifier, pyjwt_decode, signer

TOPIC = "first-verify"
BARS = {"HS256": 0.45, "RS256": 0.62, "ES256": 0.80, "EdDSA": 0.86}
"""The signature itself is most of what is left to do, and the same for all."""

BESIDE = "beside the peers"


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Compare with PyJWT's ``decode``, which is given the key, the audience and the issuer."""
    return [
        *(_over_pyjwt(algorithm, effort) for algorithm in BARS),
        *measured(
            "first verify: peers",
            "jwks_peers",
            "first_verify",
            f"--rounds={effort.rounds(31)}",
            made=made,
        ),
    ]


def _over_pyjwt(algorithm: str, effort: Effort) -> Result:
    by = signer(algorithm)
    token, verifier, decode = by.token(), pinned_verifier(by, cache_entries=0), pyjwt_decode(by)
    taken = interleaved(
        {
            "tokenward": lambda: verifier.verify(token),
            "PyJWT": lambda: decode(token),
            "signature": _signature(by, token),
        },
        number=50,
        rounds=effort.rounds(101),
        clock=time.thread_time,
    )
    return Result(
        f"first verify, {algorithm}",
        taken.over("tokenward", "PyJWT"),
        "x PyJWT decode",
        BARS[algorithm],
        detail=(
            f"{micro(taken['tokenward'])} over {micro(taken['PyJWT'])}; every rule on; "
            f"the signature alone {micro(taken['signature'])}"
        ),
        topic=TOPIC,
        spread=taken.spread("tokenward", "PyJWT"),
        case=algorithm,
    )


def _signature(by: Signer, token: str) -> Callable[[], object]:
    """Return what nobody can do without: the check of the signature."""
    signed, _dot, signature = token.rpartition(".")
    message, raw = signed.encode(), urlsafe_b64decode(signature + "==")
    check, key = jwt.get_algorithm_by_name(by.algorithm).verify, by.verifying

    def call() -> object:
        if not check(message, key, raw):
            raise RuntimeError("a good signature was refused")
        return True

    return call
