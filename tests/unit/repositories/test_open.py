from __future__ import annotations

import subprocess
import sys

import pytest

import tokenward.repositories
from tokenward.errors import ConfigurationError
from tokenward.repositories import (
    MemoryUserRepository,
    Repositories,
    SQLiteCounterRepository,
    SQLiteKeyRepository,
    SQLiteTokenRepository,
    SQLiteUserRepository,
    check_store_url,
    open_repositories,
)


def test_three_slashes_are_a_path_from_the_working_directory(tmp_path, monkeypatch):
    """The form everybody knows; the working directory may change later."""
    monkeypatch.chdir(tmp_path)
    repositories = open_repositories("sqlite:///store.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    repositories.ping()
    repositories.close()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "store.db").is_file()


def test_four_slashes_are_an_absolute_path(tmp_path):
    """The fourth slash is the path's own."""
    open_repositories(f"sqlite:///{tmp_path}/store.db").close()
    assert (tmp_path / "store.db").is_file()


@pytest.mark.parametrize("name", ["a b.db", "a%20b.db", "ünï.db", "a&b=c.db", "store", "a'b\".db"])
def test_a_file_name_is_taken_as_it_stands(tmp_path, name):
    """Nothing in it is decoded or understood as an option."""
    open_repositories(f"sqlite:///{tmp_path}/{name}").close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_sqlite_repositories_share_one_file(tmp_path):
    """Users, tokens and keys are in one store, and stay when it is closed."""
    repositories = open_repositories(f"sqlite:///{tmp_path}/store.db")
    assert isinstance(repositories.users, SQLiteUserRepository)
    assert isinstance(repositories.tokens, SQLiteTokenRepository)
    assert isinstance(repositories.keys, SQLiteKeyRepository)
    assert isinstance(repositories.counters, SQLiteCounterRepository)
    assert repositories.users.store is repositories.tokens.store is repositories.keys.store
    assert repositories.counters.store is repositories.store is repositories.users.store
    repositories.tokens.revoke("a", 1)
    repositories.close()
    again = SQLiteTokenRepository(tmp_path / "store.db", create=False)
    assert again.is_revoked("a")
    again.close()


def test_using_a_closed_store_opens_it_again(tmp_path):
    """Closing gives connections back; it takes nothing away."""
    repositories = open_repositories(f"sqlite:///{tmp_path}/store.db")
    repositories.close()
    repositories.tokens.revoke("a", 1)
    assert repositories.tokens.is_revoked("a")
    repositories.close()


def test_memory_repositories_are_new_each_time():
    """What one test stores, the next does not find."""
    first, second = open_repositories("memory://"), open_repositories("memory://")
    first.tokens.revoke("a", 1)
    assert not second.tokens.is_revoked("a")
    first.ping()
    first.close()
    assert first.tokens.is_revoked("a")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/store.db"])
