"""What a SQLite store holds, carried out of it and into it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenward.errors import UserAlreadyExists
from tokenward.repositories._checks import taken
from tokenward.repositories._portable import (
    KeptFamily,
    check_asked,
    check_kind,
    check_records,
    digest_of,
    family_record,
    kept_family,
    number_of,
)
from tokenward.repositories.sqlite._connections import Taken
from tokenward.repositories.sqlite._rows import family_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from tokenward.repositories.base import Kind, Record
    from tokenward.repositories.sqlite._store import SQLiteStore

_USERS = """
    SELECT position, id, username, username_key, email, email_key, hashed_password, is_active,
           email_verified, roles, token_version, created_at, updated_at
    FROM users WHERE position > ? ORDER BY position LIMIT ?
"""
_FAMILIES = """
    SELECT id, subject, client_id, scopes, version, created_at, used_at, expires_at, ended,
           current, position
    FROM families WHERE position > ? ORDER BY position LIMIT ?
"""
_USED = "SELECT digest FROM used_refresh_tokens WHERE family = ? ORDER BY rotation"
_ONE_TIME_TOKENS = """
    SELECT digest, purpose, subject, expires_at FROM one_time_tokens
    WHERE digest > ? ORDER BY digest LIMIT ?
"""
_ENDS = {
    "revocations": """
        SELECT jti, expires_at FROM revocations WHERE jti > ? ORDER BY jti LIMIT ?""",
    "used_once": """
        SELECT key, expires_at FROM used_once WHERE key > ? ORDER BY key LIMIT ?""",
}

_PUT_USER = """
    INSERT INTO users (id, username, username_key, email, email_key, hashed_password, is_active,
                       email_verified, roles, token_version, created_at, updated_at)
    VALUES (:id, :username, :username_key, :email, :email_key, :hashed_password, :is_active,
            :email_verified, :roles, :token_version, :created_at, :updated_at)
    ON CONFLICT (id) DO UPDATE SET
        username = excluded.username, username_key = excluded.username_key,
        email = excluded.email, email_key = excluded.email_key,
        hashed_password = excluded.hashed_password, is_active = excluded.is_active,
        email_verified = excluded.email_verified, roles = excluded.roles,
        token_version = excluded.token_version, created_at = excluded.created_at,
        updated_at = excluded.updated_at
"""
_PUT_FAMILY = """
    INSERT INTO families (id, subject, client_id, scopes, version, created_at, used_at,
                          expires_at, ended, current, rotations)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
        subject = excluded.subject, client_id = excluded.client_id, scopes = excluded.scopes,
        version = excluded.version, created_at = excluded.created_at,
        used_at = excluded.used_at, expires_at = excluded.expires_at, ended = excluded.ended,
        current = excluded.current, rotations = excluded.rotations
