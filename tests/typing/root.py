"""The names of the root, as a program sees them that is checked by ``mypy --strict``."""

from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

import tokenward
from tokenward import (
    ANONYMOUS,
    Authentication,
    Authenticator,
    AuthError,
    AuthService,
    AuthServiceUnavailable,
    BearerAuth,
    ByIssuer,
    ClaimsPolicy,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    ConfigurationError,
    Credential,
    InsufficientScope,
    IntrospectionClient,
    IntrospectionVerifier,
    IntrospectResponse,
    InvalidClaim,
    InvalidRequest,
    InvalidToken,
    KeyRing,
    LocalVerifier,
    LoginRequest,
    LoginResponse,
    LogoutResponse,
    MutualTLS,
    Principal,
    PrivateKeyJWT,
    PublicUser,
    RegisterRequest,
    TokenExpired,
    TokenPayload,
    TokenVerifier,
    TooManyAttempts,
    UserRepository,
    authenticate_request,
    configure,
    error_response,
    get_logged_in_user,
    introspect_token,
    login_user,
    logout_user,
    register_user,
)
from tokenward.app import (
    create_access_token,
    get_jwt_payload,
    get_user_repository,
    get_validated_token_payload,
)
from tokenward.authenticator import authorization, cookie, header
from tokenward.bearer import ErrorResponse
from tokenward.cache import CacheStats
from tokenward.config import Settings, build_authenticator, build_service

# The lazy root has real types, not Any; and a name it does not have is an error.
assert_type(tokenward.ANONYMOUS, Principal)
assert_type(tokenward.Principal("u1"), Principal)
tokenward.no_such_name  # type: ignore[attr-defined]
assert_type(tokenward.__all__, list[str])


def errors(error: AuthError) -> None:
    """What a handler reads of an error."""
    assert_type(error.status_code, int)
    assert_type(error.error, str)
    assert_type(error.description, str)
    assert_type(error.reason, str)
    assert_type(error.hint, str)
    assert_type(error_response(error, realm="orders"), ErrorResponse)
    assert_type(error_response(error).headers, tuple[tuple[str, str], ...])
    if isinstance(error, InvalidClaim):
        assert_type(error.claim, str)
        assert_type(error.expected, object)
    if isinstance(error, InvalidRequest):
        assert_type(error.fields, dict[str, str])
    if isinstance(error, InsufficientScope):
        assert_type(error.required, tuple[str, ...])
    if isinstance(error, TooManyAttempts | AuthServiceUnavailable):
        assert_type(error.retry_after, float)
    refused: InvalidToken = TokenExpired("hint", reason="expired")
    misconfigured: ValueError = ConfigurationError("say audience")
    not_an_auth_error: AuthError = ConfigurationError()  # type: ignore[assignment]
    del refused, misconfigured, not_an_auth_error


def policies() -> None:
    """No check is turned off by omission, for a type checker either."""
    ClaimsPolicy(audience=None)
    ClaimsPolicy(audience=["a"], issuer=("i",), required={"exp"}, roles_claim=["a", "b"])
    ClaimsPolicy()  # type: ignore[call-arg]
    ClaimsPolicy("orders")  # type: ignore[call-arg]


def verifiers(keys: KeyRing, users: UserRepository) -> None:
    """Each verifier is one, by the public protocol."""
    client = IntrospectionClient(
        "https://as.example/introspect", client_auth=ClientSecretBasic("a", "b", encoding="raw")
    )
    IntrospectionClient("https://as.example/introspect", client_auth=ClientSecretPost("a", "b"))
    IntrospectionClient("https://as.example/introspect", client_auth=BearerAuth(lambda: "t"))
    IntrospectionClient("https://as.example/introspect", client_auth="a:b")  # type: ignore[arg-type]
    remote = IntrospectionVerifier(client, audience="orders", ttl=60, stale_if_error=10.5)
    IntrospectionVerifier(client)  # type: ignore[call-arg]
    local = LocalVerifier(keys, issuer="https://a", audience=None, users=users, tokens=None)
    LocalVerifier(keys, issuer="https://a", audience=None)  # type: ignore[call-arg]
    routed = ByIssuer({"https://a": local}, otherwise=remote)
    ByIssuer(lambda issuer: local if issuer == "https://a" else None)

    for verifier in (remote, local, routed):
        one: TokenVerifier = verifier
        assert_type(one.verify("t", live=True), Principal)
    assert_type(remote.verify("t"), Principal)
    assert_type(remote.cached("t"), Principal | None)
    assert_type(remote.stats(), CacheStats)
    assert_type(remote.invalidate("t"), None)
    assert_type(client.introspect("t")["active"], Any)

    authenticator = Authenticator(
        Credential(authorization(), routed),
        Credential(header("X-Token"), local, ambient=False),
        Credential(cookie("session"), local),
        default_access="deny",
        public=["/health"],
    )
    Authenticator(default_access="closed")  # type: ignore[arg-type]
    assert_type(authenticator.authenticate({"Authorization": "Bearer t"}), Authentication)
    assert_type(authenticator.cached({}), Authentication | None)
    assert_type(authenticator.authenticate({}).principal, Principal)


