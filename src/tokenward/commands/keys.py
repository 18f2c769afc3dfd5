"""The signing keys: which there are; the next one put to use, old ones taken away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from tokenward.commands.setup import lasting_section, service_section
from tokenward.commands.store import opened
from tokenward.config.build import open_keys, sealer_of
from tokenward.keys import KeyRing
from tokenward.keys.files import keys_in_files

if TYPE_CHECKING:
    from tokenward.config import Settings
    from tokenward.repositories import StoredKey

_ORDER = ("current", "next", "retired")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What may be said of a signing key.

    Attributes:
        kid: Its id.
        algorithm: The ``alg`` it signs with.
        state: ``current`` signs, ``next`` is published before its use, ``retired`` is published
            until the last token it signed has expired.
        since: When it was made; for a file, when it was last changed.
        until: When a retired key ceases to be published; ``None``: no end.
    """

    kid: str
    algorithm: str
    state: Literal["current", "next", "retired"]
    since: datetime
    until: datetime | None = None


def listed(settings: Settings) -> list[SigningKey]:
    """Return the keys, the one that signs first; none in a store is opened.

    Raises:
        ConfigurationError: There is no store, or it cannot be used as it is; or a key file cannot.
        AuthServiceUnavailable: The store is busy or down.
    """
    section = service_section(settings)
    files = section.keys.files
    if files is not None:
        read = keys_in_files(
            files.current, next=files.next, retired=files.retired, algorithm=section.keys.algorithm
        )
        return _described(key for _, key in read)
    with opened(settings) as repositories:
        return _described(repositories.keys.load()[1])


def rotate(settings: Settings, *, force: bool = False, compromised: bool = False) -> str:
    """Have the next key sign from now on; return its id. See `KeyRing.rotate`.

    With ``compromised``, keys of the store that do not open are given up as well.

    Raises:
        Forbidden: ``rotation_too_early``: the hint says how long to wait.
        ConfigurationError: There is no store, or it cannot be used as it is; a key cannot be
            opened; or the keys are in files.
        AuthServiceUnavailable: The store is busy or down.
    """
    with _ring(settings, salvage=compromised) as ring:
        return ring.rotate(force=force, compromised=compromised)


def prune(settings: Settings) -> int:
    """Take retired keys away whose last token has expired, and return how many there were.

    The others are sealed anew under the newest secret; see `KeyRing.prune`.

    Raises:
        ConfigurationError: There is no store, or it cannot be used as it is; a key cannot be
            opened; or the keys are in files.
        AuthServiceUnavailable: The store is busy or down.
    """
    with _ring(settings, salvage=False) as ring:
        return ring.prune()


@contextmanager
def _ring(settings: Settings, *, salvage: bool) -> Iterator[KeyRing]:
    section = lasting_section(settings)
    with opened(settings) as repositories:
        if salvage and section.keys.files is None:
            yield KeyRing.salvage(
                repositories.keys,
                sealer=sealer_of(section),
                algorithm=section.keys.algorithm,
                longest_lifetime=section.longest_lifetime,
            )
        else:
            yield open_keys(section, repositories)


def _described(stored: Iterable[StoredKey]) -> list[SigningKey]:
    keys = [
        SigningKey(
            key.kid,
            key.algorithm,
            key.state,
            datetime.fromtimestamp(key.created_at, UTC),
            None
            if key.published_until is None
            else datetime.fromtimestamp(key.published_until, UTC),
        )
        for key in stored
    ]
    return sorted(keys, key=lambda key: (_ORDER.index(key.state), key.since))
