"""The row of a principal: found by (issuer, subject), linked or made if that is wanted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction

from tokenward._log import OncePerMinute
from tokenward.django._database import REASON, translated_errors
from tokenward.django._user_model import all_rows, left_empty
from tokenward.django.models import Account, Identity, digest_of
from tokenward.django.users.new_rows import candidates, held_if_linkable, linkable
from tokenward.django.users.rights import are_written, hold, write_rights
from tokenward.errors import AuthServiceUnavailable, UserNotFound

if TYPE_CHECKING:
    from tokenward.django.users.mapping import Rights, UserMapping
    from tokenward.principal import Principal

_seldom = OncePerMinute(logging.getLogger("tokenward.django.users"))


@dataclass(frozen=True, slots=True)
class _Known:
    """A row, and the digest of the groups that were last written for the principal."""

    user: Any
    mapped: str


def row_of(principal: Principal, mapping: UserMapping) -> Any:
    """Return the row of ``principal``, with the rights that their roles come to.

    One query, unless there is something to write.

    Raises:
        UserNotFound: There is none and none is made, or it is not active.
        AuthServiceUnavailable: The database cannot be asked.
    """
    rights = mapping.rights_of(principal)
    with translated_errors():
        known = _known(principal, mapping, rights)
        if known is None and not mapping.has_account(principal):
            user = _introduced(principal, mapping, rights)
            if user is not None:
                return user
            # Another request was first; a replica may not know yet.
            known = _known(principal, mapping, rights, using=_using())
            if known is None and mapping.section.create:
                _refuse_for_good()
        if known is None:
            raise UserNotFound("no row is this subject's, and none is made", reason="user_unknown")
        return _settled(known.user, known.mapped, principal, mapping, rights)


def _known(
    principal: Principal, mapping: UserMapping, rights: Rights, *, using: str | None = None
) -> _Known | None:
    digest = digest_of(principal.key)
    if not mapping.has_account(principal):
        if not rights.digest:
            # What was written to the database counts for nothing: the user's own columns will do.
            rows = all_rows(using or router.db_for_read(Identity)).order_by()
            found = next(iter(rows.filter(tokenward_identities__digest=digest)), None)
            return None if found is None else _Known(found, "")
        identities = Identity.objects.using(using).select_related("user")
        identity = _one(identities, digest=digest)
        return None if identity is None else _Known(identity.user, identity.mapped)
    accounts: Any = Account.objects.using(using).select_related("user")
    if rights.digest:
        mapped = Identity.objects.filter(digest=digest, user=models.OuterRef("user"))
        accounts = accounts.annotate(mapped=models.Subquery(mapped.values("mapped")))
    account = _one(accounts, pk=principal.subject)
    # Compared again: some databases find what differs in case only.
    if account is None or account.pk != principal.subject:
        return None
    return _Known(account.user, getattr(account, "mapped", None) or "")


def _one(rows: Any, **conditions: Any) -> Any:
    try:
        return rows.get(**conditions)
    except rows.model.DoesNotExist:
        return None


def _settled(
    user: Any, mapped: str, principal: Principal, mapping: UserMapping, rights: Rights
) -> Any:
    if not getattr(user, "is_active", True):
        raise UserNotFound("the user's row is not active", reason="user_inactive")
    if not are_written(user, rights, mapped):
        using = _using()
        with transaction.atomic(using=using):
            hold(user, using=using)
            if write_rights(user, principal, rights, using=using):
                _tell(user, principal, mapping)
    return user


def _introduced(principal: Principal, mapping: UserMapping, rights: Rights) -> Any:
    """Link or make a row; ``None``: it cannot be done, or another request has done it."""
    using, section = _using(), mapping.section
    # Asked before the transaction: SQLite refuses to write in one that read what has changed since.
    theirs = linkable(principal, using=using) if section.link_verified_email else None
    new = candidates(principal, mapping, using=using) if section.create else []
    with transaction.atomic(using=using):
        held = None if theirs is None else held_if_linkable(theirs, principal, using=using)
        rows = new if held is None else [held]
        user = next((row for row in rows if _insert(principal, row, using=using)), None)
        if user is not None:
            write_rights(user, principal, rights, using=using)
            _tell(user, principal, mapping)
    return user


def _insert(principal: Principal, row: Any, *, using: str) -> bool:
    """Insert the identity, and the row if it is new; tell whether the database let us."""
    identity = Identity(
        digest=digest_of(principal.key),
        # To read, and not to find; PostgreSQL keeps no NUL.
        issuer=principal.issuer.replace("\0", "\ufffd"),
        subject=principal.subject.replace("\0", "\ufffd"),
    )
    try:
        with transaction.atomic(using=using):
            if row._state.adding:  # noqa: SLF001 - documented by Django
                row.save(force_insert=True, using=using)
            identity.user = row
            identity.save(force_insert=True, using=using)
    except (IntegrityError, ValidationError):
        return False
    return True


def _tell(user: Any, principal: Principal, mapping: UserMapping) -> None:
    if mapping.on_user is not None:
        mapping.on_user(user, principal)


def _refuse_for_good() -> NoReturn:
    suspects = left_empty()
    what = f"fill {', '.join(suspects)}, or give them defaults" if suspects else "see its save()"
    hint = f"the user model {get_user_model().__name__} takes no row for a new person: {what}"
    _seldom.log(logging.ERROR, ("no row",), "%s", hint)
    raise AuthServiceUnavailable(hint, reason=REASON)


def _using() -> str:
    return router.db_for_write(Identity)
