"""200,000 distinct tokens through a cache of 10,000: memory must stay flat."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environment import interpreter, measured
from benchmarks.flood import ENTRIES, flood
from benchmarks.parts import CannedTransport, canned_verifier
from tokenward import InvalidToken

if TYPE_CHECKING:
    from benchmarks.harness import Effort, Result

BARS = (2.0, 2.0)


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Flood the cache of acceptances, and that of refusals."""
    del effort
    accepting = canned_verifier(max_entries=ENTRIES)
    refusing = canned_verifier(
        max_entries=ENTRIES, transport=CannedTransport(answer={"active": False})
    )

    def refused(token: str) -> None:
        with contextlib.suppress(InvalidToken):
            refusing.verify(token)

    return [
        *flood("tokens", accepting.verify, held=lambda: accepting.stats().entries, bars=BARS),
        *flood("refused tokens", refused, held=lambda: refusing.stats().entries, bars=BARS),
        *measured("200,000 tokens: peers", "introspection_peers", "many_tokens", made=made),
    ]
