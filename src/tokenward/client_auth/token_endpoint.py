"""Asking a token endpoint for a token in our own name (RFC 6749, sections 4.4, 5.1 and 5.2)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from tokenward import _json
from tokenward._http import json_object, report_unreadable, retry_in
from tokenward._log import OncePerMinute, shown
from tokenward.bearer import MAX_TOKEN_BYTES
from tokenward.client_auth.credentials import B64TOKEN, authenticated
from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Request, Response, Transport

if TYPE_CHECKING:
    from tokenward.metadata import IssuerMetadata
    from tokenward.protocols import ClientAuth, Clock

REFUSED_BACK_OFF: Final = 5.0
"""Seconds without a call after the server refused what *we* sent."""

DEFAULT_LIFETIME: Final = 60.0
"""Seconds for which a token is used whose server does not say how long it lasts."""

_logger = logging.getLogger("tokenward.client_auth")
_seldom = OncePerMinute(_logger)

_ACCEPT = {"Accept": "application/json"}
_CLIENT_REFUSED = "check client_id, the secret or key, and the method of client_auth"
# What a server says of a request that is the configuration's doing (RFC 6749, section 5.2; RFC
# 8707, section 2), and where to look.
_OUR_MISTAKE = {
    "invalid_request": "check scope, audience, resource, and the method of client_auth",
    "invalid_scope": "check scope, and which scopes the server lets this client have",
    "invalid_target": "check resource and audience, and what the server knows by these names",
    "unauthorized_client": "let the client use the grant client_credentials, at the server",
    "unsupported_grant_type": "the server has no grant client_credentials; enable it there",
    "invalid_grant": "the server refuses the grant; look at the client's registration there",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A token, and how many seconds it lasts from the moment it was asked for."""

    token: str = field(repr=False)
    lifetime: float


class _Refusal(NamedTuple):
    at: float
    hint: str
    reason: str


class TokenEndpoint:
    """Sends one kind of request, and reads the answer strictly.

    Args:
        where: The endpoint's URL, or the metadata that names it.
        client_auth: How we authenticate to the server.
        form: What to send beside ``grant_type``.
        transport: Sends the requests.
        timeout: Seconds for finding the endpoint, a request and its answer.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        where: str | IssuerMetadata,
        *,
        client_auth: ClientAuth,
        form: Mapping[str, str],
        transport: Transport,
        timeout: float,
        clock: Clock,
    ) -> None:
        self._where = where
        self._client_auth = client_auth
        self._form = {"grant_type": "client_credentials", **form}
        self._transport = transport
        self._timeout = timeout
        self._clock = clock
        self._refusal: _Refusal | None = None

    def ask(self) -> Grant:
        """Have a token issued.

        Raises:
            AuthServiceUnavailable: There is none to be had; ``client_refused`` or a code of RFC
                6749, section 5.2, when the server refuses what we sent.
        """
        refusal, now = self._refusal, self._clock()
        # A clock that jumped back says nothing about how long ago it was.
        if refusal is not None and refusal.at <= now < refusal.at + REFUSED_BACK_OFF:
            raise _refused(f"{refusal.hint}, a moment ago", refusal.reason)
        deadline = time.monotonic() + self._timeout
        url, issuer = self._located(deadline)
        request = Request("POST", url, headers=_ACCEPT, form=self._form, issuer=issuer)
        request = authenticated(request, self._client_auth)
        response = self._transport.send(request, deadline=deadline)
        if response.status != 200:
            raise self._refused(url, response)
        granted = _read(response)
        # Raised here, where no variable holds a token: a debugger's page shows what they hold.
        if isinstance(granted, str):
            report_unreadable(self._transport, url)
            hint = f"{_named(url)} answered 200 with {granted}"
            _complain(url, "unreadable", hint)
            raise AuthServiceUnavailable(hint, reason="bad_response")
        return granted

    def _located(self, deadline: float) -> tuple[str, str | None]:
        if isinstance(self._where, str):
            return self._where, None
        url = self._where.endpoint("token_endpoint", self._client_auth, deadline=deadline)
        return url, self._where.issuer

    def _refused(self, url: str, response: Response) -> AuthServiceUnavailable:
        status, code = response.status, _oauth_error(response)
        hint, reason = f"{_named(url)} answered {status}", "bad_response"
        if status in (401, 403) or code == "invalid_client":
            hint, reason = f"{hint}: {_CLIENT_REFUSED}", "client_refused"
        elif status == 400 and code in _OUR_MISTAKE:
            hint, reason = f"{hint} {code}: {_OUR_MISTAKE[code]}", code
        elif code:
            hint += f" {shown(code)}"
        elif 300 <= status < 400:
            hint += " (redirects are not followed: configure the final URL)"
        if status < 500 and status != 429:
            # It will not pass by itself.
            _complain(url, reason, hint)
        if reason != "bad_response":
            self._refusal = _Refusal(self._clock(), hint, reason)
            return _refused(hint, reason)
        return AuthServiceUnavailable(hint, reason=reason, retry_after=retry_in(response))


def _read(response: Response) -> Grant | str:
    """Return what a 200 grants, or what is wrong with it, as the end of a sentence."""
    try:
        said = json_object(response)
    except AuthServiceUnavailable as error:
        return error.hint
    token, kind, lifetime = (said.get(n) for n in ("access_token", "token_type", "expires_in"))
    if not isinstance(token, str) or len(token) > MAX_TOKEN_BYTES or not B64TOKEN.fullmatch(token):
        return "no access_token that can be sent"
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return f"the token_type {shown(kind)}, not Bearer"
    if lifetime is None:
        return Grant(token, DEFAULT_LIFETIME)
    if type(lifetime) not in (int, float) or not 0 < lifetime < math.inf:
        return "an expires_in that is no number of seconds, more than 0"
    return Grant(token, lifetime)


def _oauth_error(response: Response) -> str:
    try:
        code = _json.loads(response.body).get("error")
    except _json.JSONError:
        return ""
    return code if isinstance(code, str) else ""


def _refused(hint: str, reason: str) -> AuthServiceUnavailable:
    return AuthServiceUnavailable(hint, reason=reason, retry_after=REFUSED_BACK_OFF)


def _named(url: str) -> str:
    # A query may hold a key, and hints go to logs.
    return url.partition("?")[0]


def _complain(url: str, what: str, hint: str) -> None:
    _seldom.log(logging.ERROR, (_named(url), what), "%s", hint)
