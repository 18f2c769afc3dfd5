"""Signing keys in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.repositories._checks import check_keys
from tokenward.repositories.base import KeyRepository, StoredKey
from tokenward.repositories.sqlite._in_store import InStore

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tokenward.repositories.sqlite._store import SQLiteStore


class SQLiteKeyRepository(InStore, KeyRepository):
    """Signing keys in a SQLite file.

    Args:
        path: The file; or the ``store`` of another repository, to share its connections.
        create: Make the store when there is none.

    Raises:
        ConfigurationError: The file cannot be used; the message says what to do.
    """

    def __init__(self, path: str | os.PathLike[str] | SQLiteStore, *, create: bool = True) -> None:
        self._open(path, create=create)

    def load(self) -> tuple[int, list[StoredKey]]:
        """See `KeyRepository.load`."""
        # One statement, so that the version belongs to the keys.
        rows = self.store.rows(
            "SELECT version, kid, algorithm, state, material, created_at, published_until"
            " FROM signing_keys_version LEFT JOIN signing_keys ORDER BY position"
        )
        return rows[0][0], [StoredKey(*row[1:]) for row in rows if row[1] is not None]

    def replace(self, version: int, keys: Sequence[StoredKey]) -> bool:
        """See `KeyRepository.replace`."""
        check_keys(keys)
        rows = [
            (k.kid, k.algorithm, k.state, k.material, k.created_at, k.published_until) for k in keys
        ]
        with self.store.writing() as raw:
            raised = raw.execute(
                "UPDATE signing_keys_version SET version = version + 1 WHERE version = ?",
                (version,),
            )
            if raised.rowcount != 1:
                return False
            raw.execute("DELETE FROM signing_keys")
            raw.executemany(
                "INSERT INTO signing_keys"
                " (kid, algorithm, state, material, created_at, published_until)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
        return True
