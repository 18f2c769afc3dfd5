"""The clients of one service, and the check that a request is from one of them."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tokenward._audit import audit
from tokenward._log import shown
from tokenward.clients.assertions import ASSERTION_TYPE, Assertions, UseOnce, claimed_by
from tokenward.clients.shared_secret import digest_of, is_basic, readings
from tokenward.errors import (
    ConfigurationError,
    InvalidAuthorizationHeader,
    InvalidClient,
    InvalidRequest,
    InvalidToken,
)

if TYPE_CHECKING:
    from tokenward.clients.client import Client
    from tokenward.protocols import Clock, Headers

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
"""The methods by their registered names (RFC 7591, section 2)."""

_DIGEST_BYTES = 32
_ASSERTION_FIELDS = ("client_assertion", "client_assertion_type")


class Clients:
    """The clients of one service, and the check that a request is from one of them.

    Args:
        clients: Each with an id of its own.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: Two clients have the same id.
    """

    def __init__(self, clients: Iterable[Client] = (), *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._known: dict[str, Client] = {}
        for client in clients:
            if client.client_id in self._known:
                raise ConfigurationError(f"Two clients are called {client.client_id!r}.")
            self._known[client.client_id] = client
        # What an unknown client's secret is compared with; nobody knows its preimage.
        self._nobody = secrets.token_bytes(_DIGEST_BYTES)
        self._digests = {
            client.client_id: digest_of(client.client_secret)
            for client in self
            if client.client_secret is not None
        }
        self._assertions = Assertions(self._known)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._known.values())

    def authenticate(
        self,
        headers: Headers,
        form: Mapping[str, str],
        *,
        peer: str | None = None,
        audiences: Sequence[str] = (),
        use_once: UseOnce | None = None,
    ) -> Client:
        """Return the client that sent a request.

        Args:
            headers: The request's.
            form: The fields of its body.
            peer: The address it came from, for the audit trail.
            audiences: Our names, of which an assertion says one: the issuer, and the URLs of the
                token endpoint and of the endpoint that was asked (RFC 7523, section 3).
            use_once: `TokenRepository.use_once`; ``None``: assertions are not taken.

        Raises:
            InvalidRequest: Two methods at once, or more than one ``Authorization`` header.
            InvalidClient: No client authentication, an unknown client, or a wrong secret or
                assertion.
            AuthServiceUnavailable: Whether an assertion was used before cannot be told.
        """
        authorization = headers.get("Authorization")
        is_asserted = any(name in form for name in _ASSERTION_FIELDS)
        if bool(authorization) + ("client_secret" in form) + is_asserted > 1:
            hint = "the client authenticated itself in two ways; use one (RFC 6749, section 2.3)"
            raise InvalidRequest(hint=hint, reason="two_client_authentications")
        if authorization:
            client = self._basic(authorization, peer)
            if form.get("client_id", client.client_id) != client.client_id:
                hint = "the form names another client_id than the Authorization header"
                raise InvalidRequest(hint=hint, reason="two_client_ids")
            return client
        if "client_id" in form and "client_secret" in form:
            return self._one_of([(form["client_id"], form["client_secret"])], peer)
        is_whole = "client_assertion" in form and (
            form.get("client_assertion_type") == ASSERTION_TYPE
        )
        if is_whole and use_once is not None:
            return self._asserted(form, audiences, use_once, peer)
        hint = f"expected client authentication by one of {', '.join(METHODS)}"
        raise InvalidClient(hint, reason="client_not_authenticated")

    def authenticate_if_presented(
        self, headers: Headers, *, peer: str | None = None
    ) -> Client | None:
        """Return the client that the ``Authorization`` header names by Basic, if it does.

        Raises:
            InvalidAuthorizationHeader: More than one ``Authorization`` header.
            InvalidClient: It is not one of the clients, or the secret is wrong.
        """
        authorization = headers.get("Authorization")
        if not authorization or not is_basic(authorization):
            return None
        return self._basic(authorization, peer)

    def _basic(self, authorization: str, peer: str | None) -> Client:
        if "," in authorization:
            hint = "expected one Authorization header, got several; send one"
            raise InvalidAuthorizationHeader(hint=hint, reason="repeated_authorization")
        return self._one_of(readings(authorization), peer)

    def _one_of(self, presented: list[tuple[str, str]], peer: str | None) -> Client:
        found = None
        for client_id, client_secret in presented:
            digest = self._digests.get(client_id, self._nobody)
            # Compared whether the client is known or not, and not cut short by a match.
            if hmac.compare_digest(digest_of(client_secret), digest):
                found = self._known.get(client_id)
        if found is not None:
            return found
        named = presented[0][0] if presented else None
        hint = f"no client {shown(named or '')!r} with this secret; check client_id and secret"
        raise self._refusal(named, hint, peer)

    def _asserted(
        self,
        form: Mapping[str, str],
        audiences: Sequence[str],
        use_once: UseOnce,
        peer: str | None,
    ) -> Client:
        now = self._clock()
        try:
            return self._assertions.client_of(form, audiences=audiences, use_once=use_once, now=now)
        except InvalidToken as error:
            hint = f"the client assertion is refused: {error.hint}"
        # Raised here and not above: the reason is for the log, and the answer is always the same.
        raise self._refusal(claimed_by(form), hint, peer)

    def _refusal(self, named: str | None, hint: str, peer: str | None) -> InvalidClient:
        audit("client_auth_failed", self._clock(), client_id=named, peer=peer)
        return InvalidClient(hint, reason="client_refused")
