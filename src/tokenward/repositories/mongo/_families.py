"""Refresh families in MongoDB: one document each, so that a rotation is one atomic step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import ASCENDING

from tokenward.repositories._checks import (
    MAX_KEY_CHARACTERS,
    check_digest,
    check_family,
    check_new_digest,
    is_digest,
    is_string,
    taken,
    whole_second,
)
from tokenward.repositories._portable import KeptFamily
from tokenward.repositories.base import MAX_ROTATIONS, Rotation, TokenRepository
from tokenward.repositories.mongo import _errors as errors
from tokenward.repositories.mongo._documents import family_document, family_of
from tokenward.repositories.mongo._errors import Taken
from tokenward.repositories.mongo._schema import FAMILIES
from tokenward.repositories.mongo._values import (
    date,
    equal,
    new_writer,
    unexpired,
    whole_seconds_of,
)

if TYPE_CHECKING:
    from tokenward.repositories.base import Family
    from tokenward.repositories.mongo._store import MongoStore
    from tokenward.repositories.mongo._values import Document

_END = {"$set": {"ended": True}}
# There may be thousands of them, and nobody needs them.
_WITHOUT_DIGESTS = {"digests": 0}


class MongoFamilies(TokenRepository):
    """The part of `MongoTokenRepository` that is about refresh families."""

    store: MongoStore

    def start_family(self, family: Family, digest: bytes) -> None:
        """See `TokenRepository.start_family`."""
        check_family(family)
        check_digest("digest", digest)
        writer = new_writer()
        position = self.store.next_position()
        document = {**family_document(KeptFamily(family, digest), position), "writer": writer}
        try:
            self.store.call(lambda database: database[FAMILIES].insert_one(document))
        except Taken:
            pass
        else:
            return
        there = self._find_one(equal(_id=family.id))
        if there is None:
            raise taken("digest")
        if there.get("writer") != writer:
            raise taken("id")

    def find_family(self, digest: bytes) -> tuple[Family, bool] | None:
        """See `TokenRepository.find_family`."""
        if not is_digest(digest):
            return None
        found = self._find_one({**equal(digests=digest), **unexpired(self._clock())})
        if found is None:
            return None
        return errors.read(
            self.store.database,
            lambda document: (family_of(document), document["current"] == digest),
            found,
        )

    def rotate(self, digest: bytes, new_digest: bytes, expires_at: float) -> Rotation:
        """See `TokenRepository.rotate`."""
        check_new_digest(digest, new_digest)
        end = whole_second("expires_at", expires_at)
        if not is_digest(digest):
            return Rotation.UNKNOWN
        now = self._clock()
        writer = new_writer()
        current = {
            **equal(current=digest, ended=False),
            # The index is on all digests of a family; the new one must be none of them.
            "digests": {"$eq": digest, "$ne": new_digest},
            "rotations": {"$lt": MAX_ROTATIONS},
            **unexpired(now),
        }
        changes = {
            "$set": {
                "current": new_digest,
                "used_at": int(now),
                "expires_at": date(end),
                "writer": writer,
            },
            "$push": {"digests": new_digest},
            "$inc": {"rotations": 1},
        }
        try:
            rotated = self.store.call(
                lambda database: database[FAMILIES].find_one_and_update(
                    current, changes, projection={"_id": 1}
                )
            )
        except Taken:
            rotated = None
        if rotated is not None:
            return Rotation.ROTATED
        return self._refused(digest, now, writer)

    def end_family(self, family_id: str) -> bool:
        """See `TokenRepository.end_family`."""
        if not is_string(family_id, MAX_KEY_CHARACTERS):
            return False
        ended = self._end(family_id)
        return ended is not None and ended > self._clock()

    def end_all(self, subject: str) -> int:
        """See `TokenRepository.end_all`."""
        if not is_string(subject, MAX_KEY_CHARACTERS):
            return 0
        theirs = equal(subject=subject, ended=False)
        going_on = {**theirs, **unexpired(self._clock())}
        ended = self.store.call(lambda database: database[FAMILIES].update_many(going_on, _END))
        # By the clock of another process one may not have expired.
        self.store.call(lambda database: database[FAMILIES].update_many(theirs, _END))
        return ended.modified_count

    def family_active(self, family_id: str) -> bool:
        """See `TokenRepository.family_active`."""
        if not is_string(family_id, MAX_KEY_CHARACTERS):
            return False
        active = {**equal(_id=family_id, ended=False), **unexpired(self._clock())}
        found = self.store.call(lambda database: database[FAMILIES].find_one(active, {"_id": 1}))
        return found is not None

    def families(self, subject: str) -> list[Family]:
        """See `TokenRepository.families`."""
        if not is_string(subject, MAX_KEY_CHARACTERS):
            return []
        theirs = {**equal(subject=subject, ended=False), **unexpired(self._clock())}
        order = [("position", ASCENDING), ("_id", ASCENDING)]
        found = self.store.call(
            lambda database: list(database[FAMILIES].find(theirs, _WITHOUT_DIGESTS, sort=order))
        )
        return [errors.read(self.store.database, family_of, document) for document in found]

    def _refused(self, digest: bytes, now: float, writer: bytes) -> Rotation:
        found = self._find_one({**equal(digests=digest, ended=False), **unexpired(now)})
        if found is None:
            return Rotation.UNKNOWN
        if found.get("writer") == writer:
            return Rotation.ROTATED
        current, rotations_left = errors.read(
            self.store.database,
            lambda document: (
                document["current"] == digest,
                document["rotations"] < MAX_ROTATIONS,
            ),
            found,
        )
        if current and rotations_left:
            raise taken("new_digest")
        # Of several who come with a used token, the one that ends the family is told.
        ended = self._end(found["_id"]) is not None
        return Rotation.REUSED if ended and not current else Rotation.UNKNOWN

    def _end(self, family_id: str) -> int | None:
        """End a family; return when it would have expired, if it was not ended before."""
        going_on = equal(_id=family_id, ended=False)
        before = self.store.call(
            lambda database: database[FAMILIES].find_one_and_update(
                going_on, _END, projection={"expires_at": 1}
            )
        )
        return None if before is None else errors.read(self.store.database, _expires_at, before)

    def _find_one(self, wanted: Document) -> Document | None:
        return self.store.call(
            lambda database: database[FAMILIES].find_one(wanted, _WITHOUT_DIGESTS)
        )


def _expires_at(document: Document) -> int:
    return whole_seconds_of(document["expires_at"])
