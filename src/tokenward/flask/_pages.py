"""Signing in with a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tokenward.authenticator import in_force
from tokenward.errors import ConfigurationError
from tokenward.flask._state import app_state, this_request
from tokenward.pages import SignInCookie, check_method

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from tokenward.schemas import LoginResponse

R = TypeVar("R", bound="Response")


def set_login(response: R, login: LoginResponse) -> R:
    """Have the browser that gets ``response`` signed in, as long as the access token is good.

    Call it in a view that answers POST. The request must come from a page of this application, or
    of one of the configured ``origins``: nobody is signed in by another site's form.

    Args:
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
    max_age = sign_in.max_age(login, this_request().method)
    _check_site()
    response.set_cookie(sign_in.name, login.access_token, max_age=max_age, **sign_in.attributes)
    response.headers["Cache-Control"] = "no-store"
    return response


def clear_login(response: R, *, end: Callable[[str], object] | None = None) -> R:
    """Have the browser that gets ``response`` signed out, whatever its token is worth by now.

    Call it in a view that answers POST.

    Args:
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
    check_method(this_request().method)
    _check_site()
    if end is not None:
        sign_in.end_token(this_request().headers, end)
    response.set_cookie(sign_in.name, **sign_in.emptied)
    response.headers["Cache-Control"] = "no-store"
    return response


def _sign_in() -> SignInCookie:
    sign_in = app_state().sign_in
    if sign_in is None:
        raise ConfigurationError(
            'There is no sign-in cookie; write "pages": {"cookie": "NAME"} in '
            'app.config["TOKENWARD"].'
        )
    return sign_in


def _check_site() -> None:
    in_force(app_state().authenticator).check_site(this_request().headers)
