"""The accounts beside the project's user rows: made, and kept in step with what becomes of a row.

A row may change without the auth service: in the admin, through the ORM, in SQL. What an account
has of its row is compared when Django has saved the row (`saved`), and again
whenever the service reads it, so that nothing goes unnoticed; what counts is counted once, by
compare-and-set.

Nothing here ever refuses a save of the project's own. Where two rows claim one name, the account
that has it keeps it, and the other row is nobody to the service until one of them is renamed.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import BaseUserManager
from django.db import IntegrityError, models, router, transaction

from tokenward._log import shown
from tokenward.django._database import translated_errors
from tokenward.django._user_model import (
    Kind,
    columns,
    email_digest,
    key_of,
    to_column,
    username_digest,
    visible_rows,
)
from tokenward.django.models import Account, digest_of

__all__ = ["Adoption", "adopt", "adopt_existing", "find_by_hand", "holds", "settle"]

_logger = logging.getLogger("tokenward.django.accounts")

_ID_BYTES = 16
_ELSEWHERE = "!"
_CHUNK = 500
_FEW = 10


@dataclass(frozen=True, slots=True)
class Adoption:
    """What `adopt_existing` did; names are as the rows have them.

    Attributes:
        adopted: How many rows have an account now that had none.
        without_account: Who is nobody to the service: somebody else has the name, or it holds what
            no name may hold, such as a space.
        without_email: Who has no address at the service: somebody else has it.
    """

    adopted: int
    without_account: tuple[str, ...] = ()
    without_email: tuple[str, ...] = ()


def holds(digest: str | None) -> bool:
    """Tell whether an account's digest is its own, and not one that somebody else has."""
    return digest is not None and not digest.startswith(_ELSEWHERE)


def adopt(row: Any, *, using: str) -> Account | None:
    """Make the account of a row that has none.

    Returns:
        The account, which another thread may have made; ``None``: the row's name is somebody
        else's, or no name.
    """
    account_id = secrets.token_urlsafe(_ID_BYTES)
    username, email, now = username_digest(row), email_digest(row), _now()
    if not username:
        return None
    for kept in (None,) if email is None else (email, _elsewhere(account_id, email)):
        account = Account(
            id=account_id,
            user=row,
            username_digest=username,
            email_digest=kept,
            password_digest=digest_of(row.password),
            is_active=not columns().is_active or row.is_active,
            created_at=now,
            updated_at=now,
        )
        with contextlib.suppress(IntegrityError), transaction.atomic(using=using):
            account.save(force_insert=True, using=using)
            return account
    return Account.objects.using(using).filter(user_id=row.pk).first()


def settle(
    row: Any,
    account: Account,
    *,
    using: str,
    written: frozenset[str] | None = None,
    rehashed: bool = False,
    again: bool = False,
) -> Account | None:
    """Bring an account into step with its row.

    Args:
        row: The row as it is, or as it was written.
        account: Its account as it was read.
        using: The database of both.
        written: The columns of ``row`` to go by; ``None``: all.
        rehashed: The row's hash is another one of the same password.
        again: Ask once more for what somebody else had.

    Returns:
        The account as it is now; ``None``: it is gone.
    """
    own = columns()

    def concerns(column: str | None) -> bool:
        return column is not None and (written is None or column in written)

    changed = False
    differences = _differences(
        row,
        account,
        password=concerns("password"),
        is_active=own.is_active and concerns("is_active"),
    )
    if differences:
        changed = True
        _count(account, differences, using=using, rehashed=rehashed)
    if concerns(own.email):
        wanted = email_digest(row)
        changed |= _claim(row, account, "email_digest", wanted, using=using, again=again)
    if concerns(own.username):
        name = username_digest(row)
        changed |= _claim(row, account, "username_digest", name, using=using, again=again)
    return Account.objects.using(using).filter(pk=account.pk).first() if changed else account


def _differences(row: Any, account: Account, *, password: bool, is_active: bool) -> dict[str, Any]:
    differences: dict[str, Any] = {}
    if password and account.password_digest != (digest := digest_of(row.password)):
        differences["password_digest"] = digest
    if is_active and account.is_active != row.is_active:
        differences["is_active"] = row.is_active
    return differences


def _count(account: Account, differences: dict[str, Any], *, using: str, rehashed: bool) -> None:
    seen = {column: getattr(account, column) for column in differences}
    changes = {**differences, "updated_at": _now()}
    if not (rehashed and differences.keys() == {"password_digest"}):
        changes["token_version"] = models.F("token_version") + 1
    # When this finds nothing to change, somebody else saw the same, and counted it.
    Account.objects.using(using).filter(pk=account.pk, **seen).update(**changes)


