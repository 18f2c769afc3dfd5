"""Every store that holds to the contracts of `tokenward.repositories.base`."""

from __future__ import annotations

import time

import pytest

from tokenward.repositories import open_repositories


@pytest.fixture
def clock():
    """Return the clock of the stores; a test that wants another one overrides this."""
    return time.time


@pytest.fixture(params=["memory", "sqlite", pytest.param("mongo", marks=pytest.mark.peer)])
def repositories(request, tmp_path, clock):
    """An empty store of each kind, with cheap hashes."""
    if request.param == "mongo":
        mongo = request.getfixturevalue("mongo")
        url = mongo.new_url()
    else:
        url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/store.db"}[request.param]
    opened = open_repositories(url, bcrypt_cost=4, clock=clock)
    if request.param == "mongo":
        mongo.keep_expired(url)
    yield opened
    opened.close()
