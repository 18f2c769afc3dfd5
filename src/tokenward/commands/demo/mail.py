"""The demo's post: what a service would send by mail stands in its log."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenward.schemas import User

DELIVER = f"{__name__}:deliver"
"""What the demo's service calls: ``service.deliver`` of its configuration."""

MAIL = "MAIL to "

_POLL_SECONDS = 0.05
_WAIT_SECONDS = 15.0


def deliver(purpose: str, user: User, token: str) -> None:
    """Print a one-time token, for this machine's user to see; a real one goes to a mail server."""
    sys.stdout.write(f"{MAIL}{user.email}, {purpose}: {token}\n")
    sys.stdout.flush()


class Mailbox:
    """What `deliver` has printed into a log.

    Args:
        log: The path of the log.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._shown = 0

    def line(self, email: str, purpose: str) -> str:
        """Return what a line begins with that brings somebody a token."""
        return f"{MAIL}{email}, {purpose}: "

    def wait_for(self, email: str, purpose: str) -> str:
        """Return the token that came last; an empty string when none comes for 15 seconds."""
        begins = self.line(email, purpose)
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            found = [line for line in self._lines() if line.startswith(begins)]
            if found or time.monotonic() > deadline:
                return found[-1].removeprefix(begins) if found else ""
            time.sleep(_POLL_SECONDS)

    def new(self) -> list[str]:
        """Return the lines that came since this was asked last."""
        lines = self._lines()
        found = lines[self._shown :]
        self._shown = len(lines)
        return found

    def _lines(self) -> list[str]:
        # The last one may not be whole yet.
        lines = self.log.read_text("utf-8", errors="replace").split("\n")[:-1]
        return [line for line in lines if line.startswith(MAIL)]
