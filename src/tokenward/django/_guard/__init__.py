"""What a view demands, and the translation of a refusal into a response."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch
from django.utils.cache import patch_vary_headers
from django.views.generic import RedirectView

from tokenward.authenticator import EnvironHeaders, Requirement
from tokenward.django._guard.decision import (
    Seen,
    adecide,
    atell_kept,
    atell_refused,
    authenticator_in_force,
    decide,
    is_bare_preflight,
    seen_in,
    tell_kept,
    tell_refused,
)
from tokenward.django._state import parts
from tokenward.errors import AuthError, InsufficientScope, NotAuthenticated
from tokenward.pages import report_missing_page, wants_to_sign_in
from tokenward.principal import ANONYMOUS

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

    from tokenward.authenticator import Authentication
    from tokenward.principal import Principal

__all__ = [
    "AUTHENTICATED",
    "PUBLIC",
    "REQUIREMENT",
    "Seen",
    "aauthenticate",
    "aauthorize",
    "answer",
    "aprincipal_of",
    "atell_kept",
    "authenticate",
    "authenticator_in_force",
    "authorize",
    "class_of",
    "finish",
    "lazily",
    "note_shortfall",
    "principal_of",
    "seen_in",
    "tell_kept",
    "unrun",
    "vary",
]

PUBLIC = "__tokenward_public__"
REQUIREMENT = "__tokenward_requirement__"

AUTHENTICATED = Requirement()
"""What a view demands that only wants to know who asks."""

_OTHER_HANDLERS = ("get", "post", "put", "patch", "delete")

# What the answer to a permission that said no is called there.
_DENIED = frozenset({"not_authenticated", "permission_denied", InsufficientScope.error})


def authorize(request: HttpRequest, requirement: Requirement) -> Principal:
    """Return who sends the request, after everything demanded was checked.

    A CORS preflight carries no credentials and is not refused; it is sent by nobody.

    Raises:
        AuthError: The request is refused.
    """
    authentication = decide(request, live=requirement.live)
    if authentication is None:
        return _nobody(request, requirement)
    principal = authentication.principal
    if requirement.demanding:
        try:
            requirement.check(principal)
        except AuthError as error:
            tell_refused(request, error)
            raise
    return principal


async def aauthorize(request: HttpRequest, requirement: Requirement) -> Principal:
    """Do what `authorize` does, without ever blocking the event loop."""
    authentication = await adecide(request, live=requirement.live)
    if authentication is None:
        return _nobody(request, requirement)
    principal = authentication.principal
    if requirement.demanding:
        try:
            requirement.check(principal)
        except AuthError as error:
            await atell_refused(request, error)
            raise
    return principal


def authenticate(request: HttpRequest, *, live: bool = False) -> Authentication | None:
    """Return who sends the request, or ``None`` when nothing is presented.

    ``None`` too where credentials are not looked at, and no guard has done so. On an event loop
    only as far as no I/O is needed.

    Raises:
        AuthError: What is presented is refused, or cannot be checked.
        SynchronousOnlyOperation: On an event loop, and deciding takes I/O.
    """
    seen = seen_in(request)
    return None if seen.is_open and not seen.asked else decide(request, live=live)


async def aauthenticate(request: HttpRequest, *, live: bool = False) -> Authentication | None:
    """Do what `authenticate` does: on the event loop if no I/O is needed, else in a thread."""
    seen = seen_in(request)
    return None if seen.is_open and not seen.asked else await adecide(request, live=live)


def lazily(request: HttpRequest) -> Authentication | None:
    """Do what `authenticate` does, for whom a cached decision will do."""
    return authenticate(request)


def principal_of(request: HttpRequest) -> Principal:
    """Return what ``request.principal`` is: who sends the request, or `ANONYMOUS`.

    Raises:
        AuthError: What is presented is refused, or cannot be checked.
        SynchronousOnlyOperation: On an event loop, and deciding takes I/O.
    """
    authentication = authenticate(request)
    return ANONYMOUS if authentication is None else authentication.principal


async def aprincipal_of(request: HttpRequest) -> Principal:
    """Do what `principal_of` does, without ever blocking the event loop."""
    authentication = await aauthenticate(request)
    return ANONYMOUS if authentication is None else authentication.principal


def class_of(view: Any) -> Any:
    """Return the class of a class-based view, or ``None``."""
    # Django's name for it, and Django REST framework's.
    return getattr(view, "view_class", None) or getattr(view, "cls", None)


def note_shortfall(request: HttpRequest, error: AuthError) -> None:
    """Remember why a permission says no: if the request is refused for it, this is the answer."""
    seen_in(request).shortfall = error


def answer(request: HttpRequest, error: AuthError) -> HttpResponse:
    """Turn an error into the response; for a browser that has to sign in, the way there."""
    headers = EnvironHeaders(request.META)
    sign_in = parts().sign_in
    page = None
    if (
        sign_in is not None
        and sign_in.login_view is not None
        and wants_to_sign_in(error, request.META["REQUEST_METHOD"], headers)
    ):
        page = _page(sign_in.login_view)
    response: HttpResponse
    # A sign-in page that is itself refused would send the browser round and round.
    if page is not None and page != request.path:
        query = QueryDict(mutable=True)
        query["next"] = request.get_full_path()
        page = f"{page}?{query.urlencode(safe='/')}"
        response = HttpResponseRedirect(page, headers={"Cache-Control": "no-store"})
    else:
        made = authenticator_in_force().error_response(error)
        is_head = request.META["REQUEST_METHOD"] == "HEAD"
        response = HttpResponse(b"" if is_head else made.body, status=made.status)
        response["Content-Length"] = str(len(made.body))
        for name, value in made.headers:
            response[name] = value
    if sign_in is not None and sign_in.is_refused(error, headers):
        response.set_cookie(sign_in.name, max_age=0, **sign_in.attributes)
    return response


def _page(login_view: str) -> str | None:
    try:
        return resolve_url(login_view)
    except NoReverseMatch:
        report_missing_page(login_view)
        return None


def finish(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return ``response`` with what it depends on in ``Vary``."""
    seen = seen_in(request)
    if seen.shortfall is not None and _says_only_no(response):
        if not isinstance(seen.shortfall, NotAuthenticated):
            tell_refused(request, seen.shortfall)
        response = answer(request, seen.shortfall)
    if seen.ends_sign_in:
        _end_sign_in(request, response)
    if not seen.asked:
        return response
    vary(seen, response)
    who = seen.authentication
    if who is not None and who.credential.ambient:
        # A browser must not show the page again once its owner has signed out.
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _end_sign_in(request: HttpRequest, response: HttpResponseBase) -> None:
    """Take the sign-in cookie back, of whoever logs in or out by a session.

    It is what decides before the session, so that they would be who they were before.
    """
    sign_in = parts().sign_in
    if (
        sign_in is not None
        and sign_in.name in request.COOKIES
        # Unless the same view has just set it.
        and sign_in.name not in response.cookies
    ):
        response.set_cookie(sign_in.name, **sign_in.emptied)


