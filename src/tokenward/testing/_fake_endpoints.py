"""What a `FakeAuthorizationServer` answers at each of its endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tokenward import _jose
from tokenward.testing._loopback import Answer

if TYPE_CHECKING:
    from tokenward.protocols import Clock
    from tokenward.testing._fake_client import KnownClient
    from tokenward.testing._fake_keys import SigningKeys
    from tokenward.testing._loopback import RecordedRequest
    from tokenward.testing.fake_server import FakeAuthorizationServer

TOKEN: Final = "/token"  # noqa: S105 - a path
INTROSPECT: Final = "/introspect"
JWKS: Final = "/.well-known/jwks.json"

_METADATA: Final = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
_SIGNED: Final = "application/token-introspection+jwt"


class Endpoints:
    """Answers requests for a server; thread-safe.

    Args:
        server: The server, which issues the tokens.
        client: Its client.
        keys: Its keys.
        issued: The claims of each token that introspection knows.
        signed_introspection: Whether introspection answers with a JWT where one is asked for.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        server: FakeAuthorizationServer,
        client: KnownClient,
        keys: SigningKeys,
        *,
        issued: Mapping[str, Mapping[str, Any]],
        signed_introspection: bool,
        clock: Clock,
    ) -> None:
        self._server = server
        self._client = client
        self._keys = keys
        self._issued = issued
        self._signed_introspection = signed_introspection
        self._clock = clock

    def answer(self, request: RecordedRequest) -> Answer:
        """Return what a request is answered with."""
        match request.method, request.path:
            case "POST", path if path == TOKEN:
                return self._grant(request)
            case "POST", path if path == INTROSPECT:
                return self._introspect(request)
            case "GET", path if path == JWKS:
                return self._key_set()
            case "GET", path if path in _METADATA:
                return Answer.json(200, self._metadata())
        return Answer.json(404, {"error": "not_found"})

    def _key_set(self) -> Answer:
        age = self._server.jwks_max_age
        said = {} if age is None else {"Cache_Control": f"public, max-age={int(age)}"}
        return Answer.json(200, self._server.jwks(), **said)

    def _grant(self, request: RecordedRequest) -> Answer:
        if not self._is_our_client(request):
            return _invalid_client("token")
        form = request.form
        if form.get("grant_type") != "client_credentials":
            return Answer.json(400, {"error": "unsupported_grant_type"})
        server = self._server
        token = server.token(
            sub=server.client_id,
            client_id=server.client_id,
            aud=form.get("resource") or form.get("audience") or server.audience,
            scope=form.get("scope"),
        )
        said = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": server.expires_in,
            "scope": form.get("scope"),
        }
        said = {name: value for name, value in said.items() if value is not None}
        return Answer.json(200, said, Cache_Control="no-store")

    def _introspect(self, request: RecordedRequest) -> Answer:
        if not self._is_our_client(request):
            return _invalid_client("introspection")
        if "token" not in request.form:
            return Answer.json(400, {"error": "invalid_request"})
        claims = self._issued.get(request.form["token"])
        expires_at = (claims or {}).get("exp")
        expired = isinstance(expires_at, int | float) and self._clock() >= expires_at
        said: dict[str, Any] = {"active": False}
        if claims is not None and not expired:
            said = {"token_type": "Bearer", **claims, "active": True}
        if not self._signed_introspection or _SIGNED not in request.headers.get("accept", ""):
            return Answer.json(200, said)
        # RFC 9701, section 5.
        answer = {
            "iss": self._server.issuer,
            "aud": self._server.client_id,
            "iat": int(self._clock()),
            "token_introspection": said,
        }
        signed = self._keys.sign(answer, typ="token-introspection+jwt")
        return Answer(200, signed.encode(), {"Content-Type": _SIGNED})

    def _is_our_client(self, request: RecordedRequest) -> bool:
        issuer = self._server.issuer
        audiences = {issuer, issuer + request.path}
        return self._client.sent(request, audiences=audiences, now=self._clock())

    def _metadata(self) -> dict[str, Any]:
        server, algorithms = self._server, list(self._keys.algorithms)
        signed = (
            {"introspection_signing_alg_values_supported": algorithms}
            if self._signed_introspection
            else {}
        )
        return {
            "issuer": server.issuer,
            "token_endpoint": server.token_endpoint,
            **_authenticated_by("token_endpoint", self._client.methods),
            "grant_types_supported": ["client_credentials"],
            "introspection_endpoint": server.introspection_endpoint,
            **_authenticated_by("introspection_endpoint", self._client.methods),
            **signed,
            "jwks_uri": server.jwks_uri,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }


def _invalid_client(realm: str) -> Answer:
    return Answer.json(401, {"error": "invalid_client"}, WWW_Authenticate=f'Basic realm="{realm}"')


def _authenticated_by(endpoint: str, methods: list[str]) -> dict[str, list[str]]:
    """Return what metadata says of how clients authenticate (RFC 8414, section 2)."""
    members = {f"{endpoint}_auth_methods_supported": methods}
    if "private_key_jwt" in methods:
        members[f"{endpoint}_auth_signing_alg_values_supported"] = sorted(_jose.ASYMMETRIC)
    return members
