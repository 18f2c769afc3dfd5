"""Signing keys in the memory of one process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tokenward import _fork
from tokenward.repositories._checks import check_keys
from tokenward.repositories.base import KeyRepository, StoredKey

if TYPE_CHECKING:
    from collections.abc import Sequence


class MemoryKeyRepository(KeyRepository):
    """Signing keys that live as long as the process."""

    def __init__(self) -> None:
        self._kept: tuple[int, tuple[StoredKey, ...]] = (0, ())
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock; a forked child goes on with its own copy of the keys."""
        self._lock = threading.Lock()

    def load(self) -> tuple[int, list[StoredKey]]:
        """See `KeyRepository.load`."""
        version, keys = self._kept
        return version, list(keys)

    def replace(self, version: int, keys: Sequence[StoredKey]) -> bool:
        """See `KeyRepository.replace`."""
        check_keys(keys)
        with self._lock:
            if version != self._kept[0]:
                return False
            self._kept = (version + 1, tuple(keys))
            return True
