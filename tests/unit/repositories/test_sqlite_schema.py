from __future__ import annotations

import sqlite3
import threading

import pytest

from tokenward.errors import AuthServiceUnavailable
from tokenward.repositories import Family, SQLiteUserRepository, StoredKey
from tokenward.repositories.sqlite._schema import APPLICATION_ID, MIGRATIONS, identify, migrate
from tokenward.repositories.sqlite._tokens import _FIND, _IS_OVER

ADD_COLUMN = ("ALTER TABLE users ADD COLUMN nickname TEXT", "UPDATE users SET nickname = username")


@pytest.fixture
def raw(path):
    """A connection as any other program would make it."""
    path.touch(0o600)
    connection = sqlite3.connect(path, isolation_level=None, timeout=90)
    yield connection
    connection.close()


def columns(raw) -> list[str]:
    return [row[1] for row in raw.execute("PRAGMA table_info(users)")]


def test_a_store_says_which_migrations_it_has_seen(open_store, raw):
    """The number in the file is the number of migrations."""
    open_store()
    assert identify(raw)[:2] == (APPLICATION_ID, len(MIGRATIONS))


def test_a_migration_keeps_what_is_there(open_store, register, raw):
    """An older store becomes a newer one, users included."""
    register(open_store(), "alice")
    migrate(raw, (*MIGRATIONS, ADD_COLUMN))
    assert raw.execute("SELECT username, nickname FROM users").fetchall() == [("alice", "alice")]
    assert identify(raw)[1] == len(MIGRATIONS) + 1


def test_each_migration_is_applied_once(open_store, raw):
    """Opening a store again changes nothing."""
    open_store()
    for _ in range(2):
        migrate(raw, (*MIGRATIONS, ADD_COLUMN))
    assert columns(raw).count("nickname") == 1


def test_a_migration_never_goes_back(open_store, raw):
    """Code that knows fewer migrations leaves the number alone."""
    open_store()
    migrate(raw, (*MIGRATIONS, ADD_COLUMN))
    migrate(raw, MIGRATIONS)
    assert identify(raw)[1] == len(MIGRATIONS) + 1


def test_a_failing_migration_changes_nothing(open_store, register, raw):
    """The store is as it was, and the version before it goes on working."""
    repositories = open_store()
    register(repositories, "alice")
    with pytest.raises(sqlite3.OperationalError):
        migrate(raw, (*MIGRATIONS, ADD_COLUMN, ("ALTER TABLE nothing ADD COLUMN x TEXT",)))
    assert not raw.in_transaction
    assert "nickname" not in columns(raw)
    assert identify(raw)[1] == len(MIGRATIONS)
    assert repositories.users.get_by_username("alice")


def test_many_who_start_at_once_migrate_once(path, open_store):
    """Workers of a server start together on an older store."""
    open_store().close()
    start = threading.Barrier(8)
    failures = []

    def run() -> None:
        connection = sqlite3.connect(path, isolation_level=None, timeout=90)
        start.wait(90)
        try:
            migrate(connection, (*MIGRATIONS, ADD_COLUMN))
        except sqlite3.Error as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert failures == []


