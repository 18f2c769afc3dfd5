"""The one client that a `FakeAuthorizationServer` knows, and how it says who it is."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from tokenward import _jose
from tokenward.errors import AuthError

if TYPE_CHECKING:
    from tokenward.testing._loopback import RecordedRequest

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class KnownClient:
    """Recognizes its requests, by ``client_secret_basic``, ``_post`` or ``private_key_jwt``.

    Args:
        client_id: Its identifier.
        client_secret: Its secret.
        jwk: Its public key; without, no assertion of its is taken.
    """

    def __init__(
        self, client_id: str, client_secret: str, jwk: Mapping[str, Any] | None = None
    ) -> None:
        self.client_id = client_id
        self._secret = client_secret
        self._keys = None if jwk is None else _jose.KeySet([_jose.key_from_jwk(jwk)])
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    @property
    def methods(self) -> list[str]:
        """The methods by their registered names (RFC 7591, section 2)."""
        secret = ["client_secret_basic", "client_secret_post"]
        return secret if self._keys is None else [*secret, "private_key_jwt"]

    def sent(self, request: RecordedRequest, *, audiences: Collection[str], now: float) -> bool:
        """Tell whether it sent a request.

        Args:
            request: The request.
            audiences: What an assertion may be addressed to.
            now: Seconds since the epoch.
        """
        ours = (self.client_id, self._secret)
        if "client_assertion" in request.form:
            return self._asserts(request.form, audiences, now)
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return (request.form.get("client_id"), request.form.get("client_secret")) == ours
        try:
            client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return (unquote_plus(client_id), unquote_plus(secret)) == ours

    def _asserts(self, form: Mapping[str, str], audiences: Collection[str], now: float) -> bool:
        # RFC 7523, section 3.
        if self._keys is None or form.get("client_assertion_type") != _ASSERTION_TYPE:
            return False
        try:
            unverified = _jose.parse(form["client_assertion"], algorithms=_jose.ASYMMETRIC)
            _jose.verify(unverified, self._keys, algorithms=_jose.ASYMMETRIC)
        except AuthError:
            return False
        claims = unverified.claims
        expires_at, jti = claims.get("exp"), claims.get("jti")
        if not isinstance(expires_at, int) or expires_at <= now or not isinstance(jti, str):
            return False
        named = [claims.get("iss"), claims.get("sub"), form.get("client_id", self.client_id)]
        if named != [self.client_id] * 3 or claims.get("aud") not in list(audiences):
            return False
        with self._lock:
            first = jti not in self._seen
            self._seen.add(jti)
        return first
