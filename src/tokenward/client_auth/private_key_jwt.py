"""`PrivateKeyJWT`: a signed assertion instead of a secret (RFC 7521, RFC 7523)."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from tokenward import _jose
from tokenward.client_auth.credentials import Secretive, checked
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.protocols import Clock, Request

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""The ``client_assertion_type`` of RFC 7523, section 2.2."""

ASSERTION_LIFETIME: Final = 60
"""Seconds for which an assertion is good: long enough for a server whose clock is a little behind,
and too short for whoever finds one."""

_JTI_BYTES = 24


class PrivateKeyJWT(Secretive):
    """A JWT signed with the client's private key, made anew for every request (RFC 7523, 2.2).

    Args:
        client_id: The client identifier; ``iss`` and ``sub`` of the assertion.
        private_key: An unencrypted private key as PEM.
        algorithm: One of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA.
        audience: The ``aud``, a single string. ``None``: the issuer identifier of the server where
            it is known, else the URL of the endpoint. The issuer is what servers should be
            addressed by: an assertion made out to one server's endpoint can be meant for another.
        kid: The name under which the server knows the key; ``None`` sends none, and the server
            takes the one registered key that fits. Nothing is made up: a server that does not know
            a ``kid`` refuses the assertion.
        clock: Seconds since the epoch.

    Attributes:
        client_id: As given.
        algorithm: As given; compared with what the server's metadata says it takes.

    Raises:
        ConfigurationError: The key cannot be read or does not fit the algorithm, the algorithm is
            none of these, or a text is empty, not a string or holds control characters.
    """

    __slots__ = ("_audience", "_clock", "_key", "algorithm", "client_id")
    methods: Final = ("private_key_jwt",)

    def __init__(
        self,
        client_id: str,
        private_key: str | bytes,
        *,
        algorithm: str = "ES256",
        audience: str | None = None,
        kid: str | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.client_id = checked(client_id, "client_id")
        self.algorithm = algorithm
        self._audience = None if audience is None else checked(audience, "audience")
        self._clock = clock
        self._key = replace(
            _jose.from_pem(_pem(private_key), algorithm),
            kid=None if kid is None else checked(kid, "kid"),
        )

    def apply(self, request: Request, /) -> Request:
        """Return ``request`` with a fresh assertion in its form, and ``client_id`` beside it.

        The identifier may be left out (RFC 7521, section 4.2), and there are servers that look the
        client up by it before they read the assertion.
        """
        now = int(self._clock())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self._audience or request.issuer or request.url,
            "jti": secrets.token_urlsafe(_JTI_BYTES),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        }
        form = {
            **(request.form or {}),
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": _jose.sign(claims, self._key),
        }
        # A server takes an assertion once (RFC 7523, section 3): each attempt has its own.
        return replace(request, form=form, again=partial(self.apply, request))

    def __repr__(self) -> str:
        return f"PrivateKeyJWT({self.client_id!r}, algorithm={self.algorithm!r})"


def _pem(private_key: object) -> bytes:
    if isinstance(private_key, bytes):
        return private_key
    if isinstance(private_key, str):
        # What is not ASCII is no PEM either, and is refused as such.
        return private_key.encode("ascii", "replace")
    raise ConfigurationError(
        "private_key is the PEM text of a private key (BEGIN PRIVATE KEY), as a string or bytes."
    )
