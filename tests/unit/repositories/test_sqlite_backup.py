from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
import threading

import pytest

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.repositories import KINDS, Family, SQLiteUserRepository, StoredKey, open_repositories
from tokenward.repositories.sqlite._schema import MIGRATIONS

NOW = 1_700_000_000


@pytest.fixture
def target(tmp_path):
    """Where the backup is to be, in a folder of its own."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "backup.db"


def everything(repositories) -> list:
    store = repositories.store
    return [repositories.keys.load(), *(store.records(kind) for kind in KINDS)]


def fill(repositories, register) -> None:
    register(repositories, "alice")
    repositories.keys.replace(0, [StoredKey("kid", "ES256", "current", b"sealed", NOW)])
    tokens = repositories.tokens
    tokens.start_family(Family("f", "s", "c", ("a",), 0, NOW, NOW, 2**40), b"1" * 32)
    tokens.rotate(b"1" * 32, b"2" * 32, 2**40)
    tokens.revoke("jti", NOW)
    tokens.use_once("key", NOW)
    tokens.put_one_time(b"3" * 32, "reset", "alice", NOW)


def test_a_backup_is_the_store(open_store, register, target):
    """Everything is in it, keys too, and it opens like any store."""
    repositories = open_store()
    fill(repositories, register)
    repositories.store.backup(target)
    copy = open_repositories(f"sqlite:///{target}", create=False, bcrypt_cost=4)
    assert everything(copy) == everything(repositories)
    assert copy.users.get_by_username("alice") == repositories.users.get_by_username("alice")
    copy.close()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_a_backup_is_one_file_that_its_owner_alone_can_read(open_store, target, mask):
    """It holds what the store holds; nothing else is left in the folder."""
    store = open_store().store
    before = os.umask(mask)
    try:
        store.backup(str(target))
    finally:
        os.umask(before)
    assert list(target.parent.iterdir()) == [target]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.stat().st_nlink == 1


def test_a_store_goes_on_after_its_backup(path, open_store, register, target):
    """The backup stays as it was at its moment."""
    repositories = open_store()
    register(repositories, "alice")
    repositories.store.backup(target)
    content = target.read_bytes()
    register(repositories, "bob")
    assert repositories.users.count() == 2
    repositories.close()
    assert target.read_bytes() == content
    assert path.exists()


def test_a_backup_has_what_is_still_in_the_write_ahead_log(path, open_store, register, target):
    """A copy of the file alone would miss it."""
    repositories = open_store()
    register(repositories, "alice")
    assert b"alice@example.com" not in path.read_bytes()
    repositories.store.backup(target)
    copy = SQLiteUserRepository(target, create=False)
    assert copy.count() == 1
    copy.close()


def test_a_backup_put_in_the_place_of_the_store_is_the_store(path, open_store, register, target):
    """Restoring is stopping, copying one file, and starting."""
    repositories = open_store()
    register(repositories, "alice")
    repositories.store.backup(target)
    register(repositories, "bob")
    repositories.close()
    shutil.copy(target, path)
    restored = open_store(create=False)
    assert [user.username for user in restored.users.get_active_users()] == ["alice"]
    register(restored, "carol")
    assert restored.users.count() == 2


@pytest.mark.parametrize("content", [b"", b"# My diary\n"])
def test_nothing_is_overwritten(open_store, target, content):
    """Not even an empty file: somebody else may be making a backup there."""
    store = open_store().store
    target.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"There is something at .*; choose another path"):
        store.backup(target)
    assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_neither_the_store_nor_a_folder_is_overwritten(path, open_store, register, target):
    """A backup onto the store itself would be the end of both."""
    repositories = open_store()
    register(repositories, "alice")
    for place in (path, target.parent):
        with pytest.raises(ConfigurationError, match="There is something at"):
            repositories.store.backup(place)
    assert repositories.users.count() == 1
    assert list(target.parent.iterdir()) == []


def test_a_backup_made_by_another_meanwhile_is_not_overwritten(open_store, target, monkeypatch):
    """Its name is given in one step, which fails where there is something."""
    store = open_store().store
    link = os.link

    def late(source, destination):
        target.write_bytes(b"another's")
        link(source, destination)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(ConfigurationError, match="There is something at"):
        store.backup(target)
    assert target.read_bytes() == b"another's"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("missing/backup.db", "No such file or directory.*choose a folder"),
        ("backups/" + "x" * 255, "choose a folder|There is something"),
        ("backups/" + "x" * 256, "too long.*choose a folder"),
        ("store.db/backup.db", "Not a directory.*choose a folder"),
    ],
)
def test_a_place_where_no_backup_can_be_is_a_configuration_error(
    open_store, target, tmp_path, place, words
):
    """One sentence, and nothing is left behind."""
    store = open_store().store
    if len(place) == len("backups/") + 255:
        store.backup(tmp_path / place)
        (tmp_path / place).unlink()
    else:
        with pytest.raises(ConfigurationError, match=words):
            store.backup(tmp_path / place)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("place", ["", ":memory:", "a\0b", None, 5])
def test_what_is_no_path_is_a_configuration_error(open_store, place):
    """SQLite's special names make no backup that vanishes."""
    with pytest.raises(ConfigurationError, match="needs the path of a file"):
        open_store().store.backup(place)


