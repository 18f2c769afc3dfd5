"""Signing in with a browser: the cookie, the way back, and who is sent to the sign-in page.

What the adapters' ``set_login``, ``clear_login`` and ``safe_next`` have in common.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from tokenward._log import OncePerMinute, shown
from tokenward.authenticator import cookie
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
)

if TYPE_CHECKING:
    from tokenward.protocols import Headers
    from tokenward.schemas import LoginResponse

MAX_TARGET_CHARACTERS = 2_048
"""A longer way back is none."""

MAX_COOKIE_BYTES = 4_096
"""What a browser keeps of a cookie's name, value and attributes (RFC 6265, section 6.1)."""

_ATTRIBUTES_BYTES = 128

_logger = logging.getLogger("tokenward.pages")
_seldom = OncePerMinute(_logger)

# RFC 6265, section 4.1.1: a cookie's name is a token; ``__Host-`` is not to be written, but added.
_name = re.compile(r"(?!__(?:Host|Secure)-)[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.IGNORECASE).fullmatch
# One slash: two, or one and a backslash, are another host to a browser. Browsers drop tabs and
# line breaks before they look.
_path = re.compile(r"/(?![/\\])[^\\\x00-\x1f\x7f-\x9f\ud800-\udfff]*").fullmatch


@dataclass(frozen=True, slots=True)
class SignInCookie:
    """The cookie that holds the access token of somebody who signed in with a browser.

    No script can read it, no other site makes a browser send it along with a form, and where it is
    ``secure`` no other host of the domain can set it: it is then called ``__Host-NAME``
    (RFC 6265bis, section 4.1.3.2).

    Args:
        base_name: A name that no other application of this host uses.
        secure: Whether it travels over https only. Without, for development on this machine.
        samesite: ``Lax``, or ``Strict``: not even with a link from another site.
        login_view: Where the adapter sends a browser that has to sign in; ``None``: nowhere.

    Raises:
        ConfigurationError: The name is no cookie name.
    """

    base_name: str
    secure: bool = True
    samesite: Literal["Lax", "Strict"] = "Lax"
    login_view: str | None = None

    def __post_init__(self) -> None:
        if not _name(self.base_name):
            raise ConfigurationError(
                f"pages.cookie: {self.base_name!r} is not a cookie name; write one like 'shop', "
                "without __Host-, which is added where it can be."
            )

    @property
    def name(self) -> str:
        """The name as browsers know it."""
        return f"__Host-{self.base_name}" if self.secure else self.base_name

    @property
    def attributes(self) -> dict[str, Any]:
        """What goes with it when it is set, and when it is taken back."""
        return {
            "path": "/",
            "secure": self.secure,
            "httponly": True,
            "samesite": self.samesite,
        }

    @property
    def emptied(self) -> dict[str, Any]:
        """What it is set to when its owner signs out: nothing, and gone a second later.

        Chromium keeps pages for Back although they are ``no-store``, as long as no cookie changes.
        Of a page that was shown right after signing in it fails to count one change, and to remove
        a cookie is one; to overwrite it and let it end is more.
        """
        return {"value": "", "max_age": 1, **self.attributes}

    def max_age(self, login: LoginResponse, method: str) -> int:
        """Return the seconds for which the cookie may hold the token of ``login``.

        Args:
            login: What the auth service answered.
            method: That of the request which signs in.

        Raises:
            ConfigurationError: The request is no POST, or no browser would keep the cookie.
        """
        check_method(method)
        size = len(self.name) + len(login.access_token) + _ATTRIBUTES_BYTES
        if size > MAX_COOKIE_BYTES:
            raise ConfigurationError(
                f"The access token is {len(login.access_token)} characters long, and browsers keep "
                "no cookie that large; have the auth service put less into it."
            )
        return login.expires_in

    def is_refused(self, error: AuthError, headers: Headers) -> bool:
        """Tell whether it is this cookie that was refused, and is of no more use."""
        return (
            isinstance(error, InvalidToken)
            and not headers.get("Authorization")
            and self.name in (headers.get("Cookie") or "")
        )

    def end_token(self, headers: Headers, end: Callable[[str], object]) -> None:
        """Have the token in the cookie ended, if there is one and if that is possible now.

        Whoever signs out is signed out whatever comes of it: the cookie is taken back.

        Args:
            headers: Those of the request that signs out.
            end: Ends a token; usually ``logout_user`` of the auth service, or of its client.
        """
        try:
            token = cookie(self.name).read(headers, "")
            if token is not None:
                end(token)
        except AuthServiceUnavailable as error:
            _seldom.log(
                logging.WARNING,
                (error.reason,),
                "A token could not be ended as its owner signed out, and is good until it expires:"
                " %s",
                error.hint,
            )
        except AuthError:
            # It was no good any more.
            return


def check_method(method: str) -> None:
    """Raise `ConfigurationError` unless signing in or out is done by a POST.

    A link, a prefetch or an image on another page must not sign anybody in or out.
    """
    if method != "POST":
        raise ConfigurationError(
            f"Signing in and out change something, so they are done by POST, not {method}: have "
            "the page send a form."
        )


def safe_next(target: str | None, default: str = "/") -> str:
    """Return ``target`` if it is a path of this application's own host, else ``default``.

    Args:
        target: What came as ``next``; ``None``: nothing did.
        default: Where to go instead.
    """
    if not target or len(target) > MAX_TARGET_CHARACTERS:
        return default
    # Whatever passes it on may decode it once more.
    return target if _path(target) and _path(unquote(target)) else default


def report_missing_page(login_view: str) -> None:
    """Log that ``pages.login_view`` leads nowhere; the refusal is answered as without a page."""
    message = "pages.login_view: no URL can be built for %r, so that nobody is sent to sign in"
    _seldom.log(logging.ERROR, ("login_view", login_view), message, shown(login_view))


def wants_to_sign_in(error: AuthError, method: str, headers: Headers) -> bool:
    """Tell whether a refusal is better answered by the sign-in page.

    It is when a person's browser asks for a page, and nobody who can be authenticated; a program
    that sends ``Authorization`` is told what is wrong with it.
    """
    if error.status_code != 401 or method not in ("GET", "HEAD") or headers.get("Authorization"):
        return False
    mode = headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in (headers.get("Accept") or "")
