"""Where a class stands among the dotted paths of one of Django's settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings as project
from django.utils.module_loading import import_string


def index_in(setting: str, path: str) -> int | None:
    """Return where the class at ``path``, or a subclass, stands in a setting, if it does."""
    return position(getattr(project, setting, ()), path)


def position(listed: Sequence[Any], path: str) -> int | None:
    """Return where the class at ``path``, or a subclass, stands in a list, if it does."""
    if path in listed:
        return listed.index(path)
    wanted = _imported(path)
    if not isinstance(wanted, type):
        return None
    for at, one in enumerate(listed):
        candidate = _imported(one) if isinstance(one, str) else one
        if isinstance(candidate, type) and issubclass(candidate, wanted):
            return at
    return None


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except Exception:  # noqa: BLE001 - whoever needs the module says what is wrong with it
        return None
