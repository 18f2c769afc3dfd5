"""The service and its store are killed, cut apart, locked and filled under load (RULES 49, 50).

Whatever was acknowledged is there afterwards; what got no answer, or 503, is wholly there or not
at all; and meanwhile nothing is answered but what is true, or 503. The MongoDB is SecantusDB.
Simulated are connections that are cut, by a proxy; and a disk that is full, by a limit on the size
of a file.
"""

import os
import random
import resource
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager, suppress

import pytest
from auth_services import log_in
from issuing.aftermath import check
from issuing.load import Load
from issuing.processes import PATIENCE, Site, Visitor, at_once
from mongo_server import MongoServer
from service_callers import make_service
from tcp_proxy import TCPProxy

from tokenward.errors import AuthServiceUnavailable, InvalidGrant, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.repositories import open_repositories
from tokenward.service import JWKS_PATH

# One in CI, and there the same every time; on a desk another one each time.
SEED = os.environ.get("DURABILITY_SEED") or ("CI" if os.environ.get("CI") else str(time.time()))
PASSWORD = "correct horse battery"


@pytest.fixture
def rng():
    """Draws what happens when."""
    return random.Random(SEED)  # noqa: S311 - nothing secret


@contextmanager
def busy(folder, store, **options):
    """A site on a store, its one process under load; checked when the load is over."""
    site = Site(folder, store, **options)
    try:
        with site.serving() as (process,):
            with Load(site, process.url, seed=SEED) as load:
                yield site, process, load
            check(site, process, load)
    except BaseException as error:
        error.add_note(f"Once more with the same: DURABILITY_SEED={SEED}")
        raise