def _says_only_no(response: HttpResponseBase) -> bool:
    """Tell whether this is Django REST framework's own answer to a permission that said no.

    What a project's exception handler has made of it stays as it is, and so does every other
    error.
    """
    data = getattr(response, "data", None)
    if not getattr(response, "exception", False) or not isinstance(data, dict):
        return False
    return data.keys() == {"detail"} and getattr(data["detail"], "code", None) in _DENIED


def vary(seen: Seen, response: HttpResponseBase) -> None:
    """Say in ``response`` on which request headers it depends."""
    names, headers = seen.vary, response.headers
    if not names:
        return
    there = headers.get("Vary")
    if there is None:
        headers["Vary"] = names
    elif there != names:
        headers["Vary"] = _joined(there, names)


@lru_cache(maxsize=256)
def _joined(there: str, names: str) -> str:
    # Remembered: Django REST framework names a header of its own in every response.
    response = HttpResponse(headers={"Vary": there})
    patch_vary_headers(response, names.split(", "))
    return response.headers["Vary"]


def unrun(view: Any) -> HttpResponse | None:
    """Return the answer to a CORS preflight in the place of ``view``, or ``None`` to let it run.

    A class-based view has a method of its own for it. A function would do for somebody unknown
    what it does for a GET, and so would a class whose method is the same for both.
    """
    kind = class_of(view)
    options = getattr(kind, "options", None)
    if options is not None and not issubclass(kind, RedirectView):
        others = (getattr(kind, name, None) for name in _OTHER_HANDLERS)
        if all(other is not options for other in others):
            return None
    return HttpResponse(status=204)


def _nobody(request: HttpRequest, requirement: Requirement) -> Principal:
    if requirement.optional or is_bare_preflight(request):
        return ANONYMOUS
    raise NotAuthenticated
