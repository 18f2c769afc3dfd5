"""Signing in with a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.contrib.auth import SESSION_KEY
from django.middleware.csrf import rotate_token

from tokenward.authenticator import EnvironHeaders
from tokenward.django._guard import authenticator_in_force
from tokenward.django._state import SETTING, parts
from tokenward.errors import ConfigurationError
from tokenward.pages import SignInCookie, check_method, safe_next

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from tokenward.schemas import LoginResponse

__all__ = ["clear_login", "safe_next", "set_login"]

R = TypeVar("R", bound="HttpResponseBase")


def set_login(request: HttpRequest, response: R, login: LoginResponse) -> R:
    """Have the browser that gets ``response`` signed in, as long as the access token is good.

    Call it in a view that answers POST. The request must come from a page of this application, or
    of one of the configured ``origins``; Django's own CSRF protection stays as it is. The CSRF
    token and the session's id, if there are any, are made anew; a session in which somebody was
    logged in is flushed, so that nobody becomes that user again when the cookie ends.

    Args:
        request: The request that signs in.
        response: The answer to the sign-in form; usually a redirect to where `safe_next` says.
        login: What the auth service answered.

    Returns:
        ``response``.

    Raises:
        ConfigurationError: There is no section ``pages``, the request is no POST, or the token is
            too long for a cookie.
        CrossSiteRequest: Another site may have sent the form.
    """
    sign_in = _sign_in()
    max_age = sign_in.max_age(login, request.META["REQUEST_METHOD"])
    _check_site(request)
    session = getattr(request, "session", None)
    if session is not None and not session.is_empty():
        if SESSION_KEY in session:
            session.flush()
        else:
            session.cycle_key()
    rotate_token(request)
    response.set_cookie(sign_in.name, login.access_token, max_age=max_age, **sign_in.attributes)
    response["Cache-Control"] = "no-store"
    return response


def clear_login(
    request: HttpRequest, response: R, *, end: Callable[[str], object] | None = None
) -> R:
    """Have the browser that gets ``response`` signed out, whatever its token is worth by now.

    Call it in a view that answers POST. A session is flushed: what it holds is of whoever was
    signed in.

    Args:
        request: The request that signs out.
        response: The answer to the sign-out form.
        end: Ends the token itself: ``logout_user`` of the auth service, or of its client. That it
            cannot be reached keeps nobody signed in here, and is logged. Left out: the token is
            good until it expires, wherever else it may be.

    Returns:
        ``response``.

    Raises:
        ConfigurationError: There is no section ``pages``, or the request is no POST.
        CrossSiteRequest: Another site may have sent the form.
    """
    sign_in = _sign_in()
    check_method(request.META["REQUEST_METHOD"])
    _check_site(request)
    if end is not None:
        sign_in.end_token(EnvironHeaders(request.META), end)
    session = getattr(request, "session", None)
    if session is not None and not session.is_empty():
        session.flush()
    response.set_cookie(sign_in.name, **sign_in.emptied)
    response["Cache-Control"] = "no-store"
    return response


def _sign_in() -> SignInCookie:
    sign_in = parts().sign_in
    if sign_in is None:
        raise ConfigurationError(
            'There is no sign-in cookie; write "pages": {"cookie": "NAME"} in '
            f"settings.{SETTING}."
        )
    return sign_in


def _check_site(request: HttpRequest) -> None:
    authenticator_in_force().check_site(EnvironHeaders(request.META))
