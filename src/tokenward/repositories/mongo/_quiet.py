"""What pymongo's own log says of a store: nothing.

At DEBUG the logger ``pymongo.command`` writes commands and answers as they are. Those of a store
hold password hashes, the digests of refresh tokens and sealed keys, and a log is no place for them.
"""

from __future__ import annotations

import json
import logging


class _OfStores(logging.Filter):
    """Lets pass what is about no database with a store in it."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: frozenset[str] = frozenset()

    def add(self, database: str) -> None:
        self._marks |= {f'"databaseName": {json.dumps(database)}'}

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        return not any(mark in said for mark in self._marks)


_of_stores = _OfStores()


def keep_quiet(database: str) -> None:
    """Keep the commands of a database out of pymongo's log, for the rest of the process."""
    _of_stores.add(database)
    # Adding it again changes nothing.
    logging.getLogger("pymongo.command").addFilter(_of_stores)
