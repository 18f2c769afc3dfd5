"""docs/scaling.md: its commands are run, its numbers are recomputed, its servers were tried."""

import contextlib
import dataclasses
import json
import logging
import re
import shlex
import time
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import pymongo
import pymongo.monitoring
import pytest
import redis
from doc_pages import Page, slugs
from redis.cluster import RedisCluster
from redis.exceptions import RedisError
from redis_server import RedisServer

from tokenward import ClientSecretBasic, IntrospectionClient, IntrospectionVerifier
from tokenward.protocols import Response
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.repositories.mongo import MongoCounterRepository, MongoTokenRepository
from tokenward.repositories.mongo._schema import COLLECTIONS, MIGRATIONS
from tokenward.shared_cache.places import Places
from tokenward.throttle.on_redis import open_redis

ROOT = Path(__file__).parents[3]
PAGE = Page("scaling.md")
SECRETS = ["page-Kd7-mX2vQ9sTb4Zr"]
PATIENCE = 90.0


@pytest.fixture
def scaling(monkeypatch):
    """Import a module of benchmarks/scaling, which is no part of the distribution."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: import_module(f"benchmarks.scaling.{name}")


# --- commands and numbers

CONSOLE = re.findall(
    r"```console\n\$ python -m benchmarks\.scaling (.*)\n((?:.*\n)*?)```", PAGE.text
)


@pytest.mark.parametrize(("arguments", "printed"), CONSOLE)
def test_a_command_prints_what_the_page_shows(scaling, capsys, arguments, printed):
    """To the last digit."""
    assert 0 == scaling("__main__").main(shlex.split(arguments))
    assert printed == capsys.readouterr().out


def test_the_page_shows_both_fleets():
    """Without a shared cache, and with one."""
    assert [False, True] == ["--shared" in arguments for arguments, _ in CONSOLE]


def test_the_table_of_fleets_is_what_the_script_predicts(scaling):
    """For the fleet that the plot is of."""
    per_host, number = scaling("measured").PER_HOST, scaling("__main__")._number
    predict = scaling("model").predict
    shown = PAGE.rows("From here to a fleet")
    assert ["1", "10", "100", "300", "1,000"] == [row[0] for row in shown]
    for row in shown:
        hosts = int(row[0].replace(",", ""))
        fleet = dataclasses.replace(
            per_host, rate=per_host.rate * hosts, tokens=per_host.tokens * hosts, hosts=hosts
        )
        alone = predict(fleet)
        shared = predict(dataclasses.replace(fleet, shared=True))
        expected = [number(n) for n in (fleet.rate, alone.upstream, shared.upstream)]
        assert [*expected, number(shared.commands), f"{shared.redis_busy:.1%}"] == row[1:]


def test_the_options_are_those_of_the_command(scaling, capsys):
    """Each symbol's option exists."""
    with pytest.raises(SystemExit):
        scaling("__main__").main(["--help"])
    known = capsys.readouterr().out
    section = PAGE.text.partition("## What is asked\n")[2].partition("###")[0]
    named = re.findall(r"`(--[a-z-]+)`", section)
    assert len(named) == 9
    assert all(f"{name} N" in known for name in named)


def test_the_bars_and_costs_are_those_of_the_script(scaling):
    """What the page says of them."""
    measured, model = scaling("measured"), scaling("model")
    first, *others = (row[1] for row in PAGE.rows("How far to trust it"))
    assert f"{100 * (measured.SIMULATED_TOLERANCE - 1):.0f} %" == first
    assert {f"{100 * (measured.TOLERANCE - 1):.0f} %"} == set(others)
    text = " ".join(PAGE.text.split())
    assert (23e-6, 27e-6, 1_700) == (
        model.LOOKUP_SECONDS,
        model.WRITE_SECONDS,
        model.ENTRY_BYTES,
    )
    for said in (
        "23 µs of it for a look-up and 27 µs",
        "1.7 kB",
        f"{len(measured.GRID)} simulated fleets",
    ):
        assert said in text


