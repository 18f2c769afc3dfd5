"""What the rows of a SQLite store stand for."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from tokenward.repositories._records import moment
from tokenward.repositories.base import Family
from tokenward.schemas import User

USERS = (
    "SELECT id, username, email, email_verified, is_active, roles, hashed_password, created_at,"
    " updated_at, token_version FROM users "
)
FAMILY_COLUMNS = "id, subject, client_id, scopes, version, created_at, used_at, expires_at, ended"


@lru_cache(maxsize=1_024)
def _words(kept: str) -> tuple[str, ...]:
    return tuple(json.loads(kept))


def user_of(row: tuple[Any, ...]) -> User:
    """Return the user of a row that `USERS` found."""
    return User(
        id=row[0],
        username=row[1],
        email=row[2],
        email_verified=bool(row[3]),
        is_active=bool(row[4]),
        roles=_words(row[5]),
        hashed_password=row[6],
        created_at=moment(row[7]),
        updated_at=moment(row[8]),
        token_version=row[9],
    )


def family_of(row: tuple[Any, ...]) -> Family:
    """Return the family of a row that begins with `FAMILY_COLUMNS`."""
    return Family(
        id=row[0],
        subject=row[1],
        client_id=row[2],
        scopes=_words(row[3]),
        version=row[4],
        created_at=row[5],
        used_at=row[6],
        expires_at=row[7],
        ended=bool(row[8]),
    )
