"""Events as log lines, and one event for several receivers."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING

from tokenward._log import shown

if TYPE_CHECKING:
    from tokenward.protocols import Event, OnEvent


def log_events(logger: logging.Logger | None = None, level: int = logging.DEBUG) -> OnEvent:
    """Return a receiver that writes each event as one line of JSON.

    .. code-block:: text

        {"kind": "upstream", "verifier": "https://as.example", "outcome": "ok", "seconds": 0.0123}

    Names come from the configuration, without a query; what a check of your own gave as a reason
    is escaped and cut. No token, claim or answer is ever in an event.

    Args:
        logger: Where to; default ``tokenward.observe``.
        level: The level of each line.
    """
    out = logging.getLogger("tokenward.observe") if logger is None else logger

    def receive(event: Event) -> None:
        if out.isEnabledFor(level):
            members = {
                "kind": shown(event.kind),
                "verifier": shown(event.verifier.partition("?")[0]),
                "outcome": shown(event.outcome),
                "seconds": round(event.seconds, 6),
            }
            out.log(level, "%s", json.dumps(members))

    return receive


def fan_out(*receivers: OnEvent) -> OnEvent:
    """Return a receiver that hands each event to all of ``receivers``, in their order.

    What one of them raises keeps the event from none of the others.
    """

    def receive(event: Event) -> None:
        for receiver in receivers:
            with contextlib.suppress(Exception):
                receiver(event)

    return receive
