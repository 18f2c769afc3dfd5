"""How others authenticate to our endpoints (RFC 6749, section 2.3.1).

``client_secret_basic`` is taken in both readings that are in use: form-encoded before base64, as
the RFC has it, and raw, as many clients send it. Whoever is refused, for whatever reason, gets the
same answer after the same work.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_plus

from tokenward._audit import audit
from tokenward._log import shown
from tokenward._seal import check_secret
from tokenward.errors import (
    ConfigurationError,
    InvalidAuthorizationHeader,
    InvalidClient,
    InvalidRequest,
)

if TYPE_CHECKING:
    from tokenward.protocols import Clock, Headers

METHODS = ("client_secret_basic", "client_secret_post")
"""The methods by their registered names (RFC 7591, section 2)."""

# RFC 7235, section 2.1: the scheme in any case, and what base64 may hold.
_basic = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE).fullmatch
_is_basic = re.compile(r"basic(?: |$)", re.IGNORECASE).match
# RFC 6749, appendix A.1.
_client_id = re.compile(r"[\x20-\x7e]+").fullmatch
_SECRET_FIELDS = ("client_secret", "client_assertion")


@dataclass(frozen=True, slots=True)
class Client:
    """A program that may use our endpoints in its own name.

    Attributes:
        client_id: Printable ASCII.
        client_secret: What it authenticates with; in no ``repr``, comparison or pickle.
        scopes: What it may ask for.
        grants: The grant types it may use.
        audiences: The audiences whose tokens it may ask about; ``None``: the service's own.
        access_token_lifetime: Seconds for which a token is good that a login hands to this client,
            and what its ``expires_in`` says (RFC 6749, section 5.1); ``None``: as long as the
            service's other tokens. Meant for a confidential client that keeps the token to itself,
            such as a site that signs its staff in and holds their tokens on its server.

    Raises:
        ConfigurationError: The id is not printable ASCII, the secret is too easy to guess, or the
            lifetime is not a number of whole seconds.
    """

    client_id: str
    client_secret: str = field(repr=False, compare=False)
    scopes: frozenset[str] = frozenset()
    grants: frozenset[str] = frozenset()
    audiences: frozenset[str] | None = None
    access_token_lifetime: int | None = None

    def __post_init__(self) -> None:
        if not _client_id(self.client_id):
            raise ConfigurationError("A client_id is one or more printable ASCII characters.")
        check_secret(self.client_secret, what=f"the client_secret of {self.client_id!r}")
        lifetime = self.access_token_lifetime
        if lifetime is not None and (type(lifetime) is not int or lifetime < 1):
            raise ConfigurationError(
                f"access_token_lifetime of {self.client_id!r} is a number of whole seconds, at "
                "least 1; leave it out for the service's own."
            )
        for name in ("scopes", "grants", "audiences"):
            value: Iterable[str] | None = getattr(self, name)
            if isinstance(value, str):
                raise ConfigurationError(f"{name} of a client is a collection of strings.")
            object.__setattr__(self, name, None if value is None else frozenset(value))

    def __reduce__(self) -> NoReturn:
        msg = "a Client holds a secret and is not pickled; build it again where it is needed"
        raise TypeError(msg)


class Clients:
    """The clients of one service, and the check that a request is from one of them.

    Args:
        clients: Each with an id of its own.
        clock: For the audit trail.

    Raises:
        ConfigurationError: Two clients have the same id.
    """

    def __init__(self, clients: Iterable[Client] = (), *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._known: dict[str, tuple[Client, bytes]] = {}
        for client in clients:
            if client.client_id in self._known:
                raise ConfigurationError(f"Two clients are called {client.client_id!r}.")
            self._known[client.client_id] = (client, _digest(client.client_secret))
        # What an unknown client's secret is compared with; nobody knows its preimage.
        self._nobody = secrets.token_bytes(hashlib.sha256().digest_size)

    def __iter__(self) -> Iterator[Client]:
        return (client for client, _ in self._known.values())

    def authenticate(
        self, headers: Headers, form: Mapping[str, str], *, peer: str | None = None
    ) -> Client:
        """Return the client that sent a request.

        Args:
            headers: The request's.
            form: The fields of its body.
            peer: The address it came from, for the audit trail.

        Raises:
            InvalidRequest: Two methods at once, or more than one ``Authorization`` header.
            InvalidClient: No client authentication, an unknown client, or a wrong secret.
        """
        authorization = headers.get("Authorization")
        posted = [name for name in _SECRET_FIELDS if name in form]
        if len(posted) + bool(authorization) > 1:
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
        if not authorization or not _is_basic(authorization):
            return None
        return self._basic(authorization, peer)

    def _basic(self, authorization: str, peer: str | None) -> Client:
        if "," in authorization:
            hint = "expected one Authorization header, got several; send one"
            raise InvalidAuthorizationHeader(hint=hint, reason="repeated_authorization")
        return self._one_of(_readings(authorization), peer)

    def _one_of(self, readings: list[tuple[str, str]], peer: str | None) -> Client:
        found = None
        for client_id, client_secret in readings:
            client, digest = self._known.get(client_id, (None, self._nobody))
            # Compared whether the client is known or not, and not cut short by a match.
            if hmac.compare_digest(_digest(client_secret), digest):
                found = client
        if found is not None:
            return found
        named = readings[0][0] if readings else None
        audit("client_auth_failed", self._clock(), client_id=named, peer=peer)
        hint = f"no client {shown(named or '')!r} with this secret; check client_id and secret"
        raise InvalidClient(hint, reason="client_refused")


def _readings(authorization: str) -> list[tuple[str, str]]:
    """Return what Basic credentials may mean: raw, and form-decoded where that differs."""
    matched = _basic(authorization)
    readings: list[tuple[str, str]] = []
    if matched is not None:
        with contextlib.suppress(ValueError):
            text = base64.b64decode(matched[1], validate=True).decode("utf-8")
            client_id, colon, secret = text.partition(":")
            if colon:
                readings.append((client_id, secret))
                decoded = [unquote_plus(part, errors="strict") for part in (client_id, secret)]
                readings.append((decoded[0], decoded[1]))
    return list(dict.fromkeys(readings))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