class MyVerifier:
    """A verifier of your own needs no base class."""

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Trust everybody."""
        del live
        return Principal(token)


class NoVerifier:
    """Without ``live`` it is none."""

    def verify(self, token: str, /) -> Principal:
        """Trust everybody."""
        return Principal(token)


mine: TokenVerifier = MyVerifier()
none: TokenVerifier = NoVerifier()  # type: ignore[assignment]


def functions(repo: UserRepository, *, skip: bool) -> None:
    """The plain functions, by the contract's signatures."""
    account = RegisterRequest(username="ada", email="ada@example.org", password="123456")
    login = LoginRequest(username="ada", password="123456")
    assert_type(configure(), None)
    configure({"realm": "orders"})
    configure(Settings.model_validate({}), service=None, authenticator=None)
    assert_type(register_user(account), PublicUser)
    assert_type(register_user(account, repo), PublicUser)
    assert_type(login_user(login, repo=repo), LoginResponse)
    assert_type(logout_user(), LogoutResponse)
    assert_type(logout_user("t", refresh_token="r"), LogoutResponse)
    assert_type(get_logged_in_user("t", repo), PublicUser)
    assert_type(introspect_token("t", repo), IntrospectResponse)
    assert_type(
        authenticate_request(skip, method="GET", path="/", authorization_token=None),
        PublicUser | None,
    )
    authenticate_request(lambda m, p: m == p, method="GET", path="/", authorization_token="t")
    authenticate_request(skip, "GET", "/", "t")  # type: ignore[call-arg]
    assert_type(create_access_token({"sub": "u1"}, timedelta(minutes=5)), str)
    assert_type(get_jwt_payload("t"), TokenPayload)
    assert_type(get_validated_token_payload("t"), TokenPayload)
    assert_type(get_user_repository(), UserRepository)


def services(settings: Settings, repo: UserRepository) -> None:
    """Settings become parts."""
    assert_type(build_authenticator(settings), Authenticator)
    service = build_service(settings, users=repo)
    assert_type(service, AuthService)
    assert_type(service.users, UserRepository)
    assert_type(service.keys, KeyRing)


def principals() -> None:
    """A principal is a frozen value, for a type checker too."""
    who = Principal("u1", issuer="https://a", kind="client", scopes=frozenset({"a"}))
    assert_type(who.subject, str)
    assert_type(who.scopes, frozenset[str])
    assert_type(who.expires_at, int | None)
    assert_type(who.email_verified, bool | None)
    assert_type(who.user, PublicUser | None)
    assert_type(who.claims["x"], Any)
    assert_type(who.key, str)
    assert_type(who.has_scopes("a", "b"), bool)
    assert_type(who.require_any_role("a"), None)
    assert_type(who.to_dict(), dict[str, Any])
    assert_type(ANONYMOUS.is_authenticated, bool)
    who.subject = "other"  # type: ignore[misc]
    who.claims["x"] = 1  # type: ignore[index]
    who.scopes.add("b")  # type: ignore[attr-defined]
    Principal("u1", "https://a")  # type: ignore[call-arg]
    Principal("u1", kind="robot")  # type: ignore[arg-type]
    Principal()  # type: ignore[call-arg]


def clients() -> None:
    """How we authenticate, and where to."""
    source = ClientCredentials("https://a/token", client_auth=PrivateKeyJWT("a", b"pem"))
    assert_type(source(), str)
    ClientCredentials("https://a/token")  # type: ignore[call-arg]
    auth = MutualTLS("a", "cert.pem", Path("key.pem"))
    assert_type(IntrospectionClient.from_issuer("https://a", client_auth=auth), IntrospectionClient)
    IntrospectionClient.from_issuer("https://a", client_auth=BearerAuth(source), timeout=1)
    IntrospectionClient.from_issuer("https://a", client_auth=auth, time_out=1)  # type: ignore[call-arg]
