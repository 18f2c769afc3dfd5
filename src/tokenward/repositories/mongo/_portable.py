"""What can be carried out of a MongoDB store, and into it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from pymongo import ASCENDING, InsertOne, ReplaceOne

from tokenward.errors import UserAlreadyExists
from tokenward.repositories._checks import taken
from tokenward.repositories._portable import (
    check_asked,
    check_kind,
    check_records,
    family_record,
    kept_family,
    kept_user,
    number_of,
    user_record,
    wrong_place,
)
from tokenward.repositories.mongo import _errors as errors
from tokenward.repositories.mongo._documents import (
    family_document,
    kept_family_of,
    kept_user_of,
    user_document,
)
from tokenward.repositories.mongo._errors import Taken
from tokenward.repositories.mongo._schema import (
    FAMILIES,
    ONE_TIME_TOKENS,
    REVOCATIONS,
    USED_ONCE,
    USERS,
)
from tokenward.repositories.mongo._values import (
    Document,
    date,
    equal,
    one_of,
    whole_seconds_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.client_session import ClientSession
    from pymongo.database import Database

    from tokenward.repositories.base import Kind, Record

_T = TypeVar("_T")

_COLLECTIONS: dict[Kind, str] = {
    "users": USERS,
    "families": FAMILIES,
    "revocations": REVOCATIONS,
    "one_time_tokens": ONE_TIME_TOKENS,
    "used_once": USED_ONCE,
}
_IDS_AT_ONCE = 1_000
_BY_POSITION = ("users", "families")


class PortableMongo(ABC):
    """The part of `MongoStore` that is `Portable`."""

    database: str

    @abstractmethod
    def call_slowly(self, operation: Callable[[Database[Document]], _T]) -> _T:
        """See `MongoStore`."""

    @abstractmethod
    def next_position(self) -> int:
        """See `MongoStore`."""

    def records(
        self, kind: Kind, *, after: str | None = None, limit: int = 500
    ) -> tuple[list[Record], str | None]:
        """See `Portable.records`."""
        check_asked(kind, after, limit)
        wanted, fields = _from(kind, after)
        order = [(field, ASCENDING) for field in fields]
        found = self.call_slowly(
            lambda database: list(
                database[_COLLECTIONS[kind]].find(wanted, sort=order, limit=limit + 1)
            )
        )
        page = found[:limit]
        records = [
            errors.read(self.database, lambda document: _record(kind, document), document)
            for document in page
        ]
        last = page[-1] if len(found) > limit else None
        return records, None if last is None else _place(fields, last)

    def put(self, kind: Kind, records: Sequence[Record]) -> None:
        """See `Portable.put`.

        One step where the server has transactions; it has none outside of replica sets. There
        what was stored before a failure stays.
        """
        check_records(kind, records)
        if not records:
            return
        positions = [self.next_position() for _ in records]

        # Once more: by then what another process has put meanwhile is known, and is replaced.
        if not (self._stored(kind, records, positions) or self._stored(kind, records, positions)):
            raise UserAlreadyExists if kind == "users" else taken("records")

    def tally(self, kind: Kind) -> int:
        """See `Portable.tally`."""
        check_kind(kind)
        return self.call_slowly(lambda database: database[_COLLECTIONS[kind]].count_documents({}))

    def _stored(self, kind: Kind, records: Sequence[Record], positions: Sequence[int]) -> bool:
        """Store records; tell whether no other has an id, a name or a digest of theirs."""

        def put(database: Database[Document]) -> None:
            def write(session: ClientSession | None = None) -> None:
                _write(database, kind, records, positions, session)

            hello = database.command("hello")
            if "setName" not in hello and hello.get("msg") != "isdbgrid":
                write()
                return
            with database.client.start_session() as session:
                session.with_transaction(write)

        try:
            self.call_slowly(put)
        except Taken:
            return False
        return True


def _from(kind: Kind, after: str | None) -> tuple[Document, tuple[str, ...]]:
    if kind not in _BY_POSITION:
        return ({} if after is None else {"_id": {"$gt": after}}), ("_id",)
    fields = ("position", "_id")
    if after is None:
        return {}, fields
    number, separator, id_ = after.partition(" ")
    position = number_of(number)
    if not number or not separator:
        raise wrong_place()
    # Two processes may have been given one position, at the same moment.
    beside = {**equal(position=position), "_id": {"$gt": id_}}
    return {"$or": [{"position": {"$gt": position}}, beside]}, fields


def _place(fields: tuple[str, ...], document: Document) -> str:
    return " ".join(str(document[field]) for field in fields)


def _record(kind: Kind, document: Document) -> Record:
    if kind == "users":
        return user_record(kept_user_of(document))
    if kind == "families":
        return family_record(kept_family_of(document))
    record: Record = {"id": document["_id"]}
    if kind == "one_time_tokens":
        record |= {"purpose": document["purpose"], "subject": document["subject"]}
    return record | {"expires_at": whole_seconds_of(document["expires_at"])}


def _write(
    database: Database[Document],
    kind: Kind,
    records: Sequence[Record],
    positions: Sequence[int],
    session: ClientSession | None,
) -> None:
    collection = database[_COLLECTIONS[kind]]
    known: dict[str, int] = {}
    # All in one filter might be more than a command may hold.
    for start in range(0, len(records), _IDS_AT_ONCE):
        ids = one_of([record["id"] for record in records[start : start + _IDS_AT_ONCE]])
        found = collection.find(ids, {"position": 1}, session=session)
        known |= {document["_id"]: document.get("position", 0) for document in found}
    # What is new is inserted: replacing it would have the server look for each, one by one.
    operations: list[InsertOne[Document] | ReplaceOne[Document]] = []
    for record, position in zip(records, positions, strict=True):
        id_ = record["id"]
        if id_ in known:
            document = _document(kind, record, known[id_])
            operations.append(ReplaceOne(equal(_id=id_), document, upsert=True))
        else:
            operations.append(InsertOne(_document(kind, record, position)))
            known[id_] = position
    collection.bulk_write(operations, session=session)


def _document(kind: Kind, record: Record, position: int) -> Document:
    if kind == "users":
        return user_document(kept_user(record), position)
    if kind == "families":
        return family_document(kept_family(record), position)
    fields = {name: value for name, value in record.items() if name not in ("id", "expires_at")}
    return {"_id": record["id"], **fields, "expires_at": date(record["expires_at"])}
