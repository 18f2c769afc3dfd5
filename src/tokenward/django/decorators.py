"""What a view says about who may call it: functions, sync or async, and class-based views.

.. code-block:: python

    @scopes_required("orders:read")
    def orders(request):
        return JsonResponse({"for": request.principal.subject})

Django's own ``login_required`` and ``permission_required`` ask ``request.user`` and work too.
"""

from __future__ import annotations

import functools
from asyncio import _get_running_loop
from collections.abc import Callable, Iterable
from inspect import isawaitable
from typing import Any, TypeVar, overload

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from tokenward.authenticator import Requirement
from tokenward.django._guard import (
    PUBLIC,
    REQUIREMENT,
    aauthorize,
    authorize,
    seen_in,
    unrun,
    vary,
)
from tokenward.errors import ConfigurationError
from tokenward.principal import ANONYMOUS

V = TypeVar("V", bound=Callable[..., Any])


@overload
def login_required(view: V, /) -> V: ...
@overload
def login_required(*, optional: bool = False, live: bool = False) -> Callable[[V], V]: ...
def login_required(view: Any = None, /, *, optional: bool = False, live: bool = False) -> Any:
    """Let only authenticated requests through to the view; bare, or called.

    Args:
        view: A view function, sync or async, or a class-based view.
        optional: Let requests through that present nothing; ``request.principal`` is then
            `ANONYMOUS`. What is presented and refused stays refused, and so does an outage.
        live: Take no cached decision; ask the issuer.
    """
    requirement = Requirement(optional=optional, live=live)
    if view is None:
        return functools.partial(_guard, requirement)
    return _guard(requirement, view)


def scopes_required(*all_of: str, any_of: Iterable[str] = ()) -> Callable[[V], V]:
    """Let only requests through whose token grants the scopes; authenticates by itself.

    Args:
        all_of: Every one must be granted.
        any_of: At least one must be granted.

    Raises:
        ConfigurationError: No scope is named, or one is no scope (RFC 6749, section 3.3).
    """
    return functools.partial(_guard, Requirement.of_scopes(all_of, any_of))


def roles_required(*all_of: str, any_of: Iterable[str] = ()) -> Callable[[V], V]:
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


def _guard(requirement: Requirement, view: Any) -> Any:
    if isinstance(view, type):
        return _guarded_class(requirement, view)
    wrapper = (
        _async_guard(requirement, view)
        if iscoroutinefunction(view)
        else _sync_guard(requirement, view)
    )
    setattr(wrapper, REQUIREMENT, requirement)
    return wrapper


def _guarded_class(requirement: Requirement, view: Any) -> Any:
    dispatch = getattr(view, "dispatch", None)
    if dispatch is None:
        raise ConfigurationError(
            f"{view.__name__} has no dispatch(): this decorator guards functions and class-based "
            "views."
        )

    @functools.wraps(dispatch)
    def guarded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if _get_running_loop() is not None and self.view_is_async:
            return _adispatch(requirement, request, dispatch, self, *args, **kwargs)
        theirs = _request(request)
        authorize(theirs, requirement)
        return _depending(theirs, dispatch(self, request, *args, **kwargs))

    setattr(guarded, REQUIREMENT, requirement)
    setattr(view, REQUIREMENT, requirement)
    view.dispatch = guarded
    return view


async def _adispatch(
    requirement: Requirement,
    request: HttpRequest,
    dispatch: Callable[..., Any],
    view: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    theirs = _request(request)
    await aauthorize(theirs, requirement)
    response = dispatch(view, request, *args, **kwargs)
    return _depending(theirs, await response if isawaitable(response) else response)


def _sync_guard(requirement: Requirement, view: Callable[..., Any]) -> Callable[..., Any]:
    in_the_loop = _async_guard(requirement, view)

    @functools.wraps(view)
    def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
        if _get_running_loop() is not None and _is_async_dispatch(view):
            return in_the_loop(request, *args, **kwargs)
        theirs = request if isinstance(request, HttpRequest) else _request(request)
        principal = authorize(theirs, requirement)
        if principal is ANONYMOUS and not requirement.optional:
            answered = _unrun(view)
            if answered is not None:
                return answered
        return _depending(theirs, view(request, *args, **kwargs))

    return guarded


def _async_guard(requirement: Requirement, view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        theirs = _request(request)
        principal = await aauthorize(theirs, requirement)
        if principal is ANONYMOUS and not requirement.optional:
            answered = _unrun(view)
            if answered is not None:
                return answered
        response = view(request, *args, **kwargs)
        return _depending(theirs, await response if isawaitable(response) else response)

    return guarded


def _depending(request: HttpRequest, response: Any) -> Any:
    # Here already: a `cache_page` around this must not keep for everybody what one may see.
    if isinstance(response, HttpResponseBase):
        vary(seen_in(request), response)
    return response


def _unrun(view: Any) -> HttpResponseBase | None:
    return None if _view_of_method(view) is not None else unrun(view)


def _is_async_dispatch(view: Any) -> bool:
    return getattr(_view_of_method(view), "view_is_async", False)


def _view_of_method(view: Any) -> View | None:
    """Return the class-based view of which Django's ``method_decorator`` has handed us a method."""
    while view is not None and not isinstance(view, functools.partial):
        view = getattr(view, "__wrapped__", None)
    owner = None if view is None else getattr(view.func, "__self__", None)
    return owner if isinstance(owner, View) else None


def _request(given: object) -> HttpRequest:
    if isinstance(given, HttpRequest):
        return given
    # Django REST framework's request has Django's inside.
    request = getattr(given, "_request", None)
    if not isinstance(request, HttpRequest):
        raise ConfigurationError(
            "This decorator guards a function or a class; for a method write "
            "@method_decorator(login_required), or put @login_required on the class."
        )
    return request
