"""Users in MongoDB."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING

from tokenward.errors import UserAlreadyExists
from tokenward.passwords import DEFAULT_COST
from tokenward.repositories._records import RecordUserRepository
from tokenward.repositories.mongo import _errors as errors
from tokenward.repositories.mongo._documents import user_document, user_of
from tokenward.repositories.mongo._errors import Taken
from tokenward.repositories.mongo._schema import USERS
from tokenward.repositories.mongo._store import MongoStore, store_of
from tokenward.repositories.mongo._values import equal, new_writer

if TYPE_CHECKING:
    from pymongo import MongoClient

    from tokenward.protocols import Clock
    from tokenward.repositories._records import Change, NewUser, UniqueColumn, Value
    from tokenward.repositories.mongo._values import Document
    from tokenward.schemas import User

_FIELDS: dict[UniqueColumn, str] = {
    "id": "_id",
    "username_key": "username_key",
    "email_key": "email_key",
}


class MongoUserRepository(RecordUserRepository):
    """Users in a MongoDB database.

    Args:
        client_or_uri: A MongoDB URL, or a client of yours; or the ``store`` of another repository,
            to share its client.
        database: Its name; ``None``: the one in the URL.
        create: Make the store, or bring it up to date, where that is needed.
        bcrypt_cost: See `tokenward.passwords.PasswordHasher`.
        clock: Returns epoch seconds.

    Raises:
        ConfigurationError: The store cannot be used as it is; the message says what to do.
    """

    def __init__(
        self,
        client_or_uri: MongoClient[Any] | str | MongoStore,
        *,
        database: str | None = None,
        create: bool = True,
        bcrypt_cost: int = DEFAULT_COST,
        clock: Clock = time.time,
    ) -> None:
        super().__init__(bcrypt_cost=bcrypt_cost, clock=clock)
        self.store = store_of(client_or_uri, database=database, create=create)

    def close(self) -> None:
        """Close the store's client; using the repository again makes another."""
        self.store.close()

    def count(self) -> int:
        """See `UserRepository.count`."""
        return self.store.call(lambda database: database[USERS].count_documents({}))

    def replace_hash(self, user: User, hashed_password: str) -> bool:
        """See `UserRepository.replace_hash`."""
        wanted = equal(_id=user.id, hashed_password=user.hashed_password)
        changes = {"hashed_password": hashed_password, "updated_at": self._now()}
        changed = self.store.call(
            lambda database: database[USERS].update_one(wanted, {"$set": changes})
        )
        return changed.matched_count == 1

    def _insert(self, new: NewUser) -> None:
        writer = new_writer()
        document = {**user_document(new, self.store.next_position()), "writer": writer}
        try:
            self.store.call(lambda database: database[USERS].insert_one(document))
        except Taken:
            pass
        else:
            return
        ours = equal(_id=new.user.id, writer=writer)
        if self.store.call(lambda database: database[USERS].find_one(ours, {"_id": 1})) is None:
            raise UserAlreadyExists

    def _find(self, column: UniqueColumn, value: str) -> User | None:
        wanted = equal(**{_FIELDS[column]: value})
        found = self.store.call(lambda database: database[USERS].find_one(wanted))
        return None if found is None else errors.read(self.store.database, user_of, found)

    def _page(self, skip: int, limit: int) -> list[User]:
        if limit == 0:
            return []  # to MongoDB that is no limit
        order = [("position", ASCENDING), ("_id", ASCENDING)]
        found = self.store.call(
            lambda database: list(
                database[USERS].find(equal(is_active=True), sort=order, skip=skip, limit=limit)
            )
        )
        return [errors.read(self.store.database, user_of, document) for document in found]

    def _change(self, username_key: str, column: Change, value: Value, version: int | None) -> bool:
        kept = list(value) if isinstance(value, tuple) else value
        update: Document = {"$set": {column: kept, "updated_at": self._now()}}
        if column != "email_verified":
            update["$inc"] = {"token_version": 1}
        wanted = equal(username_key=username_key)
        if version is None:
            changed = self.store.call(lambda database: database[USERS].update_one(wanted, update))
            return changed.matched_count == 1
        writer = new_writer()
        update["$set"]["writer"] = writer
        of_version = {**wanted, **equal(token_version=version)}
        changed = self.store.call(lambda database: database[USERS].update_one(of_version, update))
        if changed.matched_count == 1:
            return True
        ours = {**wanted, **equal(writer=writer)}
        found = self.store.call(lambda database: database[USERS].find_one(ours, {"_id": 1}))
        return found is not None

    def _remove(self, username_key: str) -> bool:
        wanted = equal(username_key=username_key)
        removed = self.store.call(lambda database: database[USERS].delete_one(wanted))
        return removed.deleted_count == 1
