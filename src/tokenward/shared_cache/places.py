"""Where the answers and the tombstone of a token stand, and what they are sealed with."""

from __future__ import annotations

import logging
import secrets as _secrets
from typing import TYPE_CHECKING, Final

from tokenward._seal import Box
from tokenward.shared_cache.careful import seldom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.protocols import RevocationBus, SharedCache

SCHEMA: Final = b"tokenward 1"
"""Bound into every seal: what another version wrote otherwise does not open."""

LONGEST_TTL: Final = 3_600.0
"""Seconds for which an answer stands in the shared cache at most, whatever the reader's ttl."""

TOMBSTONE_SECONDS: Final = LONGEST_TTL + 300.0
"""Longer than any answer whose look-up was under way when the tombstone was set."""

MAX_VALUE_BYTES: Final = 65_536
"""Larger values are neither stored nor opened."""

TOMBSTONE: Final = b"t"
"""What the name of a tombstone ends with."""


_MADE_UP: Final = (_secrets.token_urlsafe(32),)


class Places:
    """Names that nobody without a secret can compute, one token's in one slot of a cluster.

    Args:
        cache: Whose secrets to use.

    Attributes:
        box: Seals what stands there.

    Raises:
        ConfigurationError: The secrets of the cache are weak, or an empty list.
    """

    __slots__ = ("box",)

    def __init__(self, cache: SharedCache) -> None:
        self.box = Box(secrets_of(cache), "shared cache")

    def slots(self, digest: bytes) -> list[bytes]:
        """Return what the names of a token begin with, under each secret, newest first."""
        return [b"{%b}" % name.hex().encode() for name in self.box.names(digest)]


def secrets_of(shared: SharedCache | RevocationBus) -> Sequence[str]:
    """Return the secrets that a cache or a bus names; else one that this process makes up.

    Nothing is shared unsealed. What a made-up secret seals is of use to this process alone, and to
    the children that it forks.
    """
    secrets: Sequence[str] | None = getattr(shared, "secrets", None)
    if secrets is not None:
        return secrets
    seldom.log(
        logging.WARNING,
        ("secrets", type(shared).__name__),
        "%s has no secrets, so that no other process can read what it holds: give it an attribute "
        "'secrets', a list of strings of at least 16 bytes, newest first",
        type(shared).__name__,
    )
    return _MADE_UP


def bytes_in(value: object) -> bytes | None:
    """Return what a cache or a bus of your own hands over; ``None``: these are no bytes."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None
