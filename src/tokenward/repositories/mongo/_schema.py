"""The collections and indexes of a MongoDB store, and how an older store becomes one of today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from tokenward.errors import ConfigurationError
from tokenward.repositories.mongo._errors import misshapen, named, no_store
from tokenward.repositories.mongo._values import Document, equal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.database import Database

USERS = "tokenward_users"
FAMILIES = "tokenward_families"
REVOCATIONS = "tokenward_revocations"
ONE_TIME_TOKENS = "tokenward_one_time_tokens"
USED_ONCE = "tokenward_used_once"
KEYS = "tokenward_keys"
COUNTERS = "tokenward_counters"
SCHEMA = "tokenward_schema"

COLLECTIONS = (USERS, FAMILIES, REVOCATIONS, ONE_TIME_TOKENS, USED_ONCE, KEYS, COUNTERS, SCHEMA)

# How long MongoDB keeps what has expired. Its clock may be ahead of ours, and a revocation that it
# deletes too early brings a token back.
_GRACE = 3_600


@dataclass(frozen=True, slots=True)
class Index:
    """An index that a store must have.

    Attributes:
        collection: Whose it is.
        fields: What it is on, in order.
        unique: Whether it refuses a second document of the same values.
        sparse: Whether it leaves out documents without the field.
        ttl: Seconds after the date in its field at which MongoDB may delete the document.
    """

    collection: str
    fields: tuple[str, ...]
    unique: bool = False
    sparse: bool = False
    ttl: int | None = None

    @property
    def name(self) -> str:
        """What it is called where we make it."""
        return "_and_".join(field.strip("_") for field in self.fields)

    def model(self) -> IndexModel:
        """Return it as pymongo wants it; binary, as no collection of a store has a collation."""
        options: dict[str, Any] = {"unique": self.unique, "sparse": self.sparse}
        if self.ttl is not None:
            options["expireAfterSeconds"] = self.ttl
        keys = [(field, ASCENDING) for field in self.fields]
        return IndexModel(keys, name=self.name, **options)

    def fault(self, found: Mapping[str, Any]) -> str | None:
        """Tell what is wrong with an index on the same fields; ``None``: nothing."""
        if bool(found.get("unique")) != self.unique or bool(found.get("sparse")) != self.sparse:
            return "unique or sparse where it should not be, or not where it should"
        if found.get("collation", {}).get("locale", "simple") != "simple":
            return "not binary: it has a collation"
        if "partialFilterExpression" in found:
            return "partial"
        # Keeping things for longer does no harm.
        end = found.get("expireAfterSeconds")
        if (end is None) != (self.ttl is None) or (end is not None and end < (self.ttl or 0)):
            return "one that deletes at another time"
        return None


# The version in the document counts the migrations that a store has seen. One that was released
# never changes: what comes later is appended. Several processes may apply one at a time, and one
# may die in the middle of it: it must be harmless to apply it again.
MIGRATIONS: tuple[tuple[Index, ...], ...] = (
    (
        Index(USERS, ("username_key",), unique=True),
        Index(USERS, ("email_key",), unique=True, sparse=True),
        Index(USERS, ("position", "_id")),
        Index(USERS, ("is_active", "position", "_id")),
        # Of all refresh tokens of a family, so that no two families have one.
        Index(FAMILIES, ("digests",), unique=True),
        Index(FAMILIES, ("subject", "position", "_id")),
        Index(FAMILIES, ("position", "_id")),
        Index(FAMILIES, ("expires_at",), ttl=_GRACE),
        Index(REVOCATIONS, ("expires_at",), ttl=_GRACE),
        Index(ONE_TIME_TOKENS, ("expires_at",), ttl=_GRACE),
        Index(USED_ONCE, ("expires_at",), ttl=_GRACE),
        Index(COUNTERS, ("expires_at",), ttl=0),
    ),
)

_DOCUMENT = equal(_id="schema")

Migrations = tuple[tuple[Index, ...], ...]


def prepare(
    database: Database[Document], *, create: bool, migrations: Migrations = MIGRATIONS
) -> None:
    """Make, or bring up to date, the store if that is wanted; in any case see that it is right.

    Raises:
        ConfigurationError: It cannot be used as it is; the message says what to do.
        pymongo.errors.PyMongoError: See `tokenward.repositories.mongo._errors.refusal`.
    """
    _check_collections(database)
    version = read_version(database)
    if version > len(migrations):
        msg = (
            f"The store in {named(database.name)} was written by a newer tokenward (version "
            f"{version} of its schema, and this one knows {len(migrations)}); upgrade tokenward."
        )
        raise ConfigurationError(msg)
    if create:
        _check_indexes(database, migrations, missing_is_fine=True)
        _migrate(database, version, migrations)
    elif version == 0:
        raise no_store(database.name)
    elif version < len(migrations):
        raise misshapen(database.name, "it is of an older version", "stop what uses it")
    _check_indexes(database, migrations)


def read_version(database: Database[Document]) -> int:
    """Return how many migrations the store has seen; 0: there is none."""
    found = database[SCHEMA].find_one(_DOCUMENT)
    version = 0 if found is None else found.get("version")
    if type(version) is not int or version < 0:
        raise misshapen(database.name, f"somebody has changed {SCHEMA}", "drop it")
    return version


def _migrate(database: Database[Document], version: int, migrations: Migrations) -> None:
    _make(database, [index for migration in migrations[:version] for index in migration])
    for number, migration in enumerate(migrations[version:], start=version):
        _make(database, migration)
        seen = {**_DOCUMENT, **equal(version=number)}
        try:
            database[SCHEMA].update_one(seen, {"$set": {"version": number + 1}}, upsert=number == 0)
        except DuplicateKeyError:
            continue  # another process was as far


def _make(database: Database[Document], indexes: Sequence[Index]) -> None:
    for index in indexes:
        # Not where one of the right shape is there, under whatever name.
        if index.fields not in _found(database, index.collection):
            database[index.collection].create_indexes([index.model()])


def _check_collections(database: Database[Document]) -> None:
    for found in database.list_collections(filter={"name": {"$in": list(COLLECTIONS)}}):
        options = found.get("options", {})
        # What is looked up by _id would be found by another spelling.
        if options.get("collation", {}).get("locale", "simple") != "simple":
            raise misshapen(database.name, f"{found['name']} has a collation", "drop it")
        if found.get("type", "collection") != "collection" or options.get("capped"):
            raise misshapen(database.name, f"{found['name']} is no ordinary collection", "drop it")


def _check_indexes(
    database: Database[Document], migrations: Migrations, *, missing_is_fine: bool = False
) -> None:
    there = {name: _found(database, name) for name in COLLECTIONS}
    for index in (index for migration in migrations for index in migration):
        found = there[index.collection].get(index.fields)
        if found is None:
            if missing_is_fine:
                continue
            fields = ", ".join(index.fields)
            raise misshapen(database.name, f"{index.collection} has no index on {fields}")
        fault = index.fault(found)
        if fault is not None:
            what = f"the index {found['name']} of {index.collection} is {fault}"
            raise misshapen(database.name, what, "drop it")


def _found(database: Database[Document], collection: str) -> dict[tuple[str, ...], Document]:
    found = {}
    for index in database[collection].list_indexes():
        if all(direction == ASCENDING for direction in index["key"].values()):
            found[tuple(index["key"])] = dict(index)
    return found
