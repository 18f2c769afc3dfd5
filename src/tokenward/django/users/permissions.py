"""What a token's scopes leave of the permissions that a user has in the database.

A user is limited as an instance and not as a row: the methods that Django calls are replaced on
the object that one request was given, and nothing is ever saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.contrib.auth import get_permission_codename

if TYPE_CHECKING:
    from tokenward.django.users.mapping import Limits


def limit(user: Any, limits: Limits) -> None:
    """Keep ``user``, as this one object, to what ``limits`` leave."""
    if not limits.closed:
        return
    for kind in (_Perm, _Perms, _ModulePerms, _Listed):
        for name in kind.methods:
            if callable(getattr(type(user), name, None)):
                user.__dict__[name] = kind(user, name, limits)


def declared_permissions() -> set[str]:
    """Return every permission that the models of the project declare, without a query."""
    found: set[str] = set()
    for model in apps.get_models():
        meta = model._meta  # noqa: SLF001 - documented by Django
        own = [get_permission_codename(action, meta) for action in meta.default_permissions]
        own += [codename for codename, _ in meta.permissions]
        found.update(f"{meta.app_label}.{codename}" for codename in own)
    return found


class _Limited:
    """A method of one user, limited; pickled and copied along with the user."""

    methods: ClassVar[tuple[str, ...]] = ()

    def __init__(self, user: Any, name: str, limits: Limits) -> None:
        self._user = user
        self._name = name
        self._limits = limits

    def _original(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(type(self._user), self._name)(self._user, *args, **kwargs)

    def _no(self) -> Any:
        return _not() if self._name.startswith("a") else False


class _Perm(_Limited):
    methods = ("has_perm", "ahas_perm")

    def __call__(self, perm: Any, *args: Any, **kwargs: Any) -> Any:
        return self._original(perm, *args, **kwargs) if self._limits.allow(perm) else self._no()


class _Perms(_Limited):
    methods = ("has_perms", "ahas_perms")

    def __call__(self, perm_list: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(perm_list, Iterable) and not isinstance(perm_list, str):
            perm_list = list(perm_list)
            if not all(map(self._limits.allow, perm_list)):
                return self._no()
        return self._original(perm_list, *args, **kwargs)


class _Listed(_Limited):
    methods = (
        "get_all_permissions",
        "get_user_permissions",
        "get_group_permissions",
        "aget_all_permissions",
        "aget_user_permissions",
        "aget_group_permissions",
    )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found = self._original(*args, **kwargs)
        if self._name.startswith("a"):
            return self._awaited(found)
        return set(filter(self._limits.allow, found))

    async def _awaited(self, found: Any) -> set[str]:
        return set(filter(self._limits.allow, await found))


class _ModulePerms(_Limited):
    methods = ("has_module_perms", "ahas_module_perms")

    def __call__(self, app_label: str, *args: Any, **kwargs: Any) -> Any:
        if not self._limits.close_some_of(app_label):
            return self._original(app_label, *args, **kwargs)
        # Whoever may do nothing but what is closed may do nothing in the app.
        if self._name.startswith("a"):
            return self._awaited(app_label)
        return _is_in(app_label, self._user.get_all_permissions())

    async def _awaited(self, app_label: str) -> bool:
        return _is_in(app_label, await self._user.aget_all_permissions())


def _is_in(app_label: str, permissions: Iterable[str]) -> bool:
    return any(name.partition(".")[0] == app_label for name in permissions)


async def _not() -> bool:
    return False
