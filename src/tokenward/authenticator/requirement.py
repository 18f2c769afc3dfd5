"""`Requirement`: what a view demands of the principal, the same in every adapter."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenward._log import shown
from tokenward.bearer import check_scopes
from tokenward.errors import ConfigurationError, InsufficientScope

if TYPE_CHECKING:
    from tokenward.principal import Principal

_refused = logging.getLogger("tokenward.refused")


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a view demands.

    Attributes:
        scopes: Every one must be granted.
        any_scope: At least one must be granted, if there are any here.
        roles: Every one must be held.
        any_role: At least one must be held, if there are any here.
        optional: Nobody is welcome too. Who did present something must be let in by it, and
            must hold what is demanded.
        live: Take no cached decision; ask the issuer.
        demanding: Whether being authenticated is not enough.

    Raises:
        ConfigurationError: A string where a collection belongs, or something that is no scope.
    """

    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    any_role: tuple[str, ...] = ()
    optional: bool = False
    live: bool = False
    demanding: bool = field(init=False)

    def __post_init__(self) -> None:
        for name in ("scopes", "any_scope", "roles", "any_role"):
            object.__setattr__(self, name, _collected(getattr(self, name), name))
        check_scopes(self.scopes + self.any_scope)
        demanding = bool(self.scopes or self.any_scope or self.roles or self.any_role)
        object.__setattr__(self, "demanding", demanding)

    @classmethod
    def of_scopes(cls, all_of: tuple[str, ...], any_of: Iterable[str]) -> Requirement:
        """Return the requirement of a ``scopes_required(*all_of)`` or ``(any_of=…)``."""
        return cls(scopes=all_of, any_scope=_some(all_of, any_of, "scopes_required"))

    @classmethod
    def of_roles(cls, all_of: tuple[str, ...], any_of: Iterable[str]) -> Requirement:
        """Return the requirement of a ``roles_required(*all_of)`` or ``(any_of=…)``."""
        return cls(roles=all_of, any_role=_some(all_of, any_of, "roles_required"))

    def check(self, principal: Principal) -> None:
        """Refuse ``principal`` unless everything demanded is granted.

        Raises:
            InsufficientScope: A scope or a role is missing.
            NotAuthenticated: The principal is nobody, and something is demanded.
        """
        try:
            self._demand(principal)
        except InsufficientScope as error:
            # A log handler that fails changes no outcome.
            with suppress(Exception):
                who = shown(principal.issuer)
                _refused.debug(
                    "too little for a view, from %s: %s: %s", who, error.reason, error.hint
                )
            raise

    def _demand(self, principal: Principal) -> None:
        if self.scopes:
            principal.require_scopes(*self.scopes)
        if self.any_scope:
            principal.require_any_scope(*self.any_scope)
        if self.roles:
            principal.require_roles(*self.roles)
        if self.any_role:
            principal.require_any_role(*self.any_role)


def _collected(values: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ConfigurationError(f"{what!r} takes a list of strings, not the string {values!r}.")
    return tuple(values)


def _some(all_of: tuple[str, ...], any_of: Iterable[str], decorator: str) -> tuple[str, ...]:
    any_of = _collected(any_of, "any_of")
    # A decorator without arguments would guard nothing, and a bare one would take the view
    # itself for a name.
    if not all(isinstance(name, str) for name in all_of) or not (all_of or any_of):
        raise ConfigurationError(
            f"@{decorator} needs names: @{decorator}('a', 'b') for all of them, or "
            f"@{decorator}(any_of=('a', 'b')) for one of them."
        )
    return any_of
