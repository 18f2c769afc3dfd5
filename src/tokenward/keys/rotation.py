"""What a rotation makes of the keys of a store; nothing here reads or writes one."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from tokenward import _jose
from tokenward._log import OncePerMinute, shown
from tokenward.errors import ConfigurationError, Forbidden
from tokenward.keys.snapshot import current_of, is_over, make_key, not_one_current, open_key

if TYPE_CHECKING:
    from tokenward._jose import Key
    from tokenward._seal import Sealer
    from tokenward.repositories.base import StoredKey

SET_MAX_AGE: Final = 300
"""Seconds for which others may keep the JWK Set: the ``max-age`` it is sent with."""

REREAD_SECONDS: Final = 60.0
"""How long another process's rotation may go unnoticed."""

LEAD_SECONDS: Final = int(SET_MAX_AGE + REREAD_SECONDS)
"""How long a key is published before its first use.

Another process publishes it up to `REREAD_SECONDS` late, and who fetched the set just before that
keeps it for `SET_MAX_AGE` more.
"""

# The largest leeway that a verifier may reasonably have, and how far the clocks of two machines
# may be apart; another process signs with the old key until it reads the store again.
_LONGEST_LEEWAY = 300
_CLOCK_SKEW = 60
TRAIL_SECONDS: Final = int(_LONGEST_LEEWAY + _CLOCK_SKEW + REREAD_SECONDS)
"""How much longer than its last token a retired key is published."""

