"""The client of a MongoDB store: lazy, one for each process, bounded (RULES 44, 47)."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import socketserver
import threading
import time

import dns.message
import dns.rdatatype
import dns.resolver
import dns.rrset
import pymongo
import pytest
from pymongo import monitoring

from tokenward.errors import AuthServiceUnavailable
from tokenward.repositories import open_repositories
from tokenward.repositories.mongo import (
    MongoCounterRepository,
    MongoKeyRepository,
    MongoStore,
    MongoTokenRepository,
    MongoUserRepository,
    open_mongo,
)
from tokenward.schemas import RegisterRequest

LATER = 4_000_000_000
NOBODY = "mongodb://root:hidden-Zq8@127.0.0.1:9/db"


@pytest.fixture
def store(mongo):
    opened = MongoStore(mongo.new_url())
    yield opened
    opened.close()


@pytest.fixture
def name_server(mongo):
    """A name server that knows ``mongo.0.0.1``: so called that its domain is that of 127.0.0.1."""
    where = f"0 0 {mongo.port} 127.0.0.1."

    class Handler(socketserver.DatagramRequestHandler):
        def handle(self):
            asked = dns.message.from_wire(self.rfile.read())
            answer = dns.message.make_response(asked)
            name = asked.question[0].name
            if asked.question[0].rdtype == dns.rdatatype.SRV:
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", where))
            self.wfile.write(answer.to_wire())

    with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(90)


@pytest.fixture
def resolver(monkeypatch):
    """What pymongo looks names up with, and nobody answers it."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], 9
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    return resolver


@pytest.fixture
def down():
    """A store whose server is not there."""
    opened = MongoStore(NOBODY, timeout=0.05)
    yield opened
    opened.close()


def threads_of_pymongo():
    return {t for t in threading.enumerate() if "pymongo" in t.name}


def ended(threads):
    """Wait for threads that were told to end; pymongo does not."""
    for thread in threads:
        thread.join(90)
    return [] == [thread for thread in threads if thread.is_alive()]


def in_child(function):
    """Run ``function`` in a forked child; return the child's exit code."""
    child = os.fork()
    if not child:
        # A lock that nobody lets go would hold the child for ever, and the test with it.
        signal.alarm(20)
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def person(name):
    return RegisterRequest(username=name, email=f"{name}@example.com", password="secret1")


def test_an_opened_store_has_neither_threads_nor_a_client(mongo):
    """A server that forks its workers after that has nothing for them to inherit."""
    before = threads_of_pymongo()
    opened = open_mongo(mongo.new_url())
    assert ended(threads_of_pymongo() - before)
    assert opened.store._client is None
    opened.ping()
    started = threads_of_pymongo() - before
    assert started
    opened.close()
    assert ended(started)


def test_a_closed_store_opens_again(store):
    """Closing is for those who have done for now."""
    tokens = MongoTokenRepository(store)
    tokens.revoke("a", LATER)
    for repository in (tokens, MongoUserRepository(store, bcrypt_cost=4)):
        repository.close()
        assert store._client is None
        assert tokens.is_revoked("a")
    for kind in (MongoKeyRepository, MongoCounterRepository):
        kind(store).close()
        assert store._client is None
        store.ping()


def test_threads_share_one_client(store):
    """However many come first at the same moment."""
    clients, start = set(), threading.Barrier(8)

    def use():
        start.wait(90)
        store.ping()
        clients.add(id(store._client))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert [id(store._client)] == list(clients)


def test_a_child_has_a_client_of_its_own(store):
    """Neither the client nor a lock of the parent is used after a fork."""
    tokens = MongoTokenRepository(store)
    tokens.revoke("parent", LATER)
    inherited = store._client

    def check():
        assert store._client is None
        tokens.revoke("child", LATER)
        assert store._client is not inherited
        assert tokens.is_revoked("parent")

    with store._lock:
        assert in_child(check) == 0
    assert tokens.is_revoked("child")
    assert store._client is inherited


def test_parent_and_children_write_side_by_side(store):
    """Workers forked from one that used the store lose nothing."""
    users = MongoUserRepository(store, bcrypt_cost=4)
    users.create(person("parent"))
    children = []
    for worker in range(3):
        child = os.fork()
        if not child:
            code = 1
            try:
                for n in range(5):
                    users.create(person(f"child{worker}-{n}"))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    for n in range(5):
        users.create(person(f"parent{n}"))
    assert [0] * 3 == [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]
    assert users.count() == 1 + 5 + 15


def test_a_given_client_stays_its_owners(mongo):
    """It is used as it is with our guarantees, and closing the store leaves it open."""
    with mongo.client() as client:
        users = MongoUserRepository(client, database="given", bcrypt_cost=4)
        users.create(person("alice"))
        users.close()
        assert client["given"]["tokenward_users"].count_documents({}) == 1
        assert users.count() == 1


def test_a_given_client_is_not_used_across_a_fork(mongo, caplog):
    """It cannot be made anew; that is an outage that says what to do, and an ERROR."""
    with mongo.client() as client:
        tokens = MongoTokenRepository(client, database="forked")

        def check():
            with pytest.raises(AuthServiceUnavailable, match="store_unavailable") as caught:
                tokens.is_revoked("a")
            assert "URL" in caught.value.hint
            assert "URL" in caplog.text

        assert in_child(check) == 0
        assert tokens.is_revoked("a") is False


