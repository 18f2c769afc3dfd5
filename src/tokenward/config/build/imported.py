"""What a setting names as ``MODULE:NAME``."""

from __future__ import annotations

from importlib import import_module
from inspect import isclass, iscoroutinefunction, signature
from operator import attrgetter
from typing import Any

from tokenward.errors import ConfigurationError


def imported(path: str, *, setting: str, advice: str) -> Any:
    """Return what ``path`` names.

    Args:
        path: ``MODULE:NAME``; the name may be a dotted path.
        setting: Where it is written, as the message says it.
        advice: What to write there.

    Raises:
        ConfigurationError: The module cannot be imported, or has no such name. What it raised is
            named by its type: its text may hold anything.
    """
    module, _, name = path.partition(":")
    try:
        return attrgetter(name)(import_module(module))
    except Exception as error:  # noqa: BLE001 - a module of yours may raise anything
        why = f"{type(error).__name__}: {error}" if isinstance(error, ImportError) else ""
        why = why or type(error).__name__
        msg = f"{setting}: {path!r} cannot be imported ({why}); {advice}"
    # Out here, so that nothing the module raised is shown along with it.
    raise ConfigurationError(msg)


def imported_function(path: str | None, setting: str, arguments: tuple[str, ...]) -> Any:
    """Return the function that ``path`` names; ``None`` names none.

    Args:
        path: As in `imported`.
        setting: As in `imported`.
        arguments: The names of what it is called with.

    Raises:
        ConfigurationError: It cannot be imported, or not be called with so many arguments.
    """
    if path is None:
        return None
    advice = f"write MODULE:NAME of a function of ({', '.join(arguments)})"
    found = imported(path, setting=setting, advice=advice)
    if not callable(found) or isclass(found) or iscoroutinefunction(found):
        kind = "a class" if isclass(found) else "async" if callable(found) else "no function"
        msg = f"{setting}: {path!r} is {kind}; {advice}"
        raise ConfigurationError(msg)
    try:
        signature(found).bind(*arguments)
    except TypeError:
        msg = f"{setting}: {path!r} cannot be called with ({', '.join(arguments)}); {advice}"
    except ValueError:
        return found  # some built-in callables have no signature
    else:
        return found
    raise ConfigurationError(msg)
