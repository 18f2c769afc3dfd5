"""`ClientCredentials`: tokens for a service that calls a service (RFC 6749, section 4.4)."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload
from urllib.parse import urlsplit

from tokenward._http import RequestsTransport, check_url
from tokenward._log import shown
from tokenward.cache import Entry, LookupCache
from tokenward.client_auth.credentials import Secretive, checked, client_id_of
from tokenward.client_auth.mutual_tls import check_endpoint
from tokenward.client_auth.resending import sent_with
from tokenward.client_auth.token_endpoint import TokenEndpoint
from tokenward.errors import ConfigurationError
from tokenward.metadata import MAX_DOCUMENT_BYTES, IssuerMetadata, check_issuer

if TYPE_CHECKING:
    from tokenward.protocols import ClientAuth, Clock, Transport

AnyRequest = TypeVar("AnyRequest")

RENEW_AFTER: Final = 10.0
"""Seconds after a renewal for a refused token before there is another: it would be refused as well,
and a service that refuses every token would have one asked for with each request."""

_KEY: Final = b"token"
# RFC 6749, section 3.3.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")


class ClientCredentials(Secretive):
    """A source of access tokens in our own name; thread-safe, fork-safe, never pickled.

    ``source()`` returns a token. It is kept for as long as it lasts, and renewed ``early`` seconds
    before its end by one of the threads that ask, while the others go on with it; from half that
    time on they wait. As long as it lasts it is also what there is while the server is down.

    ``session.auth = source`` has requests send the token. If the answer is a 401, the request is
    sent once more with a new token, and of many threads that are told so at once, one asks for it.
    The 401 is the caller's if a refusal had the token renewed less than `RENEW_AFTER` seconds ago,
    if no other one can be had, or if the body can be sent only once, such as a generator. A 401
    costs nobody the token that there is: see `invalidate`. Use such a session for the one service
    that the token is meant for.

    `BearerAuth` takes the source too.

    Args:
        token_endpoint: The URL of the token endpoint: https; http only to a literal loopback
            address. Either this or ``issuer``.
        issuer: The issuer whose metadata names the token endpoint (RFC 8414); it is read when the
            first token is needed.
        client_auth: How we authenticate to the server.
        scope: The scope to ask for, names with a space between them (section 3.3).
        audience: Which service the token is for, at servers that take it as ``audience``.
        resource: The same as an absolute URI, at servers that speak RFC 8707. One: a token that
            several services take is one that each of them can use at the others.
        early: Seconds before its end from which on a token is renewed; at most half its lifetime.
        timeout: Seconds for everything together: finding the endpoint, connecting, TLS, headers,
            body.
        connect_timeout: Seconds for connecting to one address.
        verify_tls: ``True``, the path of a CA bundle, or ``False`` (loopback only).
        proxies: As in requests; the environment's are not used.
        transport: Sends the requests instead of the built-in one, which is what connect_timeout,
            verify_tls and proxies are for.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: Not exactly one of ``token_endpoint`` and ``issuer``, a URL that cannot
            be called, or an argument that makes no sense.
    """

    def __init__(
        self,
        token_endpoint: str | None = None,
        *,
        issuer: str | None = None,
        client_auth: ClientAuth,
        scope: str | None = None,
        audience: str | None = None,
        resource: str | None = None,
        early: float = 30,
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        verify_tls: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        transport: Transport | None = None,
        clock: Clock = time.time,
    ) -> None:
        if not 0 <= early < math.inf:
            raise ConfigurationError("early is a number of seconds, 0 or more.")
        if not 0 < timeout < math.inf:
            raise ConfigurationError("timeout is a number of seconds, more than 0.")
        form = _form(scope=scope, audience=audience, resource=resource)
        self._early = early
        self._clock = clock
        self._timeout = timeout
        self._transport = transport or RequestsTransport(
            connect_timeout=connect_timeout,
            verify_tls=verify_tls,
            proxies=proxies,
            max_response_bytes=MAX_DOCUMENT_BYTES,
        )
        if token_endpoint is not None and issuer is None:
            check_url(token_endpoint, what="token_endpoint", verify_tls=verify_tls)
            check_endpoint(client_auth, token_endpoint)
            self._name = token_endpoint.partition("?")[0]
            where: str | IssuerMetadata = token_endpoint
        elif issuer is not None and token_endpoint is None:
            check_issuer(issuer, verify_tls=verify_tls)
            self._name = issuer
            where = IssuerMetadata(issuer, transport=self._transport, timeout=timeout, clock=clock)
        else:
            raise ConfigurationError("Give one of token_endpoint and issuer.")
        self._client_auth = client_auth
        self._form = form
        self._endpoint = TokenEndpoint(
            where,
            client_auth=client_auth,
            form=form,
            transport=self._transport,
            timeout=timeout,
            clock=clock,
        )
        self._cache: LookupCache[str] = LookupCache(max_entries=1, clock=clock)
        self._renewed_at = -math.inf

    @overload
    def __call__(self, /) -> str: ...
    @overload
    def __call__(self, request: AnyRequest, /) -> AnyRequest: ...
    def __call__(self, request: Any = None, /) -> Any:
        """Return a token; given a request of requests, that request with the token added.

        Raises:
            AuthServiceUnavailable: There is no token: the server cannot be asked, its answer is
                none, or it refuses us (``client_refused``, or a code of RFC 6749, section 5.2).
        """
        if request is None:
            return self._token()
        return sent_with(self, request)

    @property
    def client_id(self) -> str | None:
        """What tells our tokens from those of other clients, and for other uses; no secret.

        The ``client_id`` of ``client_auth``, and scope, audience and resource where they are given,
        as a JSON object. ``None`` where ``client_auth`` has no ``client_id``.
        """
        client_id = client_id_of(self._client_auth)
        if client_id is None:
            return None
        return json.dumps({"client_id": client_id, **self._form}, sort_keys=True)

    def invalidate(self, token: str | None = None) -> None:
        """Have a new token asked for.

        Without an argument the token is forgotten, whatever it may still be good for: the next one
        who asks gets a new one, or the outage that there is.

        With a token that a service refused, that token is to be renewed, if it is still the one
        that there is, and if no refusal had it renewed during the last `RENEW_AFTER` seconds. The
        next one who asks does so, and the others wait for the answer. If there is none, the refused
        token is served on, up to its end, and the next attempt waits a little longer each time: one
        service may refuse what all the others take.

        Args:
            token: The token that a service refused.
        """
        if token is None:
            self._cache.invalidate(_KEY)
            return
        entry, now = self._cache.entries.get(_KEY), self._clock()
        if entry is None or entry.value != token:
            return
        if self._renewed_at <= now < self._renewed_at + RENEW_AFTER:
            return
        self._renewed_at = now
        # Whoever is asking for the next one already goes on, and answers the others too. An attempt
        # that has been put off stays so: the endpoint just failed, however often we are refused.
        entry.fresh_until = entry.ends = min(now, entry.ends)

    def close(self) -> None:
        """Close idle connections; asking again opens new ones."""
        self._transport.close()

    def __repr__(self) -> str:
        return f"ClientCredentials({self._name!r})"

    def _token(self) -> str:
        token = self._cache.cached(_KEY)
        if token is not None:
            return token
        return self._cache.look_up(_KEY, self._load, patience=self._timeout)

    def _load(self) -> Entry[str]:
        asked = self._clock()
        grant = self._endpoint.ask()
        end = asked + grant.lifetime
        margin = min(self._early, grant.lifetime / 2)
        return Entry(
            grant.token,
            stored=asked,
            fresh_until=end - margin,
            ends=end - margin / 2,
            stale_until=end,
            used=True,
        )


def _form(*, scope: str | None, audience: str | None, resource: str | None) -> dict[str, str]:
    form = {}
    if scope is not None:
        if not _SCOPE.fullmatch(checked(scope, "scope")):
            raise ConfigurationError(
                'scope is a string of names with one space between them, such as "read write".'
            )
        form["scope"] = scope
    if audience is not None:
        form["audience"] = checked(audience, "audience")
    if resource is not None:
        if not _is_absolute_uri(checked(resource, "resource")):
            raise ConfigurationError(
                "resource is one absolute URI without a fragment (RFC 8707, section 2), not"
                f" {shown(resource)}."
            )
        form["resource"] = resource
    return form


def _is_absolute_uri(resource: str) -> bool:
    try:
        parts = urlsplit(resource)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path)) and "#" not in resource