def _claim(
    row: Any, account: Account, column: str, wanted: str | None, *, using: str, again: bool
) -> bool:
    """Make ``wanted`` the account's digest unless it is another's; tell whether that changed it."""
    kept = getattr(account, column)
    refused = None if wanted is None else _elsewhere(account.pk, wanted)
    if kept == wanted or (kept == refused and not again):
        return False
    changes: dict[str, Any] = {"updated_at": _now()}
    if column == "email_digest":
        # What was shown to be theirs was another address.
        changes["email_verified"] = False
    mine = Account.objects.using(using).filter(pk=account.pk)
    if wanted != "":
        with contextlib.suppress(IntegrityError), transaction.atomic(using=using):
            mine.update(**changes, **{column: wanted})
            return True
    if kept == refused:
        return False
    mine.update(**changes, **{column: refused})
    what = "address" if column == "email_digest" else "name"
    _logger.warning(
        "The %s of user %s is another user's, or nobody's; the auth service does not know it",
        what,
        shown(row.get_username()),
    )
    return True


def _elsewhere(account_id: str, digest: str) -> str:
    # Says which one was refused, so that it is not asked for again at every look.
    return _ELSEWHERE + digest_of(f"{account_id} {digest}")[1:]


def _now() -> datetime:
    return to_column(datetime.now(UTC))


# --- rows that no account leads to ---------------------------------------------------------------


def find_by_hand(kind: Kind, typed: str, *, using: str) -> tuple[Any, Account] | None:
    """Find a row that has no account yet, or was renamed unnoticed; it has its account then.

    Looks for the name as it was typed and in its usual forms, which an index finds.
    """
    model: Any = get_user_model()
    column = columns().username if kind == "username" else columns().email
    key = key_of(typed)
    if column is None or key is None:
        return None
    bare = typed.strip()
    forms = {bare, key, model.normalize_username(bare), BaseUserManager.normalize_email(bare)}
    rows = visible_rows(using).filter(**{f"{column}__in": forms})
    for row in rows.order_by("pk")[:_FEW]:
        account = _account_for(row, using=using)
        if account is not None and getattr(account, f"{kind}_digest") == digest_of(key):
            return row, account
    return None


def adopt_existing(*, using: str | None = None) -> Adoption:
    """Make the accounts of all rows that have none, the oldest row first.

    A row whose name is another's is left without, to be renamed; one whose address is another's
    has an account without an address. It may be called as often as one likes.

    Args:
        using: The database; ``None``: where the project writes users.

    Raises:
        AuthServiceUnavailable: The database cannot be used.
    """
    alias = using or router.db_for_write(get_user_model())
    rows = visible_rows(alias)
    adopted = 0
    without_account, without_email = [], []
    with translated_errors():
        # First, what was given up unnoticed is free for others.
        for chunk in _chunks(rows.filter(tokenward_account__isnull=False)):
            for row in chunk:
                settle(row, row.tokenward_account, using=alias)
        for chunk in _chunks(rows.filter(_unknown_or_refused())):
            had = [_account_of(row) is not None for row in chunk]
            with transaction.atomic(using=alias):
                accounts = [_account_for(row, using=alias) for row in chunk]
            for row, had_one, account in zip(chunk, had, accounts, strict=True):
                adopted += not had_one and account is not None
                if account is None or not holds(account.username_digest):
                    without_account.append(row.get_username())
                elif account.email_digest is not None and not holds(account.email_digest):
                    without_email.append(row.get_username())
    return Adoption(adopted, tuple(without_account), tuple(without_email))


def _account_for(row: Any, *, using: str) -> Account | None:
    account = _account_of(row)
    if account is None:
        return adopt(row, using=using)
    return settle(row, account, using=using, again=True)


def _account_of(row: Any) -> Account | None:
    account: Account | None = getattr(row, "tokenward_account", None)
    return account


def _unknown_or_refused() -> models.Q:
    return (
        models.Q(tokenward_account__isnull=True)
        | models.Q(tokenward_account__username_digest__startswith=_ELSEWHERE)
        | models.Q(tokenward_account__email_digest__startswith=_ELSEWHERE)
    )


def _chunks(rows: models.QuerySet[Any]) -> Iterator[list[Any]]:
    # By primary key and not by a cursor: rows change, and come and go, while we are at it.
    ordered = rows.order_by("pk")
    chunk = list(ordered[:_CHUNK])
    while chunk:
        yield chunk
        chunk = list(ordered.filter(pk__gt=chunk[-1].pk)[:_CHUNK])
