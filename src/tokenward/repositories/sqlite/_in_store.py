"""What the repositories of a SQLite store have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.repositories.sqlite._store import SQLiteStore

if TYPE_CHECKING:
    import os


class InStore:
    store: SQLiteStore

    def _open(self, path: str | os.PathLike[str] | SQLiteStore, *, create: bool) -> None:
        self.store = path if isinstance(path, SQLiteStore) else SQLiteStore(path, create=create)

    def close(self) -> None:
        """Close the store's connections; using the repository again opens new ones."""
        self.store.close()
