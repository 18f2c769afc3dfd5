"""Every store that holds to the contracts of `tokenward.repositories.base`."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from tokenward.repositories import open_repositories
from tokenward.repositories.base import Repositories
from tokenward.repositories.mongo import (
    MongoCounterRepository,
    MongoKeyRepository,
    MongoStore,
    MongoTokenRepository,
    MongoUserRepository,
)
from tokenward.repositories.mongo._schema import COLLECTIONS, SCHEMA


@pytest.fixture
def clock():
    """Return the clock of the stores; a test that wants another one overrides this."""
    return time.time


@pytest.fixture(scope="module")
def mongo_store(mongo):
    """One store for a module: to make one takes longer than most tests, and to empty one does not.

    What is made, and how, is for tests/unit/repositories to look at.
    """
    url = mongo.new_url()
    with closing(MongoStore(url)) as store:
        mongo.keep_expired(url)
        yield store


@pytest.fixture(params=["memory", "sqlite", pytest.param("mongo", marks=pytest.mark.peer)])
def repositories(request, tmp_path, clock):
    """An empty store of each kind, with cheap hashes."""
    if request.param == "mongo":
        yield emptied(request.getfixturevalue("mongo_store"), clock)
        return
    url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/store.db"}[request.param]
    opened = open_repositories(url, bcrypt_cost=4, clock=clock)
    yield opened
    opened.close()


def emptied(store, clock):
    """Return what is in a store, which is nothing but its version."""

    def empty(database):
        for name in set(COLLECTIONS) - {SCHEMA}:
            database[name].delete_many({})

    store.call_slowly(empty)
    return Repositories(
        users=MongoUserRepository(store, bcrypt_cost=4, clock=clock),
        tokens=MongoTokenRepository(store, clock=clock),
        keys=MongoKeyRepository(store),
        counters=MongoCounterRepository(store),
        store=store,
    )
