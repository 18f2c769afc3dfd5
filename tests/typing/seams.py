"""The seams, as somebody implements them who is checked by ``mypy --strict``."""

from collections.abc import Callable, Mapping
from typing import assert_type

from tokenward import (
    ClaimsPolicy,
    ClientSecretBasic,
    IntrospectionClient,
    IntrospectionVerifier,
    InvalidClaim,
    Principal,
)
from tokenward.protocols import (
    CachingVerifier,
    ClientAuth,
    Clock,
    Headers,
    Request,
    Response,
    RevocationBus,
    SharedCache,
    TokenVerifier,
    Transport,
)
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.testing import (
    FakeAuthorizationServer,
    FakeClock,
    MemoryRevocationBus,
    MemorySharedCache,
    StubVerifier,
)


class MyTransport:
    """A transport of your own."""

    def send(self, request: Request, *, deadline: float) -> Response:
        """Answer everything."""
        assert_type(request.form, Mapping[str, str] | None)
        del deadline
        return Response(200, {"content-type": "application/json"}, b"{}")

    def close(self) -> None:
        """Nothing is open."""


class MyClientAuth:
    """A way to authenticate of your own."""

    def apply(self, request: Request, /) -> Request:
        """Leave it as it is."""
        return request


class MyCache:
    """A second cache level of your own."""

    secrets = ("what-values-are-sealed-under",)

    def get(self, key: bytes, /) -> bytes | None:
        """Have nothing."""

    def set(self, key: bytes, value: bytes, /, *, ttl: float) -> None:
        """Keep nothing."""

    def delete(self, key: bytes, /) -> None:
        """Forget nothing."""


class MyBus:
    """A broadcast of your own."""

    secrets = ("what-messages-are-sealed-under",)

    def publish(self, message: bytes, /) -> None:
        """Tell nobody."""

    def subscribe(
        self, callback: Callable[[bytes], None], /, *, missed: Callable[[], None]
    ) -> Callable[[], None]:
        """Hear nothing."""
        del callback, missed
        return lambda: None


def check(claims: Mapping[str, object]) -> None:
    """Refuse tenants that are not ours."""
    if claims.get("tenant") != "acme":
        raise InvalidClaim("tenant", expected="acme", actual=claims.get("tenant"))


transport: Transport = MyTransport()
auth: ClientAuth = MyClientAuth()
builtin_auth: ClientAuth = ClientSecretBasic("a", "b")
cache: SharedCache = MyCache()
bus: RevocationBus = MyBus()
redis_cache: SharedCache = RedisSharedCache("redis://h", secrets=["made-up-secret"], pool_size=5)
redis_bus: RevocationBus = RedisRevocationBus("redis://h", secrets=("made-up-secret",))
memory_cache: SharedCache = MemorySharedCache(secrets=["made-up-secret"])
memory_bus: RevocationBus = MemoryRevocationBus(secrets=["made-up-secret"])
clock: Clock = FakeClock(1.0)
plain_clock: Clock = lambda: 0.0  # noqa: E731 - a clock may be one
headers: Headers = {"Authorization": "Bearer t"}
stub: CachingVerifier = StubVerifier({"t": Principal("u1"), "bad": InvalidClaim("aud")})

policy = ClaimsPolicy(audience="orders", check=check)
verifier: CachingVerifier = IntrospectionVerifier(
    IntrospectionClient("https://as.example/i", client_auth=auth, transport=transport),
    audience="orders",
    check=check,
    clock=clock,
)
assert_type(policy.principal({"sub": "u1"}), Principal)
assert_type(isinstance(verifier, TokenVerifier), bool)

with FakeAuthorizationServer() as server:
    assert_type(server, FakeAuthorizationServer)
    assert_type(server.token(sub="u1"), str)