def test_a_full_disk_leaves_no_half_of_a_backup(open_store, register, target):
    """The store goes on, and the message says what is the matter."""
    repositories = open_store()
    register(repositories, "alice")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        with pytest.raises(ConfigurationError, match=r"backup .* cannot be made .*with room"):
            repositories.store.backup(target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(target.parent.iterdir()) == []
    assert repositories.users.count() == 1
    repositories.store.backup(target)


def test_a_damaged_store_makes_no_backup(path, open_store, register, target):
    """The copy is opened and checked before it counts: nobody finds out at the restoring."""
    repositories = open_store()
    for n in range(300):
        repositories.tokens.revoke(f"{n:03}" * 20, n)
    repositories.close()
    content = bytearray(path.read_bytes())
    at = content.index(b"299" * 20) // 4_096 * 4_096
    content[at : at + 20] = b"\xff" * 20
    path.write_bytes(content)
    assert repositories.users.count() == 0
    with pytest.raises(ConfigurationError, match=r"is damaged .*restore a backup"):
        repositories.store.backup(target)
    assert list(target.parent.iterdir()) == []
    # What is in the way is found before anything is copied.
    with pytest.raises(ConfigurationError, match="There is something at"):
        repositories.store.backup(path)


def test_a_store_that_is_gone_makes_no_backup(path, open_store, target):
    """An outage is told as one."""
    repositories = open_store()
    repositories.ping()
    path.unlink()
    with pytest.raises(AuthServiceUnavailable):
        repositories.store.backup(target)
    assert list(target.parent.iterdir()) == []


def test_a_store_without_its_tables_makes_no_backup(open_store, target):
    """What is copied is a store, or nothing is."""
    repositories = open_store()
    repositories.store.write(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigurationError, match="newer tokenward"):
        repositories.store.backup(target)
    assert list(target.parent.iterdir()) == []


def test_a_backup_waits_for_nobody_and_nobody_for_it(path, open_store, register, target):
    """Somebody in the middle of a write is not in the copy, and goes on afterwards."""
    repositories = open_store()
    register(repositories, "alice")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM users")
    repositories.store.backup(target)
    other.execute("ROLLBACK")
    other.close()
    copy = SQLiteUserRepository(target, create=False)
    assert copy.count() == 1
    copy.close()


def test_a_backup_under_load_is_the_store_at_one_moment(open_store, target):
    """Of what others write meanwhile each change is in it whole, with all before it."""
    repositories = open_store()
    stop = threading.Event()
    started = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            with repositories.store.writing() as raw:
                row = (f"{n:06}", n)
                raw.execute("INSERT INTO revocations VALUES (?, ?)", row)
                raw.execute("INSERT INTO used_once VALUES (?, ?)", row)
            n += 1
            started.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert started.wait(90)
    try:
        for n in range(5):
            repositories.store.backup(target.with_name(f"{n}.db"))
    finally:
        stop.set()
        thread.join(90)
    for n in range(5):
        copy = open_repositories(f"sqlite:///{target.with_name(f'{n}.db')}", create=False)
        rows = copy.store.rows("SELECT jti, expires_at FROM revocations ORDER BY jti")
        assert rows == copy.store.rows("SELECT key, expires_at FROM used_once ORDER BY key")
        assert [at for _jti, at in rows] == list(range(len(rows)))
        assert rows
        copy.close()
