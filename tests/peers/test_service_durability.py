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
from contextlib import closing, contextmanager

import pytest
from issuing.aftermath import check
from issuing.load import Load
from issuing.processes import PATIENCE, Site, Visitor
from mongo_server import MongoServer
from tcp_proxy import TCPProxy

from tokenward.jwks import JWKSVerifier
from tokenward.service import JWKS_PATH

SEED = int(os.environ.get("TOKENWARD_TEST_SEED", random.SystemRandom().randrange(10**6)))
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def rng():
    """Draws what happens when; a failure shows its seed."""
    print(f"TOKENWARD_TEST_SEED={SEED}")
    return random.Random(SEED)


@contextmanager
def busy(folder, store):
    """A site on a store, its one process under load; checked when the load is over."""
    site = Site(folder, store)
    with site.serving() as (process,):
        with Load(site, process.url, seed=SEED) as load:
            yield site, process, load
        check(site, process, load)


# --- the service dies -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("mongo", marks=pytest.mark.peer)])
def test_the_service_is_killed_under_load(tmp_path, request, rng, kind):
    """Three times kill -9, and once in the middle of `tokenward keys rotate --force`."""
    if kind == "mongo":
        store = request.getfixturevalue("mongo").new_url()
    else:
        store = f"sqlite:///{tmp_path}/store.db"
    with busy(tmp_path, store) as (site, process, load):
        for _ in range(3):
            load.go_on()
            time.sleep(rng.uniform(0, 0.2))
            unanswered = load.unanswered
            process.kill()
            load.wait(lambda before=unanswered: load.unanswered > before)
            process.launch()
            process.wait()
        with subprocess.Popen(
            site.command("keys", "rotate", "--force"), stdout=subprocess.PIPE
        ) as rotating:
            load.lost_rotations += 1
            time.sleep(rng.uniform(0.3, 1.0))
            rotating.kill()
        load.go_on()


# --- the store dies, or is cut off ----------------------------------------------------------------


@pytest.mark.peer
def test_the_store_is_killed_under_load(tmp_path, rng):
    """Once it is back at once, and once only after the service has said that it is not there."""
    with MongoServer(tmp_path) as server:
        with busy(tmp_path, server.url("tokenward")) as (_, process, load):
            pid = process.pid
            for outage in (False, True):
                load.go_on()
                time.sleep(rng.uniform(0, 0.2))
                refused = load.refused
                server.kill()
                if outage:
                    load.wait(lambda before=refused: load.refused > before)
                    with Visitor(process.url) as visitor:
                        assert 503 == visitor.get("/health/ready").status_code
                        assert 200 == visitor.get("/health/live").status_code
                        assert 200 == visitor.get(JWKS_PATH).status_code
                server.start()
            load.go_on()
            assert 0 == load.unanswered
            assert pid == process.pid


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    with MongoServer(tmp_path_factory.mktemp("replica"), "--enable-test-commands") as server:
        yield server


@pytest.mark.peer
def test_connections_to_the_store_are_cut_under_load(tmp_path, replica, rng):
    """Before a request, after it and in the middle of the answer; then no connection holds."""
    with TCPProxy(replica.port) as proxy:
        with busy(tmp_path, replica.new_url(port=proxy.port)) as (_, _process, load):
            for fault in ("before", "after", "half"):
                for command in ("insert", "update", "findAndModify", "find"):
                    proxy.fail(command, fault, times=rng.randint(1, 3))
                    load.more(10)
            refused = load.refused
            proxy.fail("findAndModify", "after", times=10**6)
            load.wait(lambda: load.refused > refused)
            proxy.fail("findAndModify", "after", times=0)
            load.go_on()
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
