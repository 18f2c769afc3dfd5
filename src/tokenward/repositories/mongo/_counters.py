"""Counters in MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument, WriteConcern
from pymongo.read_concern import ReadConcern

from tokenward.errors import AuthServiceUnavailable
from tokenward.repositories._checks import check_counters, check_counting, check_moment
from tokenward.repositories.base import CounterRepository
from tokenward.repositories.mongo import _errors as errors
from tokenward.repositories.mongo._errors import Taken
from tokenward.repositories.mongo._schema import COUNTERS
from tokenward.repositories.mongo._store import MongoStore, store_of
from tokenward.repositories.mongo._values import (
    Document,
    date,
    equal,
    expired,
    instant,
    one_of,
    seconds_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database

# A count that a crash takes away lets somebody try again once; waiting for other members of the
# replica set would cost every login.
_UNACKNOWLEDGED_BY_OTHERS = WriteConcern(w=1, j=False)
_LOCAL = ReadConcern("local")

# Each costs somebody who clears the counter between two of our commands: a login that succeeds.
_ATTEMPTS = 100


class MongoCounterRepository(CounterRepository):
    """Counters in a MongoDB database, which deletes itself what is over.

    Each counter changes in one atomic step; several of one call change one after another, and when
    MongoDB fails between two of them, those before have been added to.

    Args:
        client_or_uri: A MongoDB URL, or a client of yours; or the ``store`` of another repository,
            to share its client.
        database: Its name; ``None``: the one in the URL.
        create: Make the store, or bring it up to date, where that is needed.

    Raises:
        ConfigurationError: The store cannot be used as it is; the message says what to do.
    """

    def __init__(
        self,
        client_or_uri: MongoClient[Any] | str | MongoStore,
        *,
        database: str | None = None,
        create: bool = True,
    ) -> None:
        self.store = store_of(client_or_uri, database=database, create=create)

    def close(self) -> None:
        """Close the store's client; using the repository again makes another."""
        self.store.close()

    def add(
        self, keys: Sequence[str], amount: int, *, now: float, expires_at: float
    ) -> list[tuple[int, float]]:
        """See `CounterRepository.add`."""
        check_counting(keys, amount, now, expires_at)
        over = {"$not": [{"$gt": ["$expires_at", instant(now)]}]}
        value = {"$add": [{"$cond": [over, 0, "$value"]}, amount]}
        end = {"$cond": [over, date(expires_at), "$expires_at"]}
        update = [{"$set": {"value": {"$max": [0, value]}, "expires_at": end}}]
        first = {"value": max(0, amount), "expires_at": date(expires_at)}
        return [self._add(key, update, first) for key in keys]

    def read(self, keys: Sequence[str], *, now: float) -> list[tuple[int, float]]:
        """See `CounterRepository.read`."""
        check_counters(keys)
        check_moment("now", now)
        found = self.store.call(lambda database: list(_counters(database).find(one_of(keys))))
        counted = dict(errors.read(self.store.database, _entry, document) for document in found)
        counters = (counted.get(key) for key in keys)
        return [c if c is not None and c[1] > now else (0, now) for c in counters]

    def clear(self, keys: Sequence[str]) -> None:
        """See `CounterRepository.clear`."""
        check_counters(keys)
        self.store.call(lambda database: _counters(database).delete_many(one_of(keys)))

    def purge_expired(self, now: float) -> int:
        """See `CounterRepository.purge_expired`."""
        check_moment("now", now)
        return self.store.call_slowly(
            lambda database: _counters(database).delete_many(expired(now)).deleted_count
        )

    def _add(self, key: str, update: list[Document], first: Document) -> tuple[int, float]:
        wanted = equal(_id=key)
        for _ in range(_ATTEMPTS):
            counted = self.store.call(
                lambda database: _counters(database).find_one_and_update(
                    wanted, update, return_document=ReturnDocument.AFTER
                )
            )
            if counted is None:
                counted = {"_id": key, **first}
                try:
                    self._insert(dict(counted))
                except Taken:
                    continue  # somebody else started it at the same moment
            return errors.read(self.store.database, _entry, counted)[1]
        hint = "a counter of the MongoDB store could not be started"
        raise AuthServiceUnavailable(hint, reason=errors.REASON)

    def _insert(self, counter: Document) -> None:
        self.store.call(lambda database: _counters(database).insert_one(counter))


def _counters(database: Database[Document]) -> Collection[Document]:
    return database.get_collection(
        COUNTERS, write_concern=_UNACKNOWLEDGED_BY_OTHERS, read_concern=_LOCAL
    )


def _entry(document: Document) -> tuple[str, tuple[int, float]]:
    return document["_id"], (document["value"], seconds_of(document["expires_at"]))
