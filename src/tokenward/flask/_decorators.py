"""What a view says about who may call it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, cast, overload

from flask import current_app

from tokenward.authenticator import Requirement
from tokenward.errors import ConfigurationError
from tokenward.flask._guard import PUBLIC, REQUIREMENT, authorize, unrun
from tokenward.principal import ANONYMOUS

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V", bound=Callable[..., Any])


@overload
def login_required(view: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def login_required(
    *, optional: bool = False, live: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def login_required(
    view: Callable[P, R] | None = None, /, *, optional: bool = False, live: bool = False
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Let only authenticated requests through to the view; bare, or called.

    Stands below the route, above or below the other decorators of this module.

    Args:
        view: The view function, plain or async.
        optional: Let requests through that present nothing; `current_principal` is then
            `ANONYMOUS`. What is presented and refused stays refused, and so does an outage.
        live: Take no cached decision; ask the issuer.
    """
    requirement = Requirement(optional=optional, live=live)
    if view is None:
        return functools.partial(_guard, requirement)
    return _guard(requirement, view)


def scopes_required(
    *all_of: str, any_of: Iterable[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let only requests through whose token grants the scopes; authenticates by itself.

    Args:
        all_of: Every one must be granted.
        any_of: At least one must be granted.

    Raises:
        ConfigurationError: No scope is named, or one is no scope (RFC 6749, section 3.3).
    """
    return functools.partial(_guard, Requirement.of_scopes(all_of, any_of))


def roles_required(
    *all_of: str, any_of: Iterable[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let only requests through whose subject holds the roles; authenticates by itself.

    Args:
        all_of: Every one must be held.
        any_of: At least one must be held.

    Raises:
        ConfigurationError: No role is named.
    """
    return functools.partial(_guard, Requirement.of_roles(all_of, any_of))


def public(view: V) -> V:
    """Open the view, or the class-based view, where ``default_access`` is ``deny``."""
    setattr(view, PUBLIC, True)
    return view


def _guard(requirement: Requirement, view: Callable[P, R]) -> Callable[P, R]:
    if isinstance(view, type):
        raise ConfigurationError(
            f"{view.__name__} is a class; write decorators = [login_required] inside it."
        )
    asynchronous = iscoroutinefunction(view)

    @functools.wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if authorize(requirement) is ANONYMOUS and not requirement.optional:
            answered: Any = unrun(view)
            if answered is not None:
                return cast("R", answered)
        if asynchronous:
            result: R = current_app.ensure_sync(view)(*args, **kwargs)
            return result
        return view(*args, **kwargs)

    setattr(guarded, REQUIREMENT, requirement)
    return guarded
