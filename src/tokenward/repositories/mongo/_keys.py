"""Signing keys in MongoDB: one document, so that replacing them is one compare-and-set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.repositories._checks import check_keys
from tokenward.repositories.base import KeyRepository, StoredKey
from tokenward.repositories.mongo import _errors as errors
from tokenward.repositories.mongo._errors import Taken
from tokenward.repositories.mongo._schema import KEYS
from tokenward.repositories.mongo._store import MongoStore, store_of
from tokenward.repositories.mongo._values import Document, equal, new_writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo import MongoClient

_ID = "keys"


class MongoKeyRepository(KeyRepository):
    """Signing keys in a MongoDB database.

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

    def load(self) -> tuple[int, list[StoredKey]]:
        """See `KeyRepository.load`."""
        found = self.store.call(lambda database: database[KEYS].find_one(equal(_id=_ID)))
        return (0, []) if found is None else errors.read(self.store.database, _keys, found)

    def replace(self, version: int, keys: Sequence[StoredKey]) -> bool:
        """See `KeyRepository.replace`."""
        check_keys(keys)
        if type(version) is not int:
            return False
        writer = new_writer()
        present = equal(_id=_ID, version=version)
        changes = {
            "version": version + 1,
            "keys": [_document_of(key) for key in keys],
            "writer": writer,
        }
        # The first one makes the document; whoever comes second then finds its _id taken.
        try:
            written = self.store.call(
                lambda database: database[KEYS].update_one(
                    present, {"$set": changes}, upsert=version == 0
                )
            )
        except Taken:
            pass
        else:
            if written.matched_count == 1 or written.upserted_id is not None:
                return True
        ours = equal(_id=_ID, writer=writer)
        return (
            self.store.call(lambda database: database[KEYS].find_one(ours, {"_id": 1})) is not None
        )


def _document_of(key: StoredKey) -> Document:
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "state": key.state,
        "material": key.material,
        "created_at": key.created_at,
        "published_until": key.published_until,
    }


def _keys(document: Document) -> tuple[int, list[StoredKey]]:
    keys = [
        StoredKey(
            kid=key["kid"],
            algorithm=key["algorithm"],
            state=key["state"],
            material=key["material"],
            created_at=key["created_at"],
            published_until=key["published_until"],
        )
        for key in document["keys"]
    ]
    return document["version"], keys