"""
_FORGET_USED = "DELETE FROM used_refresh_tokens WHERE family = ?"
_PUT_USED = "INSERT INTO used_refresh_tokens (digest, family, rotation) VALUES (?, ?, ?)"
_IS_THERE = "SELECT 1 FROM families WHERE id = ?"
_USED_BY_ANOTHER = "SELECT 1 FROM used_refresh_tokens WHERE digest = ? AND family != ?"
_CURRENT_OF_ANOTHER = "SELECT 1 FROM families WHERE current = ? AND id != ?"
_PUT_ONE_TIME = """
    INSERT INTO one_time_tokens (digest, purpose, subject, expires_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET purpose = excluded.purpose, subject = excluded.subject,
                                       expires_at = excluded.expires_at
"""
_PUT_END = {
    "revocations": """
        INSERT INTO revocations (jti, expires_at) VALUES (:id, :expires_at)
        ON CONFLICT (jti) DO UPDATE SET expires_at = excluded.expires_at""",
    "used_once": """
        INSERT INTO used_once (key, expires_at) VALUES (:id, :expires_at)
        ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at""",
}


def records(
    store: SQLiteStore, kind: Kind, after: str | None, limit: int
) -> tuple[list[Record], str | None]:
    """See `Portable.records`."""
    check_asked(kind, after, limit)
    # One more than was asked for tells whether there are any after these.
    found = _read(store, kind, after, limit + 1)
    page = found[:limit]
    more = len(found) > limit
    return [record for _place, record in page], page[-1][0] if more else None


def _read(
    store: SQLiteStore, kind: Kind, after: str | None, limit: int
) -> list[tuple[str, Record]]:
    """Return records, each with the ``after`` that leads on from it."""
    if kind == "users":
        rows = store.rows(_USERS, number_of(after), limit)
        return [(str(row[0]), _user_record(row[1:])) for row in rows]
    if kind == "families":
        with store.reading() as raw:
            rows = raw.execute(_FAMILIES, (number_of(after), limit)).fetchall()
            return [(str(row[-1]), _family_record(raw, row)) for row in rows]
    if kind == "one_time_tokens":
        rows = store.rows(_ONE_TIME_TOKENS, digest_of(after) if after else b"", limit)
        found = [
            {"id": digest.hex(), "purpose": purpose, "subject": subject, "expires_at": end}
            for digest, purpose, subject, end in rows
        ]
    else:
        rows = store.rows(_ENDS[kind], after or "", limit)
        found = [{"id": id_, "expires_at": end} for id_, end in rows]
    return [(record["id"], record) for record in found]


def _user_record(row: tuple[Any, ...]) -> Record:
    names = ("id", "username", "username_key", "email", "email_key", "hashed_password")
    return {
        **dict(zip(names, row[:6], strict=True)),
        "is_active": bool(row[6]),
        "email_verified": bool(row[7]),
        "roles": json.loads(row[8]),
        "token_version": row[9],
        "created_at": row[10],
        "updated_at": row[11],
    }


def _family_record(raw: sqlite3.Connection, row: tuple[Any, ...]) -> Record:
    used = tuple(digest for (digest,) in raw.execute(_USED, row[:1]))
    return family_record(KeptFamily(family_of(row), row[9], used))


def put(store: SQLiteStore, kind: Kind, given: Sequence[Record]) -> None:
    """See `Portable.put`."""
    check_records(kind, given)
    try:
        with store.carrying() as raw:
            _write(raw, kind, given)
    except Taken:
        raise (UserAlreadyExists() if kind == "users" else taken("records")) from None


def _write(raw: sqlite3.Connection, kind: Kind, given: Sequence[Record]) -> None:
    if kind == "users":
        raw.executemany(_PUT_USER, [{**r, "roles": json.dumps(r["roles"])} for r in given])
    elif kind == "families":
        _put_families(raw, list(map(kept_family, given)))
    elif kind == "one_time_tokens":
        rows = [(digest_of(r["id"]), r["purpose"], r["subject"], r["expires_at"]) for r in given]
        raw.executemany(_PUT_ONE_TIME, rows)
    else:
        raw.executemany(_PUT_END[kind], given)


def _put_families(raw: sqlite3.Connection, given: Sequence[KeptFamily]) -> None:
    ids = {kept.family.id for kept in given}
    if len(ids) == len(given) and not any(raw.execute(_IS_THERE, (id_,)).fetchone() for id_ in ids):
        _put_new_families(raw, given)
        return
    # One that is replaced lets go of tokens, which only those after it may have.
    for kept in given:
        raw.execute(_FORGET_USED, (kept.family.id,))
        _put_new_families(raw, [kept])


def _put_new_families(raw: sqlite3.Connection, given: Sequence[KeptFamily]) -> None:
    raw.executemany(_PUT_FAMILY, map(_family_row, given))
    used = [(digest, kept.family.id, n) for kept in given for n, digest in enumerate(kept.used)]
    raw.executemany(_PUT_USED, used)
    # What one has used and another has now is in two tables, and no index refuses it.
    asked = [(_USED_BY_ANOTHER, (kept.current, kept.family.id)) for kept in given]
    asked += [(_CURRENT_OF_ANOTHER, (digest, id_)) for digest, id_, _ in used]
    if any(raw.execute(sql, parameters).fetchone() for sql, parameters in asked):
        raise Taken


def _family_row(kept: KeptFamily) -> tuple[Any, ...]:
    family = kept.family
    return (
        family.id,
        family.subject,
        family.client_id,
        json.dumps(family.scopes),
        family.version,
        family.created_at,
        family.used_at,
        family.expires_at,
        family.ended,
        kept.current,
        len(kept.used),
    )


def tally(store: SQLiteStore, kind: Kind) -> int:
    """See `Portable.tally`."""
    check_kind(kind)
    # A kind is the name of its table.
    return sum(row[0] for row in store.rows(f"SELECT count(*) FROM {kind}"))  # noqa: S608 - checked
