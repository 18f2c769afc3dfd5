"""A MongoDB store whose server dies, is cut off, steps down, is slow or not there (RULES 49, 50).

The server is SecantusDB. What it cannot do itself is simulated, and said where it is: a connection
is cut by a proxy in front of it; what other members of a replica set have not confirmed, and errors
inside of the server, are answers of its failpoint ``failCommand``. It is alone in its replica set:
when it steps down, nobody else is elected.
"""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
import requests
from benchmarks.ports import free_port
from issuing.processes import Process, Site
from mongo_server import MongoServer
from tcp_proxy import TCPProxy

from tokenward.errors import AuthServiceUnavailable, ConfigurationError, UserAlreadyExists
from tokenward.repositories import Family, Repositories, Rotation, StoredKey
from tokenward.repositories.mongo import (
    MongoCounterRepository,
    MongoKeyRepository,
    MongoStore,
    MongoTokenRepository,
    MongoUserRepository,
    _store,
    open_mongo,
)
from tokenward.schemas import RegisterRequest

pytestmark = pytest.mark.peer

# What a call may take beyond its timeout on a machine that does other things too.
MARGIN = 50.0
# For what answers.
PATIENCE = 90.0
LATER = 4_000_000_000


@pytest.fixture(autouse=True)
def _loud(monkeypatch):
    monkeypatch.setattr(_store._seldom, "_last", {})


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    """Run a server that takes repeated writes for what they are, and has failpoints."""
    with MongoServer(tmp_path_factory.mktemp("replica"), "--enable-test-commands") as server:
        yield server


@pytest.fixture(scope="module")
def standalone(tmp_path_factory):
    """Run a server outside of any replica set: pymongo never repeats a write there."""
    with MongoServer(tmp_path_factory.mktemp("standalone"), "--standalone") as server:
        yield server


@pytest.fixture
def proxy(replica):
    with TCPProxy(replica.port) as proxy:
        yield proxy


@contextmanager
def opened(url, **options):
    """Everything in a database, with cheap hashes."""
    with closing(MongoStore(url, **{"timeout": PATIENCE} | options)) as store:
        yield Repositories(
            users=MongoUserRepository(store, bcrypt_cost=4),
            tokens=MongoTokenRepository(store),
            keys=MongoKeyRepository(store),
            counters=MongoCounterRepository(store),
            store=store,
        )


def person(name):
    return RegisterRequest(username=name, email=f"{name}@example.com", password="secret1")


def family(name="f", subject="alice"):
    return Family(name, subject, "web", ("a",), 0, 1, 1, LATER)


def digest(number):
    return bytes([number]) * 32


class Register:
    """Each of these is one acknowledged change: what it does, and whether it was done once."""

    command = "insert"

    def prepare(self, store):
        """Bring about what it starts from."""

    def do(self, store):
        return store.users.create(person("alice")).username

    expected = "alice"

    def done(self, store):
        return store.users.get_by_username("alice") is not None and store.users.count() == 1


class SetRoles(Register):
    command = "update"
    expected = None

    def prepare(self, store):
        store.users.create(person("alice"))

    def do(self, store):
        return store.users.set_roles("alice", ["admin"])

    def done(self, store):
        alice = store.users.get_by_username("alice")
        return alice.roles == ("admin",) and alice.token_version == 1


class Revoke(Register):
    command = "update"
    expected = None

    def do(self, store):
        return store.tokens.revoke("jti", LATER)

    def done(self, store):
        return store.tokens.is_revoked("jti")


class Start(Register):
    expected = None

    def do(self, store):
        return store.tokens.start_family(family(), digest(1))

    def done(self, store):
        return store.tokens.find_family(digest(1)) == (family(), True)


class Rotate(Register):
    command = "findAndModify"
    expected = Rotation.ROTATED

    def prepare(self, store):
        store.tokens.start_family(family(), digest(1))

    def do(self, store):
        return store.tokens.rotate(digest(1), digest(2), LATER)

    def done(self, store):
        found = store.tokens.find_family(digest(2))
        return found is not None and found[1] and not found[0].ended


class End(Rotate):
    expected = True

    def do(self, store):
        return store.tokens.end_family("f")

    def done(self, store):
        return not store.tokens.family_active("f")


class UseOnce(Register):
    expected = True

    def do(self, store):
        return store.tokens.use_once("assertion", LATER)

    def done(self, store):
        return store.tokens.use_once("assertion", LATER) is False


