"""The middleware: who asks is known where somebody looks, and refusals are answered."""

from __future__ import annotations

import copy
import functools
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import apps
from django.conf import settings as project
from django.contrib.auth import middleware as django_auth
from django.contrib.auth.models import AnonymousUser
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import Resolver404, get_resolver
from django.utils.functional import SimpleLazyObject, empty
from django.utils.module_loading import import_string

from tokenward.authenticator import EnvironHeaders, Requirement
from tokenward.authenticator.rules import SAFE_METHODS
from tokenward.django._guard import (
    AUTHENTICATED,
    PUBLIC,
    REQUIREMENT,
    aauthenticate,
    aauthorize,
    answer,
    aprincipal_of,
    atell_kept,
    authenticate,
    authenticator_in_force,
    authorize,
    class_of,
    finish,
    principal_of,
    seen_in,
    tell_kept,
    unrun,
)
from tokenward.django._guard.user import auser_of, user_of
from tokenward.django._reports import hide_credentials
from tokenward.django._state import parts
from tokenward.errors import AuthError, ConfigurationError
from tokenward.principal import ANONYMOUS

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

    from tokenward.principal import Principal

Respond = Callable[[HttpRequest], Any]

_ADMISSIONS = {
    (optional, live): Requirement(optional=optional, live=live)
    for optional in (False, True)
    for live in (False, True)
}

_LoginRequired: Any = getattr(django_auth, "LoginRequiredMiddleware", ())  # since Django 5.1
_their_auser: Any = getattr(django_auth, "auser", None)  # since Django 5.0


