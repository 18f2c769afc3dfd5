"""Many threads of many processes rotate the keys of one store at the same moment (RULES 18)."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tokenward import _jose
from tokenward.errors import InvalidToken
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories

PROCESSES = 4
THREADS = 16
LIFETIME = 1_000
LEEWAY = 300
LEAD = 360
DAY = 86_400
START = 1_700_000_000

# Each line of input is a round: what to do, and what time it is. One line of output answers it.
WORKER = f"""
import json, logging, sys, threading
from concurrent.futures import ThreadPoolExecutor
from tokenward import _jose
from tokenward.errors import Forbidden
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories

now = {START}
rotations = []

class Trail(logging.Handler):
    def emit(self, record):
        rotations.append(json.loads(record.getMessage()))

logging.getLogger("tokenward.audit").addHandler(Trail())
logging.getLogger("tokenward.audit").setLevel(logging.INFO)

def sign(ring):
    claims = {{"sub": "a", "exp": now + {LIFETIME}}}
    return _jose.sign(claims, ring.current, typ="at+jwt")

def work(what):
    barrier.wait(240)
    tokens, said = [sign(ring)], None
    try:
        if what != "scheduled":
            said = ring.rotate(force=what == "forced")
    except Forbidden as error:
        said = error.reason
    return tokens + [sign(ring)], said

repositories = open_repositories(sys.argv[1], create=False)
ring = KeyRing.load(
    repositories.keys, rotate_every={DAY}, longest_lifetime={LIFETIME}, clock=lambda: now
)
print("ready", flush=True)
for line in sys.stdin:
    what, moment = json.loads(line)
    now = moment
    barrier = threading.Barrier({THREADS})
    with ThreadPoolExecutor({THREADS}) as threads:
        done = list(threads.map(work, [what] * {THREADS}))
    tokens = [token for pair, _ in done for token in pair]
    said = sorted({{str(kid) for _, kid in done}})
    print(json.dumps([tokens, said, [each["kid"] for each in rotations]]), flush=True)
    rotations.clear()
repositories.close()
"""


KINDS = ["sqlite", pytest.param("mongo", marks=pytest.mark.peer)]


def made(request, kind, folder):
    """Make a store with its first keys; return its URL."""
    if kind == "sqlite":
        url = f"sqlite:///{folder}/store.db"
    else:
        url = request.getfixturevalue("mongo").new_url()
    repositories = open_repositories(url, bcrypt_cost=4)
    KeyRing.create(repositories.keys, clock=lambda: START)
    repositories.close()
    return url


def verifies(token, key_set):
    """Tell whether a signature is good."""
    try:
        _jose.verify(_jose.parse(token), key_set, algorithms={"ES256"})
    except InvalidToken:
        return False
    return True


class Fleet:
    """The processes, and what was ever signed by them."""

    def __init__(self, url, stack):
        self.keys = self._open(url, stack)
        self.tokens = []
        self.now = START
        self._workers = [stack.enter_context(self._start(url)) for _ in range(PROCESSES)]
        for worker in self._workers:
            stack.callback(worker.kill)
        assert {worker.stdout.readline() for worker in self._workers} == {"ready\n"}

    @staticmethod
    def _open(url, stack):
        repositories = open_repositories(url, create=False)
        stack.callback(repositories.close)
        return repositories.keys

    @staticmethod
    def _start(url):
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def all(self, what, *, after):
        """Have every thread do it at once, some seconds after the last time.

        Returns what each was told, and what was audited.
        """
        self.now += after
        for worker in self._workers:
            worker.stdin.write(json.dumps([what, self.now]) + "\n")
            worker.stdin.flush()
        said, audited = set(), []
        for worker in self._workers:
            tokens, kids, rotations = json.loads(worker.stdout.readline())
            self.tokens += [(token, self.now + LIFETIME) for token in tokens]
            said.update(kids)
            audited += rotations
        self.check()
        return said, audited

    def check(self):
        """See that each token which has not expired is good for a process that starts now."""
        ring = KeyRing.load(self.keys, clock=lambda: self.now)
        live = [token for token, ends in self.tokens if self.now < ends + LEEWAY]
        assert len(live) >= 2 * THREADS * PROCESSES
        assert all(verifies(token, ring.key_set) for token in live)

    def held(self):
        """Return the id of the current and the next key, and how many are retired."""
        states = {}
        for key in self.keys.load()[1]:
            states.setdefault(key.state, []).append(key.kid)
        (current,), (following,) = states["current"], states["next"]
        return current, following, len(states.get("retired", ()))


@pytest.fixture(scope="module", params=KINDS)
def fleet(request, tmp_path_factory):
    """Four processes on one store of each kind."""
    with ExitStack() as stack:
        yield Fleet(made(request, request.param, tmp_path_factory.mktemp("store")), stack)


def test_of_all_who_rotate_at_once_one_does(fleet):
    """Each is told which key signs, or that it came too late; no token is lost."""
    for _ in range(3):
        _, following, _ = fleet.held()
        said, audited = fleet.all("ordinary", after=LEAD)
        assert audited == [following]
        assert said <= {following, "rotation_too_early"}
        assert following in said
        assert fleet.held()[0] == following


def test_of_all_whose_schedule_is_due_one_rotates(fleet):
    """Nobody asked for it: signing does, when the time has come."""
    for _ in range(2):
        _, following, _ = fleet.held()
        _, audited = fleet.all("scheduled", after=DAY)
        assert audited == [following]
        assert fleet.held()[0] == following


def test_rotations_by_force_lose_no_key(fleet):
    """However many follow each other, each is audited once, and what it retired stays."""
    *_, before = fleet.held()
    said, audited = fleet.all("forced", after=1)
    current, _, retired = fleet.held()
    assert len(audited) == len(set(audited)) == retired - before
    assert current in audited
    assert said <= set(audited)


@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_rotates_for_its_parent(request, kind, tmp_path):
    """Each has a ring of its own from then on, and both go by the one store."""
    repositories = open_repositories(made(request, kind, tmp_path), create=False)
    ring = KeyRing.load(repositories.keys, clock=lambda: START + LEAD)
    following = ring.kids()[1]
    child = os.fork()
    if child == 0:
        signal.alarm(240)
        code = 1
        try:
            code = 0 if ring.rotate() == following == ring.current.kid else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ring.rotate() == following
    assert len(repositories.keys.load()[1]) == 3
    repositories.close()