_logger = logging.getLogger("tokenward.keys")
_seldom = OncePerMinute(_logger)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the keys of a ring are made and kept by.

    Attributes:
        sealer: Seals and opens them; ``None``: they are stored as PEM.
        algorithm: That of the next key to be made; ``None``: as the one before it.
        rotate_every: Seconds after which the next key takes over by itself; 0: never.
        longest_lifetime: Seconds for which a token may be good.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    sealer: Sealer | None = None
    algorithm: str | None = None
    rotate_every: int = 0
    longest_lifetime: int = 900

    def __post_init__(self) -> None:
        if self.algorithm is not None:
            check_algorithm(self.algorithm)
        if type(self.longest_lifetime) is not int or self.longest_lifetime < 1:
            raise ConfigurationError("longest_lifetime is a number of whole seconds, 1 or more.")
        if type(self.rotate_every) is not int or self.rotate_every < 0:
            raise ConfigurationError("rotate_every is a number of whole seconds; 0: by command.")
        # A set of more keys than this is not read to its end.
        retired = _jose.MAX_KEYS - 2
        shortest = max(LEAD_SECONDS, -(-(self.longest_lifetime + TRAIL_SECONDS) // retired))
        if 0 < self.rotate_every < shortest:
            raise ConfigurationError(
                f"rotate_every must be at least {shortest} seconds while a token may be good for "
                f"{self.longest_lifetime}, so that resource servers know a key before its first "
                "use, and read all that are published; or 0: by command."
            )

    def make(self, before: str, state: Literal["next", "current"], now: float) -> StoredKey:
        """Return a new key; ``before`` is the algorithm of the one before it."""
        return make_key(self.algorithm or before, state, now, sealer=self.sealer)[1]

    def sealed_anew(self, *keys: StoredKey) -> list[StoredKey]:
        """Return the keys sealed under the newest secret, whatever each was sealed under."""
        return [self._sealed_anew(key) for key in keys]

    def _sealed_anew(self, key: StoredKey) -> StoredKey:
        if self.sealer is None:
            return key
        try:
            pem = self.sealer.open(key.material) if key.is_sealed else key.material
        except ConfigurationError:
            # Another process has a secret that is not here yet; the key is not ours to lose.
            return key
        return replace(key, material=self.sealer.seal(pem))


def check_algorithm(algorithm: object) -> str:
    """Return the name of an algorithm whose keys can be published.

    Raises:
        ConfigurationError: There is none of that name, or it is symmetric.
    """
    if not isinstance(algorithm, str) or algorithm not in _jose.ASYMMETRIC:
        raise ConfigurationError(
            f"Signing keys are published, so their algorithm is one of "
            f"{', '.join(sorted(_jose.ASYMMETRIC))}; not {shown(algorithm)}."
        )
    return algorithm


def rotated(
    stored: Sequence[StoredKey],
    opened: Mapping[str, Key],
    terms: Terms,
    now: float,
    *,
    force: bool = False,
) -> list[StoredKey]:
    """Return the keys after an ordinary rotation: next signs, current retires, a new next is made.

    Args:
        stored: The keys before it, of which exactly one is current.
        opened: Those that were opened before, by ``kid``.
        terms: What new keys are made by.
        now: Seconds since the epoch.
        force: However short the next key has been published, or without one.

    Raises:
        Forbidden: ``rotation_too_early``; the hint says how long to wait.
        ConfigurationError: The next key is missing or cannot be opened, or not exactly one is
            current.
    """
    current, heir = current_of(stored), _next_of(stored)
    if current is None:
        raise not_one_current()
    if not force:
        _check_published(heir, now)
    if heir is None:
        heir = terms.make(current.algorithm, "current", now)
    elif heir.kid not in opened:
        open_key(heir, terms.sealer)
    until = math.ceil(now) + terms.longest_lifetime + TRAIL_SECONDS
    return terms.sealed_anew(
        replace(heir, state="current"),
        terms.make(heir.algorithm, "next", now),
        replace(current, state="retired", published_until=until),
        *(key for key in stored if key.state == "retired" and not is_over(key, now)),
    )


def renounced(
    stored: Sequence[StoredKey], known: str | None, terms: Terms, now: float
) -> list[StoredKey]:
    """Return the keys once every one that has signed is given up: none of them verifies any more.

    The next key signs, if it opens, or else a new one.

    Args:
        stored: The keys before it.
        known: The ``kid`` of the current key that is given up. Where another is current by now,
            it stays: its rotation made ``known`` a retired one.
        terms: What new keys are made by.
        now: Seconds since the epoch.
    """
    current, heir = current_of(stored), _next_of(stored)
    if current is not None and current.kid != known:
        return terms.sealed_anew(*(key for key in stored if key.state != "retired"))
    if heir is None or not _opens(heir, terms.sealer):
        heir = terms.make(stored[0].algorithm, "current", now)
    following = terms.make(heir.algorithm, "next", now)
    return terms.sealed_anew(replace(heir, state="current"), following)


def tidied(stored: Sequence[StoredKey], terms: Terms, now: float) -> list[StoredKey]:
    """Return the keys without those whose time is over, sealed under the newest secret.

    A next key that is missing is made.
    """
    kept = [key for key in stored if not is_over(key, now)]
    current = current_of(kept)
    if current is not None and _next_of(kept) is None:
        kept.append(terms.make(current.algorithm, "next", now))
    return terms.sealed_anew(*kept)


def is_due(stored: Sequence[StoredKey], terms: Terms, now: float) -> bool:
    """Tell whether the current key has signed for so long that its time is over.

    It began when the next key was made: a rotation does both.
    """
    heir = _next_of(stored)
    if not terms.rotate_every or heir is None or current_of(stored) is None:
        return False
    return now >= heir.created_at + terms.rotate_every


def is_untidy(stored: Collection[StoredKey], now: float) -> bool:
    """Tell whether a key's time is over, or the next one is missing."""
    return any(is_over(key, now) for key in stored) or _next_of(stored) is None


def _next_of(stored: Iterable[StoredKey]) -> StoredKey | None:
    return next((key for key in stored if key.state == "next"), None)


def _check_published(heir: StoredKey | None, now: float) -> None:
    if heir is None:
        raise ConfigurationError(
            "The store has no next key to rotate to; make one with `tokenward keys prune` and "
            f"rotate {LEAD_SECONDS} seconds later, or rotate with --force."
        )
    wait = math.ceil(heir.created_at + LEAD_SECONDS - now)
    if wait > 0:
        hint = (
            f"the next key was made {math.floor(now - heir.created_at)} seconds ago, and resource "
            f"servers may not know it yet: wait {wait} seconds, or rotate with --force and have "
            "them refuse new tokens until they fetch the keys again"
        )
        raise Forbidden(hint, reason="rotation_too_early")


def _opens(key: StoredKey, sealer: Sealer | None) -> bool:
    try:
        open_key(key, sealer)
    except ConfigurationError as error:
        _seldom.log(logging.WARNING, ("renounced", key.kid), "A new key is made: %s", error)
        return False
    return True