# --- the service dies -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("mongo", marks=pytest.mark.peer)])
def test_the_service_is_killed_under_load(tmp_path, request, rng, kind):
    """Twice kill -9, and once more in the middle of `tokenward keys rotate --force`."""
    if kind == "mongo":
        store, counters = request.getfixturevalue("mongo").new_url(), "memory"
    else:
        store, counters = f"sqlite:///{tmp_path}/store.db", "store"
    with busy(tmp_path, store, counters=counters) as (site, process, load):
        for _ in range(2):
            load.go_on()
            time.sleep(rng.uniform(0, 0.2))
            unanswered = load.unanswered
            process.kill()
            load.wait(lambda before=unanswered: load.unanswered > before)
            process.launch()
            process.wait()
        load.lost_rotations += 1
        rotate = site.command("keys", "rotate", "--force")
        with subprocess.Popen(rotate, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as one:
            time.sleep(rng.uniform(0.3, 1.5))
            one.kill()
        load.go_on()


# --- the store dies, or is cut off ----------------------------------------------------------------


@pytest.mark.peer
def test_the_store_is_killed_under_load(tmp_path, rng, impatient):
    """Once it is back at once, and once only after the service has said that it is not there."""
    impatient(2)
    with (
        MongoServer(tmp_path) as server,
        busy(tmp_path, server.url("tokenward")) as (_, process, load),
    ):
        pid = process.pid
        with Visitor(process.url) as visitor:
            visitor.register("witness", PASSWORD)
            granted = visitor.log_in("witness", PASSWORD).json()
        for outage in (False, True):
            load.more(25)
            time.sleep(rng.uniform(0, 0.2))
            refused = load.refused
            server.kill()
            if outage:
                assert [503] * 5 + [200] * 2 == told_without_a_store(process.url, granted)
                load.wait(lambda before=refused: load.refused > before)
            server.start()
        load.go_on()
        with Visitor(process.url) as visitor:
            assert visitor.is_active(granted["access_token"])
            assert 200 == visitor.refresh(granted["refresh_token"]).status_code
        assert 0 == load.unanswered
        assert pid == process.pid


def told_without_a_store(url, granted):
    """Return what is answered about tokens that are good: neither yes nor no."""
    token = granted["access_token"]
    questions = (
        lambda v: v.get("/me", token=token),
        lambda v: v.form("/introspect", token=token),
        lambda v: v.refresh(granted["refresh_token"]),
        lambda v: v.log_in("witness", PASSWORD),
        lambda v: v.get("/health/ready"),
        lambda v: v.get("/health/live"),
        lambda v: v.get(JWKS_PATH),
    )
    return asked_at_once(url, questions)


def asked_at_once(url, questions):
    """Return the statuses of the answers, in the order of the questions."""
    answers = at_once([url], len(questions), lambda visitor, at: (at, questions[at](visitor)))
    for _, answer in answers:
        if answer.status_code == 503:
            assert answer.json()["error"] == "temporarily_unavailable"
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
    return [answer.status_code for _, answer in sorted(answers, key=lambda pair: pair[0])]


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    with MongoServer(tmp_path_factory.mktemp("replica"), "--enable-test-commands") as server:
        yield server


@pytest.mark.peer
def test_connections_to_the_store_are_cut_under_load(tmp_path, replica, rng, impatient):
    """Before a request, after it and in the middle of the answer; then no connection holds."""
    impatient(2)
    with (
        TCPProxy(replica.port) as proxy,
        busy(tmp_path, replica.new_url(port=proxy.port)) as (_, _process, load),
    ):
        for fault in ("before", "after", "half"):
            for command in ("insert", "update", "findAndModify", "find"):
                proxy.fail(command, fault, times=rng.randint(1, 3))
                load.more(6)
        refused = load.refused
        proxy.fail("findAndModify", "after", times=10**6)
        load.wait(lambda: load.refused > refused)
        proxy.fail("findAndModify", "after", times=0)
        load.more(20)
        assert 0 == load.unanswered


@pytest.mark.peer
def test_the_primary_steps_down_under_load(tmp_path, replica):
    """There is none for a while: who asks waits or is told 503, and then it goes on."""
    discovered = replica.new_url().replace("directConnection=true", "replicaSet=secantus")
    asking = "&serverMonitoringMode=poll&heartbeatFrequencyMS=500"
    with busy(tmp_path, discovered + asking) as (_, _process, load):
        load.go_on()
        with replica.client() as admin:
            admin.admin.command("replSetStepDown", 2, force=True)
        load.go_on()
        assert 0 == load.unanswered


# --- the store is locked, full, gone --------------------------------------------------------------


class Desk:
    """A site on a SQLite file, with somebody who is logged in four times."""

    def __init__(self, folder, process):
        self.path = folder / "store.db"
        self.process = process
        with self.visitor() as visitor:
            assert visitor.register("alice", PASSWORD).status_code == 201
            self.mine = [visitor.log_in("alice", PASSWORD).json() for _ in range(2)]
            by_client = {"by_client": True}
            self.of_client = [visitor.log_in("alice", PASSWORD, **by_client).json() for _ in "ab"]
            keys = visitor.get(JWKS_PATH).json()
        self.verifier = JWKSVerifier(jwks=keys, issuer="https://auth.example", audience="orders")

    def visitor(self):
        return Visitor(self.process.url)

    def changes(self):
        """Everything that has to be written; each is whole, or not there."""
        (mine, other), (of_client, revoked) = self.mine, self.of_client
        return (
            lambda v: v.register("bob", PASSWORD),
            lambda v: v.log_in("alice", PASSWORD),
            lambda v: v.refresh(mine["refresh_token"]),
            lambda v: v.refresh(of_client["refresh_token"], by_client=True),
            lambda v: v.form("/revoke", token=revoked["refresh_token"]),
            lambda v: v.post("/logout", token=other["access_token"]),
        )

    def change_all(self):
        """Ask for all of it at once; return the statuses."""
        return asked_at_once(self.process.url, self.changes())

    def all_can_be_verified(self):
        """See that keys sign and are published, and tokens are verified, here and elsewhere."""
        with self.visitor() as visitor:
            assert visitor.get(JWKS_PATH).status_code == 200
            own = visitor.form("/token", grant_type="client_credentials")
            assert own.status_code == 200
            self.verifier.verify(own.json()["access_token"])
            for tokens in (*self.mine, *self.of_client):
                self.verifier.verify(tokens["access_token"])


@pytest.fixture
def desk(tmp_path):
    """Somebody at work; what they did is undone by no fault, and their tokens work at last."""
    site = Site(tmp_path, f"sqlite:///{tmp_path}/store.db")
    with site.serving() as (process,):
        desk = Desk(tmp_path, process)
        yield desk
        # Refused is refused: nothing of it was done.
        statuses = desk.change_all()
        assert [201, 200, 200, 200, 200, 200] == statuses
        with desk.visitor() as visitor:
            assert visitor.get("/health/ready").status_code == 200
            (mine, other), (of_client, revoked) = desk.mine, desk.of_client
            active = [
                visitor.is_active(t["access_token"]) for t in (mine, other, of_client, revoked)
            ]
            assert [True, False, True, False] == active
            assert visitor.log_in("bob", PASSWORD).status_code == 200
        assert "Traceback" not in process.log


def is_read(desk):
    """See that what is only read goes on: nobody is sent away for a store that can be read."""
    with desk.visitor() as visitor:
        assert visitor.get("/health/ready").status_code == 200
        for tokens in (*desk.mine, *desk.of_client):
            assert visitor.get("/me", token=tokens["access_token"]).status_code == 200
            assert visitor.is_active(tokens["access_token"])


def test_another_process_keeps_the_write_lock(desk):
    """Who writes waits and is told 503; who reads, and who verifies, is answered meanwhile."""
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # Who writes waits for 5 s; should the machine have stood still meanwhile, once more.
        assert any(is_read_meanwhile(desk) for _ in range(3))
        other.execute("ROLLBACK")


def is_read_meanwhile(desk):
    """Have everything written and read; tell whether all was read before the writers gave up."""
    statuses = []
    writing = threading.Thread(target=lambda: statuses.extend(desk.change_all()))
    writing.start()
    is_read(desk)
    desk.all_can_be_verified()
    while_they_wait = statuses == []
    writing.join(2 * PATIENCE)
    assert [503] * 6 == statuses
    return while_they_wait


def test_the_disk_is_full(desk):
    """Simulated: no file of the service's may grow."""
    _, hard = resource.prlimit(desk.process.pid, resource.RLIMIT_FSIZE)
    size = desk.path.with_name("store.db-wal").stat().st_size
    resource.prlimit(desk.process.pid, resource.RLIMIT_FSIZE, (size, hard))
    assert [503] * 6 == desk.change_all()
    is_read(desk)
    desk.all_can_be_verified()
    resource.prlimit(desk.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_the_file_is_gone(desk):
    """Nobody is told that a token is good, or that it is not; it works again when it is back."""
    away = desk.path.with_name("away.db")
    desk.path.rename(away)
    assert [503] * 6 == desk.change_all()
    desk.all_can_be_verified()
    with desk.visitor() as visitor:
        ready = visitor.get("/health/ready")
        assert (503, True) == (ready.status_code, int(ready.headers["Retry-After"]) >= 1)
        token = desk.mine[0]["access_token"]
        assert visitor.get("/me", token=token).status_code == 503
        assert visitor.form("/introspect", token=token).status_code == 503
        assert visitor.get("/health/live").status_code == 200
    away.rename(desk.path)


# --- what takes more than one write ---------------------------------------------------------------


class Failing:
    """A store that fails at one of its writes, which are counted from 0."""

    def __init__(self, tokens, at):
        self._tokens = tokens
        self._left = at

    def __getattr__(self, name):
        found = getattr(self._tokens, name)
        if name not in ("revoke", "end_family", "end_all"):
            return found

        def write(*arguments):
            self._left -= 1
            if self._left == -1:
                raise AuthServiceUnavailable("the store is busy", reason="store")
            return found(*arguments)

        return write


LOGOUTS = {
    "logout": lambda service, first, _: service.logout_user(first.access_token),
    "logout of two": lambda service, first, second: service.logout_user(
        first.access_token, refresh_token=second.refresh_token
    ),
    "everywhere": lambda service, first, _: service.end_sessions(first.access_token),
}


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("kind", LOGOUTS)
def test_a_logout_that_is_cut_short_can_be_tried_again(kind, at):
    """It is several writes; the token that asks ends last, so that it can ask again."""
    stores = open_repositories("memory://", bcrypt_cost=4)
    service = make_service(stores, tokens=Failing(stores.tokens, at))
    first, second = log_in(service), log_in(service)
    with suppress(AuthServiceUnavailable):
        LOGOUTS[kind](service, first, second)
    with suppress(InvalidToken):
        LOGOUTS[kind](service, first, second)
    for granted in (first,) if kind == "logout" else (first, second):
        assert not service.introspect_token(granted.access_token).active
        with pytest.raises(InvalidGrant):
            service.refresh(granted.refresh_token)


CHANGES = {
    "password": lambda service, token: service.change_password(token, PASSWORD, "another horse"),
    "set password": lambda service, _: service.set_password("alice", "another horse"),
    "roles": lambda service, _: service.set_roles("alice", ["admin"]),
    "deactivation": lambda service, _: service.deactivate_user("alice"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_that_is_cut_short_has_ended_every_token(change):
    """The user is changed in one write, and tokens go by what it counted up."""
    stores = open_repositories("memory://", bcrypt_cost=4)
    service = make_service(stores, tokens=Failing(stores.tokens, 0))
    granted = log_in(service)
    with pytest.raises(AuthServiceUnavailable):
        change(service, granted.access_token)
    assert not service.introspect_token(granted.access_token).active
    with pytest.raises(InvalidGrant):
        service.refresh(granted.refresh_token)
