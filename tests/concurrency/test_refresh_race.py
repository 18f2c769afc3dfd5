from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from tokenward.repositories import Family, Rotation, open_repositories

THREADS = 16
FAMILIES = 5

# Threads of one process, each of which rotates one token of every family. Waits for a line on its
# standard input, so that all processes begin together.
ROTATE = """
import hashlib, sys, threading, time
from tokenward.repositories import open_repositories

url, number, families, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
digest = lambda name: hashlib.sha256(name.encode()).digest()
store = open_repositories(url, create=False, bcrypt_cost=4)
store.ping()
told = []

def rotate(thread):
    for family in range(families):
        new = digest(f"{family} {number} {thread}")
        told.append((family, store.tokens.rotate(digest(f"{family}"), new, time.time() + 900)))
        told.append(("once", store.tokens.use_once(f"{family}", time.time() + 900)))

print("ready", flush=True)
sys.stdin.readline()
started = [threading.Thread(target=rotate, args=(n,)) for n in range(threads)]
for thread in started:
    thread.start()
for thread in started:
    thread.join(240)
for what, outcome in told:
    print(what, outcome)
store.close()
"""

# Says what is done only after it is done.
ROTATE_ON = """
import hashlib, itertools, sys, time
from tokenward.repositories import Family, open_repositories

url, number = sys.argv[1:]
digest = lambda name: hashlib.sha256(name.encode()).digest()
now = int(time.time())
tokens = open_repositories(url, create=False, bcrypt_cost=4).tokens
family = Family(number, "subject", "client", (), 0, now, now, now + 900)
tokens.start_family(family, digest(f"{number} 0"))
print("started", 0, flush=True)
for n in itertools.count():
    tokens.rotate(digest(f"{number} {n}"), digest(f"{number} {n + 1}"), now + 900)
    print("rotated", n + 1, flush=True)
    tokens.put_one_time(digest(f"one {number} {n}"), "reset", f"{n}", now + 900)
    print("put", n, flush=True)
    tokens.end_family(f"{number} {n}")
    tokens.use_once(f"{number} {n}", now + 900)
    print("used", n, flush=True)
"""


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@pytest.fixture(params=["memory", "sqlite", pytest.param("mongo", marks=pytest.mark.peer)])
def url(request, tmp_path):
    """Where a store of each kind is."""
    if request.param == "mongo":
        return request.getfixturevalue("mongo").new_url()
    return {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/store.db"}[request.param]


@pytest.fixture
def repositories(url):
    """A new store."""
    opened = open_repositories(url, bcrypt_cost=4)
    yield opened
    opened.close()


def login(repositories, name: str) -> None:
    now = int(time.time())
    family = Family(name, "subject", "client", (), 0, now, now, now + 900)
    repositories.tokens.start_family(family, digest(name))


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def check_family(repositories, name: str, told: Counter[Rotation], tries: int) -> None:
    """See that one got a new token, one was told of the reuse, and nobody has a session now."""
    assert told == {Rotation.ROTATED: 1, Rotation.REUSED: 1, Rotation.UNKNOWN: tries - 2}
    assert repositories.tokens.family_active(name) is False
    family, current = repositories.tokens.find_family(digest(name))
    assert (family.ended, current) == (True, False)


def test_of_16_threads_that_rotate_one_token_one_does(repositories):
    """The second to come ends the family, and the others find it ended."""
    for name in map(str, range(FAMILIES)):
        login(repositories, name)
        barrier = threading.Barrier(THREADS)
        told = []

        def rotate(n: int, name=name, barrier=barrier, told=told) -> None:
            barrier.wait(120)
            new = digest(f"{name} {n}")
            outcome = repositories.tokens.rotate(digest(name), new, time.time() + 900)
            told.append((outcome, new))

        threads = [threading.Thread(target=rotate, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        check_family(repositories, name, Counter(outcome for outcome, _new in told), THREADS)
        (given,) = [new for outcome, new in told if outcome is Rotation.ROTATED]
        new = digest("after all of it")
        assert repositories.tokens.rotate(given, new, time.time() + 900) is Rotation.UNKNOWN
        for outcome, new in told:
            found = repositories.tokens.find_family(new)
            assert (found is not None) is (outcome is Rotation.ROTATED)


@pytest.mark.parametrize(
    "url", ["sqlite", pytest.param("mongo", marks=pytest.mark.peer)], indirect=True
)
def test_of_4_processes_that_rotate_one_token_one_does(repositories, url):
    """The step is the store's, whoever takes it; a key that is good once, too."""
    for family in range(FAMILIES):
        login(repositories, str(family))
    processes = [start(ROTATE, url, str(n), str(FAMILIES), "4") for n in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=300)[0].split("\n") for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    lines = [line.split() for text in printed for line in text if line]
    for family in range(FAMILIES):
        told = Counter(Rotation(outcome) for what, outcome in lines if what == str(family))
        check_family(repositories, str(family), told, 16)
    once = Counter(outcome for what, outcome in lines if what == "once")
    assert once == {"True": FAMILIES, "False": 15 * FAMILIES}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_rotation_that_was_acknowledged_is_lost_when_writers_are_killed(repositories, url):
    """Kill -9 in the middle of anything: a family is at its last token or one beyond."""
    writers = [start(ROTATE_ON, url, str(n)) for n in range(3)]
    acknowledged = []
    for writer in writers:
        # At least the first line; how much further it gets is left to chance.
        lines = [writer.stdout.readline() for _ in range(random.randint(1, 15))]  # noqa: S311 - no secret
        writer.send_signal(signal.SIGKILL)
        acknowledged.append(lines)
    for number, writer in enumerate(writers):
        with writer:  # communicate() would leave out what readline() has read ahead
            acknowledged[number] += writer.stdout.read().splitlines()
        assert writer.returncode == -signal.SIGKILL
    tokens = repositories.tokens
    for number, lines in enumerate(acknowledged):
        done = [line.split() for line in lines]
        last = max(int(n) for what, n in done if what in {"started", "rotated"})
        found = [tokens.find_family(digest(f"{number} {n}")) for n in range(last + 2)]
        currents = [f is not None and f[1] for f in found]
        assert currents.count(True) == 1
        assert currents.index(True) in {last, last + 1}
        assert all(f is not None for f in found[: last + 1])
        for what, n in done:
            if what == "put":
                assert tokens.take_one_time(digest(f"one {number} {n}"), "reset") == n
            if what == "used":
                assert tokens.use_once(f"{number} {n}", time.time() + 900) is False
