"""Signing keys: what every store must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key as a store keeps it.

    Attributes:
        kid: The key's id.
        algorithm: The ``alg`` it signs with.
        state: ``next`` is published before its use, ``current`` signs, ``retired`` is published
            until the last token it signed has expired.
        material: PEM, or sealed PEM.
        created_at: Epoch seconds.
        published_until: Epoch seconds; ``None``: no end.
    """

    kid: str
    algorithm: str
    state: Literal["next", "current", "retired"]
    material: bytes = field(repr=False)
    created_at: int
    published_until: int | None = None

    @property
    def is_sealed(self) -> bool:
        """Whether ``material`` is of no use without a secret."""
        return not self.material.startswith(b"-----BEGIN ")


class KeyRepository(ABC):
    """Where signing keys are kept, all under one version number."""

    @abstractmethod
    def load(self) -> tuple[int, list[StoredKey]]:
        """Return the version and its keys, as `replace` was given them; at first 0 and none.

        Raises:
            AuthServiceUnavailable: The store is down.
        """

    @abstractmethod
    def replace(self, version: int, keys: Sequence[StoredKey]) -> bool:
        """Replace all keys in one step and raise the version, if it is still ``version``.

        Returns:
            False when somebody else was first; nothing was changed then.

        Raises:
            AuthServiceUnavailable: The store is busy or down.
        """