def test_what_was_found_is_cited_and_not_typed():
    """Figures of one run, on one machine, stand where that run has put them."""
    section = PAGE.text.partition("## How far to trust it\n")[2].partition("\n## ")[0]
    assert "[the results](benchmarks/results.md)" in section
    assert [] == re.findall(r"\d+\.\d+ %", section)
    for said in ("on that day", "overcommitted", "others used", "as it has cores"):
        assert said not in " ".join(PAGE.text.split())


# --- Redis Cluster


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Run a Redis Cluster of three nodes, and return their ports."""
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "60000"]
    with contextlib.ExitStack() as stack:
        ports = [
            stack.enter_context(RedisServer(tmp_path_factory.mktemp("node"), *options)).port
            for _ in range(3)
        ]
        clients = [stack.enter_context(redis.Redis(port=port)) for port in ports]
        slots = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)]
        for number, (client, (first, last)) in enumerate(zip(clients, slots, strict=True), 1):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number)
        for port in ports[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        deadline = time.monotonic() + PATIENCE
        while not all(map(_is_whole, clients)):
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.05)
        yield ports


def _is_whole(client):
    info = client.execute_command("CLUSTER INFO")
    return "ok" == info["cluster_state"] and "3" == info["cluster_known_nodes"]


class Answering:
    """A transport that says that every token is good."""

    def send(self, request, *, deadline):
        body = json.dumps({"active": True, "sub": "ada", "aud": "orders"}).encode()
        return Response(200, {"content-type": "application/json"}, body)

    def close(self):
        pass


@pytest.fixture
def verifier():
    """Make verifiers that are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(**parts):
            client = IntrospectionClient(
                "https://as.example/introspect",
                client_auth=ClientSecretBasic("orders", "a-secret-9fX2"),
                transport=Answering(),
            )
            made = IntrospectionVerifier(client, audience="orders", **parts)
            stack.callback(made.close)
            for part in parts.values():
                if hasattr(part, "close"):
                    stack.callback(part.close)
            return made

        yield make


TOKENS = [f"a-good-token-{number}" for number in range(12)]


def test_the_cache_of_the_page_works_on_a_cluster(nodes, verifier):
    """Over all nodes: another process finds every answer, and what is revoked is revoked."""
    code = PAGE.block("class ClusterSharedCache")
    assert 2 == code.count("timeout=0.25")
    names = PAGE.run(code.replace("timeout=0.25", "timeout=60"), {})
    with contextlib.ExitStack() as stack:
        caches = [
            names["ClusterSharedCache"](f"redis://127.0.0.1:{nodes[0]}", secrets=SECRETS)
            for _ in range(2)
        ]
        for cache in caches:
            stack.callback(cache._cluster.close)
        first, second = (verifier(shared_cache=cache) for cache in caches)
        for token in TOKENS:
            first.verify(token)
            second.verify(token)
        stats = second.stats()
        assert (12, 0, 0) == (stats.shared_hits, stats.upstream_calls, stats.shared_errors)
        assert all(_size(port) for port in nodes)
        first.invalidate(TOKENS[0])
        second.clear()
        second.verify(TOKENS[0])
        assert 1 == second.stats().upstream_calls


def _size(port):
    with redis.Redis(port=port) as client:
        return client.dbsize()


def test_the_cache_of_the_package_does_without_a_cluster_and_says_so(nodes, verifier, caplog):
    """No request is refused for it; the warning says what to name instead."""
    cache = RedisSharedCache(
        f"redis://127.0.0.1:{nodes[0]}/0", secrets=SECRETS, prefix="other:", timeout=60
    )
    with caplog.at_level(logging.WARNING, "tokenward.shared_cache"):
        one = verifier(shared_cache=cache)
        for token in TOKENS:
            one.verify(token)
    assert (12, 0) == (one.stats().upstream_calls, one.stats().shared_hits)
    assert one.stats().shared_errors
    assert "it belongs to a cluster; name a single server or a proxy" in caplog.text