def test_cost_and_clock_reach_what_needs_them(tmp_path, url):
    """What the configuration says is what the repositories do."""
    repositories = open_repositories(
        url.format(tmp_path), bcrypt_cost=5, clock=lambda: 1_700_000_000.9
    )
    assert repositories.users.hasher.cost == 5
    assert repositories.users._now() == 1_700_000_000
    assert repositories.tokens.use_once("a", 1_700_000_000) is True
    assert repositories.tokens.use_once("a", 1_700_000_001) is True
    assert repositories.tokens.use_once("a", 1_700_000_001) is False
    repositories.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "store.db",
        "/var/lib/store.db",
        "sqlite",
        "sqlite:",
        "sqlite:/store.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///folder/",
        "sqlite://store.db",
        "sqlite://host/store.db",
        "sqlite:///:memory:",
        "sqlite:///store.db?mode=ro",
        "sqlite:///store.db#x",
        "sqlite:///store\0.db",
        "SQLITE:///store.db",
        "sqlite+pysqlite:///store.db",
        "memory",
        "memory:",
        "memory://x",
        "mongodb",
        "mongodb:/host/db",
        "mongodb+tls://host/db",
        "MongoDB://host/db",
        "postgresql://host/db",
        None,
        5,
    ],
)
def test_a_url_that_names_no_store_is_a_configuration_error(url, tmp_path, monkeypatch):
    """The message says in one sentence what a URL looks like; no file is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"memory://|leave out") as caught:
        open_repositories(url)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_password_in_a_url_is_in_no_message():
    """The URL of a database server holds one."""
    with pytest.raises(ConfigurationError) as caught:
        open_repositories("mysql://root:hunter2@db/x")
    assert "hunter2" not in str(caught.value)
    assert "mysql" in str(caught.value)


@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
@pytest.mark.parametrize(
    "rest",
    [
        "host/tokenward",
        "host:27017/tokenward",
        "a.example:1,b.example:2,[::1]:3/auth-db_2?replicaSet=rs0&w=majority",
        "root:p%2Fw%40%3A@host/tokenward?authSource=admin",
        f"host/{'x' * 63}",
    ],
)
def test_a_url_of_a_mongodb_database_is_taken_apart(scheme, rest):
    """The driver gets it as it stands; nothing is asked of a server for that."""
    assert check_store_url(f"{scheme}://{rest}") == (scheme, rest)


@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("", "names no server"),
        ("/tokenward", "names no server"),
        ("root:hunter2@host", "names no database"),
        ("root:hunter2@host/", "names no database"),
        ("root:hunter2@host/?authSource=admin", "names no database"),
        ("root:hunter2@host?authSource=admin", "names no database"),
        ("root:hun/ter2@host/tokenward", "does not end in the name of a database"),
        ("host/token.ward", "does not end in the name of a database"),
        ("host/token ward", "does not end in the name of a database"),
        ("host/token%20ward", "does not end in the name of a database"),
        ("host/tokenward/", "does not end in the name of a database"),
        ("host/$db", "does not end in the name of a database"),
        ("host/tokenward\n", "does not end in the name of a database"),
        (f"host/{'x' * 64}", "does not end in the name of a database"),
    ],
)
def test_a_url_without_a_mongodb_database_is_a_configuration_error(scheme, rest, words):
    """The message says how one is written, and shows nothing that may be a password."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        open_repositories(f"{scheme}://{rest}")
    message = str(caught.value)
    assert message.startswith(f"{scheme}://… ")
    assert message.endswith(".")
    assert "ter2" not in message
    assert "hun" not in message


def test_a_mongodb_store_without_its_driver_says_what_to_install():
    """The driver is an extra; who uses SQLite does without."""
    program = (
        "import sys; sys.modules['pymongo'] = None\n"
        "from tokenward.errors import ConfigurationError\n"
        "from tokenward.repositories import open_repositories\n"
        "try: open_repositories('mongodb://root:hunter2@127.0.0.1:1/db')\n"
        "except ConfigurationError as error: print(error, error.__cause__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout == "A MongoDB store needs pymongo: install tokenward[mongo]. None\n"


def test_a_cost_out_of_bounds_leaves_no_file(tmp_path):
    """What is wrong in the configuration is found before anything is made."""
    with pytest.raises(ConfigurationError, match="cost"):
        open_repositories(f"sqlite:///{tmp_path}/store.db", bcrypt_cost=99)
    assert list(tmp_path.iterdir()) == []


def test_repositories_can_be_put_together_by_hand():
    """Without a store behind them there is nothing to ping or close."""
    memory = open_repositories("memory://")
    own = Repositories(users=MemoryUserRepository(), tokens=memory.tokens, keys=memory.keys)
    own.ping()
    own.close()


def test_the_public_names_are_there_and_no_others():
    """`__all__` is what the documentation lists."""
    for name in tokenward.repositories.__all__:
        found = getattr(tokenward.repositories, name)
        assert name.isupper() or found.__name__ == name
    names = tokenward.repositories.__all__
    assert sorted(names, key=lambda name: (not name.isupper(), name)) == names
    for name in ("SQLiteNothing", "Memory", "nothing"):
        with pytest.raises(AttributeError, match=name):
            getattr(tokenward.repositories, name)


def test_no_driver_is_loaded_before_it_is_needed():
    """A program that keeps its users elsewhere pays for no database."""
    program = (
        "import sys, tokenward.repositories as r; name = 'tokenward.repositories.sqlite';"
        "print(name in sys.modules); r.SQLiteUserRepository; print(name in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"False", b"True"]
