"""Rows for those who were not here before: one of the project's that is theirs, or a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import BaseUserManager
from django.core.exceptions import ValidationError

from tokenward.django._user_model import all_rows, columns, validate, visible_rows
from tokenward.django.models import Account, Identity, digest_of
from tokenward.django.users.rights import hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenward.django.users.mapping import UserMapping
    from tokenward.principal import Principal

_SUFFIX = 12
_NOBODYS_DOMAIN = "user.invalid"  # RFC 2606, section 2: no mail ever goes there
_LONGEST_NAME = 150


def candidates(principal: Principal, mapping: UserMapping, *, using: str) -> list[Any]:
    """Return unsaved rows for ``principal``, the one with the name they would like first.

    No password opens them. A name that somebody has is not among them.
    """
    own, model = columns(), get_user_model()
    digest = digest_of(principal.key)
    address = _address(principal)
    if own.email == own.username:
        names = iter([*filter(None, [address]), f"{digest[:32]}@{_NOBODYS_DOMAIN}"])
    else:
        names = _names(mapping.name_of(principal), digest)
    rights = mapping.rights_of(principal)
    found = []
    for name in dict.fromkeys(names):
        if _is_taken(own.username, name, using=using):
            continue
        row: Any = model(**{own.username: name, **rights.columns})
        if own.email not in (None, own.username):
            kept = _kept_address(str(own.email), address, digest, using=using)
            setattr(row, str(own.email), kept)
        row.set_unusable_password()
        found.append(row)
    return found


def linkable(principal: Principal, *, using: str) -> Any:
    """Return the one row that has the verified address of ``principal``, or ``None``."""
    column, address = columns().email, principal.email
    if column is None or not address or principal.email_verified is not True:
        return None
    rows = list(all_rows(using).filter(**{f"{column}__iexact": address})[:2])
    return rows[0] if len(rows) == 1 and _has(rows[0], column, address) else None


def held_if_linkable(row: Any, principal: Principal, *, using: str) -> Any:
    """Hold ``row`` and return it as it is now, or ``None`` if it must not be linked.

    Whoever could have put the address on the row without it being theirs must not be joined there
    by the person whose address it is.
    """
    hold(row, using=using)
    row = visible_rows(using).filter(pk=row.pk).first()
    identities = Identity.objects.using(using)
    if (
        row is None
        or not getattr(row, "is_active", True)
        or getattr(row, "is_staff", False)
        or getattr(row, "is_superuser", False)
        or not _has(row, str(columns().email), str(principal.email))
        # Somebody's already: the address may have been changed since it was verified.
        or identities.filter(user=row).exists()
        or Account.objects.using(using).filter(user=row, email_verified=False).exists()
    ):
        return None
    return row


def _names(wanted: str | None, digest: str) -> Iterator[str]:
    column = columns().username
    model = get_user_model()
    field: Any = model._meta.get_field(column)  # noqa: SLF001 - documented by Django
    longest = field.max_length or _LONGEST_NAME
    name = str(model.normalize_username(wanted or "")).strip()
    if _fits(column, name[:longest]):
        if len(name) <= longest:
            yield name
        yield f"{name[: longest - _SUFFIX - 1]}-{digest[:_SUFFIX]}"
    yield f"user-{digest[:_SUFFIX]}"[:longest]
    yield digest[:longest]


def _address(principal: Principal) -> str | None:
    """Return the address to keep, if there is one."""
    column, address = columns().email, principal.email
    if column is None or not address:
        return None
    address = BaseUserManager.normalize_email(address)
    return address if _fits(column, address) else None


def _kept_address(column: str, address: str | None, digest: str, *, using: str) -> str | None:
    """Return what the column is to hold: never an address that is somebody's already."""
    field: Any = get_user_model()._meta.get_field(column)  # noqa: SLF001 - documented by Django
    if address is not None and not (field.unique and _is_taken(column, address, using=using)):
        return address
    if field.null:
        return None
    return f"{digest[:32]}@{_NOBODYS_DOMAIN}" if field.unique else ""


def _is_taken(column: str, value: str, *, using: str) -> bool:
    return bool(all_rows(using).filter(**{f"{column}__iexact": value}).exists())


def _has(row: Any, column: str, address: str) -> bool:
    # Case is ignored in ASCII only: a database may take more for the same than a mail server does.
    return _lowered(str(getattr(row, column) or "")) == _lowered(address)


def _lowered(address: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in address)


def _fits(column: str, value: str) -> bool:
    if not value or not value.isprintable():
        return False
    try:
        validate(column, value)
    except ValidationError:
        return False
    return True
