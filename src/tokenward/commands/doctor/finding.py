"""`Finding`: what the doctor knows of one setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one setting.

    Attributes:
        level: ``ok``, ``warn`` (works, and could be better) or ``FAIL``.
        setting: The dotted path of the setting.
        text: What was found, and what to write where it is not good.
        outage: Whether it failed because something cannot be reached, which may pass.
    """

    level: Level
    setting: str
    text: str
    outage: bool = False
