from __future__ import annotations

import contextlib
import gc
import os
import resource
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.repositories import SQLiteTokenRepository
from tokenward.repositories.sqlite import SQLiteStore
from tokenward.repositories.sqlite._open import _use_wal


@contextlib.contextmanager
def unavailable(*words):
    """Expect our error for a store that cannot be asked, its hint holding ``words``."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        yield
    assert caught.value.reason == "store_unavailable"
    assert caught.value.status_code == 503
    for word in words:
        assert word in caught.value.hint


def open_files(path) -> list[str]:
    """Return which of the store's files this process has open."""
    names = []
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            names.append(str(Path(entry.path).readlink()))
    return sorted(name for name in names if name.startswith(str(path)))


def in_thread(function) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(90)
    assert not thread.is_alive()


@pytest.fixture
def impatient(path):
    """A repository that does not wait for other writers."""
    store = SQLiteStore(path, busy_timeout=0.01)
    yield SQLiteTokenRepository(store)
    store.close()


# --- one connection for each thread --------------------------------------------------------------


def test_nothing_is_open_before_it_is_used(path, open_store):
    """A process that forks after its start-up inherits no connection."""
    open_store()
    assert open_files(path) == []


def test_a_thread_has_one_connection_however_much_it_asks(path, open_store):
    """All repositories of a store and all calls of a thread share it."""
    repositories = open_store()
    for _ in range(20):
        repositories.users.count()
        repositories.tokens.is_revoked("a")
        repositories.keys.load()
    assert open_files(path).count(str(path)) == 1


def test_a_connection_is_closed_when_its_thread_ends(path, open_store):
    """A server that makes a thread for each request keeps its descriptors."""
    repositories = open_store()
    repositories.ping()
    in_thread(repositories.ping)
    # SQLite keeps one descriptor for the next who opens the file: closing it would drop locks.
    before = open_files(path)
    for _ in range(20):
        in_thread(repositories.ping)
    assert open_files(path) == before


def test_close_closes_the_connections_of_all_threads(path, open_store):
    """After it nothing of the store is open in this process."""
    repositories = open_store()
    opened, finish = threading.Event(), threading.Event()

    def run() -> None:
        repositories.ping()
        opened.set()
        finish.wait(90)

    thread = threading.Thread(target=run)
    thread.start()
    assert opened.wait(90)
    repositories.ping()
    assert open_files(path).count(str(path)) == 2
    repositories.close()
    assert open_files(path) == []
    finish.set()
    thread.join(90)


def test_a_store_nobody_holds_any_more_closes_itself(path):
    """Forgetting `close` in a test or a script leaks nothing."""
    store = SQLiteStore(path)
    store.ping()
    del store
    gc.collect()
    assert open_files(path) == []


def test_closing_while_others_work_disturbs_nobody(open_store):
    """Whoever is in the middle of something finishes it, and goes on with a new connection."""
    repositories = open_store()
    failures = []
    done = threading.Event()

    def work(name: str) -> None:
        try:
            for n in range(50):
                repositories.tokens.revoke(f"{name}{n}", 1)
                repositories.users.count()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
            failures.append(error)
        finally:
            done.set()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while not done.is_set():
        repositories.close()
    for thread in threads:
        thread.join(90)
    assert failures == []
    assert repositories.tokens.purge_expired(1) == 200


def test_repr_names_the_file(path):
    """What is logged about a store is its place."""
    assert repr(SQLiteStore(path)) == f"SQLiteStore('{path}')"


# --- what can go wrong ---------------------------------------------------------------------------


def test_a_store_that_another_writes_to_is_unavailable_for_writing_only(path, impatient):
    """Verification goes on while somebody holds the write lock."""
    impatient.revoke("before", 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with unavailable("SQLITE_BUSY", "write lock"):
        impatient.revoke("a", 1)
    assert impatient.is_revoked("before")
    assert not impatient.is_revoked("a")
    other.execute("ROLLBACK")
    other.close()
    impatient.revoke("a", 1)
    assert impatient.is_revoked("a")


def test_opening_a_store_that_is_locked_is_unavailable_and_no_wrong_configuration(path):
    """Starting again later helps; changing the configuration does not."""
    SQLiteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with unavailable("SQLITE_BUSY"):
        SQLiteStore(path, busy_timeout=0.01)
    other.close()
    SQLiteStore(path, busy_timeout=0.01)


def test_opening_waits_for_another_who_is_just_making_the_store(path):
    """Switching to the write-ahead log does not wait by itself."""
    path.touch(0o600)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with unavailable("SQLITE_BUSY"):
        SQLiteStore(path, busy_timeout=0.01)
    timer = threading.Timer(0.05, other.close)
    timer.start()
    SQLiteStore(path, busy_timeout=90).ping()
    timer.join(90)


def test_a_place_without_a_write_ahead_log_is_a_configuration_error(path):
    """Some network file systems cannot do it; an in-memory database stands for them here."""
    connection = sqlite3.connect(":memory:")
    with pytest.raises(ConfigurationError, match="put it on a local disk"):
        _use_wal(path, connection, deadline=0)
    connection.close()


def test_a_full_disk_is_unavailable_for_writing_only(path, open_store, register):
    """What could not be written is not there, what was is, and room makes all well again."""
    repositories = open_store()
    register(repositories, "alice")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limit[1]))
    try:
        acknowledged = []
        with unavailable("disk"):
            for n in range(1_000):
                repositories.tokens.revoke(f"{n}" * 50, 1)
                acknowledged.append(f"{n}" * 50)
        assert repositories.users.get_by_username("alice")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert repositories.tokens.purge_expired(1) == len(acknowledged)
    register(repositories, "bob")


