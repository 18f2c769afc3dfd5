from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from tokenward.repositories import open_repositories
from tokenward.repositories.sqlite import SQLiteStore
from tokenward.schemas import RegisterRequest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def repositories(path):
    """A store with a connection open in this thread."""
    opened = open_repositories(f"sqlite:///{path}", bcrypt_cost=4)
    opened.ping()
    yield opened
    opened.close()


def register(repositories, name: str) -> None:
    repositories.users.create(
        RegisterRequest(username=name, email=f"{name}@example.com", password="secret1")
    )


def open_files(path: Path) -> list[str]:
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(str(entry.readlink()))
    return sorted(name for name in names if name.startswith(str(path)))


def fork(function) -> int:
    """Run ``function`` in a child; return the child's process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        function()
        code = 0
    finally:
        os._exit(code)


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_inherits_no_connection(path, repositories):
    """Neither a descriptor of the store nor SQLite's account of its locks crosses a fork."""
    assert open_files(path)

    def check() -> None:
        assert open_files(path) == []
        repositories.ping()
        assert open_files(path)

    assert exit_code(fork(check)) == 0
    assert open_files(path) == []
    repositories.ping()


def test_a_child_inherits_no_connection_that_counts(path, repositories):
    """Counters have connections of their own, and those do not cross a fork either."""

    def count() -> int:
        return repositories.counters.add(["a"], 1, now=1, expires_at=5)[0][0]

    assert count() == 1

    def check() -> None:
        assert open_files(path) == []
        assert count() == 2

    assert exit_code(fork(check)) == 0
    assert open_files(path) == []
    assert count() == 3


def test_parent_and_children_write_side_by_side(path, repositories):
    """Workers forked from one that used the store lose nothing and damage nothing."""
    register(repositories, "parent")

    def write(worker: int) -> None:
        for n in range(20):
            register(repositories, f"child{worker}-{n}")

    children = [fork(lambda worker=worker: write(worker)) for worker in range(3)]
    for n in range(20):
        register(repositories, f"parent{n}")
    assert [exit_code(child) for child in children] == [0, 0, 0]
    assert repositories.users.count() == 1 + 20 + 3 * 20
    repositories.close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()


def test_a_child_takes_locks_of_its_own(path, repositories):
    """SQLite counts locks in memory; with an inherited count the kernel would know of none."""

    def locked_by_us() -> bool:
        lines = [line.split() for line in Path("/proc/locks").read_text("ascii").splitlines()]
        inode = str(path.stat().st_ino)
        return any(
            fields[4] == str(os.getpid()) and fields[5].split(":")[2] == inode
            for fields in lines
            if fields[1] == "POSIX"
        )

    def check() -> None:
        assert not locked_by_us()
        repositories.ping()
        assert locked_by_us()

    repositories.ping()
    assert locked_by_us()
    assert exit_code(fork(check)) == 0


def test_a_fork_waits_for_a_write_to_end(path, repositories):
    """A child never starts in the middle of another thread's transaction."""
    inside, finish = threading.Event(), threading.Event()
    store = repositories.users.store

    def write() -> None:
        with store.writing() as raw:
            raw.execute("INSERT INTO revocations (jti, expires_at) VALUES ('a', 1)")
            inside.set()
            finish.wait(120)

    def check() -> None:
        assert repositories.tokens.is_revoked("a")
        repositories.tokens.revoke("b", 1)

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(120)
    threading.Timer(0.1, finish.set).start()
    assert exit_code(fork(check)) == 0
    writer.join(120)
    assert repositories.tokens.is_revoked("b")


def test_threads_of_a_child_have_connections_too(repositories):
    """A forked worker with threads of its own: nothing the fork held is still held there."""

    def check() -> None:
        revoked = threading.Thread(target=repositories.tokens.revoke, args=("a", 1))
        revoked.start()
        revoked.join(120)
        assert not revoked.is_alive()

    assert exit_code(fork(check)) == 0
    assert repositories.tokens.is_revoked("a")


def test_a_connection_that_does_not_come_free_is_left_alone_in_the_child(path, repositories):
    """The child neither closes what its parent is writing with nor waits for it for ever."""
    inside, finish = threading.Event(), threading.Event()
    store = SQLiteStore(path, busy_timeout=0.01)

    def write() -> None:
        with store.writing() as raw:
            raw.execute("INSERT INTO revocations (jti, expires_at) VALUES ('a', 1)")
            inside.set()
            finish.wait(120)

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(120)

    def check() -> None:
        gc.collect()
        assert open_files(path)
        assert list(store._connections) == []
        assert store.rows("SELECT jti FROM revocations") == []

    assert exit_code(fork(check)) == 0
    finish.set()
    writer.join(120)
    assert repositories.tokens.is_revoked("a")
    store.close()


def test_forks_and_threads_that_open_connections_do_not_lock_each_other_up(path, repositories):
    """Threads keep coming and going while the process forks."""
    stop = threading.Event()
    failures = []

    def work() -> None:
        while not stop.is_set():
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join(120)

    def attempt() -> None:
        try:
            repositories.tokens.revoke("a", 1)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes = [exit_code(fork(lambda: repositories.tokens.revoke("b", 1))) for _ in range(20)]
    stop.set()
    for thread in threads:
        thread.join(120)
    assert codes == [0] * 20
    assert failures == []
    assert repositories.tokens.is_revoked("b")


def test_a_child_of_a_child_has_connections_too(repositories):
    """A server that forks workers which fork again."""

    def grandchild() -> None:
        repositories.tokens.revoke("a", 1)

    def child() -> None:
        repositories.ping()
        assert exit_code(fork(grandchild)) == 0

    assert exit_code(fork(child)) == 0
    assert repositories.tokens.is_revoked("a")
