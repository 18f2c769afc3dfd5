from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sqlite3
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from tokenward.errors import ConfigurationError
from tokenward.repositories import SQLiteUserRepository
from tokenward.repositories.sqlite._open import check_sqlite


def sentence(caught) -> str:
    """Return the message, seen to be one sentence."""
    message = str(caught.value)
    assert "\n" not in message
    return message


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@contextlib.contextmanager
def umask(mask: int):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def raw(path: Path):
    """A connection as any other program would make it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o377, 0o777])
def test_a_store_is_readable_by_its_owner_only(path, open_store, register, mask):
    """The files are 0600 from their first moment, whatever the umask."""
    with umask(mask):
        register(open_store(), "alice")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_a_store_is_never_readable_by_others_for_a_moment(open_store, monkeypatch):
    """The file is born private; that its mode is set again only adds what a umask took away."""
    modes = []
    fchmod = os.fchmod

    def watched(descriptor, mode):
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", watched)
    with umask(0):
        open_store()
    assert modes == [0o600]


def test_a_closed_store_is_one_file(path, open_store, register):
    """Nothing is left in a write-ahead log that a backup might miss."""
    repositories = open_store()
    register(repositories, "alice")
    repositories.close()
    assert files(path.parent) == ["store.db"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610, 0o777])
def test_a_store_open_to_others_is_refused_with_the_command_that_helps(path, open_store, mode):
    """It holds keys; the command in the message mends it as it stands."""
    open_store().close()
    path.chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        open_store()
    command = sentence(caught).partition("run: ")[2]
    assert command == f"chmod 600 {shlex.quote(str(path))}"
    subprocess.run(shlex.split(command), check=True)
    open_store().ping()


def test_a_write_ahead_log_open_to_others_is_refused(path, open_store):
    """What is not checkpointed yet is as secret as the rest."""
    open_store().close()
    log = path.with_name("store.db-wal")
    log.write_bytes(b"")
    log.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"chmod 600 .*-wal"):
        open_store()


def test_a_store_that_is_missing_is_not_made_unasked(path, open_store):
    """A service that starts with a wrong path does not start with an empty store."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(create=False)
    assert sentence(caught) == (
        f"There is no store at {path}; make one with `tokenward store init`."
    )
    assert files(path.parent) == []


@pytest.mark.parametrize("create", [True, False])
def test_an_empty_file_is_a_store_still_to_be_made(path, open_store, create):
    """What a process leaves that died in the first moment is finished by the next."""
    path.touch(0o600)
    if create:
        open_store(create=True).ping()
    else:
        with pytest.raises(ConfigurationError, match="There is no store at"):
            open_store(create=False)
        assert path.read_bytes() == b""


def test_a_store_that_is_there_is_opened_and_not_made_again(path, open_store, register):
    """`create` is no wish for an empty store."""
    register(open_store(create=True), "alice")
    for create in (True, False):
        assert open_store(create=create).users.count() == 1


def test_a_symbolic_link_leads_to_the_store(path, open_store, tmp_path):
    """The store is where the link points, with its write-ahead log beside it."""
    (tmp_path / "data").mkdir()
    path.symlink_to(tmp_path / "data" / "real.db")
    open_store().ping()
    assert files(tmp_path / "data") == ["real.db", "real.db-shm", "real.db-wal"]


def make_missing_folder(path: Path) -> Path:
    return path.parent / "missing" / "store.db"


def make_file_as_folder(path: Path) -> Path:
    path.write_bytes(b"")
    return path / "store.db"


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def make_link_loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def make_pipe(path: Path) -> Path:
    os.mkfifo(path, 0o600)
    return path


def make_long_name(path: Path) -> Path:
    return path.parent / ("x" * 300)


def make_kernel_folder(_path: Path) -> Path:
    return Path("/proc/self/store.db")


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_missing_folder, "does not exist|There is no store"),
        (make_file_as_folder, "cannot be made|There is no store"),
        (make_folder, "is not a file"),
        (make_link_loop, "path"),
        (make_pipe, "is not a file"),
        (make_long_name, "cannot be"),
        (make_kernel_folder, "does not exist|cannot be made|There is no store"),
    ],
)
def test_a_place_where_no_store_can_be_is_a_configuration_error(path, make, words, create):
    """Each is one sentence at start-up, for root too, and leaves nothing behind."""
    place = make(path)
    before = files(path.parent)
    with pytest.raises(ConfigurationError, match=words) as caught:
        SQLiteUserRepository(place, create=create)
    assert sentence(caught).endswith(".")
    assert files(path.parent) == before


