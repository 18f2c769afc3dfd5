from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from tokenward.errors import UserAlreadyExists
from tokenward.passwords import limit_hashing
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest, RegisterRequest

SAME = ["alice", "ALICE", " Alice ", "\uff21lice"]

# Waits for a line on its standard input, so that all processes begin together.
REGISTER = """
import sys
from tokenward.errors import UserAlreadyExists
from tokenward.repositories import open_repositories
from tokenward.schemas import RegisterRequest

url, number, names = sys.argv[1], sys.argv[2], sys.argv[3].split("|")
if not sys.argv[4:]:
    users = open_repositories(url, create=False, bcrypt_cost=4).users
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[4:]:
    users = open_repositories(url, bcrypt_cost=4).users
for at, name in enumerate(names):
    try:
        users.create(RegisterRequest(
            username=name, email=f"{number}-{at}@example.com", password="secret1"
        ))
        print("created", at, flush=True)
    except UserAlreadyExists:
        print("exists", at, flush=True)
"""

# Says what is done only after it is done.
WRITE_ON = """
import itertools, sys
from tokenward.repositories import open_repositories
from tokenward.repositories import StoredKey
from tokenward.schemas import RegisterRequest

url, number = sys.argv[1:]
store = open_repositories(url, create=False, bcrypt_cost=4)
for n in itertools.count():
    name = f"{number}-{n}"
    store.users.create(RegisterRequest(
        username=name, email=f"{name}@example.com", password="secret1"
    ))
    print("user", name, flush=True)
    store.users.set_roles(name, [name, "second"])
    print("roles", name, flush=True)
    store.tokens.revoke(name, 1)
    print("token", name, flush=True)
    version, keys = store.keys.load()
    new = [StoredKey(f"{name} {k}", "ES256", "next", b"x" * 3000, n) for k in range(3)]
    if store.keys.replace(version, new):
        print("keys", version + 1, flush=True)
"""


@pytest.fixture(params=["memory://", "sqlite:///{}/store.db"], ids=["memory", "sqlite"])
def repositories(request, tmp_path):
    """A new store of each kind, with room for every hash."""
    limit_hashing(concurrent=2, waiting=100)
    opened = open_repositories(request.param.format(tmp_path), bcrypt_cost=4)
    yield opened
    opened.close()
    limit_hashing()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/store.db"


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def together(processes) -> list[list[str]]:
    """Let processes that are ready begin at once; return what each printed."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=300)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return printed


def test_of_32_threads_that_want_one_name_one_gets_it(repositories):
    """The others are told that it is taken; none sees another error."""
    barrier = threading.Barrier(32)
    outcomes = []

    def register(n: int) -> None:
        request = RegisterRequest(
            username=SAME[n % len(SAME)], email=f"{n}@example.com", password=f"secret{n}"
        )
        barrier.wait(120)
        try:
            outcomes.append((n, repositories.users.create(request)))
        except UserAlreadyExists as error:
            outcomes.append((n, error))

    threads = [threading.Thread(target=register, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert len(outcomes) == 32
    (winner,) = [n for n, outcome in outcomes if not isinstance(outcome, UserAlreadyExists)]
    assert repositories.users.count() == 1
    credentials = LoginRequest(username="alice", password=f"secret{winner}")
    assert repositories.users.verify_credentials(credentials).email == f"{winner}@example.com"


def test_of_32_threads_that_want_one_address_one_gets_it(repositories):
    """The address is as unique as the name."""
    barrier = threading.Barrier(32)
    created = []

    def register(n: int) -> None:
        request = RegisterRequest(
            username=f"user{n}", email="Alice@Example.com", password="secret1"
        )
        barrier.wait(120)
        with contextlib.suppress(UserAlreadyExists):
            created.append(repositories.users.create(request).username)

    threads = [threading.Thread(target=register, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert [user.username for user in repositories.users.get_active_users()] == created
    assert len(created) == 1


def test_of_several_processes_that_want_the_same_names_one_gets_each(url):
    """Uniqueness is the store's, whoever writes to it."""
    open_repositories(url).close()
    names = [f"name{n}" for n in range(20)]
    processes = [start(REGISTER, url, str(n), "|".join(names)) for n in range(4)]
    printed = together(processes)
    for at in range(len(names)):
        outcomes = sorted(lines[at] for lines in printed)
        assert outcomes == [f"created {at}"] + [f"exists {at}"] * 3
    users = open_repositories(url, create=False).users
    assert sorted(user.username for user in users.get_active_users()) == sorted(names)


def test_of_several_processes_that_make_one_store_each_gets_it(url):
    """Workers that start together on an empty folder end up in one store."""
    processes = [start(REGISTER, url, str(n), f"user{n}|same", "create") for n in range(4)]
    printed = together(processes)
    assert [lines[0] for lines in printed] == ["created 0"] * 4
    assert sorted(lines[1] for lines in printed) == ["created 1"] + ["exists 1"] * 3
    assert open_repositories(url, create=False).users.count() == 5


@pytest.mark.parametrize("round_", range(3))
def test_nothing_acknowledged_is_lost_when_writers_are_killed(url, tmp_path, round_):
    """Kill -9 in the middle of anything: what was said to be done is there, and whole."""
    open_repositories(url).close()
    writers = [start(WRITE_ON, url, str(n)) for n in range(3)]
    acknowledged = []
    for writer in writers:
        # At least one line; how much further it gets until it is killed is left to chance.
        acknowledged += [writer.stdout.readline() for _ in range(random.randint(1, 20))]  # noqa: S311 - no secret
        writer.send_signal(signal.SIGKILL)
    for writer in writers:
        with writer:  # communicate() would leave out what readline() has read ahead
            acknowledged += writer.stdout.read().splitlines()
        assert writer.returncode == -signal.SIGKILL

    store = open_repositories(url, create=False)
    done = [line.split() for line in acknowledged]
    names = {what: {name for kind, name in done if kind == what} for what in ("user", "roles")}
    assert names["user"]
    for name in names["user"]:
        user = store.users.get_by_username(name)
        assert user == store.users.get_by_email(f"{name}@example.com")
        assert user.roles == ((name, "second") if user.token_version else ())
    for name in names["roles"]:
        assert store.users.get_by_username(name).token_version == 1
    assert all(store.tokens.is_revoked(name) for kind, name in done if kind == "token")
    version, keys = store.keys.load()
    assert version >= max((int(name) for kind, name in done if kind == "keys"), default=0)
    assert len({key.kid.split()[0] for key in keys}) <= 1
    assert len(keys) == (3 if version else 0)
    store.close()
    raw = sqlite3.connect(tmp_path / "store.db")
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
