"""So many in so long: a rate as it is written."""

from __future__ import annotations

import re
from typing import NamedTuple

_written = re.compile(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,3})?(second|minute|hour|day)s?").fullmatch
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


class Rate(NamedTuple):
    """So many in so long.

    Attributes:
        amount: How many.
        seconds: In how many seconds.
    """

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read ``COUNT/PERIOD``: ``5/minute``, ``10/5minutes``, ``100/hour``.

        Raises:
            ValueError: It is written otherwise.
        """
        found = _written(text)
        if found is None:
            msg = f"{text!r} is no rate; write COUNT/PERIOD, such as 5/minute or 10/5minutes"
            raise ValueError(msg)
        return cls(int(found[1]), int(found[2] or 1) * _SECONDS[found[3]])