def test_a_store_that_was_deleted_is_unavailable(path, open_store, register):
    """SQLite itself would go on in the deleted file, and lose what it acknowledged."""
    repositories = open_store()
    register(repositories, "alice")
    kept = path.with_name("kept.db")
    path.rename(kept)
    for attempt in (
        lambda: register(repositories, "bob"),
        lambda: repositories.users.get_by_username("alice"),
        lambda: repositories.tokens.is_revoked("a"),
        repositories.keys.load,
        repositories.ping,
    ):
        with unavailable("is gone", str(path)):
            attempt()
    assert not path.exists()
    kept.rename(path)
    assert register(repositories, "bob").username == "bob"


def test_a_store_that_was_replaced_is_unavailable(path, open_store, register):
    """The write-ahead log of one file must not be laid over another."""
    repositories = open_store()
    repositories.close()
    backup = path.with_name("backup.db")
    shutil.copy(path, backup)
    content = backup.read_bytes()
    register(repositories, "alice")
    backup.replace(path)
    with unavailable("was replaced"):
        repositories.users.count()
    with unavailable("was replaced"):
        repositories.ping()
    repositories.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"# My diary\n" * 1_000], ids=["empty", "something else"])
def test_a_store_replaced_by_something_else_is_unavailable(path, open_store, content):
    """Nothing is written into it, and nobody is told that a token is not revoked."""
    repositories = open_store()
    repositories.ping()
    repositories.close()
    path.write_bytes(content)
    for attempt in (repositories.ping, lambda: repositories.tokens.revoke("a", 1)):
        with unavailable(str(path)):
            attempt()
    assert path.read_bytes() == content


def test_a_store_damaged_while_it_is_used_is_unavailable(path, open_store, register):
    """Damage is an outage and no answer."""
    repositories = open_store()
    register(repositories, "alice")
    repositories.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (size - 4_096))
    with unavailable("restore a backup"):
        repositories.users.get_by_username("alice")


def test_a_table_that_is_missing_is_unavailable(path, open_store):
    """Whatever else SQLite says comes as our error too."""
    repositories = open_store()
    other = sqlite3.connect(path)
    other.execute("DROP TABLE revocations")
    other.close()
    with unavailable("SQLITE_ERROR"):
        repositories.tokens.is_revoked("a")


def test_a_write_has_the_lock_from_its_beginning(path):
    """What it reads first is still so when it writes."""
    store = SQLiteStore(path)
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    with store.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    store.close()


def test_an_exception_in_the_middle_of_a_write_undoes_it(path):
    """The lock is given back too."""
    store = SQLiteStore(path, busy_timeout=0.01)
    insert = "INSERT INTO revocations (jti, expires_at) VALUES ('a', 1)"

    def interrupted() -> None:
        with store.writing() as raw:
            raw.execute(insert)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.rows("SELECT jti FROM revocations") == []
    in_thread(lambda: store.write(insert))
    assert store.rows("SELECT jti FROM revocations") == [("a",)]
    store.close()


def test_errors_hold_no_values(open_store, register):
    """A hint names the store and SQLite's complaint, and nothing that was to be stored."""
    repositories = open_store()
    repositories.users.store.write(
        "CREATE TRIGGER t BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(AuthServiceUnavailable) as caught:
        register(repositories, "alice")
    assert "alice" not in f"{caught.value.hint}{caught.value.__cause__}"


# --- how it writes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1), ("trusted_schema", 0)],
)
def test_a_connection_is_set_up_so_that_nothing_acknowledged_is_lost(path, pragma, expected):
    """A commit is on the disk before its answer leaves."""
    store = SQLiteStore(path)
    assert store.row(f"PRAGMA {pragma}") == (expected,)
    store.close()


def test_what_is_deleted_is_overwritten(path, open_store, register):
    """The hash of a deleted user is not found in the file."""
    repositories = open_store()
    register(repositories, "alice")
    hashed = repositories.users.get_by_username("alice").hashed_password.encode()
    repositories.close()
    assert hashed in path.read_bytes()
    repositories.users.delete("alice")
    repositories.close()
    assert hashed not in path.read_bytes()


