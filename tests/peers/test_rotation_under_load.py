"""Keys are rotated while two processes issue tokens and resource servers check them (RULES 18)."""

import itertools
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import requests
from benchmarks.ports import free_port

from tokenward import _jose
from tokenward._seal import Sealer
from tokenward.errors import AuthError
from tokenward.jwks import JWKSVerifier
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import JWKS_PATH
from tokenward.testing import FakeClock
from tokenward.tokens import LocalVerifier

ISSUER = "https://auth.example"
SECRET = "kq3V-new-8fJ2_0pTzXw7Lm"
ACCOUNT = {"username": "alice", "password": "correct horse battery"}
PATIENCE = 90
CONFIG = """
[service]
issuer = "{issuer}"
audience = "orders"
store = "sqlite:///{folder}/store.db"
registration = "open"
password = {{ bcrypt_cost = 4 }}
throttle = false
refresh_token_lifetime = 0
keys = {{ secrets = ["{secret}"] }}
"""


class Process:
    """One process of the auth service, always at the same address."""

    def __init__(self, folder, name):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = folder / "tokenward.toml"
        self._log = folder / f"{name}.log"
        self._process = None
        self.takes_logins = False
        self._stops = 0

    def start(self):
        command = [sys.executable, "-m", "tokenward", "serve", "--config", self._config]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--bind", f"127.0.0.1:{self.port}"], stdout=log, stderr=log
            )
        pause = threading.Event()
        while not re.search(rb"^Serving https://", self._log.read_bytes(), re.MULTILINE):
            assert self._process.poll() is None, self._log.read_text("utf-8")
            pause.wait(0.02)
        self.takes_logins = True

    def stop(self):
        """End it as an operator does: it gets no more, and what is in flight is answered."""
        self.takes_logins = False
        self._stops += 1
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def restart(self):
        self.stop()
        self.start()

    def kids(self):
        """Return the ids of the keys that it publishes."""
        answer = requests.get(self.url + JWKS_PATH, timeout=PATIENCE)
        assert "max-age=300" in answer.headers["Cache-Control"]
        return [key["kid"] for key in answer.json()["keys"]]

    def sign_in(self):
        """Return a new token and its key's id; ``None`` while the process is being exchanged."""
        stops = self._stops
        if not self.takes_logins:
            return None
        try:
            answer = requests.post(f"{self.url}/login", json=ACCOUNT, timeout=PATIENCE)
        except requests.ConnectionError:
            # It may be back by now.
            assert stops != self._stops
            return None
        answer.raise_for_status()
        token = answer.json()["access_token"]
        return token, _jose.parse(token).kid


class Site:
    """Two processes on one store, and the resource servers before which their tokens come."""

    def __init__(self, folder, stack):
        (folder / "tokenward.toml").write_text(
            CONFIG.format(issuer=ISSUER, folder=folder, secret=SECRET), "utf-8"
        )
        self._folder = folder
        self._repositories = open_repositories(f"sqlite:///{folder}/store.db", bcrypt_cost=4)
        stack.callback(self._repositories.close)
        self.sealer = Sealer([SECRET], "signing keys")
        # An hour ago: long enough for everybody to know the next key.
        made = KeyRing.create(
            self._repositories.keys, sealer=self.sealer, clock=lambda: time.time() - 3_600
        )
        self.kids = list(made.kids())
        self.here, self.there = Process(folder, "here"), Process(folder, "there")
        for process in (self.here, self.there):
            stack.callback(process.stop)
            process.start()
        account = {**ACCOUNT, "email": "alice@example.com"}
        requests.post(f"{self.here.url}/register", json=account, timeout=PATIENCE)
        self.clock = FakeClock(time.time())
        self.remote = JWKSVerifier(
            ISSUER,
            jwks_uri=self.here.url + JWKS_PATH,
            audience="orders",
            clock=self.clock,
            # Its clock stands still while tokens are issued.
            leeway=600,
        )
        stack.callback(self.remote.close)
        self.remote.warm_up()
        ring = KeyRing.load(self._repositories.keys, sealer=self.sealer)
        self.local = LocalVerifier(
            ring,
            issuer=ISSUER,
            audience="orders",
            users=self._repositories.users,
            tokens=self._repositories.tokens,
        )

    def command(self, *words):
        """Type ``tokenward keys …``; return the exit status and what was said."""
        command = [sys.executable, "-m", "tokenward", "keys", *words]
        config = self._folder / "tokenward.toml"
        command += ["--config", config]
        run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
        return run.returncode, run.stdout + run.stderr

    def signing(self):
        """Return the ids of the current and the next key in the store."""
        ring = KeyRing.load(self._repositories.keys, sealer=self.sealer)
        return ring.kids()[:2]


@pytest.fixture
def site(tmp_path):
    """The auth service and its resource servers, running."""
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


