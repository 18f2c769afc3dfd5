"""The state of issued tokens in a SQLite file."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tokenward.repositories._checks import (
    check_digest,
    check_family,
    check_jti,
    check_moment,
    check_new_digest,
    is_digest,
    is_jti,
    is_text,
    taken,
    whole_second,
)
from tokenward.repositories.base import MAX_ROTATIONS, Rotation, TokenRepository
from tokenward.repositories.sqlite._connections import Taken
from tokenward.repositories.sqlite._one_use import OneUse
from tokenward.repositories.sqlite._rows import FAMILY_COLUMNS, family_of

if TYPE_CHECKING:
    import os
    import sqlite3

    from tokenward.protocols import Clock
    from tokenward.repositories.base import Family
    from tokenward.repositories.sqlite._store import SQLiteStore

# UNION ALL, and not OR: each half has an index of its own.
_FIND = f"""
    SELECT {FAMILY_COLUMNS}, rotations, 1 FROM families WHERE current = ?1 AND expires_at > ?2
    UNION ALL
    SELECT {FAMILY_COLUMNS}, rotations, 0 FROM families
    WHERE id = (SELECT family FROM used_refresh_tokens WHERE digest = ?1) AND expires_at > ?2
"""  # noqa: S608 - of constants
_FAMILIES = f"""
    SELECT {FAMILY_COLUMNS} FROM families WHERE subject = ? AND ended = 0 AND expires_at > ?
    ORDER BY position
"""  # noqa: S608 - the same
_IS_OVER = """
    SELECT EXISTS (SELECT 1 FROM revocations WHERE jti = ?)
        OR NOT EXISTS (SELECT 1 FROM families WHERE id = ? AND ended = 0 AND expires_at > ?)
"""
_START = """
    INSERT INTO families (id, subject, client_id, scopes, version, created_at, used_at,
                          expires_at, ended, current, rotations)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
"""
_ROTATE = """
    UPDATE families SET current = ?, used_at = ?, expires_at = ?, rotations = rotations + 1
    WHERE id = ?
