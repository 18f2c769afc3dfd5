"""How long a soak lasts, how hard it works, and how soon things end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

Store = Literal["sqlite", "mongodb"]

HOUR = 3_600
RATE = 40

_SHORT = 1_200
_ROTATE_EVERY = 600
_RESTART_EVERY = 900
_LONGEST_LEEWAY = 300
_LEAST_RATE = 4
_GREATEST_RATE = 1_000
# Requests of all callers together while one has a session, and half as many again.
_LONGEST_VISITS = 240


class WrongTerms(ValueError):
    """A variable of the environment says what cannot be meant; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a soak is asked for; the environment variables are ``SOAK_S``, ``_RATE``, ``_STORE``.

    Attributes:
        seconds: How long the load goes on.
        rate: Requests a second, of all callers together.
        store: Where the auth service keeps its users, sessions and keys.
        ttl: Seconds for which an application keeps an answer about a token, yes or no.
        max_entries: Bound of each cache of a verifier; small, so that it is reached early.
        cleanup_every: Seconds between two runs of what `tokenward store cleanup` does.
    """

    seconds: int = HOUR
    rate: float = RATE
    store: Store = "sqlite"
    ttl: float = 2
    max_entries: int = 32
    cleanup_every: float = 15

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Terms:
        """Read the terms from the environment; what is not there has its default.

        Raises:
            WrongTerms: A value is none.
        """
        store = environ.get("SOAK_STORE", "sqlite")
        if store not in ("sqlite", "mongodb"):
            raise WrongTerms(f"SOAK_STORE={store!r}: write sqlite or mongodb.")
        return cls(
            seconds=_whole(environ, "SOAK_S", HOUR, least=1, greatest=7 * 24 * HOUR),
            rate=_whole(environ, "SOAK_RATE", RATE, least=_LEAST_RATE, greatest=_GREATEST_RATE),
            store=cast("Store", store),
        )

    @property
    def access_lifetime(self) -> int:
        """Seconds for which an access token is good: short, and longer than a session's visits."""
        return max(15, math.ceil(_LONGEST_VISITS / self.rate))

    @property
    def refresh_lifetime(self) -> int:
        """Seconds for which a session goes on without a refresh."""
        return 2 * self.access_lifetime

    @property
    def revocation_lifetime(self) -> float:
        """Seconds for which the store keeps a revocation.

        Until the token has ended by the clock of a verifier with the greatest leeway, five minutes;
        and then until the next clean-up.
        """
        return self.access_lifetime + _LONGEST_LEEWAY + self.cleanup_every

    @property
    def interval(self) -> float:
        """Seconds between two samples: a few hundred in all, as a trend needs no more."""
        return min(max(self.seconds / 300, 0.5), 10)

    @property
    def rotations(self) -> list[float]:
        """When the signing keys are rotated, in seconds from the beginning.

        A key has to be published for six minutes before it signs, or resource servers refuse its
        tokens; the first next one is published from the beginning. So once in a short run.
        """
        return self._times(_ROTATE_EVERY)

    @property
    def restarts(self) -> list[float]:
        """When Redis is killed and started again, in seconds from the beginning; in long runs."""
        return [] if self.seconds < _SHORT else self._times(_RESTART_EVERY)

    def _times(self, every: float) -> list[float]:
        if self.seconds < _SHORT:
            return [self.seconds / 2]
        return [float(at) for at in range(int(every / 2), self.seconds, int(every))]


def _whole(
    environ: Mapping[str, str], name: str, default: int, *, least: int, greatest: int
) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= greatest:
        raise WrongTerms(f"{name}={text!r}: write a whole number from {least} to {greatest}.")
    return value