class PutOneTime(Register):
    expected = None

    def do(self, store):
        return store.tokens.put_one_time(digest(1), "reset", "alice", LATER)

    def done(self, store):
        return store.tokens.take_one_time(digest(1), "reset") == "alice"


class TakeOneTime(Register):
    command = "findAndModify"
    expected = "alice"

    def prepare(self, store):
        store.tokens.put_one_time(digest(1), "reset", "alice", LATER)

    def do(self, store):
        return store.tokens.take_one_time(digest(1), "reset")

    def done(self, store):
        return store.tokens.take_one_time(digest(1), "reset") is None


class ReplaceKeys(Register):
    command = "update"
    expected = True
    key = StoredKey("a", "ES256", "current", b"sealed", 1)

    def do(self, store):
        return store.keys.replace(0, [self.key])

    def done(self, store):
        return store.keys.load() == (1, [self.key])


class Count(Register):
    command = "findAndModify"

    @property
    def expected(self):
        return [(3, LATER)]

    def prepare(self, store):
        store.counters.add(["a"], 1, now=1, expires_at=LATER)

    def do(self, store):
        return store.counters.add(["a"], 2, now=1, expires_at=LATER)

    def done(self, store):
        return store.counters.read(["a"], now=1) == [(3, LATER)]


CHANGES = [
    *(Register, SetRoles, Revoke, Start, Rotate, End, UseOnce, PutOneTime, TakeOneTime),
    *(ReplaceKeys, Count),
]
# Half an answer is as good as none, so that one of them will do for it.
CUT = [
    pytest.param(change, fault, id=f"{change.__name__}-{fault}")
    for change in CHANGES
    for fault in (["before", "after", "half"] if change is Rotate else ["before", "after"])
]
# Those that find what they have written themselves, by a mark that only they know.
MARKED = [Register, Start, Rotate, UseOnce, PutOneTime, ReplaceKeys]


def ids(change):
    return change.__name__


# --- cut connections ------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "fault"), CUT)
def test_a_change_survives_a_cut_connection(replica, proxy, change, fault):
    """Cut by the proxy, once: pymongo repeats the write, and the server knows it again."""
    tried = change()
    with opened(replica.new_url(port=proxy.port)) as store:
        tried.prepare(store)
        proxy.fail(tried.command, fault)
        assert tried.do(store) == tried.expected
        assert tried.done(store)


@pytest.mark.parametrize("change", MARKED, ids=ids)
def test_a_repeated_change_is_known_again_where_the_server_forgot_it(replica, proxy, change):
    """Simulated by the proxy: it leaves out the number by which a server knows a repetition."""
    tried = change()
    proxy.forgetful = True
    with opened(replica.new_url(port=proxy.port)) as store:
        tried.prepare(store)
        proxy.fail(tried.command, "after")
        assert tried.do(store) == tried.expected
        assert tried.done(store)


@pytest.mark.parametrize(("change", "fault"), CUT)
def test_a_change_that_cannot_be_repeated_is_never_misreported(standalone, change, fault):
    """Without a replica set a lost answer is an outage, and says neither yes nor no."""
    tried = change()
    with (
        TCPProxy(standalone.port) as proxy,
        opened(standalone.new_url(port=proxy.port)) as store,
    ):
        tried.prepare(store)
        proxy.fail(tried.command, fault)
        with pytest.raises(AuthServiceUnavailable) as caught:
            tried.do(store)
        assert caught.value.reason == "store_unavailable"
        if fault != "before":
            assert tried.done(store)


@pytest.mark.parametrize("fault", ["before", "after", "half"])
def test_a_read_is_repeated_on_any_server(standalone, fault):
    """A cut connection is no answer to "is it revoked"."""
    with (
        TCPProxy(standalone.port) as proxy,
        opened(standalone.new_url(port=proxy.port)) as store,
    ):
        store.tokens.revoke("jti", LATER)
        proxy.fail("find", fault)
        assert store.tokens.is_revoked("jti") is True


def test_a_connection_that_is_cut_again_and_again_is_an_outage(replica, proxy):
    """What is repeated is bounded by the timeout of the call."""
    with opened(replica.new_url(port=proxy.port), timeout=1) as store:
        proxy.fail("find", "before", times=10**6)
        started = time.monotonic()
        with pytest.raises(AuthServiceUnavailable):
            store.tokens.is_revoked("jti")
        assert time.monotonic() - started < 1 + MARGIN


