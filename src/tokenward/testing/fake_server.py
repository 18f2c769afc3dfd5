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

import base64
import binascii
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_plus, urlsplit

from tokenward import _jose
from tokenward.testing._loopback import Answer, LoopbackServer, RecordedRequest

if TYPE_CHECKING:
    from types import TracebackType

    from tokenward.protocols import Clock

__all__ = ["FakeAuthorizationServer", "RecordedRequest"]

_INTROSPECT = "/introspect"
_JWKS = "/.well-known/jwks.json"
_METADATA = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


@dataclass(slots=True)
class _Failure:
    status: int | None
    times: int
    delay: float
    headers: Mapping[str, str]
    body: bytes


class FakeAuthorizationServer:
    """Issues tokens and serves keys, metadata and introspection; a context manager, thread-safe.

    It serves RFC 8414 and OpenID Connect metadata, a JWK Set, and RFC 7662 introspection to a
    client that authenticates with ``client_secret_basic`` or ``client_secret_post``.

    Args:
        client_id: The resource server's identifier, for introspection.
        client_secret: Its secret.
        audience: The ``aud`` of the tokens.
        algorithm: What the tokens are signed with; an asymmetric one.
        clock: Seconds since the epoch; a `FakeClock` lets tokens expire at once.

    Attributes:
        client_id: As given.
        client_secret: As given.
        audience: As given.
    """

    def __init__(
        self,
        *,
        client_id: str = "resource-server",
        client_secret: str = "resource-server-secret",  # noqa: S107 - of a server that is a fake
        audience: str = "api",
        algorithm: str = "ES256",
        clock: Clock = time.time,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.audience = audience
        self._algorithm = algorithm
        self._clock = clock
        self._keys = [_jose.generate_key(algorithm)]
        self._issued: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, list[_Failure]] = {}
        self._requests: list[RecordedRequest] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: LoopbackServer | None = None

    def __enter__(self) -> Self:
        self._stopping.clear()
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
            self._stopping.set()
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
    def introspection_endpoint(self) -> str:
        """The URL of RFC 7662 introspection."""
        return self.issuer + _INTROSPECT

    @property
    def jwks_uri(self) -> str:
        """The URL of the JWK Set."""
        return self.issuer + _JWKS

    def token(
        self, *, opaque: bool = False, expires_in: float = 300, typ: str = "at+jwt", **claims: Any
    ) -> str:
        """Issue a token.

        Args:
            opaque: Make a random string that only introspection understands, not a JWT.
            expires_in: Seconds until it expires; negative for one that has.
            typ: The JWT's ``typ``.
            claims: Claims to add or replace; ``None`` leaves one out.

        Returns:
            The token; without claims of yours an access token (RFC 9068) for ``user-1``.
        """
        now = int(self._clock())
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
        failure = _Failure(status, times, delay, dict(headers or {}), body)
        with self._lock:
            self._failures.setdefault(urlsplit(path).path, []).append(failure)

    def requests(self, path: str | None = None) -> list[RecordedRequest]:
        """Return the requests so far, in order; with a path or URL, those to it."""
        wanted = None if path is None else urlsplit(path).path
        with self._lock:
            return [r for r in self._requests if wanted is None or r.path == wanted]

    def _answer(self, request: RecordedRequest) -> Answer:
        with self._lock:
            self._requests.append(request)
            failure = self._next_failure(request.path)
        if failure is not None:
            self._stopping.wait(failure.delay)
            if failure.status is not None:
                return Answer(failure.status, failure.body, failure.headers)
        match request.method, request.path:
            case "POST", path if path == _INTROSPECT:
                return self._introspect(request)
            case "GET", path if path == _JWKS:
                with self._lock:
                    keys = [_jose.public_jwk(key) for key in self._keys]
                return Answer.json(200, {"keys": keys})
            case "GET", path if path in _METADATA:
                return Answer.json(200, self._metadata())
        return Answer.json(404, {"error": "not_found"})

    def _next_failure(self, path: str) -> _Failure | None:
        queue = self._failures.get(path, [])
        while queue:
            if queue[0].times > 0:
                queue[0].times -= 1
                return queue[0]
            queue.pop(0)
        return None

    def _introspect(self, request: RecordedRequest) -> Answer:
        if not self._is_our_client(request):
            return Answer.json(
                401, {"error": "invalid_client"}, WWW_Authenticate='Basic realm="introspection"'
            )
        if "token" not in request.form:
            return Answer.json(400, {"error": "invalid_request"})
        with self._lock:
            claims = self._issued.get(request.form["token"])
        expires_at = (claims or {}).get("exp")
        expired = isinstance(expires_at, int | float) and self._clock() >= expires_at
        if claims is None or expired:
            return Answer.json(200, {"active": False})
        return Answer.json(200, {"token_type": "Bearer", **claims, "active": True})

    def _is_our_client(self, request: RecordedRequest) -> bool:
        ours = (self.client_id, self.client_secret)
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return (request.form.get("client_id"), request.form.get("client_secret")) == ours
        try:
            client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return (unquote_plus(client_id), unquote_plus(secret)) == ours

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "introspection_endpoint": self.introspection_endpoint,
            "introspection_endpoint_auth_methods_supported": [
                "client_secret_basic",
                "client_secret_post",
            ],
            "jwks_uri": self.jwks_uri,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._algorithm],
        }
