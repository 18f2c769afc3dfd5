"""`store copy` between SQLite and MongoDB, in both directions, killed at any moment."""

import re
import signal
import sqlite3
import subprocess
import sys

import pytest
from filled_stores import everything, fill, put, records
from unmeasured import unmeasured

from tokenward.config import Settings, build_service
from tokenward.config.build import initialize_store, open_store, service_on
from tokenward.repositories.base import KINDS
from tokenward.schemas import LoginRequest

NUMBER = 450
PASSWORD = "correct horse battery"


def command(source, target):
    return [sys.executable, "-m", "tokenward", "store", "copy", source, target]


def copied(source, target):
    return subprocess.run(
        command(source, target), capture_output=True, text=True, check=False, timeout=150
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A store of so many of each kind that they are carried in several steps."""
    url = f"sqlite:///{tmp_path_factory.mktemp('large')}/from.db"
    fill(url, NUMBER)
    return url


@pytest.fixture(params=["sqlite", "mongo"])
def new_url(request, tmp_path):
    """Return URLs of stores of one kind that are not there yet."""
    if request.param == "mongo":
        return request.getfixturevalue("mongo").new_url
    numbers = iter(range(100))
    return lambda: f"sqlite:///{tmp_path}/to-{next(numbers)}.db"


def there(url):
    """Return how many of each kind there are at a target, and how many keys."""
    found, keys = everything(url)
    return {kind: len(found[kind]) for kind in KINDS}, len(keys)


def test_there_and_back_nothing_is_lost(large, mongo, tmp_path):
    """SQLite, MongoDB, SQLite: what comes back is what left, in its order."""
    between, back = mongo.new_url(), f"sqlite:///{tmp_path}/back.db"
    first, second = copied(large, between), copied(between, back)
    assert (0, "") == (first.returncode, first.stderr)
    assert (0, "") == (second.returncode, second.stderr)
    assert first.stdout == second.stdout
    assert everything(large) == everything(back)


def test_killed_at_any_moment_it_goes_on(large, new_url):
    """Kill -9 at later steps each time: no keys until it is whole, and then it is whole."""
    url, before = new_url(), None
    for last in (2, 9, 17, 28, 43):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_AFTER, str(last), large, url],
            check=False,
            timeout=150,
            env=unmeasured(),
        )
        assert -signal.SIGKILL == killed.returncode
        counts, keys = there(url)
        assert 0 == keys
        assert before is None or all(counts[kind] >= before[kind] for kind in KINDS)
        before = counts
    assert 0 < before["users"]
    done = copied(large, url)
    assert (0, "") == (done.returncode, done.stderr)
    assert everything(large) == everything(url)
    again = copied(large, url)
    assert (0, "") == (again.returncode, again.stderr)
    assert 6 == len(re.findall(r"^equal  \w+: copied 0, ", again.stdout, re.MULTILINE))


# Kills itself at a moment that nobody chose: from a thread, some steps after the copying began.
KILLED_AFTER = """
import os, signal, sys, threading, time
from tokenward.commands.copying import copy

left = int(sys.argv[1])

def step(what, done, total):
    global left
    if what.startswith("copying"):
        left -= 1
        if left == 0:
            threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGKILL)).start()
        elif left < -1:
            # Not to be done before it is killed.
            time.sleep(150)

compared = copy(sys.argv[2], sys.argv[3], on_progress=step, batch=50)
sys.exit(0 if all(one.equal for one in compared) else 1)
"""


def test_a_service_starts_on_the_copy_and_only_on_a_whole_one(tmp_path, mongo):
    """Whoever is logged in stays so, whoever is out stays out; keys open with the same secret."""
    secret = "9f8a-77e1-quartz-lantern"
    source, target = f"sqlite:///{tmp_path}/from.db", mongo.new_url()

    def settings(store):
        section = {
            "issuer": "https://auth.example",
            "audience": "orders",
            "store": store,
            "password": {"bcrypt_cost": 4},
            "keys": {"secrets": [secret]},
        }
        return Settings.model_validate({"service": section})

    initialize_store(settings(source))
    ours = build_service(settings(source))
    ours.create_user("ada", email="ada@example.org", password=PASSWORD)
    stays, ends = (
        ours.login_user(LoginRequest(username="ada", password=PASSWORD)) for _ in range(2)
    )
    ours.logout_user(ends.access_token)
    assert 0 == copied(source, target).returncode
    repositories = open_store(settings(target).service, create=False)
    theirs = service_on(repositories, settings(target))
    assert "ada" == theirs.get_logged_in_user(stays.access_token).username
    assert not theirs.introspect_token(ends.access_token).active
    refreshed = theirs.refresh(stays.refresh_token)
    assert theirs.introspect_token(refreshed.access_token).active
    assert theirs.login_user(LoginRequest(username="ada", password=PASSWORD)).access_token
    repositories.close()


def test_what_the_target_cannot_hold_is_refused(large, new_url):
    """Somebody else's users there: exit 2, and nothing is changed."""
    url = new_url()
    fill(url, 0, keys=False)
    put(url, "users", records(1, begin=5_000)["users"])
    before = everything(url)
    done = copied(large, url)
    assert (2, "") == (done.returncode, done.stdout)
    assert "TO: holds 1 users that FROM does not hold" in done.stderr
    assert before == everything(url)


def test_a_target_that_is_down_is_an_outage(large, impatient):
    """Exit 3; the password in the URL is not shown."""
    impatient(1)
    url = "mongodb://root:LEAK@127.0.0.1:1/tokenward"
    done = copied(large, url)
    assert (3, "") == (done.returncode, done.stdout)
    assert "LEAK" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_target_that_fails_half_way_is_no_store(large, tmp_path):
    """The disk is full, say: not done, no keys; the source is what it was."""
    target = tmp_path / "to.db"
    fill(f"sqlite:///{target}", 0, keys=False)
    before = everything(large)
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000,) * 2)"
    script = (
        f"{limit}; sys.argv[0] = 'tokenward'; runpy.run_module('tokenward', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "store", "copy", large, f"sqlite:///{target}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        # Coverage would want to write more than the limit lets it.
        env=unmeasured(),
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    assert 3 == done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    assert 0 == there(f"sqlite:///{target}")[1]
    assert before == everything(large)
    again = copied(large, f"sqlite:///{target}")
    assert 0 == again.returncode, again.stderr
    assert before == everything(f"sqlite:///{target}")


def test_the_source_is_only_read(tmp_path, mongo):
    """Not a byte of its contents changes."""
    path = tmp_path / "from.db"
    fill(f"sqlite:///{path}", 20)
    connection = sqlite3.connect(path)
    before = list(connection.iterdump())
    assert 0 == copied(f"sqlite:///{path}", mongo.new_url()).returncode
    assert before == list(connection.iterdump())
    connection.close()
