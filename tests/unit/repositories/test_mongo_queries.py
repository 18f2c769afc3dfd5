"""What reaches MongoDB in a query, and what is kept there (RULES 36, 41)."""

from __future__ import annotations

import time

import pytest
from bson import Binary, Code, ObjectId, Regex
from bson.datetime_ms import DatetimeMS
from pymongo import monitoring

from tokenward.errors import AuthError, AuthServiceUnavailable, InvalidRequest, UserNotFound
from tokenward.repositories import Family, Rotation, StoredKey
from tokenward.repositories.mongo import (
    MongoCounterRepository,
    MongoKeyRepository,
    MongoTokenRepository,
    MongoUserRepository,
)
from tokenward.repositories.mongo import _values as values
from tokenward.schemas import LoginRequest, RegisterRequest

LATER = 4_000_000_000
DIGEST, OTHER = b"d" * 32, b"o" * 32


class Watcher(monitoring.CommandListener):
    """Writes down what is sent."""

    def __init__(self):
        self.commands = []

    def started(self, event):
        self.commands.append(event.command)

    def succeeded(self, event):
        pass

    failed = succeeded


class Stores:
    def __init__(self, client, name):
        self.watcher_commands = None
        self.users = MongoUserRepository(client, database=name, bcrypt_cost=4)
        store = self.users.store
        self.tokens = MongoTokenRepository(store)
        self.keys = MongoKeyRepository(store)
        self.counters = MongoCounterRepository(store)
        self.store = store
        self.raw = client[name]


@pytest.fixture
def sent():
    return Watcher()


@pytest.fixture
def stores(mongo, sent):
    """Every repository over one database, with a user and a family in it."""
    name = mongo.new_url().rpartition("/")[2].partition("?")[0]
    with mongo.client(event_listeners=[sent]) as client:
        stores = Stores(client, name)
        stores.users.create(
            RegisterRequest(username="alice", email="a@example.com", password="secret1")
        )
        stores.tokens.start_family(Family("f", "alice", "web", (), 0, 1, 1, LATER), DIGEST)
        stores.tokens.put_one_time(DIGEST, "reset", "alice", LATER)
        stores.tokens.use_once("used", LATER)
        stores.counters.add(["counted"], 1, now=1, expires_at=LATER)
        sent.commands.clear()
        yield stores


INJECTED = [
    {"$ne": None},
    {"$gt": ""},
    {"$regex": ".*"},
    {"$where": "1"},
    {"$exists": True},
    ["alice", "f"],
    [{"$ne": None}],
    ("alice",),
    Regex(".*"),
    ObjectId(),
    {"$in": ["alice"]},
    1,
    True,
    None,
    1.5,
    object(),
    float("nan"),
    "\0",
    "\ud800",
    "a\nb",
    b"alice",
    Binary(b"x" * 32, 5),
]

