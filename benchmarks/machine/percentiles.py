"""The value that so many of all do not exceed."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of ``values`` that at least ``share`` of them do not exceed.

    Args:
        values: In any order; at least one.
        share: More than 0, at most 1.
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