def test_what_is_sent_asks_the_primary_and_waits_for_the_majority(mongo):
    """Whatever the URL or the client says (RULES 49)."""
    commands = []

    class Watcher(monitoring.CommandListener):
        def started(self, event):
            commands.append(event.command)

        def succeeded(self, event):
            pass

        failed = succeeded

    url = mongo.new_url() + "&w=0&journal=false&readConcernLevel=local&readPreference=nearest"
    with mongo.client(url, event_listeners=[Watcher()]) as client:
        users = MongoUserRepository(client, database="watched", bcrypt_cost=4)
        tokens = MongoTokenRepository(users.store)
        keys = MongoKeyRepository(users.store)
        commands.clear()
        users.create(person("alice"))
        users.set_roles("alice", ["a"])
        users.get_by_username("alice")
        users.get_active_users()
        users.delete("alice")
        tokens.revoke("jti", LATER)
        tokens.is_revoked("jti")
        tokens.use_once("key", LATER)
        tokens.end_family("f")
        tokens.end_all("alice")
        tokens.take_one_time(b"d" * 32, "reset")
        tokens.purge_expired(1)
        keys.replace(0, [])
        keys.load()
    commands = [c for c in commands if "endSessions" not in c]
    reads = [c for c in commands if "find" in c or "aggregate" in c]
    writes = [c for c in commands if c not in reads]
    assert [{"level": "majority"}] * len(reads) == [c.get("readConcern") for c in reads]
    assert {"find", "insert", "update", "delete", "findAndModify"} == {
        next(iter(c)) for c in commands
    }
    assert [{"w": "majority", "j": True}] * len(writes) == [c.get("writeConcern") for c in writes]
    preferences = {c.get("$readPreference", {"mode": "primary"})["mode"] for c in commands}
    # Connected to one member, pymongo says that it may answer whatever it is.
    assert preferences <= {"primary", "primaryPreferred"}
    assert all(0 < c["maxTimeMS"] <= 60_000 for c in commands)


def test_counters_do_not_wait_for_the_majority(mongo):
    """A login pays for its own durability, not for that of its count."""
    concerns = []

    class Watcher(monitoring.CommandListener):
        def started(self, event):
            if event.command_name in ("insert", "findAndModify", "delete"):
                concerns.append(event.command.get("writeConcern"))

        def succeeded(self, event):
            pass

        failed = succeeded

    with mongo.client(event_listeners=[Watcher()]) as client:
        counters = MongoCounterRepository(client, database="counted")
        counters.add(["a"], 1, now=1, expires_at=LATER)
        counters.add(["a"], 1, now=1, expires_at=LATER)
        counters.clear(["a"])
    assert [{"w": 1, "j": False}] * 4 == concerns


def test_a_timeout_bounds_a_call_and_start_up(down):
    """Nobody waits for a server for longer than was said."""
    started = time.monotonic()
    for ask in (down.ping, MongoTokenRepository(down).families, MongoKeyRepository(down).load):
        with pytest.raises(AuthServiceUnavailable):
            ask("alice") if ask.__name__ == "families" else ask()
    assert time.monotonic() - started < 12


def test_a_store_outlasts_dns_that_is_down(name_server, resolver, caplog):
    """It is opened, is an outage until the server can be found, and then is a store (RULES 50)."""
    opened = MongoStore("mongodb+srv://mongo.0.0.1/found_late?tls=false", timeout=2)
    assert "not there yet" in caplog.text
    with pytest.raises(AuthServiceUnavailable) as caught:
        opened.ping()
    assert ("store_unavailable", True) == (caught.value.reason, "DNS" in caught.value.hint)
    resolver.port = name_server
    opened.ping()
    opened.close()


@pytest.mark.parametrize(
    "show", [repr, str, lambda store: repr(MongoUserRepository(store, bcrypt_cost=4))]
)
def test_a_url_is_in_no_repr(down, show):
    """Not even where it has no password."""
    assert "Zq8" not in show(down)
    assert "root" not in show(down)


def test_a_url_is_in_no_log(caplog):
    """Opening, failing, asking again."""
    caplog.set_level("DEBUG")
    opened = MongoStore(NOBODY, timeout=0.05)
    with pytest.raises(AuthServiceUnavailable) as caught:
        opened.ping()
    opened.close()
    assert "not there yet" in caplog.text
    assert "Zq8" not in f"{caplog.text} {caught.value.hint}"


@pytest.mark.parametrize("away", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_store_cannot_be_pickled(down, away):
    """A pickle would carry the password."""
    with pytest.raises(TypeError, match="open it in the process"):
        away(down)


def test_positions_rise(down, monkeypatch):
    """Also when the clock stands still, or goes back."""
    monkeypatch.setattr(time, "time_ns", lambda: 5_000_000)
    assert [5_000, 5_001, 5_002] == [down.next_position() for _ in range(3)]
    monkeypatch.setattr(time, "time_ns", lambda: 1_000)
    assert down.next_position() == 5_003


def test_a_url_leads_here(mongo):
    """`open_repositories` knows the scheme, and everything is there."""
    opened = open_repositories(mongo.new_url(), bcrypt_cost=4)
    opened.ping()
    assert [MongoUserRepository, MongoTokenRepository, MongoKeyRepository] == [
        type(opened.users),
        type(opened.tokens),
        type(opened.keys),
    ]
    assert [MongoCounterRepository, MongoStore] == [type(opened.counters), type(opened.store)]
    opened.close()


def test_a_client_with_another_codec_is_read_all_the_same(mongo):
    """What dates look like to its owner is not what they look like here."""
    with mongo.client(tz_aware=True, document_class=dict) as client:
        tokens = MongoTokenRepository(client, database="codec")
        assert isinstance(client, pymongo.MongoClient)
        assert tokens.use_once("a", LATER)
        assert tokens.store.records("used_once") == ([{"id": "a", "expires_at": LATER}], None)
