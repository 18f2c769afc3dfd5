"""`StatelessUser`: what Django asks of a user, answered by the principal alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from django.contrib.auth.models import Group, Permission
from django.db.models.manager import EmptyManager

from tokenward.django.users.permissions import declared_permissions

if TYPE_CHECKING:
    from tokenward.django.users.mapping import Limits, Rights
    from tokenward.principal import Principal


class StatelessUser:
    """A user without a row.

    Permissions are those that the scopes held name in ``django.permissions``. A superuser, by a
    role, has every other one too; of one that the mapping names, only with one of its scopes.
    As Django's own backend has it, no permission is one for a single object, a superuser's apart.

    Args:
        principal: Who it is.
        rights: What the roles of the principal come to.
        limits: What the scopes of the principal open and close.

    Attributes:
        principal: Who it is.
        pk: `Principal.key`, and not the name: two people never share one. Also ``id``.
        username: A name to show.
        email: As the issuer asserts it, or empty.
        is_staff: By a role in ``staff_roles``.
        is_superuser: By a role in ``superuser_roles``.
    """

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: tuple[str, ...] = ()

    is_authenticated = True
    is_anonymous = False
    is_active = True

    _groups: Any = EmptyManager(Group)
    _user_permissions: Any = EmptyManager(Permission)

    def __init__(self, principal: Principal, rights: Rights, limits: Limits) -> None:
        self.principal = principal
        self.username = principal.username or principal.subject
        self.email = principal.email or ""
        self.is_staff = rights.is_staff is True
        self.is_superuser = rights.is_superuser is True
        self._limits = limits

    @cached_property
    def pk(self) -> str:
        """The principal's key, made when somebody asks."""
        return self.principal.key

    @property
    def id(self) -> str:
        """The same."""
        return self.pk

    def __str__(self) -> str:
        return self.username

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.principal!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StatelessUser):
            return NotImplemented
        return self.pk == other.pk

    def __hash__(self) -> int:
        return hash(self.pk)

    @property
    def groups(self) -> Any:
        """No groups, as a manager."""
        return self._groups

    @property
    def user_permissions(self) -> Any:
        """No permissions in the database, as a manager."""
        return self._user_permissions

    def get_username(self) -> str:
        """Return the name to show."""
        return self.username

    def natural_key(self) -> tuple[str]:
        """Return the name to show, as a tuple."""
        return (self.username,)

    def get_full_name(self) -> str:
        """Return the claim ``name``, or nothing (OpenID Connect Core, section 5.1)."""
        return _text(self.principal.claims.get("name"))

    def get_short_name(self) -> str:
        """Return the claim ``given_name``, or nothing (the same)."""
        return _text(self.principal.claims.get("given_name"))

    def has_usable_password(self) -> bool:
        """Return False: there is none."""
        return False

    # --- permissions ---------------------------------------------------------------------------

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Tell whether the scopes grant ``perm``, or the person is a superuser who may use it."""
        if self.is_superuser:
            return self._limits.allow(perm)
        return obj is None and perm in self._limits.opened

    def has_perms(self, perm_list: Iterable[str], obj: Any = None) -> bool:
        """Tell whether every one of ``perm_list`` is granted."""
        if isinstance(perm_list, str) or not isinstance(perm_list, Iterable):
            raise ValueError("perm_list must be an iterable of permissions.")  # noqa: TRY004 - as Django
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """Tell whether anything in the app is granted."""
        if self.is_superuser and not self._limits.close_some_of(app_label):
            return True
        return any(name.partition(".")[0] == app_label for name in self.get_all_permissions())

    def get_all_permissions(self, obj: Any = None) -> set[str]:
        """Return what is granted; for a superuser, of what the project's models declare."""
        if obj is not None:
            return set()
        granted = set(self._limits.opened)
        if self.is_superuser:
            granted.update(filter(self._limits.allow, declared_permissions()))
        return granted

    def get_user_permissions(self, obj: Any = None) -> set[str]:
        """Return what is granted: to the person, since there are no groups."""
        return self.get_all_permissions(obj)

    def get_group_permissions(self, obj: Any = None) -> set[str]:
        """Return nothing: there are no groups."""
        del obj
        return set()

    async def ahas_perm(self, perm: str, obj: Any = None) -> bool:
        """See `has_perm`."""
        return self.has_perm(perm, obj)

    async def ahas_perms(self, perm_list: Iterable[str], obj: Any = None) -> bool:
        """See `has_perms`."""
        return self.has_perms(perm_list, obj)

    async def ahas_module_perms(self, app_label: str) -> bool:
        """See `has_module_perms`."""
        return self.has_module_perms(app_label)

    async def aget_all_permissions(self, obj: Any = None) -> set[str]:
        """See `get_all_permissions`."""
        return self.get_all_permissions(obj)

    async def aget_user_permissions(self, obj: Any = None) -> set[str]:
        """See `get_user_permissions`."""
        return self.get_user_permissions(obj)

    async def aget_group_permissions(self, obj: Any = None) -> set[str]:
        """See `get_group_permissions`."""
        return self.get_group_permissions(obj)

    # --- what only a row can do ------------------------------------------------------------------

    def save(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Raise: there is no row."""
        _no_row()

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Raise: there is no row."""
        _no_row()

    def set_password(self, *_args: Any) -> NoReturn:
        """Raise: there is no row."""
        _no_row()

    def check_password(self, *_args: Any) -> NoReturn:
        """Raise: there is no row."""
        _no_row()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _no_row() -> NoReturn:
    raise NotImplementedError(
        "A stateless user has no row in the database; write user = 'model' in "
        "settings.TOKENWARD['django'] for users that have one."
    )
