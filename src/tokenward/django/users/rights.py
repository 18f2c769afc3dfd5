"""Rights in the database: compared, written, and remembered as written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from tokenward.django._user_model import all_rows, columns
from tokenward.django.models import Identity, digest_of

if TYPE_CHECKING:
    from tokenward.django.users.mapping import Rights
    from tokenward.principal import Principal


def are_written(user: Any, rights: Rights, mapped: str) -> bool:
    """Tell whether ``user`` has just these rights, as far as that is known without a query.

    Args:
        user: The row as it was read.
        rights: What the roles come to.
        mapped: The digest of the groups that were last written for them.
    """
    on_the_row = all(getattr(user, name) is value for name, value in rights.columns.items())
    return on_the_row and rights.digest in ("", mapped)


def hold(user: Any, *, using: str) -> None:
    """Keep everybody else from writing the row until the transaction ends.

    A write does that everywhere; SQLite has no ``SELECT … FOR UPDATE``, and refuses to write in a
    transaction whose first statement was a read of what has changed since.
    """
    name = columns().username
    all_rows(using).filter(pk=user.pk).update(**{name: models.F(name)})


def write_rights(user: Any, principal: Principal, rights: Rights, *, using: str) -> bool:
    """Write what differs, in the transaction of the caller; tell whether anything did."""
    changes = {
        name: value for name, value in rights.columns.items() if getattr(user, name) is not value
    }
    for name, value in changes.items():
        setattr(user, name, value)
    if changes:
        user.save(using=using, update_fields=sorted(changes))
    regrouped = bool(rights.digest) and _write_groups(user, rights, using=using)
    if rights.digest:
        _remember(user, principal, rights, using=using, regrouped=regrouped)
    return bool(changes) or regrouped


def _write_groups(user: Any, rights: Rights, *, using: str) -> bool:
    managed = rights.groups | rights.other_groups
    held = {group.name: group for group in user.groups.using(using).filter(name__in=managed)}
    missing = rights.groups - held.keys()
    surplus = [group for name, group in held.items() if name not in rights.groups]
    if missing:
        known = user.groups.model._default_manager.using(using)  # noqa: SLF001 - documented
        user.groups.add(*[known.get_or_create(name=name)[0] for name in sorted(missing)])
    if surplus:
        user.groups.remove(*surplus)
    return bool(missing or surplus)


def _remember(
    user: Any, principal: Principal, rights: Rights, *, using: str, regrouped: bool
) -> None:
    digest = digest_of(principal.key)
    identities = Identity.objects.using(using)
    if not identities.filter(digest=digest, user=user).update(mapped=rights.digest):
        # An account of our own service, which is found without one.
        identities.update_or_create(
            digest=digest,
            defaults={
                "user": user,
                "issuer": principal.issuer,
                "subject": principal.subject,
                "mapped": rights.digest,
            },
        )
    if regrouped:
        # One row may be what several issuers call a person; what they wrote is no longer there.
        identities.filter(user=user).exclude(digest=digest).update(mapped="")
