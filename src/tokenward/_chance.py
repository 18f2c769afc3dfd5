"""Chance, for pauses: processes that saw one outage must not come back in step.

From the operating system, so that a forked child does not repeat its siblings' pauses and the
sequence of an application that seeds ``random`` stays its own.
"""

from __future__ import annotations

import random

_system = random.SystemRandom()

chance = _system.random
"""A number from 0 up to 1, another each time."""

between = _system.uniform
"""A number between two."""

whole = _system.randint
"""A whole number from one to another, both included."""