# --- thousands of rows in one step ---------------------------------------------------------------


def test_what_carries_thousands_of_rows_waits_for_the_disk_too(path):
    """With memory for what it touches; whoever writes a row has no more of it than before."""

    def settings(raw):
        names = ("synchronous", "secure_delete", "cache_size", "wal_autocheckpoint")
        return [raw.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    with contextlib.closing(SQLiteStore(path)) as store:
        with store.carrying() as raw:
            assert settings(raw) == [2, 1, -65_536, 4_000]
        with store.writing() as raw:
            assert settings(raw) == [2, 1, -2_000, 1_000]
        with store.writing(durable=False) as raw:
            assert settings(raw) == [1, 1, -2_000, 1_000]


def test_what_is_carried_comes_whole_or_not_at_all(path):
    """An exception on the way undoes the rows before it."""
    sql = "INSERT INTO used_once (key, expires_at) VALUES (?, 1)"
    with contextlib.closing(SQLiteStore(path)) as store:
        with pytest.raises(AuthServiceUnavailable), store.carrying() as raw:
            raw.executemany(sql, [("a",), ("b", "one too many")])
        assert store.tally("used_once") == 0


def carry(store, number=0, rows=3_000) -> None:
    """Put rows that leave pages in the write-ahead log."""
    store.put(
        "used_once", [{"id": f"{number} {n} {'x' * 200}", "expires_at": 1} for n in range(rows)]
    )


def log_bytes(path) -> int:
    """Return how long the write-ahead log is."""
    return path.with_name(f"{path.name}-wal").stat().st_size


def test_what_was_carried_is_laid_over_the_file_by_the_next_call(path):
    """The log is empty again, each time."""
    with contextlib.closing(SQLiteStore(path)) as store:
        store.ping()
        carry(store)
        assert log_bytes(path) > 0
        store.ping()
        assert log_bytes(path) == 0
        carry(store, 1)
        assert log_bytes(path) > 0
        assert store.tally("used_once") == 6_000
        assert log_bytes(path) == 0


def test_nobody_who_reads_is_disturbed_by_what_was_carried(path):
    """The log stays as it is; what is read is of one moment; and nobody waits for it."""
    with contextlib.closing(SQLiteStore(path, busy_timeout=120)) as store:
        carry(store)
        reader = sqlite3.connect(path, isolation_level=None)
        with contextlib.closing(reader):
            reader.execute("BEGIN")
            count = "SELECT count(*) FROM used_once"
            assert reader.execute(count).fetchone() == (3_000,)
            carry(store, 1)
            started = time.monotonic()
            store.ping()
            assert time.monotonic() - started < 60
            assert log_bytes(path) > 0
            assert reader.execute(count).fetchone() == (3_000,)
        assert store.tally("used_once") == 6_000


def test_the_memory_for_what_is_carried_is_free_after_the_commit(path):
    """Also where the thread never does anything else with the store."""
    done = []
    with contextlib.closing(SQLiteStore(path)) as store:
        with store.carrying() as raw:
            raw.set_trace_callback(done.append)
        raw.set_trace_callback(None)
    assert done == ["COMMIT", "PRAGMA shrink_memory"]


@pytest.mark.parametrize("refused", [False, True])
def test_the_memory_for_what_is_carried_goes_with_the_next_call(path, refused):
    """The connection that has it is closed, whatever became of what it carried."""
    with contextlib.closing(SQLiteStore(path)) as store:
        with contextlib.suppress(ZeroDivisionError), store.carrying() as raw:
            assert 1 / (not refused)
        raw.execute("SELECT 1")
        store.ping()
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            raw.execute("SELECT 1")


def test_a_log_that_cannot_be_laid_over_the_file_fails_no_other_call(path, monkeypatch):
    """What was carried is in the log, and is read from there."""

    def fails(_connection):
        raise sqlite3.OperationalError("disk I/O error")

    with contextlib.closing(SQLiteStore(path)) as store:
        carry(store)
        monkeypatch.setattr("tokenward.repositories.sqlite._store.settle", fails)
        assert store.tally("used_once") == 3_000


def test_a_thread_that_carries_may_read_meanwhile(path):
    """What was there before it began, and without waiting for itself."""
    with contextlib.closing(SQLiteStore(path)) as store:
        carry(store)
        with store.carrying() as raw:
            raw.execute("DELETE FROM used_once")
            assert store.tally("used_once") == 3_000
        assert store.tally("used_once") == 0


def test_what_was_carried_is_laid_over_the_file_once(path, monkeypatch):
    """Later calls have nothing to do with it."""
    settled = []
    with contextlib.closing(SQLiteStore(path)) as store:
        carry(store)
        monkeypatch.setattr("tokenward.repositories.sqlite._store.settle", settled.append)
        store.ping()
        store.ping()
    assert len(settled) == 1
