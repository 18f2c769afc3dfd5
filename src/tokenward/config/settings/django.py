"""The section ``django``: what principals become in Django's database."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tokenward.bearer import check_scopes
from tokenward.config.settings.fields import Names, PositiveSeconds, Secret, Section, VerifyTLS

_MAX_GROUP_CHARACTERS = 150  # of Django's own column
_permission = re.compile(r"[^.\s]+\.[^.\s]+").fullmatch


class RolesSection(Section):
    """What the roles that one issuer asserts become in Django's database.

    Each list is exact. A column or a group that no list names is never touched.
    """

    staff_roles: Names = ()
    superuser_roles: Names = ()
    groups: dict[str, Names] = Field(default_factory=dict)

    @field_validator("groups")
    @classmethod
    def _are_groups(cls, groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name in (name for names in groups.values() for name in names):
            if not 1 <= len(name) <= _MAX_GROUP_CHARACTERS:
                msg = f"a group's name has 1 to {_MAX_GROUP_CHARACTERS} characters, not {len(name)}"
                raise ValueError(msg)
        return groups

    @property
    def maps_nothing(self) -> bool:
        """Whether no role becomes anything."""
        return not (self.staff_roles or self.superuser_roles or self.groups)


class LoginSection(Section):
    """The auth service that `PasswordBackend` asks; without one, that of this process."""

    issuer: str
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Secret
    timeout: PositiveSeconds = 5
    connect_timeout: PositiveSeconds = 2
    verify_tls: VerifyTLS = True

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, issuer: str) -> str:
        # Only who names a service loads what one is.
        from tokenward.service.metadata import check_issuer  # noqa: PLC0415

        return check_issuer(issuer)


class DjangoSection(RolesSection):
    """How principals become Django's users; see `tokenward.django`."""

    user: Literal["model", "stateless"] = "model"
    service_users: Literal["store", "model"] = "store"
    create: Annotated[bool, Field(strict=True)] = True
    link_verified_email: Annotated[bool, Field(strict=True)] = False
    username_from: Annotated[str, Field(min_length=1)] = "username"
    permissions: dict[str, Names] = Field(default_factory=dict)
    on_user: str | None = None
    login: LoginSection | None = None
    session_recheck: PositiveSeconds = 300
    issuers: dict[str, RolesSection] = Field(default_factory=dict)

    @field_validator("permissions")
    @classmethod
    def _are_permissions(cls, mapping: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        check_scopes(mapping)
        for name in (name for names in mapping.values() for name in names):
            if _permission(name) is None:
                msg = f"{name!r} is no permission; write 'app_label.codename'"
                raise ValueError(msg)
        return mapping

    @model_validator(mode="after")
    def _sessions_have_a_row(self) -> Self:
        if self.user == "stateless" and self.login is not None:
            msg = "'login' makes sessions, and a session is of a row: write 'user': 'model'"
            raise ValueError(msg)
        return self
