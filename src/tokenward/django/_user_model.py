"""The project's user model, whatever it is: its columns, its rows, its times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils import timezone

from tokenward.django.models import digest_of
from tokenward.errors import ConfigurationError

Kind = Literal["username", "email"]
"""What a person is looked for by."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the user model say what.

    Attributes:
        username: The column of the name.
        email: The column of the address; ``None``: there is none.
        is_active: Whether there is a column ``is_active``.
        date_joined: Whether there is a column ``date_joined`` with a time in it.
    """

    username: str
    email: str | None
    is_active: bool
    date_joined: bool


def columns() -> Columns:
    """Return the columns of the project's user model.

    Raises:
        ConfigurationError: It has no name to find people by, or no password.
    """
    return _columns_of(get_user_model())


@lru_cache(maxsize=8)
def _columns_of(model: type[models.Model]) -> Columns:
    username = str(getattr(model, "USERNAME_FIELD", "username"))
    for name in (username, "password"):
        if not _holds_text(_field(model, name)):
            raise ConfigurationError(
                f"The user model {model.__name__} keeps no text in {name!r}; the auth service "
                "needs a user model with a name and a password."
            )
    email = str(getattr(model, "EMAIL_FIELD", "email") or "")
    return Columns(
        username=username,
        email=email if _holds_text(_field(model, email)) else None,
        is_active=isinstance(_field(model, "is_active"), models.BooleanField),
        date_joined=isinstance(_field(model, "date_joined"), models.DateTimeField),
    )


def _holds_text(field: object) -> bool:
    return isinstance(field, models.CharField | models.TextField)


def _field(model: type[models.Model], name: str) -> Any:
    try:
        return model._meta.get_field(name)  # noqa: SLF001 - documented by Django
    except FieldDoesNotExist:
        return None


def validate(column: str, value: str) -> None:
    """Raise Django's `ValidationError` unless the column's own validators take ``value``."""
    _field(get_user_model(), column).run_validators(value)


def left_empty() -> list[str]:
    """Return the columns that a registration leaves empty, and a database may not."""
    filled = {*_filled(columns())}
    return [
        field.name
        for field in get_user_model()._meta.concrete_fields  # noqa: SLF001 - documented by Django
        if field.name not in filled
        and not (field.primary_key or field.null or field.has_default())
        and (field.unique or not field.empty_strings_allowed)
    ]


def _filled(own: Columns) -> tuple[str | None, ...]:
    return (own.username, own.email, "password", "is_active", "date_joined")


def visible_rows(using: str) -> models.QuerySet[Any]:
    """Return the users that the model's default manager shows, with their accounts.

    Whom it hides, Django's `ModelBackend` does not know either.
    """
    manager = get_user_model()._default_manager  # noqa: SLF001 - documented by Django
    return manager.using(using).select_related("tokenward_account")


def all_rows(using: str) -> models.QuerySet[Any]:
    """Return the rows of the table: whoever is hidden has a name, too."""
    return get_user_model()._base_manager.using(using)  # noqa: SLF001 - documented by Django


# --- names and addresses -------------------------------------------------------------------------


def key_of(text: object) -> str | None:
    """Return the canonical key of what a row holds; ``None``: nobody can be called that."""
    # Only who looks for people by name or address loads the models of that.
    from tokenward.schemas import canonical_key  # noqa: PLC0415

    try:
        return canonical_key(str(text or ""))
    except ValueError:
        return None


def username_digest(row: Any) -> str:
    """Return the digest by which a row is found by name; empty: it cannot be found."""
    key = key_of(getattr(row, columns().username))
    return "" if key is None else digest_of(key)


def email_digest(row: Any) -> str | None:
    """Return the digest by which a row is found by address; ``None``: it has none."""
    column = columns().email
    key = None if column is None else key_of(getattr(row, column))
    return None if key is None else digest_of(key)


# --- times ---------------------------------------------------------------------------------------


def to_column(moment: datetime) -> datetime:
    """Return an aware time as this project's database keeps times."""
    if settings.USE_TZ:
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())


def from_column(kept: datetime) -> datetime:
    """Return a time from the database as an aware one, in whole seconds."""
    aware = kept
    if timezone.is_naive(kept):
        aware = timezone.make_aware(kept, timezone.get_default_timezone())
    return aware.astimezone(UTC).replace(microsecond=0)
