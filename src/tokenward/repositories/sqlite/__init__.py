"""Repositories in one SQLite file: the embedded default."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tokenward.errors import UserAlreadyExists
from tokenward.passwords import DEFAULT_COST
from tokenward.repositories._checks import check_jti, check_keys, is_jti, whole_second
from tokenward.repositories._records import RecordUserRepository, moment
from tokenward.repositories.base import KeyRepository, Repositories, StoredKey, TokenRepository
from tokenward.repositories.sqlite._store import SQLiteStore, Taken
from tokenward.schemas import User

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tokenward.protocols import Clock
    from tokenward.repositories._records import Change, NewUser, UniqueColumn, Value

_USER = (
    "SELECT id, username, email, email_verified, is_active, roles, hashed_password, created_at,"
    " updated_at, token_version FROM users "
)
_FIND: dict[UniqueColumn, str] = {
    "id": _USER + "WHERE id = ?",
    "username_key": _USER + "WHERE username_key = ?",
    "email_key": _USER + "WHERE email_key = ?",
}
_PAGE = _USER + "WHERE is_active = 1 ORDER BY position LIMIT ? OFFSET ?"
_INSERT = """
    INSERT INTO users (id, username, username_key, email, email_key, hashed_password, is_active,
                       email_verified, roles, token_version, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_CHANGE: dict[Change, str] = {
    "hashed_password": """
        UPDATE users SET hashed_password = ?, token_version = token_version + 1, updated_at = ?
        WHERE username_key = ?""",
    "is_active": """
        UPDATE users SET is_active = ?, token_version = token_version + 1, updated_at = ?
        WHERE username_key = ?""",
    "roles": """
        UPDATE users SET roles = ?, token_version = token_version + 1, updated_at = ?
        WHERE username_key = ?""",
    "email_verified": """
        UPDATE users SET email_verified = ?, updated_at = ?
        WHERE username_key = ?""",
}


class _InStore:
    store: SQLiteStore

    def _open(self, path: str | os.PathLike[str] | SQLiteStore, *, create: bool) -> None:
        self.store = path if isinstance(path, SQLiteStore) else SQLiteStore(path, create=create)

    def close(self) -> None:
        """Close the store's connections; using the repository again opens new ones."""
        self.store.close()


class SQLiteUserRepository(_InStore, RecordUserRepository):
    """Users in a SQLite file.

    Args:
        path: The file; or the ``store`` of another repository, to share its connections.
        create: Make the store when there is none.
        bcrypt_cost: See `tokenward.passwords.PasswordHasher`.
        clock: Returns epoch seconds.

    Raises:
        ConfigurationError: The file cannot be used; the message says what to do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | SQLiteStore,
        *,
        create: bool = True,
        bcrypt_cost: int = DEFAULT_COST,
        clock: Clock = time.time,
    ) -> None:
        super().__init__(bcrypt_cost=bcrypt_cost, clock=clock)
        self._open(path, create=create)

    def count(self) -> int:
        """See `UserRepository.count`."""
        return sum(row[0] for row in self.store.rows("SELECT count(*) FROM users"))

    def replace_hash(self, user: User, hashed_password: str) -> bool:
        """See `UserRepository.replace_hash`."""
        changed = self.store.write(
            "UPDATE users SET hashed_password = ?, updated_at = ?"
            " WHERE id = ? AND hashed_password IS ?",
            hashed_password,
            self._now(),
            user.id,
            user.hashed_password,
        )
        return changed == 1

    def _insert(self, new: NewUser) -> None:
        user = new.user
        try:
            self.store.write(
                _INSERT,
                user.id,
                user.username,
                new.username_key,
                user.email,
                new.email_key,
                user.hashed_password,
                user.is_active,
                user.email_verified,
                json.dumps(user.roles),
                user.token_version,
                int(user.created_at.timestamp()),
                int(user.updated_at.timestamp()),
            )
        except Taken:
            raise UserAlreadyExists from None

    def _find(self, column: UniqueColumn, value: str) -> User | None:
        row = self.store.row(_FIND[column], value)
        return None if row is None else _user(row)

    def _page(self, skip: int, limit: int) -> list[User]:
        return [_user(row) for row in self.store.rows(_PAGE, limit, skip)]

    def _change(self, username_key: str, column: Change, value: Value) -> bool:
        kept = json.dumps(value) if isinstance(value, tuple) else value
        return self.store.write(_CHANGE[column], kept, self._now(), username_key) == 1

    def _remove(self, username_key: str) -> bool:
        return self.store.write("DELETE FROM users WHERE username_key = ?", username_key) == 1


@lru_cache(maxsize=1_024)
def _roles(kept: str) -> tuple[str, ...]:
    return tuple(json.loads(kept))


def _user(row: tuple[Any, ...]) -> User:
    return User(
        id=row[0],
        username=row[1],
        email=row[2],
        email_verified=bool(row[3]),
        is_active=bool(row[4]),
        roles=_roles(row[5]),
        hashed_password=row[6],
        created_at=moment(row[7]),
        updated_at=moment(row[8]),
        token_version=row[9],
    )


class SQLiteTokenRepository(_InStore, TokenRepository):
    """The state of tokens in a SQLite file.

    Args:
        path: The file; or the ``store`` of another repository, to share its connections.
        create: Make the store when there is none.

    Raises:
        ConfigurationError: The file cannot be used; the message says what to do.
    """

    def __init__(self, path: str | os.PathLike[str] | SQLiteStore, *, create: bool = True) -> None:
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

    def purge_expired(self, now: float) -> int:
        """See `TokenRepository.purge_expired`."""
        return self.store.write("DELETE FROM revocations WHERE expires_at <= ?", now)


class SQLiteKeyRepository(_InStore, KeyRepository):
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


def open_sqlite(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    bcrypt_cost: int = DEFAULT_COST,
    clock: Clock = time.time,
) -> Repositories:
    """Open the store in a file; see `tokenward.repositories.open_repositories`."""
    users = SQLiteUserRepository(path, create=create, bcrypt_cost=bcrypt_cost, clock=clock)
    return Repositories(
        users=users,
        tokens=SQLiteTokenRepository(users.store),
        keys=SQLiteKeyRepository(users.store),
        store=users.store,
    )
