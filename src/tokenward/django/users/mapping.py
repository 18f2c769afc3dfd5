"""What principals become, as the section ``django`` of the settings says it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.utils.module_loading import import_string

from tokenward.django._password_service import Login, login_of
from tokenward.django._state import SETTING, Parts, parts
from tokenward.django._user_model import columns
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.config.settings import DjangoSection, RolesSection
    from tokenward.principal import Principal

OnUser = Callable[[Any, "Principal"], object]

_ATTRIBUTES = frozenset({"username", "email", "subject", "client_id"})


@dataclass(frozen=True, slots=True)
class Rights:
    """What the roles of one principal come to in the database.

    Attributes:
        is_staff: The value of that column; ``None``: not managed.
        is_superuser: The same.
        groups: The groups to be in.
        other_groups: Those that are managed, and not to be in.
    """

    is_staff: bool | None = None
    is_superuser: bool | None = None
    groups: frozenset[str] = frozenset()
    other_groups: frozenset[str] = frozenset()

    @property
    def columns(self) -> dict[str, bool]:
        """The managed columns of the user's row, and their values."""
        known = {"is_staff": self.is_staff, "is_superuser": self.is_superuser}
        return {name: value for name, value in known.items() if value is not None}

    @property
    def digest(self) -> str:
        """What to remember of the groups once they are written; empty: none are managed."""
        if not self.groups and not self.other_groups:
            return ""
        text = json.dumps([sorted(self.groups), sorted(self.other_groups)])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a token's scopes say of permissions.

    Attributes:
        opened: The permissions that a scope held names.
        closed: Those that only scopes not held name: nobody has them in this request.
    """

    opened: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()

    def allow(self, permission: object) -> bool:
        """Tell whether whoever has ``permission`` may use it in this request."""
        return permission not in self.closed

    def close_some_of(self, app_label: str) -> bool:
        """Tell whether a permission of that app is closed."""
        return any(name.partition(".")[0] == app_label for name in self.closed)


_NO_RIGHTS = Rights()
_UNLIMITED = Limits()


@dataclass(frozen=True, eq=False)
class UserMapping:
    """How principals become Django's users.

    Attributes:
        section: As parsed.
        of: The parts that it was made for.
        login: Whom to ask about passwords, if there is somebody.
        on_user: The project's own function, if it has one.
    """

    section: DjangoSection
    of: Parts = field(repr=False)
    login: Login | None = field(repr=False)
    on_user: OnUser | None
    _by_issuer: Mapping[str, RolesSection]

    @classmethod
    def made(cls, of: Parts) -> UserMapping:
        """Return the mapping that these parts describe.

        Raises:
            ConfigurationError: The user model lacks a column, ``on_user`` cannot be imported, or
                ``login`` cannot be used.
        """
        section = of.django
        by_issuer = dict(section.issuers)
        known = of.settings.issuers
        if len(known) == 1 and known[0] is not None:
            by_issuer.setdefault(known[0], section)
        if section.user == "model":
            columns()
            _check_columns(by_issuer)
        return cls(section, of, login_of(of), _on_user(section.on_user), by_issuer)

    def has_row(self, principal: Principal) -> bool:
        """Tell whether ``principal`` is a row of the user model."""
        return principal.kind == "user" and self.section.user == "model"

    def has_account(self, principal: Principal) -> bool:
        """Tell whether that row is one of our own auth service's, whose users these rows are."""
        service = self.of.service
        return (
            service is not None
            and self.section.service_users == "model"
            and principal.issuer == service.issuer
        )

    def rights_of(self, principal: Principal) -> Rights:
        """Return what the roles of ``principal`` come to: by the list of their issuer alone."""
        listed = self._by_issuer.get(principal.issuer)
        if listed is None or principal.kind != "user":
            return _NO_RIGHTS
        roles = principal.roles
        managed = {name for names in listed.groups.values() for name in names}
        held = {name for role, names in listed.groups.items() if role in roles for name in names}
        return Rights(
            is_staff=not roles.isdisjoint(listed.staff_roles) if listed.staff_roles else None,
            is_superuser=(
                not roles.isdisjoint(listed.superuser_roles) if listed.superuser_roles else None
            ),
            groups=frozenset(held),
            other_groups=frozenset(managed - held),
        )

    def limits_of(self, principal: Principal) -> Limits:
        """Return what the scopes of ``principal`` open and close."""
        mapping = self.section.permissions
        if not mapping:
            return _UNLIMITED
        scopes = principal.scopes
        named = {name for names in mapping.values() for name in names}
        opened = {name for scope, names in mapping.items() if scope in scopes for name in names}
        return Limits(frozenset(opened), frozenset(named - opened))

    def name_of(self, principal: Principal) -> str | None:
        """Return what ``principal`` would like to be called here."""
        source = self.section.username_from
        found = (
            getattr(principal, source) if source in _ATTRIBUTES else principal.claims.get(source)
        )
        return found if isinstance(found, str) else None


class _Current:
    """The mapping in force; without a lock, since two that are made at once are the same."""

    _mapping: UserMapping | None = None

    def __call__(self) -> UserMapping:
        now, made = parts(), self._mapping
        if made is None or made.of is not now or made.section is not now.django:
            made = self.prepare(now)
        return made

    def prepare(self, now: Parts) -> UserMapping:
        """Make the mapping of these parts, before somebody needs it."""
        made = self._mapping = UserMapping.made(now)
        return made


mapping_in_force = _Current()
"""Return the mapping of the settings as they are now."""


def _check_columns(by_issuer: Mapping[str, RolesSection]) -> None:
    model = get_user_model()
    for needed, setting in (
        ("is_staff", "staff_roles"),
        ("is_superuser", "superuser_roles"),
        ("groups", "groups"),
    ):
        if not any(getattr(listed, setting) for listed in by_issuer.values()):
            continue
        try:
            model._meta.get_field(needed)  # noqa: SLF001 - documented by Django
        except FieldDoesNotExist:
            raise ConfigurationError(
                f"settings.{SETTING}: django.{setting} needs {needed!r} on the user model, and "
                f"{model.__name__} has none; leave {setting} out, or add it (PermissionsMixin)."
            ) from None


def _on_user(path: str | None) -> OnUser | None:
    if path is None:
        return None
    try:
        found: Any = import_string(path)
    except ImportError as error:
        raise ConfigurationError(
            f"settings.{SETTING}: django.on_user cannot be imported ({error}); write the dotted "
            "path of a function of (user, principal)."
        ) from error
    if not callable(found) or iscoroutinefunction(found):
        raise ConfigurationError(
            f"settings.{SETTING}: django.on_user must be a plain function of (user, principal): "
            "it is called inside the transaction that writes the user."
        )
    function: OnUser = found
    return function
