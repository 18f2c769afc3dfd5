"""One oidc-provider for all tests here; each begins with fresh counts, faults and tokens."""

import time
from dataclasses import dataclass

import pytest
from authority import Authority
from oidc_provider import (
    ALGORITHMS,
    AUDIENCE,
    PATIENCE,
    SECRETS,
    SIGNED,
    SIGNING,
    OidcProvider,
)

from tokenward import (
    ClientSecretBasic,
    ClientSecretPost,
    IntrospectionClient,
    IntrospectionVerifier,
    JWKSVerifier,
)
from tokenward.client_auth import MutualTLS, PrivateKeyJWT
from tokenward.testing import FakeClock


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """A server that is started once."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with OidcProvider(tmp_path_factory.mktemp("oidc-provider"), authority) as provider:
        yield provider


@pytest.fixture
def server(running):
    """The server, up, without faults, and asked nothing yet."""
    running.ensure_started()
    running.reset()
    yield running
    if running.is_running:
        running.reset()


@pytest.fixture
def clock():
    """A clock that stands still at the moment at which the test began."""
    return FakeClock(int(time.time()))


@pytest.fixture
def make_client(server, clock):
    """Make a client of the server; all are closed at the end."""
    made = []

    def make(endpoint=None, *, by_issuer=None, **options):
        options = {
            "client_auth": ClientSecretBasic("orders", SECRETS["orders"]),
            "verify_tls": server.authority.path,
            "timeout": PATIENCE,
            "connect_timeout": PATIENCE,
            "clock": clock,
            **options,
        }
        if by_issuer is None:
            client = IntrospectionClient(endpoint or server.introspection_endpoint, **options)
        else:
            client = IntrospectionClient.from_issuer(by_issuer, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def make_verifier(server, make_client, clock):
    """Make a verifier that asks where answers may be stored, unless it gets another client."""
    made = []

    def make(client=None, **options):
        client = client or make_client(server.storing_endpoint)
        known = {"audience": AUDIENCE, "clock": clock}
        made.append(IntrospectionVerifier(client, **known | options))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


@pytest.fixture
def make_jwks_verifier(server, clock):
    """Make a verifier of the server's access tokens, with all of its algorithms."""
    made = []

    def make(*issuer, **options):
        if not issuer and not {"discovery_url", "jwks_uri"} & options.keys():
            issuer = (server.issuer,)
        known = {"algorithms": ALGORITHMS, "token_types": ("at+jwt",), "clock": clock}
        # Keys live longer for who waits longer than `refresh_ahead`, which is a minute.
        known |= {"timeout": 60, "connect_timeout": 60}
        made.append(JWKSVerifier(*issuer, **{"audience": SIGNED, **known, **options}))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


@pytest.fixture
def eventually():
    """Wait for something that another process or thread is about to do."""

    def wait(happened):
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    return wait


@dataclass(frozen=True)
class Way:
    """A way for a client to authenticate itself: how it is right, and how it is wrong."""

    right: object
    wrong: object
    root: str


WAYS = ("basic", "raw", "post", *SIGNING, "tls_client_auth", "self_signed_tls_client_auth")


@pytest.fixture(params=WAYS)
def way(request, server):
    """Each way of client authentication that the server offers."""
    return ways(server)[request.param]()


def ways(server):
    """Return what makes each `Way`."""

    def keyed(alg):
        def build(key):
            return PrivateKeyJWT("keyed", key, algorithm=alg)

        return lambda: Way(build(server.keys[alg]), build(server.other_keys[alg]), server.issuer)

    def certified(client_id):
        def build(name):
            return MutualTLS(client_id, *server.certificates[name])

        return lambda: Way(build(client_id), build("bound"), server.tls)

    def secret(kind, client_id, **options):
        right = kind(client_id, SECRETS[client_id], **options)
        return lambda: Way(right, kind(client_id, "another-secret", **options), server.issuer)

    return {
        "basic": secret(ClientSecretBasic, "orders"),
        "raw": secret(ClientSecretBasic, "caller", encoding="raw"),
        "post": secret(ClientSecretPost, "orders-post"),
        **{alg: keyed(alg) for alg in SIGNING},
        "tls_client_auth": certified("certified"),
        "self_signed_tls_client_auth": certified("self-certified"),
    }
