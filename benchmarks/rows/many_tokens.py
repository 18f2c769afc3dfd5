"""200,000 distinct tokens through a cache of 10,000: memory must stay flat."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environment import interpreter, measured
from benchmarks.flood import ENTRIES, flood
from benchmarks.parts import CannedTransport, canned_verifier
from benchmarks.signed import pinned_verifier, signer
from tokenward import InvalidToken

if TYPE_CHECKING:
    from benchmarks.harness import Effort, Result

BARS = (2.0, 2.0)
SIGNED = 40_000
"""Signed tokens: fewer, for each must be signed first."""

SIGNED_CHARACTERS = 500
"""With HS256, they say as much as 800 characters do with RS256, whose signature is longer."""


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Flood the cache of acceptances, and that of refusals."""
    del effort
    accepting = canned_verifier(max_entries=ENTRIES)
    refusing = canned_verifier(
        max_entries=ENTRIES, transport=CannedTransport(answer={"active": False})
    )

    by = signer("HS256")
    verifying = pinned_verifier(by, cache_entries=ENTRIES)

    def refused(token: str) -> None:
        with contextlib.suppress(InvalidToken):
            refusing.verify(token)

    def signed(_token: str) -> None:
        verifying.verify(by.token(characters=SIGNED_CHARACTERS))

    return [
        *flood("tokens", accepting.verify, held=lambda: accepting.stats().entries, bars=BARS),
        *flood("refused tokens", refused, held=lambda: refusing.stats().entries, bars=BARS),
        *flood(
            "signed tokens",
            signed,
            held=lambda: verifying.stats().entries,
            bars=BARS,
            tokens=SIGNED,
        ),
        *measured("200,000 tokens: peers", "introspection_peers", "many_tokens", made=made),
    ]