def test_the_broadcast_reaches_the_subscribers_of_every_node(nodes, verifier):
    """Whichever node it was published at."""
    buses = [
        RedisRevocationBus(f"redis://127.0.0.1:{port}/0", secrets=SECRETS, timeout=60)
        for port in nodes
    ]
    # Kept for longer than this test waits: nothing but the broadcast takes it away.
    first, *others = (verifier(revocation_bus=bus, ttl=600) for bus in buses)
    for one in (first, *others):
        one.verify(TOKENS[0])
    deadline = time.monotonic() + PATIENCE
    # What came while a subscription began is forgotten once.
    while any(_subscribers(port) != 1 for port in nodes):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for one in others:
        one.verify(TOKENS[0])
    first.invalidate(TOKENS[0])
    while any(one.cached(TOKENS[0]) for one in others):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _subscribers(port):
    with redis.Redis(port=port) as client:
        return sum(count for _, count in client.pubsub_numsub("tokenward:revocations"))


def test_the_throttle_cannot_count_in_a_cluster(nodes):
    """Its counters of one login lie in different slots."""
    counters = open_redis(f"redis://127.0.0.1:{nodes[0]}/0")
    with contextlib.closing(counters), pytest.raises(RedisError, match=r"slot|MOVED"):
        counters.incr_all(["a", "b", "c"], 10, 1)


def test_what_is_kept_of_a_token_lies_in_one_slot(nodes):
    """And the tokens are spread evenly over the nodes."""
    cache = RedisSharedCache("redis://127.0.0.1:1/0", secrets=SECRETS)
    digests = [sha256(str(number).encode()).digest() for number in range(3_000)]
    with contextlib.closing(RedisCluster(host="127.0.0.1", port=nodes[0])) as cluster:
        slots = []
        for digest in digests:
            (name,) = (b"tokenward:" + slot for slot in Places(cache).slots(digest))
            slots.append(cluster.keyslot(name + b"t"))
            assert slots[-1] == cluster.keyslot(name + b"a0123")
    thirds = [
        sum(third * 5_461 <= slot < (third + 1) * 5_461 for slot in slots) for third in range(3)
    ]
    assert all(850 < third < 1_150 for third in thirds)


# --- shard keys


@pytest.fixture
def commands(mongo):
    """Have repositories say which commands they send; yield them and what was sent."""
    sent = []

    class Heard(pymongo.monitoring.CommandListener):
        def started(self, event):
            sent.append(event.command)

        def succeeded(self, event):
            pass

        def failed(self, event):
            pass

    with pymongo.MongoClient(mongo.new_url(), event_listeners=[Heard()]) as client:
        database = client.get_default_database().name
        tokens = MongoTokenRepository(client, database=database)
        counters = MongoCounterRepository(tokens.store)
        del sent[:]
        yield tokens, counters, sent


def test_every_command_names_the_shard_key_of_the_page(commands):
    """So that one shard is asked: MongoDB sends what does not to all of them."""
    tokens, counters, sent = commands
    digest, later = sha256(b"one").digest(), time.time() + 600
    tokens.revoke("jti-1", later)
    tokens.is_revoked("jti-1")
    tokens.use_once("key", later)
    tokens.use_once("key", later)
    tokens.put_one_time(digest, "verify", "ada", later)
    tokens.take_one_time(digest, "verify")
    counters.add(["a", "b"], 1, now=time.time(), expires_at=later)
    counters.read(["a", "b"], now=time.time())
    counters.clear(["a", "b"])
    seen = set()
    for command in sent:
        kind, collection = next(iter(command.items()))
        seen.add(collection)
        assert all("_id" in named for named in _filters(kind, command)), command
    assert _with_shard_key() == seen


def _filters(kind, command):
    if kind == "insert":
        return command["documents"]
    if kind in ("find", "findAndModify"):
        return [command["filter" if kind == "find" else "query"]]
    return [one["q"] for one in command["updates" if kind == "update" else "deletes"]]


def _with_shard_key():
    rows = PAGE.rows("From here to a fleet", nth=3)
    return {slugs(row[0])[0] for row in rows if slugs(row[1]) == ['{_id: "hashed"}']}


def test_what_has_another_unique_index_is_left_whole():
    """A unique index must begin with the shard key, and `_id` is the only other one."""
    unique = {index.collection for migration in MIGRATIONS for index in migration if index.unique}
    rows = PAGE.rows("From here to a fleet", nth=3)
    named = {name for row in rows for name in slugs(row[0])}
    assert set(COLLECTIONS) == named
    assert not unique & _with_shard_key()
