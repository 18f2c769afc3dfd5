"""What predictions and findings are called, and how far they may be apart."""

from __future__ import annotations

ALONE, SHARED = "each process alone", "with a shared cache"

TOLERANCE = 1.1
"""How many times too much or too little a prediction may say of the real fleet."""

ATTEMPTS = 3
"""At a real fleet whose machine does not stand still."""


def off(predicted: float, found: float) -> float:
    """Return how many times too much or too little a prediction says."""
    if predicted <= 0 or found <= 0:
        raise RuntimeError(f"nothing to compare: predicted {predicted}, found {found}")
    return max(predicted / found, found / predicted)