def test_somebody_elses_name_stays_taken_behind_a_cut_connection(replica, proxy):
    """A repeated insertion that is refused is not taken for one's own."""
    with opened(replica.new_url(port=proxy.port)) as store:
        store.users.create(person("alice"))
        proxy.fail("insert", "after")
        with pytest.raises(UserAlreadyExists):
            store.users.create(person("alice"))
        assert store.users.count() == 1


# --- a primary that steps down -------------------------------------------------------------------


@contextmanager
def failing(server, *commands, times=1, **data):
    """Have the server's failpoint answer these commands."""
    mode = {"times": times} if times else "alwaysOn"
    with server.client() as admin:
        admin.admin.command(
            "configureFailPoint",
            "failCommand",
            mode=mode,
            data={"failCommands": list(commands), **data},
        )
        try:
            yield
        finally:
            admin.admin.command("configureFailPoint", "failCommand", mode="off")


# A MongoDB says by itself that it has become a primary; this one has to be asked.
ASKING = "&serverMonitoringMode=poll&heartbeatFrequencyMS=500"


@pytest.mark.parametrize("change", CHANGES, ids=ids)
def test_a_change_rides_through_a_step_down(replica, change):
    """The failpoint says once that it is no primary any more, as one that steps down does."""
    tried = change()
    with opened(replica.new_url() + ASKING) as store:
        tried.prepare(store)
        with failing(replica, tried.command, errorCode=10_107):
            assert tried.do(store) == tried.expected
        assert tried.done(store)


def test_a_replica_set_without_a_primary_is_an_outage_within_the_timeout(tmp_path):
    """Nothing is read from a member that is no primary, and nobody waits for one for ever."""
    with MongoServer(tmp_path) as server:
        discovered = server.new_url().replace("directConnection=true", "replicaSet=secantus")
        with opened(discovered + ASKING, timeout=0.5) as store:
            with server.client() as admin:
                admin.admin.command("replSetStepDown", 600, force=True)
            started = time.monotonic()
            with pytest.raises(AuthServiceUnavailable):
                store.users.create(person("alice"))
            with pytest.raises(AuthServiceUnavailable):
                store.tokens.is_revoked("jti")
            assert time.monotonic() - started < 1 + MARGIN
            # Started again, it is a primary.
            server.kill()
            server.start()
            eventually(store.ping)
        with opened(discovered + ASKING) as store:
            store.users.create(person("alice"))


def test_a_member_that_is_no_primary_is_not_ready(tmp_path):
    """A URL that names one member and no replica set leads there, whatever it is."""
    with MongoServer(tmp_path) as server:
        open_mongo(server.url("db")).close()
        with server.client() as admin:
            admin.admin.command("replSetStepDown", 600, force=True)
        with opened(server.url("db"), create=False, timeout=20) as store:
            for ask in (store.ping, lambda: store.tokens.is_revoked("jti")):
                with pytest.raises(AuthServiceUnavailable) as caught:
                    ask()
                assert "primary" in caught.value.hint


