"""The project's views as its URL patterns name them, and what each says about who may call it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.urls import URLPattern, URLResolver, get_resolver

from tokenward.authenticator import Requirement
from tokenward.django._guard import PUBLIC, REQUIREMENT, class_of

if TYPE_CHECKING:
    from types import ModuleType

_LIVE = Requirement(live=True)


@dataclass(frozen=True, slots=True)
class View:
    """A view that says something about who may call it.

    Attributes:
        name: The function or the class, with its module.
        is_public: Whether it is open where ``default_access`` is ``deny``.
        demands: Every requirement that guards it, whole or one of its methods.
    """

    name: str
    is_public: bool
    demands: tuple[Requirement, ...]


def declared_views() -> Iterator[View]:
    """Yield each view once, however many patterns lead to it.

    A project whose patterns cannot be read has none: Django's own check says so.
    """
    seen: set[int] = set()
    for callback in _callbacks():
        if id(callback) in seen:
            continue
        seen.add(id(callback))
        demands = tuple(dict.fromkeys(_demands(callback)))
        is_public = _has(callback, PUBLIC) or PUBLIC in getattr(class_of(callback), "__dict__", ())
        if demands or is_public:
            yield View(_name_of(class_of(callback) or callback), is_public, demands)


def _callbacks() -> list[Any]:
    try:
        return list(_below(get_resolver()))
    except Exception:  # noqa: BLE001 - the project's own modules are imported here, and may fail
        return []


def _below(resolver: URLResolver) -> Iterator[Any]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _below(pattern)
        elif isinstance(pattern, URLPattern):
            yield pattern.callback


def _demands(callback: Any) -> Iterator[Requirement]:
    parts = [callback]
    view_class = class_of(callback)
    if view_class is not None:
        # A view set of Django REST framework maps methods to functions of other names.
        actions = getattr(callback, "actions", None) or {}
        names = ["dispatch", *getattr(view_class, "http_method_names", ()), *actions.values()]
        parts += [view_class, *(getattr(view_class, name, None) for name in names)]
        if _authenticates_live(view_class):
            yield _LIVE
    for part in parts:
        inner = part
        while inner is not None:
            if isinstance(demand := getattr(inner, REQUIREMENT, None), Requirement):
                yield demand
            inner = (
                inner.func if isinstance(inner, partial) else getattr(inner, "__wrapped__", None)
            )


def _authenticates_live(view_class: Any) -> bool:
    # Whoever uses our class has imported its module.
    drf: ModuleType | None = sys.modules.get("tokenward.django.drf")
    return drf is not None and any(
        isinstance(one, type)
        and issubclass(one, drf.TokenwardAuthentication)
        and getattr(one, "live", False)
        for one in getattr(view_class, "authentication_classes", None) or ()
    )


def _has(thing: Any, attribute: str) -> bool:
    return bool(getattr(thing, attribute, False))


def _name_of(view: Any) -> str:
    while isinstance(view, partial):
        view = view.func
    named = view if hasattr(view, "__qualname__") else type(view)
    return f"{named.__module__}.{named.__qualname__}"
