"""200,000 distinct tokens through a cache of 10,000: memory must stay flat."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environment import interpreter, measured
from benchmarks.findings import OURS
from benchmarks.flood import ENTRIES, TOKENS, flood
from benchmarks.parts import CannedTransport, canned_verifier
from benchmarks.signed import pinned_verifier, signer
from tokenward import InvalidToken

if TYPE_CHECKING:
    from benchmarks.findings import Result
    from benchmarks.harness import Effort

BARS = (2.0, 2.0)
SIGNED = 40_000
"""Signed tokens: fewer, for each must be signed first."""

SIGNED_CHARACTERS = 500
"""With HS256, they say as much as 800 characters do with RS256, whose signature is longer."""


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Flood the cache of acceptances, and that of refusals."""
    entries, tokens, signed_tokens = (
        (ENTRIES, TOKENS, SIGNED) if effort.scale else (ENTRIES // 20, TOKENS // 80, SIGNED // 20)
    )
    accepting = canned_verifier(max_entries=entries)
    refusing = canned_verifier(
        max_entries=entries, transport=CannedTransport(answer={"active": False})
    )

    by = signer("HS256")
    verifying = pinned_verifier(by, cache_entries=entries)

    def refused(token: str) -> None:
        with contextlib.suppress(InvalidToken):
            refusing.verify(token)

    def signed(_token: str) -> None:
        verifying.verify(by.token(characters=SIGNED_CHARACTERS))

    return [
        *flood(
            "tokens",
            accepting.verify,
            held=lambda: accepting.stats().entries,
            bars=BARS,
            entries=entries,
            tokens=tokens,
        ),
        *flood(
            "refused tokens",
            refused,
            held=lambda: refusing.stats().entries,
            by=f"{OURS}, refused tokens",
            bars=BARS,
            entries=entries,
            tokens=tokens,
        ),
        *flood(
            "signed tokens",
            signed,
            held=lambda: verifying.stats().entries,
            by=f"{OURS}, signed tokens",
            bars=BARS,
            entries=entries,
            tokens=signed_tokens,
        ),
        *measured(
            f"{tokens:,} tokens: peers",
            "introspection_peers",
            "many_tokens" if effort.scale else "some_tokens",
            made=made,
        ),
    ]