@pytest.mark.parametrize("place", ["", ":memory:", "a\0b", b"store.db", None, 5])
def test_what_is_no_path_is_a_configuration_error(place, tmp_path, monkeypatch):
    """SQLite has special names; none of them makes a store that vanishes."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="needs the path of a file"):
        SQLiteUserRepository(place)
    assert files(tmp_path) == []


@pytest.fixture
def as_ordinary_user():
    """Runs a function in a child process that is not root, in a folder of its own.

    The function gets the folder; what it returns comes back as text.
    """
    folder = Path(tempfile.mkdtemp())
    nobody = 65_534

    def run(function) -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.chown(folder, nobody, nobody)
                    os.setgroups([])
                    os.setgid(nobody)
                    os.setuid(nobody)
                os.write(writer, function(folder).encode())
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        answer = os.read(reader, 10_000)
        os.close(reader)
        return answer.decode()

    yield run
    folder.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o400, 0o700), (0o600, 0o500), (0o000, 0o700), (None, 0o500)]
)
def test_a_store_that_cannot_be_written_is_a_configuration_error(
    as_ordinary_user, file_mode, folder_mode
):
    """Found at start-up and not at the first login."""

    def refused(folder: Path) -> str:
        place = folder / "store.db"
        if file_mode is not None:
            SQLiteUserRepository(place).close()
            place.chmod(file_mode)
        folder.chmod(folder_mode)
        try:
            SQLiteUserRepository(place)
        except ConfigurationError as error:
            return str(error)
        return "opened"

    said = as_ordinary_user(refused)
    assert re.search("let this process write|in which this process may make files", said), said
    assert "store.db" in said


@pytest.mark.parametrize("size", [10, 100, 5_000, 100_000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path, open_store, size):
    """Somebody's document is not overwritten because of a wrong path."""
    content = (b"# My diary\n" * 10_000)[:size]
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"is not a SQLite database|is damaged") as caught:
        open_store()
    assert sentence(caught).startswith(("The store", str(path)))
    assert path.read_bytes() == content
    assert files(path.parent) == ["store.db"]


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["CREATE TABLE users (id)"], id="tables"),
        pytest.param(["CREATE TABLE t (id)", "DROP TABLE t", "PRAGMA user_version = 1"], id="used"),
        pytest.param(["PRAGMA application_id = 42"], id="marked"),
        pytest.param(["PRAGMA journal_mode = WAL", "CREATE TABLE t (id)"], id="WAL"),
    ],
)
def test_a_database_of_another_program_is_refused_and_left_alone(path, open_store, statements):
    """Its tables may have our names; it is not ours."""
    with raw(path) as connection:
        for statement in statements:
            connection.execute(statement)
    path.chmod(0o600)
    content = path.read_bytes()
    with pytest.raises(ConfigurationError, match="of another program") as caught:
        open_store()
    assert str(path) in sentence(caught)
    assert path.read_bytes() == content
    assert files(path.parent) == ["store.db"]


def test_a_store_of_a_newer_version_is_refused_and_left_alone(path, open_store):
    """An older program does not write what a newer one has to read."""
    open_store().close()
    with raw(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    content = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"newer tokenward .* upgrade"):
        open_store()
    assert path.read_bytes() == content


def make_filled(open_store, register) -> None:
    repositories = open_store()
    register(repositories, "alice")
    for n in range(300):
        repositories.tokens.revoke(f"{n}" * 60, n)
    repositories.close()


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // 4096, 2):
            file.seek(page * 4096 + 100)
            file.write(os.urandom(2_000))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def disorder(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'users'")


@pytest.mark.parametrize("damage", [overwrite, truncate, disorder])
def test_a_damaged_store_is_refused_at_start(path, open_store, register, damage):
    """Better no service than one that loses more with every write."""
    make_filled(open_store, register)
    damage(path)
    with pytest.raises(ConfigurationError, match=r"is damaged .* restore a backup") as caught:
        open_store()
    assert str(path) in sentence(caught)


def test_the_file_says_whose_it_is(path, open_store):
    """Tools like `file` can tell it from other databases."""
    open_store().close()
    assert path.read_bytes()[68:72] == b"tokw"


def test_a_backup_put_back_is_the_store(path, open_store, register, tmp_path):
    """A closed store is copied like any file."""
    repositories = open_store()
    register(repositories, "alice")
    repositories.close()
    backup = path.read_bytes()
    register(repositories, "bob")
    repositories.close()
    path.write_bytes(backup)
    assert open_store(create=False).users.count() == 1


@pytest.mark.parametrize("version", [(3, 36, 0), (3, 7, 17)])
def test_an_sqlite_without_strict_tables_is_refused(version):
    """The message names both versions instead of a syntax error."""
    with pytest.raises(ConfigurationError, match=r"3\.37\.0 or newer.* brings 3\."):
        check_sqlite(version)
    check_sqlite((3, 37, 0))
