"""A key store that ends with the process: what stands behind `KeyRing.generate`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tokenward import _fork
from tokenward.repositories.base import KeyRepository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.repositories.base import StoredKey


class UnkeptKeys(KeyRepository):
    """Keys in memory, without the models that `MemoryKeyRepository` would load."""

    def __init__(self) -> None:
        self._held: tuple[int, tuple[StoredKey, ...]] = (0, ())
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock; a forked child goes on with its own copy of the keys."""
        self._lock = threading.Lock()

    def load(self) -> tuple[int, list[StoredKey]]:
        """See `KeyRepository.load`."""
        version, keys = self._held
        return version, list(keys)

    def replace(self, version: int, keys: Sequence[StoredKey]) -> bool:
        """See `KeyRepository.replace`."""
        with self._lock:
            if version != self._held[0]:
                return False
            self._held = (version + 1, tuple(keys))
            return True
