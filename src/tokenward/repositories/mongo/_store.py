"""The client of a MongoDB store: one for each process, made when it is needed."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import split_options

from tokenward import _fork
from tokenward._log import OncePerMinute
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.repositories.mongo import _errors as errors
from tokenward.repositories.mongo._portable import PortableMongo
from tokenward.repositories.mongo._quiet import keep_quiet
from tokenward.repositories.mongo._schema import MIGRATIONS, prepare, read_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database

    from tokenward.repositories.mongo._values import Document

_T = TypeVar("_T")

TIMEOUT = 5.0
"""Seconds for everything that one call does, waiting for a primary and retries included."""

_SLOW = 60.0
_CLOSING = 1.0

_logger = logging.getLogger("tokenward.repositories")
_seldom = OncePerMinute(_logger)

# What is acknowledged is on the disks of most members, and what is read was: neither is undone by
# a change of primary. Dates beyond Python's calendar are dates all the same.
_HOW: dict[str, Any] = {
    "codec_options": CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS),
    "read_preference": ReadPreference.PRIMARY,
    "read_concern": ReadConcern("majority"),
    "write_concern": WriteConcern(w="majority", j=True),
}

# A client of a parent process: in a child it is neither used nor closed, nor collected, since
# pymongo complains about collecting an open one.
_inherited: list[MongoClient[Document]] = []


class MongoStore(PortableMongo):
    """One database, with one client for each process.

    A server that is down does not stop this from being made: the store is looked at as soon as
    the server can be asked, and until then every use is `AuthServiceUnavailable`.

    Args:
        client_or_uri: A MongoDB URL; or a client of yours, which stays yours to close, and can
            only be used in the process that made the store.
        database: Its name; ``None``: the one in the URL.
        create: Make the store, or bring it up to date, where that is needed.
        timeout: Seconds for everything that one call does.

    Raises:
        ConfigurationError: The store cannot be used as it is; the message says what to do.
    """

    def __init__(
        self,
        client_or_uri: MongoClient[Any] | str,
        *,
        database: str | None = None,
        create: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        self._url = client_or_uri if isinstance(client_or_uri, str) else None
        self._given = None if isinstance(client_or_uri, str) else client_or_uri
        self._client: MongoClient[Document] | None = self._given
        self._create = create
        self._timeout = timeout
        self._ready = False
        self._last_position = 0
        self._lock = threading.Lock()
        self.database = self._name_of_database(database)
        keep_quiet(self.database)
        _fork.register(self)
        self._open()

    def __repr__(self) -> str:
        return f"MongoStore(database={self.database!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        msg = "a MongoStore cannot be pickled: open it in the process that uses it"
        raise TypeError(msg)

    def call(
        self, operation: Callable[[Database[Document]], _T], *, timeout: float | None = None
    ) -> _T:
        """Return what ``operation`` does with the database.

        Args:
            operation: Uses pymongo; its exceptions go no further.
            timeout: Seconds; ``None``: those of the store.

        Raises:
            Taken: A unique index has a value already.
            AuthServiceUnavailable: MongoDB cannot be asked, or did not acknowledge in time.
        """
        if not self._ready:
            self._look_again()

        def use() -> _T:
            with pymongo.timeout(self._timeout if timeout is None else timeout):
                return operation(self._database(self._connected()))

        return errors.guarded(self.database, use)

    def call_slowly(self, operation: Callable[[Database[Document]], _T]) -> _T:
        """Do as `call` does, with time for what moves much."""
        return self.call(operation, timeout=max(self._timeout, _SLOW))

    def ping(self) -> None:
        """Raise `AuthServiceUnavailable` unless a primary answers and has the store."""

        def look(database: Database[Document]) -> int:
            self._check_primary(database)
            return read_version(database)

        if self.call(look) != len(MIGRATIONS):
            hint = f"{errors.named(self.database)} does not hold the store of before: restart"
            raise AuthServiceUnavailable(hint, reason=errors.REASON)

    def close(self) -> None:
        """Close the client, unless it was given; using the store again makes another."""
        if self._given is not None:
            return
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            _close(client)

    def after_fork(self) -> None:
        """Start without a client."""
        self._lock = threading.Lock()
        if self._client is not None:
            _inherited.append(self._client)
        self._client = None

    def next_position(self) -> int:
        """Return a number above all that this process was given, to keep an order by.

        Microseconds of this machine's clock: what other processes were given before is below, as
        far as clocks agree.
        """
        with self._lock:
            self._last_position = max(time.time_ns() // 1_000, self._last_position + 1)
            return self._last_position

    def _open(self) -> None:
        # On a client that is closed again: a server that forks its workers after this has then no
        # threads, and nothing to inherit.
        client = self._given or self._make_client()
        try:
            self._prepare(client)
        except AuthServiceUnavailable as error:
            _logger.warning("The store is not there yet: %s", error.hint)
        finally:
            if client is not self._given:
                _close(client)

    def _look_again(self) -> None:
        try:
            self._prepare(self._connected())
        except ConfigurationError as error:
            message = str(error)
        else:
            return
        _seldom.log(logging.ERROR, ("mongo", self.database), "%s", message)
        raise AuthServiceUnavailable(message, reason=errors.REASON)

    def _prepare(self, client: MongoClient[Document]) -> None:
        database = self._database(client)
        refusal: Exception
        try:
            # Whether it is there shows soon; making an index may take longer.
            with pymongo.timeout(self._timeout):
                self._check_primary(database)
            with pymongo.timeout(max(self._timeout, _SLOW)):
                prepare(database, create=self._create)
        except errors.FOREIGN as error:
            refusal = errors.refusal(self.database, error)
        else:
            self._ready = True
            return
        raise refusal

    def _check_primary(self, database: Database[Document]) -> None:
        # Connected to one member directly, pymongo reads from it whatever it is.
        if not database.command("hello").get("isWritablePrimary"):
            hint = f"{errors.named(self.database)} was asked at a member that is no primary"
            raise AuthServiceUnavailable(hint, reason=errors.REASON)

    def _connected(self) -> MongoClient[Document]:
        client = self._client
        if client is not None:
            return client
        made = self._make_client()
        with self._lock:
            if self._client is None:
                self._client = made
            client = self._client
        if client is not made:
            _close(made)
        return client

    def _make_client(self) -> MongoClient[Document]:
        if self._url is None:
            hint = (
                "a MongoClient cannot be used in a process that was forked after it was made: "
                "open the store with a URL, or in the process that uses it"
            )
            _seldom.log(logging.ERROR, ("mongo", "fork"), "%s", hint)
            raise AuthServiceUnavailable(hint, reason=errors.REASON)
        milliseconds = int(self._timeout * 1_000)
        try:
            # A misspelt option, of TLS say, is only warned about otherwise, with its value.
            split_options(self._url.partition("?")[2] or "w=1", validate=True, warn=False)
            # Starts neither a thread nor a connection.
            return MongoClient(
                self._url,
                connect=False,
                appname="tokenward",
                serverSelectionTimeoutMS=milliseconds,
                connectTimeoutMS=milliseconds,
                socketTimeoutMS=milliseconds,
                retryWrites=True,
                retryReads=True,
            )
        except errors.FOREIGN_IN_URL as error:
            refusal = errors.wrong_url(error)
        raise refusal

    def _name_of_database(self, given: str | None) -> str:
        client = self._given or self._make_client()
        try:
            # Not everything can be a name, and a URL need not have one.
            return client.get_database(given).name if given else client.get_default_database().name
        except errors.FOREIGN_IN_URL:
            pass
        finally:
            if client is not self._given:
                client.close()
        msg = "The MongoDB store needs a database: write mongodb://HOST:PORT/DATABASE."
        raise ConfigurationError(msg)

    def _database(self, client: MongoClient[Document]) -> Database[Document]:
        return client.get_database(self.database, **_HOW)


def _close(client: MongoClient[Document]) -> None:
    # It tells the server which sessions are over; a server that is down is not waited for.
    with suppress(*errors.FOREIGN), pymongo.timeout(_CLOSING):
        client.close()


def store_of(
    given: MongoClient[Any] | str | MongoStore, *, database: str | None, create: bool
) -> MongoStore:
    """Return the store that a repository was given, or make one; see `MongoStore`."""
    if isinstance(given, MongoStore):
        return given
    return MongoStore(given, database=database, create=create)
