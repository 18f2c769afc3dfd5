"""An authorization server for tests: real HTTP on a loopback port, real signatures.

.. code-block:: python

    with FakeAuthorizationServer() as server:
        verifier = JWKSVerifier(server.issuer, audience=server.audience)
        assert verifier.verify(server.token(sub="alice")).subject == "alice"

        server.publish_next()
        verifier.refresh()  # or the time for it comes: FakeClock
        server.rotate()
        assert verifier.verify(server.token())  # no fetch for it
        assert len(server.requests(server.jwks_uri)) == 2

        client = IntrospectionClient(
            server.introspection_endpoint,
            client_auth=ClientSecretBasic(server.client_id, server.client_secret),
        )
        by_asking = IntrospectionVerifier(client, audience=server.audience)
        server.fail("/introspect", status=503)  # the next request there fails
        with pytest.raises(AuthServiceUnavailable):
            by_asking.verify(server.token())
        assert by_asking.verify(server.token()).subject == "user-1"
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from tokenward.testing._fake_client import KnownClient
from tokenward.testing._fake_endpoints import INTROSPECT, JWKS, TOKEN, Endpoints
from tokenward.testing._fake_keys import SigningKeys
from tokenward.testing._fake_script import Failure, Script
from tokenward.testing._loopback import Answer, LoopbackServer, RecordedRequest

if TYPE_CHECKING:
    from types import TracebackType

    from tokenward.protocols import Clock

__all__ = ["FakeAuthorizationServer", "RecordedRequest"]

_LIFETIME = 300


class FakeAuthorizationServer:
    """Issues tokens and serves keys, metadata and introspection; a context manager, thread-safe.

    It serves RFC 8414 and OpenID Connect metadata, a JWK Set, and to its one client RFC 7662
    introspection and tokens by the grant ``client_credentials`` (RFC 6749, section 4.4). The client
    authenticates with ``client_secret_basic``, ``client_secret_post`` or ``private_key_jwt``.

    Args:
        client_id: The client's identifier.
        client_secret: Its secret.
        client_jwk: Its public key as a JWK, for ``private_key_jwt`` (RFC 7523); each assertion is
            taken once.
        audience: The ``aud`` of the tokens.
        algorithm: What the tokens are signed with, an asymmetric one; or several, each with a key
            of its own, of which the first signs unless a token is asked for with another.
        expires_in: Seconds that a token lasts, and what the token endpoint says of that; ``None``
            lets it say nothing.
        jwks_max_age: Seconds for which the JWK Set may be kept, as its ``Cache-Control`` says;
            ``None`` lets it say nothing.
        signed_introspection: Whether introspection answers with a JWT (RFC 9701) when the request's
            ``Accept`` asks for one.
        clock: Seconds since the epoch; a `FakeClock` lets tokens expire at once.

    Attributes:
        client_id: As given.
        client_secret: As given.
        audience: As given.
        expires_in: As given; may be changed.
        jwks_max_age: As given; may be changed.
    """

    def __init__(
        self,
        *,
        client_id: str = "resource-server",
        client_secret: str = "resource-server-secret",  # noqa: S107 - of a server that is a fake
        client_jwk: Mapping[str, Any] | None = None,
        audience: str = "api",
        algorithm: str | Sequence[str] = "ES256",
        expires_in: float | None = _LIFETIME,
        jwks_max_age: float | None = None,
        signed_introspection: bool = False,
        clock: Clock = time.time,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.audience = audience
        self.expires_in = expires_in
        self.jwks_max_age = jwks_max_age
        self._clock = clock
        self._keys = SigningKeys([algorithm] if isinstance(algorithm, str) else algorithm)
        self._issued: dict[str, dict[str, Any]] = {}
        self._script = Script()
        self._endpoints = Endpoints(
            self,
            KnownClient(client_id, client_secret, client_jwk),
            self._keys,
            issued=self._issued,
            signed_introspection=signed_introspection,
            clock=clock,
        )
        self._server: LoopbackServer | None = None

    def __enter__(self) -> Self:
        self._script.stopping.clear()
        self._server = LoopbackServer(self._answer)
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._script.stopping.set()
            self._server.stop()
            self._server = None

    @property
    def issuer(self) -> str:
        """The issuer identifier, ``http://127.0.0.1:PORT``."""
        if self._server is None:
            msg = "the server is not running: use it as `with FakeAuthorizationServer() as server`"
            raise RuntimeError(msg)
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def token_endpoint(self) -> str:
        """The URL of the token endpoint (RFC 6749, section 3.2)."""
        return self.issuer + TOKEN

    @property
    def introspection_endpoint(self) -> str:
        """The URL of RFC 7662 introspection."""
        return self.issuer + INTROSPECT

    @property
    def jwks_uri(self) -> str:
        """The URL of the JWK Set."""
        return self.issuer + JWKS

    def jwks(self) -> dict[str, Any]:
        """Return the JWK Set that it publishes now (RFC 7517, section 5)."""
        return {"keys": self._keys.published()}

    def token(
        self,
        *,
        opaque: bool = False,
        expires_in: float | None = None,
        typ: str = "at+jwt",
        algorithm: str | None = None,
        **claims: Any,
    ) -> str:
        """Issue a token.

        Args:
            opaque: Make a random string that only introspection understands, not a JWT.
            expires_in: Seconds until it expires; negative for one that has. Default: the server's.
            typ: The JWT's ``typ``.
            algorithm: What it is signed with, one of the server's; default: its first.
            claims: Claims to add or replace; ``None`` leaves one out.

        Returns:
            The token; without claims of yours an access token (RFC 9068) for ``user-1``.

        Raises:
            ConfigurationError: The server has no key for ``algorithm``.
        """
        payload = self._payload(expires_in, claims)
        token = (
            secrets.token_urlsafe(24)
            if opaque
            else self._keys.sign(payload, typ=typ, algorithm=algorithm)
        )
        self._issued[token] = payload
        return token

    def forged_token(
        self,
        *,
        expires_in: float | None = None,
        typ: str = "at+jwt",
        algorithm: str | None = None,
        **claims: Any,
    ) -> str:
        """Return what `token` would, signed with a key that is never published.

        Introspection does not know it, and each names another key: for tests of how a program
        takes tokens of keys that nobody knows.

        Args:
            expires_in: See `token`.
            typ: See `token`.
            algorithm: See `token`.
            claims: See `token`.
        """
        payload = self._payload(expires_in, claims)
        return self._keys.forge(payload, typ=typ, algorithm=algorithm)

    def publish_next(self) -> None:
        """Publish the keys that the next `rotate` will sign with; again: nothing.

        As a careful issuer does, so that whoever keeps its keys has them before they are used.
        """
        self._keys.publish_next()

    def rotate(self, keep: bool = True) -> None:  # noqa: FBT001, FBT002 - rotate(False) reads well
        """Sign with other keys from now on: those of `publish_next`, or else new ones.

        Args:
            keep: Go on publishing the earlier keys; without, their tokens stop verifying.
        """
        self._keys.rotate(keep=keep)

    def revoke(self, token: str) -> None:
        """Let introspection say from now on that ``token`` is not active."""
        self._issued.pop(token, None)

    def fail(
        self,
        path: str,
        status: int | None = 503,
        times: int = 1,
        delay: float = 0,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        """Let the next requests to a path fail; several calls queue up.

        Args:
            path: The path, or a URL of this server.
            status: What they are answered with; ``None`` answers as usual, only later.
            times: How many of them.
            delay: Seconds before the answer; cut short when the server stops.
            headers: Headers of the failing answer, such as ``Retry-After``.
            body: Its body.
        """
        self._script.add(path, Failure(status, times, delay, dict(headers or {}), body))

    def requests(self, path: str | None = None) -> list[RecordedRequest]:
        """Return the requests so far, in order; with a path or URL, those to it."""
        return self._script.requests(path)

    def _payload(self, expires_in: float | None, claims: Mapping[str, Any]) -> dict[str, Any]:
        now = int(self._clock())
        if expires_in is None:
            expires_in = _LIFETIME if self.expires_in is None else self.expires_in
        defaults = {
            "iss": self.issuer,
            "sub": "user-1",
            "aud": self.audience,
            "iat": now,
            "exp": now + int(expires_in),
            "jti": secrets.token_hex(8),
            "client_id": "client-1",
        }
        return {k: v for k, v in {**defaults, **claims}.items() if v is not None}

    def _answer(self, request: RecordedRequest) -> Answer:
        failed = self._script.play(request)
        return self._endpoints.answer(request) if failed is None else failed
