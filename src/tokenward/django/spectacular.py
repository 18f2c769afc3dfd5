"""drf-spectacular: what the schema says of `TokenwardAuthentication`.

Importing this module registers it; the Django app does that where drf-spectacular is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.settings import spectacular_settings
from rest_framework.permissions import AND, OR

from tokenward.django._guard import authenticator_in_force
from tokenward.django.drf import HasScopes

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

__all__ = ["TokenwardScheme"]

_NAME = "tokenward"
_BEARER = {"type": "http", "scheme": "bearer"}

# OpenAPI 3.0.3, components object: what a component may be called.
_not_nameable = re.compile(r"[^a-zA-Z0-9._-]")


class TokenwardScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The places where credentials are looked for, and the scopes that a view demands.

    A bearer token is called ``tokenward``; a cookie and another header ``tokenward.cookie.NAME``
    and ``tokenward.header.NAME``. Scopes are shown from OpenAPI 3.1 on (``OAS_VERSION``): 3.0
    allows them to OAuth 2 schemes alone, and of those we do not know the flows.
    """

    target_class = "tokenward.django.drf.TokenwardAuthentication"
    match_subclasses = True

    def __init__(self, target: Any) -> None:
        super().__init__(target)  # type: ignore[no-untyped-call]
        self._definitions = _definitions()
        self.name = list(self._definitions)

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        """Return the ways to be let in, any one of which will do."""
        demanded: Iterable[frozenset[str]] = [frozenset()]
        if not str(spectacular_settings.OAS_VERSION).startswith("3.0"):
            demanded = _all_of(auto_schema.view, auto_schema.view.get_permissions())
        return [{name: sorted(scopes)} for scopes in demanded for name in self.name]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        """Return the security schemes, in the order of their names."""
        del auto_schema
        return list(self._definitions.values())


def _definitions() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for credential in authenticator_in_force().credentials:
        source = credential.source
        kind, _, name = source.place.partition(":")
        if kind == "authorization":
            found[_NAME] = dict(_BEARER)
        elif kind in ("cookie", "header"):
            # What reads a header knows how it is written.
            name = name if kind == "cookie" else source.reads
            component = f"{_NAME}.{kind}.{_not_nameable.sub('_', name)}"
            found[component] = {"type": "apiKey", "in": kind, "name": name}
    return found or {_NAME: dict(_BEARER)}


def _all_of(view: Any, permissions: Iterable[Any]) -> list[frozenset[str]]:
    """Return the sets of scopes with any one of which all of ``permissions`` may let in."""
    ways = product(*(_ways_in(view, permission) for permission in permissions))
    nothing: frozenset[str] = frozenset()
    return list(dict.fromkeys(nothing.union(*way) for way in ways))


def _ways_in(view: Any, permission: Any) -> list[frozenset[str]]:
    holder: Any = permission
    if isinstance(permission, AND):
        return _all_of(view, [holder.op1, holder.op2])
    if isinstance(permission, OR):
        return [*_ways_in(view, holder.op1), *_ways_in(view, holder.op2)]
    if not isinstance(permission, HasScopes):
        return [frozenset()]
    demanded = permission.required_by(view)
    if demanded.scopes:
        return [frozenset(demanded.scopes)]
    return [frozenset({scope}) for scope in demanded.any_scope]
