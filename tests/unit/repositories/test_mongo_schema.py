"""The indexes and the version of a MongoDB store (RULES 35, 49)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tokenward.errors import ConfigurationError
from tokenward.repositories.mongo import MongoStore, open_mongo
from tokenward.repositories.mongo import _schema as schema

pytestmark = pytest.mark.peer


@pytest.fixture
def url(mongo):
    return mongo.new_url()


@pytest.fixture
def database(mongo, url):
    """The database of a store, without a store around it."""
    with mongo.client(url) as client:
        yield client.get_default_database()


def check(url):
    """Open it as a service does, which makes nothing."""
    open_mongo(url, create=False).close()


def make(url):
    open_mongo(url).close()


def shapes(database):
    return {
        name: sorted(
            (
                tuple(i["key"]),
                bool(i.get("unique")),
                bool(i.get("sparse")),
                i.get("expireAfterSeconds"),
            )
            for i in database[name].list_indexes()
        )
        for name in schema.COLLECTIONS
    }


def test_every_index_is_made_and_binary(url, database):
    """What must be unique is, and what expires is deleted an hour later."""
    make(url)
    ids = (("_id",), False, False, None)
    ends = (("expires_at",), False, False, 3_600)
    position = (("position", "_id"), False, False, None)
    assert {
        "tokenward_users": [
            ids,
            (("email_key",), True, True, None),
            (("is_active", "position", "_id"), False, False, None),
            position,
            (("username_key",), True, False, None),
        ],
        "tokenward_families": [
            ids,
            (("digests",), True, False, None),
            ends,
            position,
            (("subject", "position", "_id"), False, False, None),
        ],
        "tokenward_revocations": [ids, ends],
        "tokenward_one_time_tokens": [ids, ends],
        "tokenward_used_once": [ids, ends],
        "tokenward_keys": [],
        "tokenward_counters": [ids, (("expires_at",), False, False, 0)],
        "tokenward_schema": [ids],
    } == shapes(database)
    collations = [
        index.get("collation", {}).get("locale", "simple")
        for name in schema.COLLECTIONS
        for index in database[name].list_indexes()
    ]
    assert {"simple"} == set(collations)
    assert [{"_id": "schema", "version": 1}] == list(database[schema.SCHEMA].find())


def test_making_a_store_again_changes_nothing(url, database):
    """Whoever runs `store init` twice has what they had."""
    make(url)
    before = shapes(database)
    make(url)
    check(url)
    assert before == shapes(database)


def test_a_missing_store_is_not_made_by_a_service(url, database):
    """A slip in the name of the database makes no empty store (RULES 49)."""
    with pytest.raises(ConfigurationError, match="tokenward store init"):
        check(url)
    assert [] == database.list_collection_names()


@pytest.mark.parametrize("index", schema.MIGRATIONS[0], ids=lambda i: f"{i.collection} {i.name}")
def test_a_missing_index_stops_start_up_until_it_is_made(url, database, index):
    """Without it names could be taken twice, or nothing would be deleted."""
    make(url)
    database[index.collection].drop_index(index.name)
    with pytest.raises(ConfigurationError, match=r"has no index on .*tokenward store init"):
        check(url)
    make(url)
    check(url)


MISSHAPEN = {
    "not unique": {"unique": False},
    "sparse": {"unique": True, "sparse": True},
    "partial": {"unique": True, "partialFilterExpression": {"is_active": True}},
    "with a collation": {"unique": True, "collation": {"locale": "en", "strength": 2}},
    "deleting": {"unique": True, "expireAfterSeconds": 60},
}


@pytest.mark.parametrize("options", MISSHAPEN.values(), ids=MISSHAPEN)
@pytest.mark.parametrize("opened", [check, make])
def test_an_index_of_another_shape_stops_start_up(url, database, options, opened):
    """It is neither used as it is nor dropped: somebody made it, for whatever reason."""
    make(url)
    database[schema.USERS].drop_index("username_key")
    database[schema.USERS].create_index("username_key", name="theirs", **options)
    with pytest.raises(ConfigurationError, match=r"theirs of tokenward_users .* drop it"):
        opened(url)


def test_an_index_of_the_right_shape_may_have_any_name(url, database):
    """An administrator may have made it before, by another name."""
    make(url)
    database[schema.USERS].drop_index("username_key")
    database[schema.USERS].create_index("username_key", name="theirs", unique=True)
    make(url)
    check(url)


@pytest.mark.parametrize(("seconds", "fine"), [(3_599, False), (3_600, True), (86_400, True)])
def test_what_has_expired_may_be_kept_longer_and_never_shorter(url, database, seconds, fine):
    """A revocation that is deleted too early brings a token back."""
    make(url)
    index = {"name": "expires_at", "expireAfterSeconds": seconds}
    database.command("collMod", schema.REVOCATIONS, index=index)
    if fine:
        check(url)
    else:
        with pytest.raises(ConfigurationError, match="deletes at another time"):
            check(url)


def test_a_collection_with_a_collation_stops_start_up(url, database):
    """What is looked up by _id would be found by another spelling."""
    database.create_collection(schema.REVOCATIONS, collation={"locale": "en", "strength": 2})
    with pytest.raises(ConfigurationError, match=r"tokenward_revocations has a collation"):
        make(url)


def test_a_collection_that_forgets_stops_start_up(url, database):
    """A capped one drops what is oldest, a view holds nothing of its own."""
    database.create_collection(schema.REVOCATIONS, capped=True, size=4_096)
    with pytest.raises(ConfigurationError, match="no ordinary collection"):
        make(url)


def test_users_of_one_name_stop_the_making_of_the_store(url, database):
    """A unique index cannot be made over what is not; which name it is stays in the database."""
    database[schema.USERS].insert_many([{"_id": n, "username_key": "alice"} for n in "ab"])
    with pytest.raises(ConfigurationError, match="must be unique") as caught:
        make(url)
    assert "alice" not in str(caught.value)


def test_a_store_of_a_newer_version_is_refused(url, database):
    """Neither a service nor `store init` touches what it does not know."""
    make(url)
    database[schema.SCHEMA].update_one({}, {"$set": {"version": 2}})
    for opened in (check, make):
        with pytest.raises(ConfigurationError, match="upgrade tokenward"):
            opened(url)


@pytest.mark.parametrize("version", ["1", None, -1, 1.5, True])
def test_a_version_that_is_none_stops_start_up(url, database, version):
    """Somebody has changed what only migrations write."""
    make(url)
    database[schema.SCHEMA].update_one({}, {"$set": {"version": version}})
    with pytest.raises(ConfigurationError, match="tokenward_schema"):
        make(url)


def test_an_older_store_is_brought_up_to_date_by_init_alone(url, database):
    """A migration that comes later is applied once, and no service applies it."""
    make(url)
    later = schema.Index(schema.USERS, ("updated_at",))
    migrations = (*schema.MIGRATIONS, (later,))
    with pytest.raises(ConfigurationError, match=r"older version.*tokenward store init"):
        schema.prepare(database, create=False, migrations=migrations)
    for _ in range(2):
        schema.prepare(database, create=True, migrations=migrations)
    schema.prepare(database, create=False, migrations=migrations)
    assert 2 == schema.read_version(database)
    assert "updated_at" in database[schema.USERS].index_information()


def test_a_process_that_died_in_the_middle_is_no_obstacle(url, database):
    """Indexes without a version: the migration is applied again."""
    make(url)
    database[schema.SCHEMA].drop()
    database[schema.FAMILIES].drop_index("digests")
    make(url)
    check(url)


def test_many_processes_make_one_store(url):
    """All of them succeed, and there is one store."""
    program = (
        "import sys\n"
        "from tokenward.repositories.mongo import open_mongo\n"
        "opened = open_mongo(sys.argv[1])\n"
        "opened.ping()\n"
        "opened.close()\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    answers = [(process.communicate(timeout=150)[1], process.returncode) for process in started]
    assert [(b"", 0)] * 4 == answers
    check(url)


def test_a_store_whose_database_was_dropped_is_not_ready(url, database):
    """Names could be taken twice in it: its indexes are gone."""
    store = MongoStore(url)
    try:
        store.ping()
        database.client.drop_database(database.name)
        with pytest.raises(Exception, match="store_unavailable") as caught:
            store.ping()
        assert "restart" in caught.value.hint
    finally:
        store.close()
