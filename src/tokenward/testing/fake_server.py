"""An authorization server for tests: real HTTP on a loopback port, real signatures.

.. code-block:: python

    with FakeAuthorizationServer() as server:
        client = IntrospectionClient(
            server.introspection_endpoint,
            client_auth=ClientSecretBasic(server.client_id, server.client_secret),
        )
        verifier = IntrospectionVerifier(client, audience=server.audience)
        assert verifier.verify(server.token(sub="alice")).subject == "alice"

        server.fail("/introspect", status=503)  # the next request there fails
        with pytest.raises(AuthServiceUnavailable):
            verifier.verify(server.token())
        assert len(server.requests("/introspect")) == 2
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from tokenward import _jose
from tokenward.testing._fake_client import KnownClient
from tokenward.testing._fake_script import Failure, Script
from tokenward.testing._loopback import Answer, LoopbackServer, RecordedRequest

if TYPE_CHECKING:
    from types import TracebackType

    from tokenward.protocols import Clock

__all__ = ["FakeAuthorizationServer", "RecordedRequest"]

_TOKEN = "/token"  # noqa: S105 - a path
_INTROSPECT = "/introspect"
_LIFETIME = 300
_JWKS = "/.well-known/jwks.json"
_SIGNED = "application/token-introspection+jwt"
_METADATA = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


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
        algorithm: What the tokens are signed with; an asymmetric one.
        expires_in: Seconds that a token lasts, and what the token endpoint says of that; ``None``
            lets it say nothing.
        signed_introspection: Whether introspection answers with a JWT (RFC 9701) when the request's
            ``Accept`` asks for one.
        clock: Seconds since the epoch; a `FakeClock` lets tokens expire at once.

    Attributes:
        client_id: As given.
        client_secret: As given.
        audience: As given.
        expires_in: As given; may be changed.
    """

    def __init__(
        self,
        *,
        client_id: str = "resource-server",
        client_secret: str = "resource-server-secret",  # noqa: S107 - of a server that is a fake
        client_jwk: Mapping[str, Any] | None = None,
        audience: str = "api",
        algorithm: str = "ES256",
        expires_in: float | None = 300,
        signed_introspection: bool = False,
        clock: Clock = time.time,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.audience = audience
        self.expires_in = expires_in
        self._client = KnownClient(client_id, client_secret, client_jwk)
        self._signed_introspection = signed_introspection
        self._algorithm = algorithm
        self._clock = clock
        self._keys = [_jose.generate_key(algorithm)]
        self._issued: dict[str, dict[str, Any]] = {}
        self._script = Script()
        self._lock = threading.Lock()
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
        return self.issuer + _TOKEN

    @property
    def introspection_endpoint(self) -> str:
        """The URL of RFC 7662 introspection."""
        return self.issuer + _INTROSPECT

    @property
    def jwks_uri(self) -> str:
        """The URL of the JWK Set."""
        return self.issuer + _JWKS

    def token(
        self,
        *,
        opaque: bool = False,
        expires_in: float | None = None,
        typ: str = "at+jwt",
        **claims: Any,
    ) -> str:
        """Issue a token.

        Args:
            opaque: Make a random string that only introspection understands, not a JWT.
            expires_in: Seconds until it expires; negative for one that has. Default: the server's.
            typ: The JWT's ``typ``.
            claims: Claims to add or replace; ``None`` leaves one out.

        Returns:
            The token; without claims of yours an access token (RFC 9068) for ``user-1``.
        """
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
        payload = {k: v for k, v in {**defaults, **claims}.items() if v is not None}
        with self._lock:
            key = self._keys[0]
        token = secrets.token_urlsafe(24) if opaque else _jose.sign(payload, key, typ=typ)
        with self._lock:
            self._issued[token] = payload
        return token

    def rotate(self, keep: bool = True) -> None:  # noqa: FBT001, FBT002 - rotate(False) reads well
        """Sign with a new key from now on.

        Args:
            keep: Go on publishing the earlier keys; without, their tokens stop verifying.
        """
        key = _jose.generate_key(self._algorithm)
        with self._lock:
            self._keys = [key, *(self._keys if keep else ())]

    def revoke(self, token: str) -> None:
        """Let introspection say from now on that ``token`` is not active."""
        with self._lock:
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

    def _answer(self, request: RecordedRequest) -> Answer:
        failed = self._script.play(request)
        if failed is not None:
            return failed
        match request.method, request.path:
            case "POST", path if path == _TOKEN:
                return self._grant(request)
            case "POST", path if path == _INTROSPECT:
                return self._introspect(request)
            case "GET", path if path == _JWKS:
                with self._lock:
                    keys = [_jose.public_jwk(key) for key in self._keys]
                return Answer.json(200, {"keys": keys})
            case "GET", path if path in _METADATA:
                return Answer.json(200, self._metadata())
        return Answer.json(404, {"error": "not_found"})

    def _grant(self, request: RecordedRequest) -> Answer:
        if not self._is_our_client(request):
            return _invalid_client("token")
        form = request.form
        if form.get("grant_type") != "client_credentials":
            return Answer.json(400, {"error": "unsupported_grant_type"})
        token = self.token(
            sub=self.client_id,
            client_id=self.client_id,
            aud=form.get("resource") or form.get("audience") or self.audience,
            scope=form.get("scope"),
        )
        said = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": form.get("scope"),
        }
        said = {name: value for name, value in said.items() if value is not None}
        return Answer.json(200, said, Cache_Control="no-store")

    def _introspect(self, request: RecordedRequest) -> Answer:
        if not self._is_our_client(request):
            return _invalid_client("introspection")
        if "token" not in request.form:
            return Answer.json(400, {"error": "invalid_request"})
        with self._lock:
            claims, key = self._issued.get(request.form["token"]), self._keys[0]
        expires_at = (claims or {}).get("exp")
        expired = isinstance(expires_at, int | float) and self._clock() >= expires_at
        said: dict[str, Any] = {"active": False}
        if claims is not None and not expired:
            said = {"token_type": "Bearer", **claims, "active": True}
        if not self._signed_introspection or _SIGNED not in request.headers.get("accept", ""):
            return Answer.json(200, said)
        # RFC 9701, section 5.
        answer = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": int(self._clock()),
            "token_introspection": said,
        }
        signed = _jose.sign(answer, key, typ="token-introspection+jwt")
        return Answer(200, signed.encode(), {"Content-Type": _SIGNED})

    def _is_our_client(self, request: RecordedRequest) -> bool:
        audiences = {self.issuer, self.issuer + request.path}
        return self._client.sent(request, audiences=audiences, now=self._clock())

    def _metadata(self) -> dict[str, Any]:
        signed = (
            {"introspection_signing_alg_values_supported": [self._algorithm]}
            if self._signed_introspection
            else {}
        )
        return {
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            **_authenticated_by("token_endpoint", self._client.methods),
            "grant_types_supported": ["client_credentials"],
            "introspection_endpoint": self.introspection_endpoint,
            **_authenticated_by("introspection_endpoint", self._client.methods),
            **signed,
            "jwks_uri": self.jwks_uri,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._algorithm],
        }


def _invalid_client(realm: str) -> Answer:
    return Answer.json(401, {"error": "invalid_client"}, WWW_Authenticate=f'Basic realm="{realm}"')


def _authenticated_by(endpoint: str, methods: list[str]) -> dict[str, list[str]]:
    """Return what metadata says of how clients authenticate (RFC 8414, section 2)."""
    members = {f"{endpoint}_auth_methods_supported": methods}
    if "private_key_jwt" in methods:
        members[f"{endpoint}_auth_signing_alg_values_supported"] = sorted(_jose.ASYMMETRIC)
    return members
