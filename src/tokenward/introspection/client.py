"""`IntrospectionClient`: the protocol of RFC 7662, without an opinion about the answer."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack
from urllib.parse import urlsplit

from tokenward._http import JSON, RequestsTransport, check_url, seconds
from tokenward.bearer import check_token
from tokenward.client_auth import authenticated, check_endpoint
from tokenward.errors import AuthError, AuthServiceUnavailable, ConfigurationError
from tokenward.introspection._endpoint import Endpoint
from tokenward.introspection._replies import (
    CLIENT_REFUSED_BACK_OFF,
    Answer,
    client_refused,
    read_answer,
    refusal,
    shown_url,
    token_refused,
)
from tokenward.protocols import Request, Response, Transport

if TYPE_CHECKING:
    from tokenward.introspection.options import ClientOptions
    from tokenward.introspection.signed import SignedAnswers
    from tokenward.protocols import ClientAuth, Clock


class IntrospectionClient:
    """Asks an RFC 7662 introspection endpoint; thread-safe, no I/O before the first question.

    Args:
        introspection_endpoint: https; http only to a literal loopback address. ``None``: where the
            issuer's metadata says; see `from_issuer`.
        client_auth: How we authenticate to the server.
        token_type_hint: Sent along (RFC 7662, section 2.1); ``None`` sends none.
        issuer: The server's issuer identifier: who signs answers, and whose metadata names
            whatever URL is not configured.
        signed_response_alg: Demands answers signed with this algorithm, or with one of several, by
            the issuer, for the ``client_id`` of ``client_auth`` (RFC 9701).
        jwks_uri: Where the keys are that signed answers are verified with; default: where the
            issuer's metadata says.
        timeout: Seconds for everything together: finding the endpoint, connecting, TLS, headers,
            body, retries.
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
        clock: Seconds since the epoch.

    Attributes:
        issuer: As given.
        timeout: As given.

    Raises:
        ConfigurationError: A URL must not be called, a number makes no sense, or the arguments
            cannot be used together.
    """

    def __init__(
        self,
        introspection_endpoint: str | None,
        *,
        client_auth: ClientAuth,
        token_type_hint: str | None = "access_token",  # noqa: S107 - a kind of token, not a secret
        issuer: str | None = None,
        signed_response_alg: str | Sequence[str] | None = None,
        jwks_uri: str | None = None,
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
        clock: Clock = time.time,
    ) -> None:
        if introspection_endpoint is not None:
            check_url(introspection_endpoint, what="introspection_endpoint", verify_tls=verify_tls)
            check_endpoint(client_auth, introspection_endpoint)
        elif issuer is None:
            raise ConfigurationError("Name the introspection_endpoint, or the issuer that has it.")
        self.timeout = seconds("timeout", timeout)
        self.issuer = issuer
        self._client_auth = client_auth
        self._hint = {} if token_type_hint is None else {"token_type_hint": token_type_hint}
        built = partial(
            RequestsTransport,
            connect_timeout=connect_timeout,
            retries=retries,
            verify_tls=verify_tls,
            proxies=proxies,
            pool_size=pool_size,
            breaker_failures=breaker_failures,
            breaker_seconds=breaker_seconds,
        )
        self._transport = transport or built(max_response_bytes=max_response_bytes)
        self._documents = self._transport
        metadata = None
        if issuer is not None:
            # Who names an endpoint alone needs nothing of this.
            from tokenward.metadata import (  # noqa: PLC0415
                MAX_DOCUMENT_BYTES,
                IssuerMetadata,
                check_issuer,
            )

            check_issuer(issuer, verify_tls=verify_tls)
            if introspection_endpoint is None or signed_response_alg is not None:
                # Documents are larger than answers, and wait for no question that hangs.
                self._documents = transport or built(max_response_bytes=MAX_DOCUMENT_BYTES)
                metadata = IssuerMetadata(
                    issuer, transport=self._documents, timeout=timeout, clock=clock
                )
        self._signed: SignedAnswers | None = None
        self._demands = ""
        if signed_response_alg is not None:
            # It brings cryptography along, which nobody else here needs.
            from tokenward.introspection.signed import signed_answers  # noqa: PLC0415

            self._signed = signed_answers(
                signed_response_alg,
                client_auth=client_auth,
                metadata=metadata,
                jwks_uri=jwks_uri,
                transport=self._documents,
                timeout=timeout,
                verify_tls=verify_tls,
                clock=clock,
            )
            self._demands = f" signed {' '.join(sorted(self._signed.algorithms))}"
        elif jwks_uri is not None:
            raise ConfigurationError(
                "jwks_uri is for signed answers; name their algorithm as signed_response_alg, or"
                " leave jwks_uri out."
            )
        needed = introspection_endpoint is None or jwks_uri is None
        self._endpoint = Endpoint(
            introspection_endpoint,
            metadata=metadata if needed else None,
            client_auth=client_auth,
            signed=self._signed,
        )
        self._refused_until = 0.0
        self._was_accepted = False

    @classmethod
    def from_issuer(
        cls, issuer: str, *, client_auth: ClientAuth, **options: Unpack[ClientOptions]
    ) -> Self:
        """Return a client that asks where the issuer's metadata says (RFC 8414, OpenID Connect).

        The metadata is fetched at the first question, and kept fresh. A server that is down stops
        no start-up.

        Args:
            issuer: The issuer identifier, exactly as the server writes it.
            client_auth: How we authenticate to the server. A method that the server does not
                offer for introspection is an outage with a hint.
            options: As for the class.

        Raises:
            ConfigurationError: See the class.
        """
        return cls(None, issuer=issuer, client_auth=client_auth, **options)

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
            raise client_refused("the server refused our client credentials a moment ago")
        deadline = now + self.timeout
        endpoint = self._endpoint.find(deadline)
        response = self._send(token, endpoint, deadline)
        if response.status in (401, 403):
            raise self._refused(response, endpoint, deadline)
        if response.status != 200:
            raise refusal(response, endpoint)
        self._was_accepted = True
        return read_answer(
            response, endpoint, signed=self._signed, transport=self._transport, deadline=deadline
        )

    @property
    def introspection_endpoint(self) -> str:
        """The endpoint, as given or as last discovered; empty before that."""
        return self._endpoint.url

    @property
    def shown_endpoint(self) -> str:
        """The endpoint for logs, without its query, which may hold a key; else the issuer."""
        return shown_url(self._endpoint.url) or self.issuer or ""

    @property
    def server_name(self) -> str:
        """What tells this server from others (its issuer, else its endpoint)."""
        return self.issuer or self._endpoint.url

    @property
    def client_name(self) -> str | None:
        """What tells us from other clients of the server, and what we demand of its answers.

        ``None`` when nothing does: ``client_auth`` has no ``client_id``.
        """
        client_id = getattr(self._client_auth, "client_id", None)
        if not isinstance(client_id, str):
            return None
        return client_id + self._demands

    @property
    def circuit_open(self) -> bool:
        """Whether the server is left alone at the moment, because it kept failing."""
        return self._is("circuit_open")

    @property
    def hangs(self) -> bool:
        """Whether no thread should wait for what another one asks; see `RequestsTransport`."""
        return self._is("hangs")

    def _is(self, state: str) -> bool:
        url = self._endpoint.url
        tell = getattr(self._transport if url else self._documents, state, None)
        return tell is not None and bool(tell(url or self.issuer))

    def close(self) -> None:
        """Close idle connections."""
        _close(self._transport)
        if self._documents is not self._transport:
            _close(self._documents)

    def _send(self, token: str, endpoint: str, deadline: float) -> Response:
        request = Request(
            "POST",
            endpoint,
            headers={"Accept": JSON if self._signed is None else self._signed.accept},
            form={"token": token, **self._hint},
            issuer=self.issuer if self._is_the_issuers(endpoint) else None,
        )
        request = authenticated(request, self._client_auth)
        return self._transport.send(request, deadline=deadline)

    def _refused(self, response: Response, endpoint: str, deadline: float) -> AuthError:
        # A token of our own, as `BearerAuth` has one, may have ended early.
        tell = getattr(self._client_auth, "refused", None)
        if response.status == 401 and tell is not None:
            tell()
        # There are firewalls before servers that forbid a request for the token in it. Whoever
        # sends such tokens must not stop the questions about those of others.
        if response.status == 403 and self._was_accepted and self._takes_us(endpoint, deadline):
            return token_refused(response, endpoint)
        self._was_accepted = False
        self._refused_until = time.monotonic() + CLIENT_REFUSED_BACK_OFF
        return refusal(response, endpoint)

    def _takes_us(self, endpoint: str, deadline: float) -> bool:
        try:
            made_up = os.urandom(32).hex()
            return self._send(made_up, endpoint, deadline).status not in (401, 403)
        except AuthServiceUnavailable:
            return True  # nothing is known; the next question will tell

    def _is_the_issuers(self, endpoint: str) -> bool:
        # What is made out to the issuer must not reach somebody else, who could use it there.
        if self._endpoint.is_discovered or self.issuer is None:
            return True
        return _origin(endpoint) == _origin(self.issuer)

    def __reduce__(self) -> NoReturn:
        msg = "an IntrospectionClient holds secrets and sockets: make one in each process"
        raise TypeError(msg)


def _close(transport: Transport) -> None:
    close = getattr(transport, "close", None)
    if close is not None:
        close()


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