def eventually(ask):
    """Ask until the store answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except AuthServiceUnavailable:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("code", [64, 91, 100], ids=["timeout", "shutdown", "too few members"])
def test_what_most_members_have_not_confirmed_is_not_acknowledged(replica, code):
    """The write stands on the primary alone, and a step-down might undo it."""
    url = replica.new_url()
    with opened(url) as store:
        store.tokens.start_family(family(), digest(1))
    with opened(url, timeout=1) as store:
        concern = {"code": code, "errmsg": "waiting for replication"}
        with failing(replica, "insert", "findAndModify", times=None, writeConcernError=concern):
            with pytest.raises(AuthServiceUnavailable):
                store.users.create(person("alice"))
            with pytest.raises(AuthServiceUnavailable):
                store.tokens.rotate(digest(1), digest(2), LATER)


@pytest.mark.parametrize("code", [11_600, 189, 50, 211, 1, 13], ids=str)
def test_an_error_of_the_server_is_an_outage_and_no_verdict(replica, code):
    """Whatever the server has, a token is neither revoked nor good for it."""
    with (
        opened(replica.new_url(), timeout=0.3) as store,
        failing(replica, "find", times=None, errorCode=code),
    ):
        for ask in (
            lambda: store.tokens.is_revoked("jti"),
            lambda: store.tokens.family_active("f"),
            lambda: store.users.get_by_username("alice"),
            store.keys.load,
        ):
            with pytest.raises(AuthServiceUnavailable) as caught:
                ask()
            assert caught.value.__context__ is None


# --- slow, down, dead ----------------------------------------------------------------------------


def test_a_slow_server_is_an_outage_within_the_timeout(replica, proxy):
    """Somebody who waits for an answer waits no longer than was said."""
    with opened(replica.new_url(port=proxy.port), timeout=1) as store:
        proxy.delay = 600.0
        proxy.fail("find", "slow", times=10)
        started = time.monotonic()
        with pytest.raises(AuthServiceUnavailable):
            store.tokens.is_revoked("jti")
        assert time.monotonic() - started < 1 + MARGIN
        proxy.fail("find", "slow", times=0)
        assert eventually(lambda: store.tokens.is_revoked("jti")) is False


def test_a_server_that_is_down_at_start_is_used_when_it_is_there(tmp_path, caplog):
    """Nothing is restarted for it, and the store is made then (RULES 50)."""
    server = MongoServer(tmp_path)
    with opened(server.url("late"), timeout=0.5) as store:
        assert "not there yet" in caplog.text
        with pytest.raises(AuthServiceUnavailable):
            store.users.count()
        with pytest.raises(AuthServiceUnavailable):
            store.ping()
        with server:
            eventually(store.ping)
            # An attempt that took too long may have registered her.
            with suppress(UserAlreadyExists):
                eventually(lambda: store.users.create(person("alice")))
            with pytest.raises(UserAlreadyExists):
                eventually(lambda: store.users.create(person("ALICE")))
            assert "alice" == eventually(lambda: store.users.get_by_username("ALICE")).username


def test_a_missing_store_that_shows_late_is_said_once(tmp_path, caplog):
    """What would have stopped start-up is 503 and one ERROR a minute (RULES 50)."""
    server = MongoServer(tmp_path)
    with opened(server.url("late"), create=False, timeout=0.5) as store, server:
        hints = [""]
        deadline = time.monotonic() + PATIENCE
        # Before that it may be too slow to say what it has.
        while not all("store init" in hint for hint in hints[-3:]):
            with pytest.raises(AuthServiceUnavailable) as caught:
                store.users.count()
            hints.append(caught.value.hint)
            assert time.monotonic() < deadline, hints
        said = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert ["tokenward store init" in record.getMessage() for record in said] == [True]
        # As soon as somebody has made it, it is used.
        open_mongo(server.url("late")).close()
        assert eventually(store.users.count) == 0


def test_closing_does_not_wait_for_a_server_that_is_gone(tmp_path):
    """An application that ends has other things to do."""
    with MongoServer(tmp_path) as server, opened(server.url("gone")) as store:
        store.ping()
        server.kill()
        started = time.monotonic()
        store.close()
        assert time.monotonic() - started < 1 + MARGIN


class Load:
    """Threads that change a store and write down what was acknowledged."""

    def __init__(self, store):
        self.users, self.revoked, self.rotated, self.outages = [], [], [], []
        self._store = store
        self._stop = threading.Event()
        changes = (self._register, self._register, self._revoke, self._rotate, self._rotate)
        self._threads = [threading.Thread(target=self._work, args=(c,)) for c in changes]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def go_on(self, count):
        """Wait until so much more of everything was acknowledged."""
        for done in (self.users, self.revoked, self.rotated):
            self.wait(done, count)

    def wait(self, done, count):
        enough = len(done) + count
        deadline = time.monotonic() + PATIENCE
        while len(done) < enough:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _work(self, change):
        while not self._stop.is_set():
            try:
                change()
            except AuthServiceUnavailable as error:
                self.outages.append(error.reason)
                self._stop.wait(0.02)

    def _register(self):
        name = f"user{secrets.token_hex(8)}"
        self._store.users.create(person(name))
        self.users.append(name)

    def _revoke(self):
        jti = secrets.token_hex(8)
        self._store.tokens.revoke(jti, LATER)
        self.revoked.append(jti)

    def _rotate(self):
        old = secrets.token_bytes(32)
        self._store.tokens.start_family(family(secrets.token_hex(8)), old)
        for _ in range(3):
            new = secrets.token_bytes(32)
            if self._store.tokens.rotate(old, new, LATER) is Rotation.ROTATED:
                self.rotated.append((old, new))
            old = new


def test_what_was_acknowledged_survives_the_death_of_the_server(tmp_path):
    """Killed under load: every acknowledged registration, rotation, revocation is there."""
    server = MongoServer(tmp_path)
    with server, ExitStack() as everything, opened(server.url("load"), timeout=2) as busy:
        with Load(busy) as load:
            load.go_on(20)
            server.kill()
            load.wait(load.outages, 3)
            server.start()
            load.go_on(5)
        assert {"store_unavailable"} == set(load.outages)
        store = everything.enter_context(opened(server.url("load")))
        assert [name for name in load.users if store.users.get_by_username(name) is None] == []
        assert [jti for jti in load.revoked if not store.tokens.is_revoked(jti)] == []
        found = [tuple(map(store.tokens.find_family, rotated)) for rotated in load.rotated]
        assert [] == [pair for pair in found if None in pair]
        assert [] == [old for old, _ in found if old[1]]
        # The unique indexes are there too.
        with pytest.raises(UserAlreadyExists):
            store.users.create(person(load.users[0]))


def test_a_wrong_password_stops_start_up_and_is_not_shown(tmp_path, caplog):
    """The message says what is wrong, and neither the right secret nor the wrong one."""
    with MongoServer(tmp_path, password="right-Zq8") as server:
        open_mongo(server.url("db")).close()
        wrong = server.url("db").replace("right-Zq8", "wrong-Zq8")
        with pytest.raises(ConfigurationError, match="password") as caught:
            open_mongo(wrong)
    assert "Zq8" not in f"{caught.value} {caplog.text} {caught.value.__context__}"


def test_nobody_listening_is_named_without_the_url():
    """A hint names the database; user, password and host stay where they are."""
    url = f"mongodb://root:hidden-Zq8@127.0.0.1:{free_port()}/db"
    with opened(url, timeout=0.3) as store:
        with pytest.raises(AuthServiceUnavailable) as caught:
            store.ping()
        assert "db" in caught.value.hint
        assert "Zq8" not in f"{caught.value.hint} {store.store!r}"


SERVICE_APP = """
import sys
from waitress import serve
from tokenward.wsgi import service_app
serve(service_app(), listen="127.0.0.1:" + sys.argv[1])
"""


def test_a_service_that_starts_before_its_mongodb_serves_when_it_is_there(tmp_path, impatient):
    """Both `tokenward serve` and `service_app` start, answer 503, and recover (RULES 50)."""
    impatient(1)
    with MongoServer(tmp_path) as server:
        site = Site(tmp_path, server.url("auth"))
        server.kill()
        served, port = Process(site, "serve"), free_port()
        urls = [served.url, f"http://127.0.0.1:{port}"]
        command = [sys.executable, "-c", SERVICE_APP, str(port)]
        environ = {**os.environ, "TOKENWARD_CONFIG": str(site.config)}
        with (tmp_path / "app.log").open("wb") as log, ThreadPoolExecutor(4) as pool:
            application = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
            commands = [
                subprocess.Popen(site.command("keys", done), stdout=log, stderr=log)
                for done in ("list", "rotate")
            ]
            copying = ["store", "copy", server.url("auth"), f"sqlite:///{tmp_path}/copied.db"]
            copying = [sys.executable, "-m", "tokenward", *copying]
            commands.append(subprocess.Popen(copying, stdout=log, stderr=log))
            try:
                served.launch()
                served.wait()
                until_there(urls[1], "/health/live", 200)
                down = ("/health/ready", "/.well-known/jwks.json", "/me")
                asked = [url + path for path in down for url in urls]
                assert set(pool.map(status_of, asked)) == {503}
                # What a person waits for says so instead.
                assert [one.wait(PATIENCE) for one in commands] == [3, 3, 3]
                assert not (tmp_path / "copied.db").exists()
                server.start()
                for url in urls:
                    until_there(url, "/.well-known/jwks.json", 200)
                    until_there(url, "/health/ready", 200)
                    until_there(url, "/me", 401)
                assert served.log.count("No signing keys yet") == 1
            finally:
                served.kill()
                for one in (application, *commands):
                    one.kill()
                    one.wait(PATIENCE)


def status_of(url):
    """Return the status of an answer."""
    asked = {"Authorization": "Bearer a.b.c"}
    return requests.get(url, headers=asked, timeout=PATIENCE).status_code


def until_there(url, path, status):
    """Ask until that is the answer."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(requests.ConnectionError):
            if status_of(url + path) == status:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)
