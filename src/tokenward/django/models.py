"""Two small tables of ours beside the project's own user model.

What must be unique is unique as a digest: a collation that takes ``A`` for ``a``, as some databases
do by default, would otherwise take two people for one.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.db import models


def digest_of(text: str) -> str:
    """Return the SHA-256 of ``text`` in hexadecimal, by which rows are found and kept unique."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Identity(models.Model):
    """Who an issuer calls ``subject`` is this user of ours.

    Found by (issuer, subject) and by nothing else: `digest` is that of ``Principal.key``.
    """

    digest: models.CharField[str, str] = models.CharField(
        max_length=64, unique=True, editable=False
    )
    issuer: models.TextField[str, str] = models.TextField(editable=False)
    subject: models.TextField[str, str] = models.TextField(editable=False)
    user: models.ForeignKey[Any, Any] = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokenward_identities"
    )
    # What was written to the database for these roles, so that a hit reads one row and no more.
    mapped: models.CharField[str, str] = models.CharField(
        max_length=64, blank=True, default="", editable=False
    )
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Identity]] = models.Manager()

    class Meta:  # noqa: D106 - Django's own way to say it
        verbose_name_plural = "identities"

    def __str__(self) -> str:
        return f"{self.subject} of {self.issuer}"


class Account(models.Model):
    """What the auth service keeps of a user beyond the columns of the project's user model.

    `id` is the immutable, random identifier that our tokens carry as ``sub``. The digests of name
    and address are those of canonical keys (see `tokenward.schemas.canonical_key`), or, behind a
    ``!``, of one that somebody else has already. `password_digest` and `is_active` are what the
    user's row had when `token_version` was last raised: what differs has not been counted yet.
    """

    id: models.CharField[str, str] = models.CharField(
        max_length=32, primary_key=True, editable=False
    )
    user: models.OneToOneField[Any, Any] = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokenward_account"
    )
    username_digest: models.CharField[str, str] = models.CharField(
        max_length=64, unique=True, editable=False
    )
    # NULL is no value, so that there may be many of it under the unique index.
    email_digest: models.CharField[str | None, str | None] = models.CharField(  # noqa: DJ001
        max_length=64, unique=True, null=True, editable=False
    )
    password_digest: models.CharField[str, str] = models.CharField(max_length=64, editable=False)
    # The truth itself where the user model has no such column.
    is_active: models.BooleanField[bool, bool] = models.BooleanField(default=True, editable=False)
    email_verified: models.BooleanField[bool, bool] = models.BooleanField(default=False)
    # Not for forms: `set_roles` ends the tokens that say otherwise.
    roles: models.JSONField[Any, Any] = models.JSONField(default=list, editable=False)
    token_version: models.PositiveIntegerField[Any, int] = models.PositiveIntegerField(
        default=0, editable=False
    )
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(
        db_index=True, editable=False
    )
    updated_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(editable=False)

    objects: ClassVar[models.Manager[Account]] = models.Manager()

    def __str__(self) -> str:
        return self.id
