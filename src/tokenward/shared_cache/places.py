"""Where the answers and the tombstone of a token stand, and what they are sealed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenward._seal import Box
from tokenward.errors import ConfigurationError

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


class Places:
    """Names that nobody without a secret can compute, one token's in one slot of a cluster.

    Args:
        cache: Whose secrets to use.

    Attributes:
        box: Seals what stands there.

    Raises:
        ConfigurationError: The cache names no secrets, or weak ones.
    """

    __slots__ = ("box",)

    def __init__(self, cache: SharedCache) -> None:
        self.box = Box(secrets_of(cache), "shared cache")

    def slots(self, digest: bytes) -> list[bytes]:
        """Return what the names of a token begin with, under each secret, newest first."""
        return [b"{%b}" % name.hex().encode() for name in self.box.names(digest)]


def secrets_of(shared: SharedCache | RevocationBus) -> Sequence[str]:
    """Return the secrets that a cache or a bus names.

    Raises:
        ConfigurationError: It names none.
    """
    secrets: Sequence[str] = getattr(shared, "secrets", ())
    if not secrets:
        raise ConfigurationError(
            f"{type(shared).__name__} has no secrets, and nothing is shared unsealed: give it an "
            "attribute 'secrets', a list of strings of at least 16 bytes, newest first."
        )
    return secrets