ASKED = {
    "get_by_id": (lambda s, x: s.users.get_by_id(x), [None]),
    "get_by_username": (lambda s, x: s.users.get_by_username(x), [None]),
    "get_by_email": (lambda s, x: s.users.get_by_email(x), [None]),
    "login": (
        lambda s, x: s.users.verify_credentials(
            LoginRequest.model_construct(username=x, password="secret1")
        ),
        [None],
    ),
    "set_active": (lambda s, x: s.users.set_active(x, active=False), [UserNotFound]),
    "set_roles": (lambda s, x: s.users.set_roles(x, ["admin"]), [UserNotFound]),
    "set_password": (lambda s, x: s.users.set_password(x, "another1"), [UserNotFound]),
    "delete": (lambda s, x: s.users.delete(x), [UserNotFound]),
    "page from": (lambda s, x: s.users.get_active_users(x, 1), [InvalidRequest, []]),
    "page to": (lambda s, x: s.users.get_active_users(0, x), [InvalidRequest]),
    "is_revoked": (lambda s, x: s.tokens.is_revoked(x), [False]),
    "revoke": (lambda s, x: s.tokens.revoke(x, LATER), [InvalidRequest]),
    "is_over": (lambda s, x: s.tokens.is_over(x, "f"), [False]),
    "find_family": (lambda s, x: s.tokens.find_family(x), [None]),
    "rotate": (lambda s, x: s.tokens.rotate(x, OTHER, LATER), [Rotation.UNKNOWN]),
    "rotate to": (lambda s, x: s.tokens.rotate(DIGEST, x, LATER), [InvalidRequest]),
    "end_family": (lambda s, x: s.tokens.end_family(x), [False]),
    "end_all": (lambda s, x: s.tokens.end_all(x), [0]),
    "family_active": (lambda s, x: s.tokens.family_active(x), [False]),
    "families": (lambda s, x: s.tokens.families(x), [[]]),
    "use_once": (lambda s, x: s.tokens.use_once(x, LATER), [InvalidRequest]),
    "take_one_time": (lambda s, x: s.tokens.take_one_time(x, "reset"), [None]),
    "take for": (lambda s, x: s.tokens.take_one_time(DIGEST, x), [None]),
    "put_one_time": (
        lambda s, x: s.tokens.put_one_time(x, "reset", "alice", LATER),
        [InvalidRequest],
    ),
    "count": (lambda s, x: s.counters.add([x], 1, now=1, expires_at=LATER), [InvalidRequest]),
    "read counter": (lambda s, x: s.counters.read([x], now=1), [InvalidRequest]),
    "clear counter": (lambda s, x: s.counters.clear([x]), [InvalidRequest]),
    "replace keys": (lambda s, x: s.keys.replace(x, []), [False]),
    "records": (lambda s, x: s.store.records("users", after=x), [InvalidRequest]),
}
# Where one of these is nothing out of the ordinary.
HARMLESS = {("page from", "1"), ("page to", "1"), ("replace keys", "1"), ("records", "None")}


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_no_name_or_number_reaches_no_query(stores, sent, asked):
    """Operators, lists, other types of BSON: refused, or nobody is called that."""
    ask, allowed = ASKED[asked]
    for injected in INJECTED:
        if (asked, str(injected)) in HARMLESS:
            continue
        sent.commands.clear()
        try:
            answer = ask(stores, injected)
        except AuthError as error:
            answer = type(error)
        assert answer in allowed, injected
        for command in sent.commands:
            operators, leaves = parts_of(command)
            assert operators <= {"$eq", "$gt", "$lte", "$ne", "$lt", "$in"}, injected
            assert leaves <= {str, bytes, int, bool, DatetimeMS}, injected
    # Nothing of it has changed anything.
    alice = stores.users.get_by_username("alice")
    assert (alice.is_active, alice.roles, alice.token_version) == (True, (), 0)
    assert stores.tokens.family_active("f")
    assert stores.tokens.take_one_time(DIGEST, "reset") == "alice"


def parts_of(command):
    """Return all operators in the filters of a command, and the types of all values."""
    filters = [command.get("filter"), command.get("query")]
    filters += [one["q"] for one in [*command.get("updates", []), *command.get("deletes", [])]]
    operators, leaves = set(), set()

    def walk(part):
        if isinstance(part, dict):
            operators.update(name for name in part if name.startswith("$"))
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)
        else:
            leaves.add(type(part))

    walk([one for one in filters if one is not None])
    return operators, leaves


def test_a_string_of_another_kind_is_a_string():
    """BSON's code is a string to Python, and would be code to MongoDB."""
    sent = values.equal(a=Code("alice"))["a"]["$eq"]
    assert ("alice", str) == (sent, type(sent))


@pytest.mark.parametrize(
    "value", [{"$ne": None}, ["a"], ("a",), Regex("a"), 1.5, ObjectId(), Binary(b"a", 5)]
)
def test_a_filter_takes_plain_values_alone(value):
    """Behind every check there is another one."""
    with pytest.raises(TypeError, match="a is of no type"):
        values.equal(a=value)
    with pytest.raises(TypeError, match="_id is of no type"):
        values.one_of(["a", value])


def test_documents_have_named_fields_and_digests(stores):
    """No dump of a model, no token: what is kept is written down here (RULES 36, 41)."""
    stores.keys.replace(0, [StoredKey("a", "ES256", "next", b"sealed", 1, 2)])
    stores.tokens.revoke("jti", LATER)
    kept = {name: stores.raw[name].find_one() for name in stores.raw.list_collection_names()}
    users = kept["tokenward_users"]
    assert {
        *("_id", "position", "username", "username_key", "email", "email_key", "hashed_password"),
        *("is_active", "email_verified", "roles", "token_version", "created_at", "updated_at"),
        "writer",
    } == users.keys()
    assert users["hashed_password"].startswith("$tw1$2b$04$")
    assert {
        *("_id", "position", "subject", "client_id", "scopes", "version", "created_at"),
        *("used_at", "expires_at", "ended", "current", "digests", "rotations", "writer"),
    } == kept["tokenward_families"].keys()
    assert {"_id", "version", "keys", "writer"} == kept["tokenward_keys"].keys()
    assert {"_id", "expires_at"} == kept["tokenward_revocations"].keys()
    assert {"_id", "expires_at", "writer"} == kept["tokenward_used_once"].keys()
    one_time = kept["tokenward_one_time_tokens"]
    assert {"_id", "purpose", "subject", "expires_at", "writer"} == one_time.keys()
    assert DIGEST.hex() == one_time["_id"]
    assert {"_id", "value", "expires_at"} == kept["tokenward_counters"].keys()


