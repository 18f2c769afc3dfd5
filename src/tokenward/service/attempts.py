"""Attempts that are counted: told to the throttle before anybody is looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tokenward._audit import audit
from tokenward.errors import TooManyAttempts

if TYPE_CHECKING:
    from tokenward.protocols import Clock
    from tokenward.throttle import Action, LoginThrottle


class Attempt(Protocol):
    """One attempt, which may yet succeed."""

    def succeeded(self) -> None:
        """Forgive what this name at this address has counted."""
        ...


class _Uncounted:
    def succeeded(self) -> None:
        pass


_UNCOUNTED = _Uncounted()


class Attempts:
    """What the service tells its throttle, if it has one.

    Args:
        throttle: What counts; ``None``: nothing does.
        clock: For the audit trail.
    """

    def __init__(self, throttle: LoginThrottle | None, *, clock: Clock) -> None:
        self._throttle = throttle
        self._clock = clock

    def begin(
        self, action: Action, name: str | None, peer: str | None, *, vouched: bool = False
    ) -> Attempt:
        """Count an attempt; one that is over the rate may take a moment.

        Args:
            action: See `LoginThrottle.attempt`.
            name: Whom it is about, as it was presented.
            peer: Where it comes from.
            vouched: See `LoginThrottle.attempt`.

        Raises:
            TooManyAttempts: It is not looked at.
        """
        if self._throttle is None:
            return _UNCOUNTED
        try:
            return self._throttle.attempt(action, name, peer, vouched=vouched)
        except TooManyAttempts:
            audit("throttled", self._clock(), action=action, username=name, peer=peer)
            raise
