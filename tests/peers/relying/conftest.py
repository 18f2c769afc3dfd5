"""The auth service on both stores, and what relying parties that nobody here wrote make of it."""

from types import SimpleNamespace

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from oidc_keys import as_jwk
from relying.running import Service, by_node

PASSWORD = "correct horse battery"
SCOPES = ["orders:read", "orders:write"]
AUDIENCE = "https://orders.example"
# Needs every kind of escaping that application/x-www-form-urlencoded has.
BASIC = {"client_id": "orders", "client_secret": "9f8a+77e1/quartz:100%25 =&"}
POST = {"client_id": "orders-post", "client_secret": "51c0-lantern-harbour-9ab2"}
# Without anything to escape, for those who do not.
PLAIN = {"client_id": "orders-plain", "client_secret": "77b1-window-thistle-3c40"}
KEYED = "orders-keyed"
MAY = {"scopes": SCOPES, "grants": ["client_credentials", "refresh_token"]}


@pytest.fixture(scope="session", params=["sqlite", "mongo"])
def served(request, tmp_path_factory):
    """The service on each store: at the root with ES256, and below a path with RS256."""
    folder = tmp_path_factory.mktemp("relying")
    if request.param == "sqlite":
        store, path, algorithm = f"sqlite:///{folder}/store.db", "", "ES256"
    else:
        store = request.getfixturevalue("mongo").new_url()
        path, algorithm = "/auth", "RS256"
    key = ec.generate_private_key(ec.SECP256R1())
    public = as_jwk(key, private=False)
    keyed = {"client_id": KEYED, "jwks": {"keys": [public]}}
    service = Service(
        folder,
        store,
        path=path,
        audience=AUDIENCE,
        registration="open",
        keys={"algorithm": algorithm},
        password={"bcrypt_cost": 4},
        clients=[{**client, **MAY} for client in (BASIC, POST, PLAIN, keyed)],
    )
    with service:
        account = {"username": "alice", "password": PASSWORD}
        new = {**account, "email": "alice@example.com"}
        response = requests.post(f"{service.issuer}/register", json=new, timeout=90)
        assert 201 == response.status_code, response.text
        yield SimpleNamespace(
            issuer=service.issuer,
            algorithm=algorithm,
            alice=response.json(),
            account=account,
            keyed={"client_id": KEYED, "jwk": as_jwk(key)},
        )


@pytest.fixture(scope="session")
def log_in(served):
    """Log alice in at the client that the relying parties are."""

    def log_in():
        response = requests.post(
            f"{served.issuer}/login",
            json=served.account,
            auth=(PLAIN["client_id"], PLAIN["client_secret"]),
            timeout=90,
        )
        assert 200 == response.status_code, response.text
        return response.json()

    return log_in


@pytest.fixture(scope="session")
def by_javascript(served, log_in):
    """A function that has one of the libraries on Node do all its steps."""

    def by_javascript(script):
        settings = {
            "issuer": served.issuer,
            "audience": AUDIENCE,
            "scope": SCOPES[0],
            "basic": BASIC,
            "post": POST,
            "plain": PLAIN,
            "keyed": served.keyed,
            "user": log_in(),
        }
        return settings, by_node(script, settings)

    return by_javascript
