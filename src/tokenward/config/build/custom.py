"""Verifiers of your own."""

from __future__ import annotations

from inspect import Signature, isclass, iscoroutine, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any

from tokenward.config.build.imported import imported
from tokenward.config.settings.fields import plain
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenward.config.settings import CustomEntry
    from tokenward.protocols import TokenVerifier

_ADVICE = "write MODULE:NAME of a function or class that returns a verifier"
_VERIFY = "verify(token, *, live=False)"


def custom_verifier(entry: CustomEntry) -> TokenVerifier:
    """Return what the factory of the entry returns.

    Raises:
        ConfigurationError: It cannot be imported or called, or returns no verifier. What it
            raised is named by its type, unless it is a `ConfigurationError` of its own.
    """
    factory = imported(entry.factory, setting="factory", advice=_ADVICE)
    if not callable(factory) or iscoroutinefunction(factory):
        kind = "async" if callable(factory) else f"of type {type(factory).__name__}"
        msg = f"factory: {entry.factory!r} is {kind}; {_ADVICE}"
        raise ConfigurationError(msg)
    _check_options(factory, entry)
    verifier = _called(factory, entry)
    _check(verifier, entry.factory)
    return verifier  # type: ignore[no-any-return]  # as far as can be told without calling it


def _check_options(factory: Callable[..., Any], entry: CustomEntry) -> None:
    found = _signature(factory)
    if found is None:
        return
    try:
        found.bind(**entry.options)
    except TypeError as error:
        # It names parameters, and shows no values.
        msg = f"options: {entry.factory!r} cannot be called with them: {error}"
    else:
        return
    raise ConfigurationError(msg)


def _called(factory: Callable[..., Any], entry: CustomEntry) -> Any:
    try:
        # Copies: what the factory does with them, it does not do to the settings.
        return factory(**plain(entry.options))
    except ConfigurationError as error:
        msg = f"factory: {entry.factory!r}: {error}"
    except Exception as error:  # noqa: BLE001 - a function of yours may raise anything
        msg = (
            f"factory: {entry.factory!r} failed with {type(error).__name__}; what it said is not "
            "shown, as it may hold secrets: raise a ConfigurationError for what may be read"
        )
    raise ConfigurationError(msg)


def _check(verifier: Any, path: str) -> None:
    if iscoroutine(verifier):
        verifier.close()
    verify = getattr(verifier, "verify", None)
    if verifier is None or isclass(verifier) or not callable(verify):
        what = "nothing" if verifier is None else f"something of type {type(verifier).__name__}"
        what = "a class and no instance of it" if isclass(verifier) else what
        msg = f"factory: {path!r} returned {what}; return an object with {_VERIFY}"
        raise ConfigurationError(msg)
    if iscoroutinefunction(verify):
        msg = f"factory: the verify of {path!r} is async; write a plain {_VERIFY}"
        raise ConfigurationError(msg)
    found = _signature(verify)
    if found is None:
        return
    try:
        found.bind("token", live=True)
    except TypeError:
        # Names alone: a default may be a secret.
        names = ", ".join(found.parameters)
        msg = f"factory: the verify of {path!r} takes ({names}); write {_VERIFY}"
    else:
        return
    raise ConfigurationError(msg)


def _signature(of: Callable[..., Any]) -> Signature | None:
    try:
        return signature(of)
    except (TypeError, ValueError):
        return None  # some built-in callables have none
