"""A verifier and a clock that do what a test says."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tokenward.errors import AuthError, InvalidToken

if TYPE_CHECKING:
    from tokenward.principal import Principal


class StubVerifier:
    """A `TokenVerifier` that knows a few tokens, and refuses the rest.

    Args:
        outcomes: For each token who it speaks for, or the error that verifying it raises.

    Attributes:
        calls: Each token it was asked about, with ``live``, in order.
    """

    def __init__(self, outcomes: Mapping[str, Principal | AuthError]) -> None:
        self._outcomes = dict(outcomes)
        self.calls: list[tuple[str, bool]] = []

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Return the principal of ``token``, or raise its error.

        Raises:
            InvalidToken: The token is not known.
            AuthError: What the test wants; a fresh copy for each call.
        """
        self.calls.append((token, live))
        outcome = self._outcomes.get(token)
        if outcome is None:
            raise InvalidToken("the stub verifier does not know this token")
        if isinstance(outcome, AuthError):
            raise copy.copy(outcome)
        return outcome

    def cached(self, token: str, /) -> Principal | None:
        """Do as `verify` does: a stub never needs any I/O."""
        return self.verify(token)


class FakeClock:
    """A clock that stands still until it is told to move; for every ``clock=``.

    Args:
        now: Seconds since the epoch.

    Attributes:
        now: Seconds since the epoch; may be set.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move by ``seconds``; backwards when negative, as real clocks do."""
        self.now += seconds
