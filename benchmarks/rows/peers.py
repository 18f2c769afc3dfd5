"""What others charge for a protected view, beside what tokenward does in the same process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environment import interpreter, measured

if TYPE_CHECKING:
    from benchmarks.harness import Effort, Result

FRAMEWORKS = ("flask", "django")


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Have the peers measured in an environment of their own; say so where that fails.

    Args:
        effort: As everywhere.
        made: Returns the environment's interpreter, or raises `Unavailable`.
    """
    rounds = f"--rounds={effort.rounds(201)}"
    return [
        result
        for framework in FRAMEWORKS
        for result in measured(f"peers of {framework}", f"{framework}_peers", rounds, made=made)
    ]
