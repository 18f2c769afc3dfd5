"""What a database can say, turned into our errors."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from django.db import (
    Error,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError

from tokenward._log import OncePerMinute, shown
from tokenward.errors import AuthServiceUnavailable

REASON = "store_unavailable"

_seldom = OncePerMinute(logging.getLogger("tokenward.django.database"))


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what the database raises into `AuthServiceUnavailable`.

    Whoever can make something of an error, an `IntegrityError` say, catches it inside.

    Raises:
        AuthServiceUnavailable: The database cannot be asked, or cannot do what it was asked.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        _let_go()
        if lacks_table(error):
            # It does not pass by itself, unlike an outage.
            _seldom.log(logging.ERROR, ("no table",), "%s", _outage(error))
        raise AuthServiceUnavailable(_outage(error), reason=REASON) from error
    except Error as error:
        _let_go()
        if lacks_table(error):
            _seldom.log(logging.ERROR, ("no table",), "%s", _refusal(error))
        # Not shown as the cause: a database may repeat the row it refuses, password hash included.
        raise AuthServiceUnavailable(_refusal(error), reason=REASON) from None


@contextlib.contextmanager
def savepoint(using: str) -> Iterator[None]:
    """Within a transaction of the caller's, keep an error from breaking it.

    Outside, do nothing: SQLite refuses to write in a transaction that began by reading, when
    somebody else has written meanwhile.
    """
    if not connections[using].in_atomic_block:
        yield
        return
    with transaction.atomic(using=using):
        yield


def lacks_table(error: Error) -> bool:
    """Tell whether the database has no such table or column: it was not migrated."""
    if isinstance(error, OperationalError):
        return "no such " in str(error) or "nknown column" in str(error)  # SQLite, MySQL
    return isinstance(error, ProgrammingError) and not isinstance(error, TransactionManagementError)


def _let_go() -> None:
    # A thread outside Django's requests keeps its connection, and would keep a broken one.
    for connection in connections.all(initialized_only=True):
        at_rest = connection.autocommit and not connection.in_atomic_block
        if connection.errors_occurred and at_rest:
            with contextlib.suppress(Error):
                connection.close()


def _outage(error: Error) -> str:
    if lacks_table(error):
        return f"the database lacks a table or a column ({_said(error)}): run manage.py migrate"
    return f"the database cannot be used ({_said(error)})"


def _refusal(error: Error) -> str:
    if isinstance(error, TransactionManagementError):
        return "the transaction around this call has failed already: let it end"
    if lacks_table(error):
        return f"the database refuses a query ({_said(error)}): run manage.py migrate"
    return f"the database refuses what it was given ({type(error).__name__}): see its own log"


def _said(error: Error) -> str:
    # Only the first line: behind it PostgreSQL quotes the statement, and with it its values.
    return shown(f"{type(error).__name__}: {error}".partition("\n")[0])