def test_a_user_without_an_address_takes_none(stores):
    """Two people without one are not two of one address."""
    (record,) = stores.store.records("users")[0]
    for name in ("bob", "carol"):
        nameless = {**record, "id": name, "username": name, "username_key": name}
        stores.store.put("users", [{**nameless, "email": None, "email_key": None}])
    assert [None, None] == [stores.users.get_by_id(name).email for name in ("bob", "carol")]
    assert stores.store.records("users", limit=1)[0] == [record]


@pytest.mark.parametrize("field", ["username", "is_active", "roles", "created_at", "token_version"])
def test_a_document_changed_by_hand_is_an_outage(stores, field):
    """Nobody is let in, or locked out, by half a document."""
    stores.raw["tokenward_users"].update_one({}, {"$unset": {field: 1}})
    with pytest.raises(AuthServiceUnavailable, match="store_unavailable"):
        stores.users.get_by_username("alice")


@pytest.mark.parametrize(
    ("field", "asked"), [("current", "find_family"), ("current", "rotate"), ("rotations", "rotate")]
)
def test_a_session_changed_by_hand_is_an_outage(stores, field, asked):
    """Nor is a session ended for it."""
    stores.raw["tokenward_families"].update_one({}, {"$unset": {field: 1}})
    with pytest.raises(AuthServiceUnavailable, match="store_unavailable"):
        ASKED[asked][0](stores, DIGEST)
    assert stores.tokens.family_active("f")


def test_what_has_expired_is_not_served_while_mongodb_has_not_deleted_it(mongo):
    """MongoDB looks once a minute, and keeps things an hour longer."""
    url = mongo.new_url()
    store = MongoTokenRepository(url).store
    mongo.keep_expired(url)
    past = int(time.time()) - 1
    tokens = MongoTokenRepository(store)
    tokens.start_family(Family("f", "alice", "web", (), 0, 1, 1, past), DIGEST)
    tokens.put_one_time(DIGEST, "reset", "alice", past)
    assert tokens.use_once("key", past)
    assert tokens.use_once("key", past + 100)
    assert tokens.use_once("key", past + 200) is False
    assert (None, Rotation.UNKNOWN, False, []) == (
        tokens.find_family(DIGEST),
        tokens.rotate(DIGEST, OTHER, LATER),
        tokens.family_active("f"),
        tokens.families("alice"),
    )
    assert tokens.take_one_time(DIGEST, "reset") is None
    assert [1, 1] == [store.tally(kind) for kind in ("families", "one_time_tokens")]
    store.close()


@pytest.mark.parametrize(("end", "kept"), [(2**53, 253_402_300_799), (-(2**53), -62_135_596_800)])
def test_an_end_beyond_any_calendar_is_the_end_of_the_calendar(stores, end, kept):
    """Not everything that speaks MongoDB's protocol knows the year 10,000."""
    stores.tokens.revoke("jti", end)
    assert ([{"id": "jti", "expires_at": kept}], None) == stores.store.records("revocations")
    assert stores.tokens.is_revoked("jti")
    assert stores.tokens.purge_expired(end) >= 1


def test_a_family_with_many_rotations_is_read_without_them(stores, sent):
    """Thousands of digests stay where they are when somebody lists sessions."""
    sent.commands.clear()
    stores.tokens.families("alice")
    stores.tokens.find_family(DIGEST)
    assert [{"digests": 0}] * 2 == [command["projection"] for command in sent.commands]


def test_a_refresh_token_never_comes_back_in_its_family(stores):
    """The unique index keeps families apart; within one it says nothing."""
    assert stores.tokens.rotate(DIGEST, OTHER, LATER) is Rotation.ROTATED
    with pytest.raises(InvalidRequest):
        stores.tokens.rotate(OTHER, DIGEST, LATER)
    assert stores.tokens.find_family(OTHER)[1]
    assert stores.tokens.rotate(DIGEST, b"n" * 32, LATER) is Rotation.REUSED


def test_sessions_that_a_clock_ahead_takes_for_expired_end_too(mongo):
    """Another process may see them go on."""
    store = MongoTokenRepository(mongo.new_url()).store
    ahead, right = (MongoTokenRepository(store, clock=lambda now=now: now) for now in (LATER, 1))
    right.start_family(Family("f", "alice", "web", (), 0, 1, 1, LATER), DIGEST)
    assert ahead.end_all("alice") == 0
    assert right.family_active("f") is False
    store.close()