def test_a_running_service_stops_on_a_store_that_was_migrated_under_it(path, open_store, raw):
    """It does not write rows of an older shape into a newer store."""
    repositories = open_store()
    migrate(raw, (*MIGRATIONS, ADD_COLUMN))
    repositories.close()
    with pytest.raises(AuthServiceUnavailable) as caught:
        repositories.users.count()
    assert caught.value.reason == "store_unavailable"
    assert "restart" in caught.value.hint


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET token_version = 'x'",
        "UPDATE users SET is_active = 2",
        "UPDATE users SET username_key = NULL",
        "UPDATE users SET created_at = 1.5",
    ],
)
def test_the_tables_refuse_what_is_of_the_wrong_kind(open_store, register, raw, statement):
    """STRICT: an integer column holds integers, whoever writes it."""
    register(open_store(), "alice")
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(statement)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM users WHERE id = 'x'",
        "SELECT * FROM users WHERE username_key = 'x'",
        "SELECT * FROM users WHERE email_key = 'x'",
        "SELECT 1 FROM revocations WHERE jti = 'x'",
        "DELETE FROM revocations WHERE expires_at <= 5",
        "SELECT 1 FROM families WHERE id = 'x' AND ended = 0 AND expires_at > 5",
        "SELECT * FROM families WHERE subject = 'x' AND ended = 0 ORDER BY position",
        "UPDATE families SET ended = 1 WHERE subject = 'x' AND ended = 0 RETURNING expires_at",
        "SELECT id FROM families WHERE expires_at <= 5 LIMIT 50",
        "SELECT digest FROM used_refresh_tokens WHERE family = 'x' ORDER BY rotation",
        "DELETE FROM one_time_tokens WHERE digest = x'00' AND purpose = 'x' RETURNING subject",
        "SELECT digest FROM one_time_tokens WHERE expires_at <= 5",
        "SELECT key FROM used_once WHERE expires_at <= 5",
        "SELECT value FROM counters WHERE key = 'x' AND expires_at > 5",
        "DELETE FROM counters WHERE position <= (SELECT max(position) FROM counters) - 5",
        _FIND.replace("?1", "x'00'").replace("?2", "5"),
        _IS_OVER.replace("?", "'x'"),
    ],
)
def test_what_every_request_asks_is_answered_from_an_index(open_store, raw, query):
    """The time of a look-up does not grow with the number of users."""
    open_store()
    plan = " ".join(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert "SEARCH" in plan
    assert "SCAN" not in plan.replace("SCAN CONSTANT ROW", "")


@pytest.fixture
def first_version(path, raw):
    """A store as the first version made and left it, with something in every table."""
    raw.execute("PRAGMA journal_mode = WAL")
    migrate(raw, MIGRATIONS[:1])
    raw.execute(
        "INSERT INTO users (id, username, username_key, email, email_key, hashed_password,"
        " is_active, email_verified, roles, token_version, created_at, updated_at)"
        " VALUES ('i', 'Ann', 'ann', NULL, NULL, NULL, 1, 0, '[\"a\"]', 3, 1, 2),"
        " ('j', 'Bob', 'bob', 'b@x.example', 'b@x.example', '$2b$', 0, 1, '[]', 0, 3, 4)"
    )
    raw.execute("INSERT INTO revocations VALUES ('jti', 1700000000)")
    raw.execute("INSERT INTO signing_keys VALUES (1, 'kid', 'ES256', 'current', x'00ff', 5, NULL)")
    raw.execute("UPDATE signing_keys_version SET version = 7")
    path.chmod(0o600)
    return raw


def contents(raw) -> dict[str, list]:
    tables = ("users", "revocations", "signing_keys", "signing_keys_version")
    return {table: raw.execute(f"SELECT * FROM {table}").fetchall() for table in tables}  # noqa: S608 - of constants


def test_a_store_made_by_the_first_version_becomes_one_of_today(first_version, open_store):
    """Opening it is enough; everything in it is as it was, and what came later works."""
    before = contents(first_version)
    assert identify(first_version)[1] == 1
    repositories = open_store(create=False)
    assert contents(first_version) == before
    assert identify(first_version)[1] == len(MIGRATIONS)
    user = repositories.users.get_by_username("ANN")
    assert (user.id, user.email, user.roles, user.token_version) == ("i", None, ("a",), 3)
    assert repositories.users.count() == 2
    assert repositories.tokens.is_revoked("jti")
    assert repositories.keys.load() == (7, [StoredKey("kid", "ES256", "current", b"\0\xff", 5)])
    family = Family("sid", "i", "client", (), 3, 1, 1, 2**40)
    repositories.tokens.start_family(family, b"x" * 32)
    assert repositories.tokens.families("i") == [family]
    counted = repositories.counters.add(["a"], 1, now=1, expires_at=5)
    assert counted == [(1, 5)]


def test_a_store_of_today_has_the_tables_of_a_migrated_one(first_version, open_store, tmp_path):
    """A store that grew and a new one are the same."""
    open_store(create=False)
    new = SQLiteUserRepository(tmp_path / "new.db")
    query = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
    assert first_version.execute(query).fetchall() == new.store.rows(query)
    new.close()
