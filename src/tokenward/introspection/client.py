"""`IntrospectionClient`: the protocol of RFC 7662, without an opinion about the answer."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from tokenward import _json
from tokenward._http import (
    RequestsTransport,
    check_url,
    json_object,
    report_unreadable,
    retry_after_of,
)
from tokenward._log import OncePerMinute
from tokenward.bearer import check_token
from tokenward.client_auth import authenticated
from tokenward.errors import AuthError, AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.protocols import Request, Response, Transport

if TYPE_CHECKING:
    from tokenward.protocols import ClientAuth

CLIENT_REFUSED_BACK_OFF = 5.0
"""Seconds without a call after the server refused *our* credentials."""

_logger = logging.getLogger("tokenward.introspection")
_seldom = OncePerMinute(_logger)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: the claims, and whether the answer may be stored."""

    claims: Mapping[str, Any]
    storable: bool


class IntrospectionClient:
    """Asks an RFC 7662 introspection endpoint; thread-safe.

    Args:
        introspection_endpoint: https; http only to a literal loopback address.
        client_auth: How we authenticate to the server.
        token_type_hint: Sent along (RFC 7662, section 2.1); ``None`` sends none.
        timeout: Seconds for everything together: connecting, TLS, headers, body, retries.
        connect_timeout: Seconds for connecting to one address.
        retries: Further attempts after a connection failed; an HTTP status is never retried.
        verify_tls: ``True``, the path of a CA bundle, or ``False`` (loopback only).
        proxies: As in requests; the environment's are not used.
        max_response_bytes: Larger answers are an outage.
        pool_size: Calls at once; more wait for a place.
        breaker_failures: Consecutive failures after which calls fail at once.
        breaker_seconds: Seconds until one trial call decides whether they still must.
        transport: Sends the requests instead of the built-in one; then none of the transport's
            arguments above applies.

    Attributes:
        introspection_endpoint: As given.
        shown_endpoint: The same without its query, for logs.
        issuer: The server's issuer identifier, where it is known.
        timeout: As given.

    Raises:
        ConfigurationError: The endpoint is not a usable URL, or a number makes no sense.
    """

    def __init__(
        self,
        introspection_endpoint: str,
        *,
        client_auth: ClientAuth,
        token_type_hint: str | None = "access_token",  # noqa: S107 - a kind of token, not a secret
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        retries: int = 1,
        verify_tls: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        max_response_bytes: int = 65_536,
        pool_size: int = 10,
        breaker_failures: int = 5,
        breaker_seconds: float = 2.0,
        transport: Transport | None = None,
    ) -> None:
        self.introspection_endpoint = check_url(
            introspection_endpoint, what="introspection_endpoint", verify_tls=verify_tls
        )
        # A query may hold a key, and hints and principals go to logs.
        self.shown_endpoint = self.introspection_endpoint.partition("?")[0]
        if not 0 < timeout < math.inf:
            msg = "timeout is a number of seconds, more than 0"
            raise ConfigurationError(msg)
        self.timeout = timeout
        self.issuer: str | None = None
        self._client_auth = client_auth
        self._hint = {} if token_type_hint is None else {"token_type_hint": token_type_hint}
        self._transport = transport or RequestsTransport(
            connect_timeout=connect_timeout,
            retries=retries,
            verify_tls=verify_tls,
            proxies=proxies,
            max_response_bytes=max_response_bytes,
            pool_size=pool_size,
            breaker_failures=breaker_failures,
            breaker_seconds=breaker_seconds,
        )
        self._refused_until = 0.0

    def introspect(self, token: str, /) -> Mapping[str, Any]:
        """Return the server's answer; one that says ``active: false`` included.

        Raises:
            InvalidToken: The token is not one to send, or the server says that it is of a type
                it does not introspect.
            AuthServiceUnavailable: The server cannot be asked, or its answer is none.
        """
        return self.ask(token).claims

    def ask(self, token: str, /) -> Answer:
        """Do what `introspect` does, and say whether the answer may be stored."""
        check_token(token)
        now = time.monotonic()
        if now < self._refused_until:
            raise _client_refused("the server refused our client credentials a moment ago")
        request = Request(
            "POST",
            self.introspection_endpoint,
            headers={"Accept": "application/json"},
            form={"token": token, **self._hint},
        )
        request = authenticated(request, self._client_auth)
        response = self._transport.send(request, deadline=now + self.timeout)
        if response.status != 200:
            raise self._refusal(response)
        return self._read(response)

    @property
    def server_name(self) -> str:
        """What tells this server from others: its issuer, else its endpoint."""
        return self.issuer or self.introspection_endpoint

    @property
    def client_name(self) -> str:
        """What tells us from other clients of the server, as far as it is known."""
        kind = type(self._client_auth).__name__
        return str(getattr(self._client_auth, "client_id", kind))

    @property
    def circuit_open(self) -> bool:
        """Whether the server is left alone at the moment, because it kept failing."""
        is_open = getattr(self._transport, "circuit_open", None)
        return is_open is not None and bool(is_open(self.introspection_endpoint))

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def __reduce__(self) -> NoReturn:
        msg = "an IntrospectionClient holds secrets and sockets: make one in each process"
        raise TypeError(msg)

    def _read(self, response: Response) -> Answer:
        try:
            claims = json_object(response)
        except AuthServiceUnavailable as error:
            raise self._unreadable(error.hint) from None
        active = claims.get("active")
        if active is not True and active is not False:
            # "true", 1 or a missing member is a server that does not speak RFC 7662, not a verdict.
            raise self._unreadable("no JSON true or false as the member active")
        return Answer(claims, "no-store" not in response.headers.get("cache-control", "").lower())

    def _unreadable(self, what: str) -> AuthServiceUnavailable:
        report_unreadable(self._transport, self.introspection_endpoint)
        hint = f"{self.shown_endpoint} answered 200 with {what}"
        return AuthServiceUnavailable(hint, reason="bad_response")

    def _refusal(self, response: Response) -> AuthError:
        endpoint, status = self.shown_endpoint, response.status
        if status in (401, 403):
            self._refused_until = time.monotonic() + CLIENT_REFUSED_BACK_OFF
            _seldom.log(
                logging.ERROR,
                (endpoint, "client_refused"),
                "%s answered %d: it does not accept our client credentials; check client_auth",
                endpoint,
                status,
            )
            return _client_refused(f"{endpoint} answered {status}")
        if status == 400 and _oauth_error(response) == "unsupported_token_type":
            hint = f"{endpoint} does not introspect tokens of this type (unsupported_token_type)"
            return InvalidToken(hint, reason="unsupported_token_type")
        hint = f"{endpoint} answered {status}"
        if 300 <= status < 400:
            hint += " (redirects are not followed: configure the final URL)"
        return AuthServiceUnavailable(
            hint, reason="bad_response", retry_after=retry_after_of(response) or 1
        )


def _oauth_error(response: Response) -> object:
    try:
        return _json.loads(response.body).get("error")
    except _json.JSONError:
        return None


def _client_refused(hint: str) -> AuthServiceUnavailable:
    return AuthServiceUnavailable(
        f"{hint}: check client_id, client_secret and the method of client_auth",
        reason="client_refused",
        retry_after=CLIENT_REFUSED_BACK_OFF,
    )