class Traffic:
    """Threads that sign in at both processes and have every token verified, new and old."""

    def __init__(self, site, verifiers, threads=3):
        self.signed = Counter()
        self.said = Counter()
        self.tokens = []
        self._site, self._verifiers, self._threads = site, verifiers, threads
        self._stop = threading.Event()
        self._turns = [0] * threads

    def _work(self, number):
        for turn in itertools.count(number):
            if self._stop.is_set():
                return
            signed = (self._site.here, self._site.there)[turn % 2].sign_in()
            if signed is not None:
                token, kid = signed
                self.signed[kid] += 1
                self.tokens.append((token, kid))
            for token, kid in [*self.tokens[:3], *self.tokens[-5:]]:
                for name, verifier in self._verifiers.items():
                    self.said[name, kid, outcome(verifier, token)] += 1
            self._turns[number] += 1
            self._stop.wait(0.005)

    def until(self, condition):
        """Wait for something that the threads bring about."""
        for _ in range(PATIENCE * 100):
            if condition():
                return
            self._stop.wait(0.01)
        pytest.fail("the threads do not get on")

    def more_by(self, kid, count=10):
        """Wait for some more tokens by a key."""
        wanted = self.signed[kid] + count
        self.until(lambda: self.signed[kid] >= wanted)

    def a_turn(self):
        """Wait until each thread has ended what it was doing."""
        before = list(self._turns)
        self.until(lambda: all(now > then for now, then in zip(self._turns, before, strict=True)))

    @contextmanager
    def running(self):
        with ThreadPoolExecutor(self._threads) as pool:
            running = [pool.submit(self._work, number) for number in range(self._threads)]
            try:
                yield self
            finally:
                self._stop.set()
                for done in running:
                    done.result(PATIENCE)

    def refused(self):
        """Return by which verifier, of which key, and why tokens were refused."""
        return {about for about in self.said if about[2] != "accepted"}


def outcome(verifier, token):
    """Return that a token is accepted, or why it is not."""
    try:
        verifier.verify(token)
    except AuthError as error:
        return error.reason
    return "accepted"


def test_an_ordinary_rotation_refuses_no_token(site):
    """Not while one process signs with the new key and the other still with the old one."""
    old, new = site.kids
    fetched = site.remote.stats().upstream_calls
    verifiers = {"remote": site.remote, "local": site.local}
    with Traffic(site, verifiers).running() as traffic:
        traffic.more_by(old)
        status, said = site.command("rotate")
        assert (status, site.signing()[0]) == (0, new), said
        traffic.more_by(old)
        # It reads the store at its start; the other process does within a minute.
        site.there.restart()
        traffic.more_by(new)
        assert set(traffic.signed) == {old, new}
        assert old in site.there.kids()
        site.here.restart()
        traffic.a_turn()
        before = traffic.signed[old]
        traffic.more_by(new)
        assert traffic.signed[old] == before
    assert traffic.refused() == set()
    assert site.remote.stats().upstream_calls == fetched
    assert outcome(site.remote, traffic.tokens[0][0]) == "accepted"
    status, said = site.command("rotate")
    assert status == 1
    assert "rotation_too_early" in said
    assert site.signing()[0] == new


def test_what_a_rotation_by_force_costs(site):
    """Tokens of a key that was never published ahead wait for one fetch, and nobody else's do.

    The set is asked for once in a cooldown. A process that has not read its store again does not
    know the key yet, and then the fetch was in vain.
    """
    old = site.kids[0]
    with Traffic(site, {"remote": site.remote}).running() as traffic:
        traffic.more_by(old)
        for _ in range(2):
            assert site.command("rotate", "--force")[0] == 0
        forced, _ = site.signing()
        assert forced not in site.kids
        fetched = site.remote.stats().upstream_calls
        # This one signs with it, and the one that the set is fetched from publishes it not yet.
        site.there.restart()
        traffic.more_by(forced)
        assert site.remote.stats().upstream_calls == fetched + 1
        assert traffic.refused() == {("remote", forced, "unknown_key")}
        site.here.restart()
        assert forced in site.here.kids()
        site.clock.advance(30)
        traffic.until(lambda: traffic.said["remote", forced, "accepted"])
        traffic.more_by(forced)
    assert site.remote.stats().upstream_calls == fetched + 2
    assert {about[1:] for about in traffic.refused()} == {(forced, "unknown_key")}
    assert {outcome(site.remote, token) for token, _ in traffic.tokens} == {"accepted"}


def test_a_compromised_key_ends_at_the_issuer_at_once(site):
    """Its tokens verify nowhere that reads the store; a warm cache goes by its set to its end."""
    old, new = site.kids
    token, kid = site.here.sign_in()
    assert (kid, outcome(site.remote, token)) == (old, "accepted")
    assert site.command("rotate", "--compromised")[0] == 0
    site.here.restart()
    assert old not in site.here.kids()
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{site.here.url}/me", headers=headers, timeout=PATIENCE).status_code == 401
    fresh, kid = site.here.sign_in()
    assert (kid, outcome(site.remote, fresh)) == (new, "accepted")
    assert outcome(site.remote, token) == "accepted"
    site.clock.advance(300)
    assert outcome(site.remote, fresh) == "accepted"
    site.remote.refresh()
    assert outcome(site.remote, token) == "unknown_key"
