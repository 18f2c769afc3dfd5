"""What happens to an account when Django saves its user: in the admin, or through the ORM."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import Error
from django.db.models.signals import post_save, pre_save

from tokenward._log import shown
from tokenward.django._database import lacks_table, savepoint
from tokenward.django._user_model import all_rows, columns
from tokenward.django.accounts import adopt, settle
from tokenward.django.models import Account
from tokenward.errors import ConfigurationError

_logger = logging.getLogger("tokenward.django.accounts")

NEW = "_tokenward_new"
"""The attribute of a row that is saved together with its account."""

_REHASHED = "_tokenward_rehashed"


def connect_accounts() -> None:
    """Keep accounts in step with what the project does to its users; call it once apps are ready.

    A project that has no accounts pays one small question for saving a new user and one for a
    change of name, address, password or ``is_active``; nothing for any other save.
    """
    user_model = get_user_model()
    try:
        columns()
    except ConfigurationError:
        return  # nobody of this model can be a user of the service
    for model in apps.get_models():
        # Django sends the signal of a proxy or a subclass in its own name.
        if issubclass(model, user_model):
            pre_save.connect(_before, sender=model, dispatch_uid="tokenward.accounts")
            post_save.connect(_after, sender=model, dispatch_uid="tokenward.accounts")


def _before(
    *, instance: Any, raw: bool, using: str, update_fields: frozenset[str] | None, **_: object
) -> None:
    """See whether this save is Django's renewal of a hash at a login.

    That has this shape, and comes from a hash that is outdated. Whoever writes a new password in
    the same shape does it over one that is up to date.
    """
    instance.__dict__.pop(_REHASHED, None)
    new_password = getattr(instance, "_password", None) is not None
    if raw or new_password or set(update_fields or ()) != {"password"}:
        return
    # Few saves look like this, and hashing has to be loaded for them.
    from tokenward.django.hashers import is_outdated  # noqa: PLC0415

    before = all_rows(using).filter(pk=instance.pk).values_list("password", flat=True).first()
    instance.__dict__[_REHASHED] = (
        before is not None and is_outdated(before) and not is_outdated(instance.password)
    )


def _after(
    *,
    instance: Any,
    created: bool,
    raw: bool,
    using: str,
    update_fields: frozenset[str] | None,
    **_: object,
) -> None:
    rehashed = bool(instance.__dict__.pop(_REHASHED, False))
    if instance.__dict__.pop(NEW, False) or raw:
        return
    watched = {columns().username, columns().email, "password", "is_active"}
    if update_fields is not None and watched.isdisjoint(update_fields):
        return
    try:
        with savepoint(using):
            _follow(instance, using, update_fields, created=created, rehashed=rehashed)
    except Error as error:
        # The project's save stands; what was missed is made good when the service reads the row.
        # One who uses nothing of ours that needs a table need not have made it.
        if not lacks_table(error):
            why = type(error).__name__
            _logger.warning("The account of a user who was saved could not follow (%s)", why)


def _follow(
    row: Any, using: str, written: frozenset[str] | None, *, created: bool, rehashed: bool
) -> None:
    accounts = Account.objects.using(using)
    if not created:
        account = accounts.filter(user_id=row.pk).first()
        if account is not None:
            settle(row, account, using=using, written=written, rehashed=rehashed, again=True)
    # Only where the service is in use; the others are adopted when it is.
    elif accounts.exists() and adopt(row, using=using) is None:
        _logger.warning(
            "User %s has no account at the auth service: the name is another user's, or none",
            shown(row.get_username()),
        )
