"""The tables of a SQLite store, and how an older store becomes one of today."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

APPLICATION_ID = int.from_bytes(b"tokw", "big")

# ``user_version`` counts the migrations a store has seen. One that was released never changes:
# what comes later is appended.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE users (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL COLLATE BINARY UNIQUE,
            username TEXT NOT NULL,
            username_key TEXT NOT NULL COLLATE BINARY UNIQUE,
            email TEXT,
            email_key TEXT COLLATE BINARY UNIQUE,
            hashed_password TEXT,
            is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
            email_verified INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
            roles TEXT NOT NULL,
            token_version INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE revocations (
            jti TEXT NOT NULL COLLATE BINARY PRIMARY KEY,
            expires_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX revocations_by_end ON revocations (expires_at)",
        """
        CREATE TABLE signing_keys (
            position INTEGER PRIMARY KEY,
            kid TEXT NOT NULL COLLATE BINARY UNIQUE,
            algorithm TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('next', 'current', 'retired')),
            material BLOB NOT NULL,
            created_at INTEGER NOT NULL,
            published_until INTEGER
        ) STRICT
        """,
        """
        CREATE TABLE signing_keys_version (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            version INTEGER NOT NULL
        ) STRICT
        """,
        "INSERT INTO signing_keys_version (only, version) VALUES (1, 0)",
    ),
    (
        """
        CREATE TABLE families (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL COLLATE BINARY UNIQUE,
            subject TEXT NOT NULL COLLATE BINARY,
            client_id TEXT NOT NULL COLLATE BINARY,
            scopes TEXT NOT NULL,
            version INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            used_at INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            ended INTEGER NOT NULL CHECK (ended IN (0, 1)),
            current BLOB NOT NULL UNIQUE,
            rotations INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX families_by_subject ON families (subject)",
        "CREATE INDEX families_by_end ON families (expires_at)",
        """
        CREATE TABLE used_refresh_tokens (
            digest BLOB NOT NULL PRIMARY KEY,
            family TEXT NOT NULL COLLATE BINARY,
            rotation INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX used_refresh_tokens_by_family ON used_refresh_tokens (family, rotation)",
        """
        CREATE TABLE one_time_tokens (
            digest BLOB NOT NULL PRIMARY KEY,
            purpose TEXT NOT NULL COLLATE BINARY,
            subject TEXT NOT NULL COLLATE BINARY,
            expires_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX one_time_tokens_by_end ON one_time_tokens (expires_at)",
        """
        CREATE TABLE used_once (
            key TEXT NOT NULL COLLATE BINARY PRIMARY KEY,
            expires_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX used_once_by_end ON used_once (expires_at)",
        """
        CREATE TABLE counters (
            position INTEGER PRIMARY KEY,
            key TEXT NOT NULL COLLATE BINARY UNIQUE,
            value INTEGER NOT NULL,
            expires_at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX counters_by_end ON counters (expires_at)",
    ),
)


def identify(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return ``application_id``, ``user_version`` and the number of tables and indexes."""
    row: tuple[int, int, int] = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    return row


def migrate(
    connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Apply, in one transaction, the migrations that the store has not seen.

    Where there are none it still tries to write: a store that cannot be written is found here.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        # Read under the lock: another process may have migrated a moment ago.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        # On a file that can only be read, BEGIN IMMEDIATE is content with reading.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {max(version, len(migrations))}")
        if version < len(migrations):
            connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
