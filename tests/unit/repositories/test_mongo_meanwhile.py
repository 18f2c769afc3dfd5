"""What happens in MongoDB between two commands of one call."""

from __future__ import annotations

import pytest
from pymongo import monitoring

from tokenward.repositories.mongo import MongoCounterRepository, MongoUserRepository
from tokenward.repositories.mongo._schema import COUNTERS, USERS
from tokenward.schemas import RegisterRequest

NOW, END = 1_000.0, 4_000_000_000.0
OTHERS = 20


class Others(monitoring.CommandListener):
    """Somebody who starts the counter just before we do, and somebody who clears it just after."""

    def __init__(self, counters):
        self._counters = counters
        self.started_by_others = 0
        self.there = None

    def started(self, event):
        if event.command_name == "findAndModify":
            self._counters.delete_many({})
        elif event.command_name == "insert" and self.started_by_others < OTHERS:
            self.started_by_others += 1
            self._counters.insert_one({**event.command["documents"][0], "value": 7})

    def succeeded(self, event):
        pass

    failed = succeeded


@pytest.mark.peer
def test_a_counter_that_others_start_and_clear_all_the_time_is_started(mongo):
    """Each login of one name starts the same counter, and clears it when it succeeds."""
    name = mongo.new_url().rpartition("/")[2].partition("?")[0]
    with mongo.client() as beside:
        others = Others(beside[name][COUNTERS])
        with mongo.client(event_listeners=[others]) as client:
            counters = MongoCounterRepository(client, database=name)
            assert counters.add(["a"], 1, now=NOW, expires_at=END) == [(1, END)]
    assert others.started_by_others == OTHERS


class Twice(monitoring.CommandListener):
    """A server that had done an update before, of which it remembers nothing."""

    def __init__(self, users):
        self._users = users
        self.done = 0

    def started(self, event):
        if event.command_name == "update" and event.command["update"] == USERS:
            (update,) = event.command["updates"]
            self.done += self._users.update_one(update["q"], update["u"]).modified_count

    def succeeded(self, event):
        pass

    failed = succeeded


@pytest.mark.peer
def test_a_password_whose_first_answer_was_lost_is_not_called_refused(mongo):
    """The account has another version by now: the one that this very call gave it."""
    name = mongo.new_url().rpartition("/")[2].partition("?")[0]
    with mongo.client() as beside:
        twice = Twice(beside[name][USERS])
        with mongo.client(event_listeners=[twice]) as client:
            users = MongoUserRepository(client, database=name, bcrypt_cost=4)
            users.create(
                RegisterRequest(username="alice", email="a@example.com", password="12345678")
            )
            users.set_password("alice", None, version=0)
            user = users.get_by_username("alice")
    assert (twice.done, user.hashed_password, user.token_version) == (1, None, 1)
