"""The state of issued tokens in MongoDB."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tokenward.errors import AuthServiceUnavailable
from tokenward.repositories._checks import (
    MAX_KEY_CHARACTERS,
    MAX_PURPOSE_CHARACTERS,
    check_digest,
    check_jti,
    check_moment,
    check_string,
    is_digest,
    is_jti,
    is_string,
    taken,
    whole_second,
)
from tokenward.repositories.mongo import _errors as errors
from tokenward.repositories.mongo._errors import Taken
from tokenward.repositories.mongo._families import MongoFamilies
from tokenward.repositories.mongo._schema import (
    FAMILIES,
    ONE_TIME_TOKENS,
    REVOCATIONS,
    USED_ONCE,
)
from tokenward.repositories.mongo._store import MongoStore, store_of
from tokenward.repositories.mongo._values import date, equal, expired, new_writer, unexpired

if TYPE_CHECKING:
    from pymongo import MongoClient

    from tokenward.protocols import Clock

_ATTEMPTS = 5
_EXPIRING = (FAMILIES, REVOCATIONS, ONE_TIME_TOKENS, USED_ONCE)


class MongoTokenRepository(MongoFamilies):
    """The state of tokens in a MongoDB database.

    MongoDB itself deletes what has expired, an hour later; `purge_expired` does so at once.

    Args:
        client_or_uri: A MongoDB URL, or a client of yours; or the ``store`` of another repository,
            to share its client.
        database: Its name; ``None``: the one in the URL.
        create: Make the store, or bring it up to date, where that is needed.
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
        clock: Clock = time.time,
    ) -> None:
        self._clock = clock
        self.store = store_of(client_or_uri, database=database, create=create)

    def close(self) -> None:
        """Close the store's client; using the repository again makes another."""
        self.store.close()

    def revoke(self, jti: str, expires_at: float) -> None:
        """See `TokenRepository.revoke`."""
        check_jti(jti)
        later = {"$max": {"expires_at": date(whole_second("expires_at", expires_at))}}
        for _ in range(_ATTEMPTS):
            try:
                self.store.call(
                    lambda database: database[REVOCATIONS].update_one(
                        equal(_id=jti), later, upsert=True
                    )
                )
            except Taken:
                continue  # somebody else revokes the same token at the same moment
            return
        hint = "a revocation could not be written into the MongoDB store"
        raise AuthServiceUnavailable(hint, reason=errors.REASON)

    def is_revoked(self, jti: str) -> bool:
        """See `TokenRepository.is_revoked`."""
        if not is_jti(jti):
            return False
        wanted = equal(_id=jti)
        found = self.store.call(lambda database: database[REVOCATIONS].find_one(wanted, {"_id": 1}))
        return found is not None

    def purge_expired(self, now: float) -> int:
        """See `TokenRepository.purge_expired`."""
        check_moment("now", now)
        return sum(self._purge(collection, now) for collection in _EXPIRING)

    # --- what is good for one use

    def use_once(self, key: str, expires_at: float) -> bool:
        """See `TokenRepository.use_once`."""
        check_string("key", key, MAX_KEY_CHARACTERS)
        end = date(whole_second("expires_at", expires_at))
        writer = new_writer()
        document = {"_id": key, "expires_at": end, "writer": writer}
        try:
            self.store.call(lambda database: database[USED_ONCE].insert_one(document))
        except Taken:
            pass
        else:
            return True
        # The use of before may be over, and MongoDB not have deleted it yet.
        over = {**equal(_id=key), **expired(self._clock())}
        changes = {"$set": {"expires_at": end, "writer": writer}}
        self.store.call(lambda database: database[USED_ONCE].update_one(over, changes))
        ours = equal(_id=key, writer=writer)
        found = self.store.call(lambda database: database[USED_ONCE].find_one(ours, {"_id": 1}))
        return found is not None

    def put_one_time(self, digest: bytes, purpose: str, subject: str, expires_at: float) -> None:
        """See `TokenRepository.put_one_time`."""
        check_digest("digest", digest)
        check_string("purpose", purpose, MAX_PURPOSE_CHARACTERS)
        check_string("subject", subject, MAX_KEY_CHARACTERS)
        writer = new_writer()
        document = {
            "_id": digest.hex(),
            "purpose": purpose,
            "subject": subject,
            "expires_at": date(whole_second("expires_at", expires_at)),
            "writer": writer,
        }
        try:
            self.store.call(lambda database: database[ONE_TIME_TOKENS].insert_one(document))
        except Taken:
            pass
        else:
            return
        ours = equal(_id=digest.hex(), writer=writer)
        if self.store.call(lambda database: database[ONE_TIME_TOKENS].find_one(ours)) is None:
            raise taken("digest")

    def take_one_time(self, digest: bytes, purpose: str) -> str | None:
        """See `TokenRepository.take_one_time`."""
        if not is_digest(digest) or not is_string(purpose, MAX_PURPOSE_CHARACTERS):
            return None
        wanted = {**equal(_id=digest.hex(), purpose=purpose), **unexpired(self._clock())}
        token = self.store.call(
            lambda database: database[ONE_TIME_TOKENS].find_one_and_delete(wanted)
        )
        return None if token is None else errors.read(self.store.database, _subject, token)

    def _purge(self, collection: str, now: float) -> int:
        return self.store.call_slowly(
            lambda database: database[collection].delete_many(expired(now)).deleted_count
        )


def _subject(token: dict[str, Any]) -> str:
    subject = token["subject"]
    if not isinstance(subject, str):
        raise TypeError
    return subject
