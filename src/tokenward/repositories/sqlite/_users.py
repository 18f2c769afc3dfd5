"""Users in a SQLite file."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tokenward.errors import UserAlreadyExists
from tokenward.passwords import DEFAULT_COST
from tokenward.repositories._records import RecordUserRepository
from tokenward.repositories.sqlite._connections import Taken
from tokenward.repositories.sqlite._in_store import InStore
from tokenward.repositories.sqlite._rows import USERS, user_of

if TYPE_CHECKING:
    import os

    from tokenward.protocols import Clock
    from tokenward.repositories._records import Change, NewUser, UniqueColumn, Value
    from tokenward.repositories.sqlite._store import SQLiteStore
    from tokenward.schemas import User

_FIND: dict[UniqueColumn, str] = {
    "id": USERS + "WHERE id = ?",
    "username_key": USERS + "WHERE username_key = ?",
    "email_key": USERS + "WHERE email_key = ?",
}
_PAGE = USERS + "WHERE is_active = 1 ORDER BY position LIMIT ? OFFSET ?"
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
_OF_VERSION = " AND token_version = ?"


class SQLiteUserRepository(InStore, RecordUserRepository):
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
        return None if row is None else user_of(row)

    def _page(self, skip: int, limit: int) -> list[User]:
        return [user_of(row) for row in self.store.rows(_PAGE, limit, skip)]

    def _change(self, username_key: str, column: Change, value: Value, version: int | None) -> bool:
        kept = json.dumps(value) if isinstance(value, tuple) else value
        parameters = [kept, self._now(), username_key]
        if version is None:
            return self.store.write(_CHANGE[column], *parameters) == 1
        return self.store.write(_CHANGE[column] + _OF_VERSION, *parameters, version) == 1

    def _remove(self, username_key: str) -> bool:
        return self.store.write("DELETE FROM users WHERE username_key = ?", username_key) == 1
