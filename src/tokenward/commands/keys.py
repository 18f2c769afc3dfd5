"""The signing keys in the store: which there are. Their material stays where it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from tokenward.commands.store import opened

if TYPE_CHECKING:
    from tokenward.config import Settings

_ORDER = ("current", "next", "retired")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What may be said of a signing key.

    Attributes:
        kid: Its id.
        algorithm: The ``alg`` it signs with.
        state: ``current`` signs, ``next`` is published before its use, ``retired`` is published
            until the last token it signed has expired.
        since: When it was made.
    """

    kid: str
    algorithm: str
    state: Literal["current", "next", "retired"]
    since: datetime


def listed(settings: Settings) -> list[SigningKey]:
    """Return the keys of the store, the one that signs first; none is opened.

    Raises:
        ConfigurationError: There is no store, or it cannot be used as it is.
        AuthServiceUnavailable: It is busy or down.
    """
    with opened(settings) as repositories:
        _version, stored = repositories.keys.load()
    keys = [
        SigningKey(key.kid, key.algorithm, key.state, datetime.fromtimestamp(key.created_at, UTC))
        for key in stored
    ]
    return sorted(keys, key=lambda key: (_ORDER.index(key.state), key.since))