class TokenwardMiddleware:
    """Makes ``request.principal``, ``request.user`` and ``request.auser()`` those of the token.

    Where ``default_access`` is ``allow``, nothing is verified until one of them is touched, or a
    view's decorator asks; what is refused then is answered as everywhere. Where it is ``deny``,
    every view needs a token that is not `public`; a path without a view stays 404. Who presents
    nothing is, to ``request.user``, whoever the session says.

    Once the response is made, a refusal could not be answered any more: to what looks at one of
    them only then, as a log does or the body of a streaming response, who presented what is
    refused is nobody.

    It may stand before or behind Django's ``AuthenticationMiddleware``, and needs it only for
    sessions. Sync and async.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        # Whatever is wrong with the configuration stops the program here, not a request later.
        if not apps.is_installed("tokenward.django"):
            raise ConfigurationError(
                'INSTALLED_APPS lacks "tokenward.django" with the part behind the dot; add it '
                "and run manage.py migrate."
            )
        parts()
        before, behind = _neighbours(type(self))
        # What stands behind may answer before the view is known: out of a cache, for instance.
        self._goes_first = "always" if behind else _goes_first(before)
        self._beside_login_required = any(_is_a(_LoginRequired, one) for one in before + behind)
        self._takes_back = any(_is_a(django_auth.AuthenticationMiddleware, one) for one in behind)
        self.process_view = self._aprocess_view if self._is_async else self._process_view

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer one request."""
        if self._is_async:
            return self._acall(request)
        _prepare(request)
        response: HttpResponseBase | None = None
        try:
            view = self._view_to_admit(request)
            if view is not None:
                response = self._admit(request, view)
            if response is None:
                response = self.get_response(request)
        except AuthError as error:
            response = answer(request, error)
        response = _finished(request, cast("HttpResponseBase", response))
        tell_kept(request)
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        _prepare(request)
        response: HttpResponseBase | None = None
        try:
            view = self._view_to_admit(request)
            if view is not None:
                response = await self._aadmit(request, view)
            if response is None:
                response = await self.get_response(request)
        except AuthError as error:
            response = answer(request, error)
        response = _finished(request, cast("HttpResponseBase", response))
        await atell_kept(request)
        return response

    def _process_view(
        self, request: HttpRequest, view: Any, _args: object, _kwargs: object
    ) -> HttpResponseBase | None:
        if self._takes_back:
            _take_back(request)
        try:
            return self._admit(request, view)
        except AuthError as error:
            return answer(request, error)

    async def _aprocess_view(
        self, request: HttpRequest, view: Any, _args: object, _kwargs: object
    ) -> HttpResponseBase | None:
        if self._takes_back:
            _take_back(request)
        try:
            return await self._aadmit(request, view)
        except AuthError as error:
            return answer(request, error)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Answer a refusal that a view, or what it looked at, has raised."""
        return answer(request, error) if isinstance(error, AuthError) else None

    def _view_to_admit(self, request: HttpRequest) -> Any:
        """Return the view, if it is to be admitted before other middleware looks at it."""
        when = self._goes_first
        if when == "never" or not (self._beside_login_required or _denies()):
            return None
        if when == "unsafe" and request.META["REQUEST_METHOD"] in SAFE_METHODS:
            return None
        resolver = get_resolver(getattr(request, "urlconf", None))
        try:
            return resolver.resolve(request.path_info).func
        except Resolver404:
            return None

    def _admit(self, request: HttpRequest, view: Any) -> HttpResponseBase | None:
        requirement = _admission(request, view)
        if requirement is not None:
            return _admitted(authorize(request, requirement), requirement, view)
        if self._beside_login_required:
            # It looks at the user of every request, where nobody could answer a refusal.
            authenticate(request)
        return None

    async def _aadmit(self, request: HttpRequest, view: Any) -> HttpResponseBase | None:
        requirement = _admission(request, view)
        if requirement is not None:
            return _admitted(await aauthorize(request, requirement), requirement, view)
        if self._beside_login_required:
            await aauthenticate(request)
        return None


_set = object.__setattr__


class _Lazy(SimpleLazyObject):  # type: ignore[type-arg] # generic for the stubs alone
    """Two are made for every request, and hardly any is ever looked at."""

    def __init__(self, function: Callable[[], Any]) -> None:
        # What the constructors of the bases do, past their `__setattr__` and `__getattribute__`.
        _set(self, "_setupfunc", function)
        _set(self, "_wrapped", empty)


def _prepare(request: HttpRequest) -> None:
    # They do not keep the request alive: a cycle on every request is work for the collector, and
    # costs more than all the rest of this.
    this = weakref.ref(request)
    user = _Lazy(functools.partial(_user, this))
    principal = _Lazy(functools.partial(_principal, this))
    seen = seen_in(request)
    seen.lazy = (user, principal)
    seen.untold = []
    there = cast("Any", request)
    there.principal = principal
    there.aprincipal = functools.partial(_aprincipal, this)
    there.user = user
    there.auser = functools.partial(_auser, this)
    # Where AuthenticationMiddleware comes later, its own `request.user` is this.
    there._cached_user = there._acached_user = user  # noqa: SLF001 - the names it looks for
    environ = request.META
    if environ["REQUEST_METHOD"] not in SAFE_METHODS:
        credential = authenticator_in_force().presented(
            EnvironHeaders(environ), query=environ.get("QUERY_STRING", "")
        )
        if credential is not None and not credential.ambient:
            # What a page's script has to send on purpose, no other site's form can make a browser
            # send; and with it presented, nobody is taken for the user of the session.
            there._dont_enforce_csrf_checks = seen.bears_token = True  # noqa: SLF001 - Django's


def _principal(this: weakref.ref[HttpRequest]) -> Any:
    request = _alive(this)
    try:
        return principal_of(request)
    except AuthError:
        if seen_in(request).is_over:
            return ANONYMOUS
        raise


async def _aprincipal(this: weakref.ref[HttpRequest]) -> Principal:
    request = _alive(this)
    try:
        return await aprincipal_of(request)
    except AuthError:
        if seen_in(request).is_over:
            return ANONYMOUS
        raise


def _user(this: weakref.ref[HttpRequest]) -> Any:
    request = _alive(this)
    seen = seen_in(request)
    if seen.bears_token and seen.is_open and not seen.asked:
        return AnonymousUser()
    try:
        return user_of(request)
    except AuthError:
        if seen.is_over:
            return AnonymousUser()
        raise


async def _auser(this: weakref.ref[HttpRequest]) -> Any:
    request = _alive(this)
    seen = seen_in(request)
    if seen.bears_token and seen.is_open and not seen.asked:
        return AnonymousUser()
    try:
        return await auser_of(request)
    except AuthError:
        if seen.is_over:
            return AnonymousUser()
        raise


def _alive(this: weakref.ref[HttpRequest]) -> HttpRequest:
    request = this()
    if request is None:
        msg = (
            "The request is over, and while it lasted nobody asked who sent it: look at "
            "request.user or request.principal before handing it on, to a thread for instance."
        )
        raise RuntimeError(msg)
    return request


def _take_back(request: HttpRequest) -> None:
    """Take back ``request.auser`` from an AuthenticationMiddleware that came later."""
    there = cast("Any", request)
    if _their_auser is not None and getattr(there.auser, "func", None) is _their_auser:
        there.auser = functools.partial(_auser, weakref.ref(request))


def _admission(request: HttpRequest, view: Any) -> Requirement | None:
    """Return what is demanded of a request before its view runs, if anything is."""
    authenticator = authenticator_in_force()
    sent, runs, path = request.META["REQUEST_METHOD"], str(request.method), request.path_info
    # Where something has overridden the method, a rule must be about both.
    if _is_open(view) or (
        authenticator.is_public(sent, path)
        and (sent == runs or authenticator.is_public(runs, path))
    ):
        # Credentials are not looked at: an old cookie must not close the sign-in page.
        seen_in(request).is_open = True
        return None
    if authenticator.default_access == "allow":
        return None
    declared: Requirement | None = getattr(view, REQUIREMENT, None) or getattr(
        class_of(view), REQUIREMENT, None
    )
    # What is demanded of whoever comes in is the guard's business; here it is only who that is.
    return AUTHENTICATED if declared is None else _ADMISSIONS[declared.optional, declared.live]


def _admitted(principal: object, requirement: Requirement, view: Any) -> HttpResponseBase | None:
    return unrun(view) if principal is ANONYMOUS and not requirement.optional else None


def _is_open(view: Any) -> bool:
    # Of this very class: who derives from an open view has not said that theirs is.
    return getattr(view, PUBLIC, False) or PUBLIC in getattr(class_of(view), "__dict__", ())


def _denies() -> bool:
    return authenticator_in_force().default_access == "deny"


def _neighbours(this: type) -> tuple[list[Any], list[Any]]:
    """Return the project's other middleware: what stands before ``this`` one, and behind it."""
    listed = [import_string(path) for path in project.MIDDLEWARE]
    position = listed.index(this) if this in listed else len(listed)
    return listed[:position], listed[position + 1 :]


def _goes_first(before: list[Any]) -> Literal["always", "unsafe", "never"]:
    """Tell for which requests other middleware might answer before our own look at the view."""
    looks = [one for one in before if not isinstance(one, type) or hasattr(one, "process_view")]
    if any(one is not CsrfViewMiddleware for one in looks):
        return "always"
    return "unsafe" if looks else "never"


def _is_a(kind: Any, one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, kind)


def _finished(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    seen = seen_in(request)
    if seen.escaped is not None and response.status_code >= 500:
        response = answer(request, seen.escaped)
    seen.is_over = True
    return finish(request, response)


def _note_escaped(request: HttpRequest | None = None, **_more: object) -> None:
    if request is None:
        return
    hide_credentials(request)
    error = sys.exc_info()[1]
    if isinstance(error, AuthError):
        seen_in(request).escaped = copy.copy(error)


# Another middleware that looks at `request.user` may run into a refusal; of that Django makes a
# 500 before anybody can answer it.
got_request_exception.connect(_note_escaped, dispatch_uid="tokenward.escaped")
