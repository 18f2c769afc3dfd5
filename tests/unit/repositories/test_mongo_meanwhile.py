"""What happens in MongoDB between two commands of one call."""

from __future__ import annotations

import pytest
from pymongo import monitoring

from tokenward.errors import UserAlreadyExists
from tokenward.repositories.mongo import (
    MongoCounterRepository,
    MongoStore,
    MongoUserRepository,
)
from tokenward.repositories.mongo._errors import Taken
from tokenward.repositories.mongo._portable import PortableMongo
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


class Faster(monitoring.CommandListener):
    """Another process that puts the same user, just before ours is inserted."""

    def __init__(self, users):
        self._users = users
        self.done = 0

    def started(self, event):
        if event.command_name == "insert" and event.command["insert"] == USERS and not self.done:
            self.done = 1
            self._users.insert_many(event.command["documents"])

    def succeeded(self, event):
        pass

    failed = succeeded


@pytest.mark.peer
def test_a_record_that_another_process_puts_meanwhile_is_replaced(mongo):
    """It is there by the time that ours arrives, and takes ours, as any that was there before."""
    name = mongo.new_url().rpartition("/")[2].partition("?")[0]
    with mongo.client() as beside:
        faster = Faster(beside[name][USERS])
        with mongo.client(event_listeners=[faster]) as client:
            store = MongoStore(client, database=name)
            store.put("users", [user_record("alice"), user_record("bob")])
            names = [user["username"] for user in store.records("users")[0]]
    assert (1, ["alice", "bob"]) == (faster.done, names)


class Sought(monitoring.CommandListener):
    """How many ids each query holds."""

    def __init__(self):
        self.ids = []

    def started(self, event):
        if event.command_name == "find" and "$in" in event.command["filter"].get("_id", {}):
            self.ids.append(len(event.command["filter"]["_id"]["$in"]))

    def succeeded(self, event):
        pass

    failed = succeeded


@pytest.mark.peer
def test_thousands_of_records_are_sought_a_thousand_at_a_time(mongo):
    """All in one query might be longer than a command may be; the last of them is found too."""
    name = mongo.new_url().rpartition("/")[2].partition("?")[0]
    sought = Sought()
    records = [{"id": f"{n:04}", "expires_at": 4_000_000_000} for n in range(2_001)]
    with mongo.client(event_listeners=[sought]) as client:
        store = MongoStore(client, database=name)
        store.put("used_once", records)
        sought.ids.clear()
        store.put("used_once", records)
        assert ([1_000, 1_000, 1], 2_001) == (sought.ids, store.tally("used_once"))


class Refusing(PortableMongo):
    """A server without transactions that finds a record there, so many times."""

    database = "refusing"

    def __init__(self, times):
        self.left, self.asked = times, 0

    def next_position(self):
        return 1

    def call_slowly(self, _operation):
        self.asked += 1
        if self.asked <= self.left:
            raise Taken


@pytest.mark.parametrize(("times", "asked"), [(0, 1), (1, 2)])
def test_what_is_taken_is_put_once_more(times, asked):
    """By then it is known, and replaced."""
    store = Refusing(times)
    store.put("users", [user_record("alice")])
    assert asked == store.asked


def test_what_is_still_taken_is_somebody_elses():
    """Nobody tries for ever."""
    store = Refusing(5)
    with pytest.raises(UserAlreadyExists):
        store.put("users", [user_record("alice")])
    assert store.asked == 2


def user_record(name):
    return {
        "id": f"id of {name}",
        "username": name,
        "username_key": name,
        "email": None,
        "email_key": None,
        "hashed_password": None,
        "is_active": True,
        "email_verified": False,
        "roles": [],
        "token_version": 0,
        "created_at": int(NOW),
        "updated_at": int(NOW),
    }