"""
# Few at a time, so that nobody waits long for the write lock.
_PURGE = (
    """
    DELETE FROM revocations WHERE jti IN
        (SELECT jti FROM revocations WHERE expires_at <= ? LIMIT 1000)
    """,
    """
    DELETE FROM used_once WHERE key IN
        (SELECT key FROM used_once WHERE expires_at <= ? LIMIT 1000)
    """,
    """
    DELETE FROM one_time_tokens WHERE digest IN
        (SELECT digest FROM one_time_tokens WHERE expires_at <= ? LIMIT 1000)
    """,
)
_EXPIRED_FAMILIES = "SELECT id FROM families WHERE expires_at <= ? LIMIT 50"


class SQLiteTokenRepository(OneUse, TokenRepository):
    """The state of tokens in a SQLite file.

    Args:
        path: The file; or the ``store`` of another repository, to share its connections.
        create: Make the store when there is none.
        clock: Returns epoch seconds.

    Raises:
        ConfigurationError: The file cannot be used; the message says what to do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | SQLiteStore,
        *,
        create: bool = True,
        clock: Clock = time.time,
    ) -> None:
        self._clock = clock
        self._open(path, create=create)

    def revoke(self, jti: str, expires_at: float) -> None:
        """See `TokenRepository.revoke`."""
        check_jti(jti)
        self.store.write(
            "INSERT INTO revocations (jti, expires_at) VALUES (?, ?) ON CONFLICT (jti)"
            " DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)",
            jti,
            whole_second("expires_at", expires_at),
        )

    def is_revoked(self, jti: str) -> bool:
        """See `TokenRepository.is_revoked`."""
        if not is_jti(jti):
            return False
        return self.store.row("SELECT 1 FROM revocations WHERE jti = ?", jti) is not None

    def is_over(self, jti: str, sid: str | None) -> bool:
        """See `TokenRepository.is_over`."""
        if not is_jti(jti) or sid is None:
            return super().is_over(jti, sid)
        if not is_text(sid):
            return True
        row = self.store.row(_IS_OVER, jti, sid, self._clock())
        return row != (0,)

    def purge_expired(self, now: float) -> int:
        """See `TokenRepository.purge_expired`."""
        check_moment("now", now)
        purged = 0
        for statement in _PURGE:
            while forgotten := self.store.write(statement, now):
                purged += forgotten
        while forgotten := self._purge_families(now):
            purged += forgotten
        return purged

    # --- refresh families

    def start_family(self, family: Family, digest: bytes) -> None:
        """See `TokenRepository.start_family`."""
        check_family(family)
        check_digest("digest", digest)
        try:
            self.store.write(
                _START,
                family.id,
                family.subject,
                family.client_id,
                json.dumps(family.scopes),
                family.version,
                family.created_at,
                family.used_at,
                family.expires_at,
                family.ended,
                digest,
            )
        except Taken:
            raise taken("digest") from None

    def find_family(self, digest: bytes) -> tuple[Family, bool] | None:
        """See `TokenRepository.find_family`."""
        row = self.store.row(_FIND, digest, self._clock()) if is_digest(digest) else None
        return None if row is None else (family_of(row), bool(row[-1]))

    def rotate(self, digest: bytes, new_digest: bytes, expires_at: float) -> Rotation:
        """See `TokenRepository.rotate`."""
        check_new_digest(digest, new_digest)
        end = whole_second("expires_at", expires_at)
        if not is_digest(digest):
            return Rotation.UNKNOWN
        try:
            with self.store.writing() as raw:
                return self._rotate(raw, digest, new_digest, end)
        except Taken:
            raise taken("new_digest") from None

    def _rotate(
        self, raw: sqlite3.Connection, digest: bytes, new_digest: bytes, expires_at: int
    ) -> Rotation:
        now = self._clock()
        row = raw.execute(_FIND, (digest, now)).fetchone()
        if row is None:
            return Rotation.UNKNOWN
        family, rotations, current = family_of(row), row[-2], row[-1]
        if family.ended:
            return Rotation.UNKNOWN
        if not current or rotations >= MAX_ROTATIONS:
            raw.execute("UPDATE families SET ended = 1 WHERE id = ?", (family.id,))
            return Rotation.UNKNOWN if current else Rotation.REUSED
        raw.execute(
            "INSERT INTO used_refresh_tokens (digest, family, rotation) VALUES (?, ?, ?)",
            (digest, family.id, rotations),
        )
        raw.execute(_ROTATE, (new_digest, int(now), expires_at, family.id))
        return Rotation.ROTATED

    def end_family(self, family_id: str) -> bool:
        """See `TokenRepository.end_family`."""
        return is_text(family_id) and self._end("id", family_id) == 1

    def end_all(self, subject: str) -> int:
        """See `TokenRepository.end_all`."""
        return self._end("subject", subject) if is_text(subject) else 0

    def _end(self, column: str, value: str) -> int:
        # Those that have expired are ended too: a clock that is set back opens none again.
        rows = self.store.write_returning(
            f"UPDATE families SET ended = 1 WHERE {column} = ? AND ended = 0 RETURNING expires_at",  # noqa: S608 - a constant
            value,
        )
        now = self._clock()
        return sum(expires_at > now for (expires_at,) in rows)

    def family_active(self, family_id: str) -> bool:
        """See `TokenRepository.family_active`."""
        if not is_text(family_id):
            return False
        row = self.store.row(
            "SELECT 1 FROM families WHERE id = ? AND ended = 0 AND expires_at > ?",
            family_id,
            self._clock(),
        )
        return row is not None

    def families(self, subject: str) -> list[Family]:
        """See `TokenRepository.families`."""
        if not is_text(subject):
            return []
        return [family_of(row) for row in self.store.rows(_FAMILIES, subject, self._clock())]

    def _purge_families(self, now: float) -> int:
        with self.store.writing() as raw:
            expired = raw.execute(_EXPIRED_FAMILIES, (now,)).fetchall()
            raw.executemany("DELETE FROM used_refresh_tokens WHERE family = ?", expired)
            raw.executemany("DELETE FROM families WHERE id = ?", expired)
        return len(expired)
