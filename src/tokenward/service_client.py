"""`AuthServiceClient`: a tokenward auth service somewhere else, by the verbs of `AuthService`.

What the service says of a person or a token becomes the error that the service itself raises.
Whatever else happens is an outage: nobody could decide, so nobody is told that a password is wrong.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from tokenward._http import (
    RequestsTransport,
    check_url,
    json_object,
    report_unreadable,
    retry_after_of,
)
from tokenward._log import OncePerMinute, shown
from tokenward.bearer import MAX_RETRY_AFTER, MAX_TOKEN_BYTES, check_token
from tokenward.client_auth import BearerAuth, authenticated
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidCredentials,
    InvalidRequest,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
    TooManyAttempts,
)
from tokenward.protocols import Request, Response, Transport
from tokenward.schemas import LoginRequest, LoginResponse, LogoutResponse, Model, PublicUser

if TYPE_CHECKING:
    from tokenward.protocols import ClientAuth

LOGIN_PATH = "/login"
LOGOUT_PATH = "/logout"
ME_PATH = "/me"

CLIENT_REFUSED_BACK_OFF = 5.0
"""Seconds without a login after the service refused *our* credentials."""

_logger = logging.getLogger("tokenward.service_client")
_seldom = OncePerMinute(_logger)

_ACCEPT = {"Accept": "application/json"}
# RFC 6750, section 2.1: anything else cannot be told from a malformed header.
_b64token = re.compile(r"[A-Za-z0-9\-._~+/]+=*").fullmatch
# Their descriptions are fixed, and all that a 401 says of the difference.
_SAID_BY_DESCRIPTION = (TokenExpired, TokenRevoked)
_NOT_HERE = "check that the issuer names a tokenward auth service, with its path and nothing more"


class AuthServiceClient:
    """Asks a tokenward auth service for logins, logouts and users over HTTP; thread-safe.

    Args:
        issuer: The service's URL: https; http only to a literal loopback address. A path is fine,
            a query is not.
        client_auth: How we authenticate ourselves at logins, as one of the service's clients: with
            `ClientSecretBasic`. ``None``: not at all.
        timeout: Seconds for everything together: connecting, TLS, headers, body.
        connect_timeout: Seconds for connecting to one address.
        verify_tls: ``True``, the path of a CA bundle, or ``False`` (loopback only).
        proxies: As in requests; the environment's are not used.
        transport: Sends the requests instead of the built-in one; then none of the transport's
            arguments above applies.

    Attributes:
        issuer: As given.
        timeout: As given.

    Raises:
        ConfigurationError: The issuer is not a usable URL, ``client_auth`` puts its credentials
            into a form, or a number makes no sense.
    """

    def __init__(
        self,
        issuer: str,
        *,
        client_auth: ClientAuth | None = None,
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        verify_tls: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.issuer = check_url(issuer, what="The issuer", verify_tls=verify_tls)
        if "?" in issuer:
            raise ConfigurationError(
                "The issuer must not have a query; write the URL as the auth service's own "
                "configuration has it."
            )
        if not 0 < timeout < math.inf:
            raise ConfigurationError("timeout is a number of seconds, more than 0.")
        self.timeout = timeout
        base = issuer.removesuffix("/")
        self._login_url, self._logout_url, self._me_url = (
            base + path for path in (LOGIN_PATH, LOGOUT_PATH, ME_PATH)
        )
        self._client_auth = client_auth
        if client_auth is not None:
            _check_client_auth(client_auth, self._login_url)

        def opened() -> Transport:
            # Without retries: a password would count twice, and a token that the first attempt
            # has revoked would seem to have been bad.
            return RequestsTransport(
                connect_timeout=connect_timeout,
                retries=0,
                verify_tls=verify_tls,
                proxies=proxies,
                breaks_on_429=False,
            )

        # Places and breakers of their own: a flood of logins, each of which costs the service a
        # hash, must not close the way for those who are logged in.
        self._logins = transport or opened()
        self._sessions = transport or opened()
        self._refused_until = 0.0

    def login_user(self, request: LoginRequest) -> LoginResponse:
        """Have a password checked and a token issued.

        Args:
            request: Username and password.

        Raises:
            InvalidCredentials: Unknown, inactive, without a password or wrong; never which.
            InvalidRequest: The service takes no such username or password.
            TooManyAttempts: The service throttles; ``retry_after`` is at most a day.
            AuthServiceUnavailable: The service cannot be asked, its answer is none, or it does not
                accept our own credentials (``client_refused``).
        """
        now = time.monotonic()
        if now < self._refused_until:
            raise _client_refused("the service refused our client credentials a moment ago")
        url = self._login_url
        # Built in place: a debugger's page shows what local variables hold, and of this one
        # nothing but the URL.
        sent = Request(
            "POST",
            url,
            headers=_ACCEPT,
            json={"username": request.username, "password": request.password},
        )
        if self._client_auth is not None:
            sent = authenticated(sent, self._client_auth)
        response = self._logins.send(sent, deadline=now + self.timeout)
        if response.status != 200:
            raise self._login_refusal(response)
        granted = _read(self._logins, url, response, LoginResponse)
        if granted.expires_in < 1 or not _is_token(granted.access_token):
            raise _unreadable(self._logins, url, "no token that can be used")
        _check_user(self._logins, url, granted.user)
        return granted

    def get_logged_in_user(self, token: str) -> PublicUser:
        """Return the user a token speaks for, as the service has them now.

        Raises:
            InvalidToken: The token is refused: bad, expired (`TokenExpired`), revoked
                (`TokenRevoked`), its user gone or inactive.
            AuthServiceUnavailable: The service cannot be asked, or its answer is none.
        """
        request = Request("GET", self._me_url, headers=_bearing(token))
        user = self._ask(request, PublicUser)
        _check_user(self._sessions, self._me_url, user)
        return user

    def logout_user(
        self, token: str | None = None, *, refresh_token: str | None = None
    ) -> LogoutResponse:
        """End an access token at once; the next use of it, logging out included, is refused.

        Args:
            token: The access token.
            refresh_token: Ended with it, if the service knows it. Alone it ends nothing.

        Raises:
            InvalidToken: The access token is refused, or one of the two is no token at all.
            AuthServiceUnavailable: The service cannot be asked, or its answer is none.
        """
        if token is None:
            raise InvalidToken("no access token to log out with; send one")
        members = {}
        if refresh_token is not None:
            check_token(refresh_token)
            members["refresh_token"] = refresh_token
        request = Request("POST", self._logout_url, headers=_bearing(token), json=members)
        done = self._ask(request, LogoutResponse)
        if "message" not in done.model_fields_set:
            raise _unreadable(self._sessions, self._logout_url, "no message")
        return done

    def close(self) -> None:
        """Close idle connections."""
        self._logins.close()
        if self._sessions is not self._logins:
            self._sessions.close()

    def __reduce__(self) -> NoReturn:
        msg = "an AuthServiceClient holds secrets and sockets: make one in each process"
        raise TypeError(msg)

    def _ask(self, request: Request, model: type[Model]) -> Model:
        response = self._sessions.send(request, deadline=time.monotonic() + self.timeout)
        if response.status != 200:
            raise _token_refusal(request.url, response)
        return _read(self._sessions, request.url, response, model)

    def _login_refusal(self, response: Response) -> AuthError:
        url, said = self._login_url, _said(response)
        error = said.get("error")
        if response.status == 401 and error == "invalid_credentials":
            return InvalidCredentials()
        if response.status == 400 and error == "invalid_request":
            return InvalidRequest(_fields(said), f"{url} refused the request as malformed")
        if response.status == 429:
            return TooManyAttempts(_retry_after(response), f"{url} answered 429")
        if response.status not in (401, 403):
            return _outage(url, response)
        if error == "invalid_client":
            # The service's own word. A firewall's 403 may be about what somebody typed as a
            # password, and must not keep the others from logging in.
            self._refused_until = time.monotonic() + CLIENT_REFUSED_BACK_OFF
        _complain(
            url,
            "client_refused",
            f"{url} answered {response.status}: it does not accept our client credentials; check "
            "client_auth, and whether something else answers before the service",
        )
        return _client_refused(f"{url} answered {response.status}")


def _check_client_auth(client_auth: ClientAuth, url: str) -> None:
    # This one sets a header, and its callable is asked when a token is needed and not before.
    if isinstance(client_auth, BearerAuth):
        return
    try:
        form = client_auth.apply(Request("POST", url)).form
    except Exception:  # noqa: BLE001 - a way of your own that is not ready: found out at a login
        return
    if form is not None:
        raise ConfigurationError(
            f"{type(client_auth).__name__} puts its credentials into a form, and a login is sent as"
            " JSON; use ClientSecretBasic."
        )


def _is_token(value: str) -> bool:
    return len(value) <= MAX_TOKEN_BYTES and _b64token(value) is not None


def _bearing(token: str) -> dict[str, str]:
    """Return the headers of a request that carries ``token``.

    Raises:
        InvalidToken: It is none.
    """
    check_token(token)
    if not _is_token(token):
        hint = "the token holds characters that cannot stand in an Authorization header"
        raise InvalidToken(hint, reason="malformed")
    return {**_ACCEPT, "Authorization": f"Bearer {token}"}


def _read(transport: Transport, url: str, response: Response, model: type[Model]) -> Model:
    """Return a 200's body as ``model``.

    Raises:
        AuthServiceUnavailable: It is none (``bad_response``).
    """
    try:
        json_object(response)
        # Strict: neither "900" nor True is a number of seconds.
        return model.model_validate_json(response.body, strict=True)
    except AuthServiceUnavailable as error:
        what = error.hint
    except ValueError:
        what = f"members that make no {model.__name__}"
    # Raised here and not above: as its context, pydantic's error would carry the token.
    raise _unreadable(transport, url, what)


def _check_user(transport: Transport, url: str, user: PublicUser | None) -> None:
    # Whoever asked goes by the id: without one, all users would be the same.
    if user is None or not user.id or not user.username or not user.is_active:
        raise _unreadable(transport, url, "no active user with an id and a name")


def _unreadable(transport: Transport, url: str, what: str) -> AuthServiceUnavailable:
    report_unreadable(transport, url)
    hint = f"{url} answered 200 with {what}; {_NOT_HERE}"
    _complain(url, "unreadable", hint)
    return AuthServiceUnavailable(hint, reason="bad_response")


def _token_refusal(url: str, response: Response) -> AuthError:
    said = _said(response)
    if response.status == 401 and said.get("error") == "invalid_token":
        hint = f"{url} refused the token"
        for kind in _SAID_BY_DESCRIPTION:
            if said.get("error_description") == kind.description:
                return kind(hint)
        return InvalidToken(hint)
    return _outage(url, response)


def _outage(url: str, response: Response) -> AuthServiceUnavailable:
    status = response.status
    hint = f"{url} answered {status}"
    if 300 <= status < 400:
        hint += f" (redirects are not followed: configure the final URL); {_NOT_HERE}"
    elif status in (401, 403):
        hint += "; check whether something before the service answers, or keeps Authorization back"
    elif status >= 500:
        hint += "; look at the auth service and its log"
    elif status != 429:
        hint += f"; {_NOT_HERE}"
    if status < 500 and status != 429:
        # It will not pass by itself.
        _complain(url, str(status), hint)
    return AuthServiceUnavailable(hint, reason="bad_response", retry_after=_retry_after(response))


def _client_refused(hint: str) -> AuthServiceUnavailable:
    return AuthServiceUnavailable(
        f"{hint}: check client_id, client_secret and whether the service knows this client",
        reason="client_refused",
        retry_after=CLIENT_REFUSED_BACK_OFF,
    )


def _complain(url: str, what: str, hint: str) -> None:
    _seldom.log(logging.ERROR, (url, what), "%s", hint)


def _said(response: Response) -> dict[str, Any]:
    """Return the members of a refusal; none if it is not one of the service's."""
    try:
        return json_object(response)
    except AuthServiceUnavailable:
        return {}


def _fields(said: Mapping[str, Any]) -> dict[str, str]:
    fields = said.get("fields")
    if not isinstance(fields, dict):
        return {}
    return {
        name: shown(text)
        for name, text in fields.items()
        if name in LoginRequest.model_fields and isinstance(text, str)
    }


def _retry_after(response: Response) -> float:
    return min(retry_after_of(response) or 1, MAX_RETRY_AFTER)
