"""A circuit breaker: a server that keeps failing is left alone for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tokenward._chance import chance
from tokenward._log import OncePerMinute
from tokenward.errors import AuthServiceUnavailable

JITTER = 0.1
"""By how much of itself a pause is longer at most, so that processes do not try again in step."""

HANG_SECONDS = 10.0
"""For how long a call that ran out of time says that the next one may hang as well."""

_warnings = OncePerMinute(logging.getLogger("tokenward._http"))


class Permit:
    """One call through a `Breaker`; tell how it ended, and `leave` in any case."""

    __slots__ = ("_failures_before", "_settled", "breaker", "is_trial")

    def __init__(self, breaker: Breaker, *, trial: bool) -> None:
        self.breaker = breaker
        self.is_trial = trial
        self._settled = False
        self._failures_before = 0

    def succeed(self) -> None:
        """Count an answer: the server works."""
        self._settled = True
        self._failures_before = self.breaker.close(trial=self.is_trial)

    def fail(self, retry_after: float = 0, *, timed_out: bool = False) -> None:
        """Count a failure; also after `succeed`, which it then takes back.

        Args:
            retry_after: Seconds for which the server asked to be left alone.
            timed_out: Whether there was no answer before the deadline.
        """
        self._settled = True
        self.breaker.count(
            self._failures_before, retry_after, trial=self.is_trial, timed_out=timed_out
        )

    def leave(self) -> None:
        """Give the place of a trial call back when the call told nothing about the server."""
        if self.is_trial and not self._settled:
            self.breaker.abandon_trial()


class Breaker:
    """Closed, then open for some seconds, then one trial call decides.

    Args:
        name: What is called; for the log.
        failures: How many failures in a row open it.
        seconds: How long it stays open before a trial; up to a tenth longer.
        clock: Seconds on a monotonic scale.
        chance: A number from 0 up to 1, another each time.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        seconds: float,
        clock: Callable[[], float],
        chance: Callable[[], float] = chance,
    ) -> None:
        self._name = name
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._open_until: float | None = None
        self._trial = False
        self._timed_out_at: float | None = None
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        # A trial that another thread had under way stayed in the parent.
        self._trial = False

    @property
    def is_open(self) -> bool:
        """Whether no call but a trial is made."""
        return self._open_until is not None

    @property
    def hangs(self) -> bool:
        """Whether the next call, if one is made, may well last until its deadline."""
        at = self._timed_out_at
        return self.is_open or (at is not None and self._clock() - at < HANG_SECONDS)

    def check(self) -> None:
        """Fail fast where `enter` would.

        Raises:
            AuthServiceUnavailable: It is open; ``retry_after`` says for how long.
        """
        with self._lock:
            self._refuse_when_open()

    def enter(self) -> Permit:
        """Take part, as the trial call when one is due.

        Raises:
            AuthServiceUnavailable: It is open, or another call is the trial.
        """
        with self._lock:
            trial = self._refuse_when_open()
            self._trial = self._trial or trial
        return Permit(self, trial=trial)

    def _refuse_when_open(self) -> bool:
        if self._open_until is None:
            return False
        wait = self._open_until - self._clock()
        if wait <= 0 and not self._trial:
            return True
        raise AuthServiceUnavailable(
            "the last calls failed, so none is made for a moment; see the first failures in the"
            " log",
            reason="circuit_open",
            retry_after=wait if wait > 0 else self._seconds,
        )

    def close(self, *, trial: bool) -> int:
        """Count a success; return how many failures in a row came before it."""
        with self._lock:
            if self._open_until is not None and not trial:
                return self._failures  # it began before the opening; the trial call decides
            before, self._failures = self._failures, 0
            self._open_until = self._timed_out_at = None
            self._trial = False
        if trial:
            _warnings.log(logging.WARNING, ("closed", self._name), "%s answers again", self._name)
        return before

    def count(self, before: int, retry_after: float, *, trial: bool, timed_out: bool) -> None:
        """Count a failure, and open where it is one too many."""
        with self._lock:
            if self._open_until is not None and not trial:
                return
            self._failures = max(self._failures, before) + 1
            self._timed_out_at = self._clock() if timed_out else None
            opens = trial or self._failures >= self._limit
            if opens:
                seconds = max(self._seconds, retry_after) * (1 + JITTER * self._chance())
                self._open_until = self._clock() + seconds
            if trial:
                self._trial = False
        if opens:
            _warnings.log(
                logging.WARNING,
                ("opened", self._name),
                "%s failed %d times in a row; it is left alone for %.1f s",
                self._name,
                self._failures,
                seconds,
            )

    def abandon_trial(self) -> None:
        """Let the next call be the trial."""
        with self._lock:
            self._trial = False
