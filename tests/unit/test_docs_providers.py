"""docs/providers: each mapping verifies tokens of its provider's shape, and refuses the others.

The keys are local ones, beside the provider's own issuer: nothing leaves the machine.
"""

import copy
import json
import re
import sys
import types

import jwt
import pytest
from doc_pages import DOCS, Page, principal_of, settings, slugs
from sites import Site

from tokenward import AuthServiceUnavailable, InvalidToken, JWKSVerifier, _jose

NOW, END = 1_700_000_000, 4_000_000_000
NAMES = sorted(path.stem for path in (DOCS / "providers").glob("*.md"))
PAGES = {name: Page(f"providers/{name}.md") for name in NAMES}

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER_TENANT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
API = "66666666-7777-8888-9999-000000000000"
GRAPH = "00000003-0000-0000-c000-000000000000"
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"
APP_CLIENT = "4h5k6example7l8m9n0"

# What the access tokens of each provider look like, as their documentation says.
KEYCLOAK = {
    "iss": "https://sso.example/realms/shop",
    "aud": ["orders", "account"],
    "sub": "f0b4",
    "typ": "Bearer",
    "azp": "web",
    "sid": "5d1c",
    "acr": "1",
    "allowed-origins": ["https://shop.example"],
    "realm_access": {"roles": ["offline_access", "buyer"]},
    "resource_access": {"orders": {"roles": ["editor"]}, "account": {"roles": ["view-profile"]}},
    "scope": "openid email orders:read",
    "preferred_username": "alice",
    "email": "alice@shop.example",
    "email_verified": True,
}
AUTH0 = {
    "iss": "https://acme.eu.auth0.com/",
    "aud": ["https://orders.example/api", "https://acme.eu.auth0.com/userinfo"],
    "sub": "auth0|6553da60",
    "azp": "K1AUPhZq",
    "scope": "openid orders:read",
    "permissions": ["orders:read", "orders:write"],
    "https://shop.example/roles": ["editor"],
}
ENTRA = {
    "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "aud": API,
    "sub": "pairwise-1",
    "oid": "oid-1",
    "tid": TENANT,
    "azp": "99999999-0000-0000-0000-000000000000",
    "azpacr": "0",
    "scp": "orders.read orders.write",
    "roles": ["Editor"],
    "preferred_username": "alice@acme.example",
    "uti": "u1",
    "ver": "2.0",
    "nbf": NOW,
}
ENTRA_V1 = {
    "iss": f"https://sts.windows.net/{TENANT}/",
    "aud": f"api://{API}",
    "sub": "pairwise-1",
    "appid": "99999999-0000-0000-0000-000000000000",
    "appidacr": "0",
    "acr": "1",
    "amr": ["pwd"],
    "scp": "orders.read",
    "unique_name": "alice@acme.example",
    "ver": "1.0",
}
COGNITO = {
    "iss": POOL,
    "sub": "aaaaaaaa-bbbb",
    "client_id": APP_CLIENT,
    "token_use": "access",
    "scope": "openid orders/read",
    "auth_time": NOW,
    "origin_jti": "o1",
    "username": "alice",
    "cognito:groups": ["admin"],
}
COGNITO_ID = {
    "iss": POOL,
    "sub": "aaaaaaaa-bbbb",
    "aud": APP_CLIENT,
    "token_use": "id",
    "at_hash": "x",
    "auth_time": NOW,
    "cognito:username": "alice",
    "cognito:groups": ["admin"],
    "email": "alice@shop.example",
}
OKTA = {
    "ver": 1,
    "iss": "https://acme.okta.com/oauth2/default",
    "aud": "api://default",
    "sub": "alice@acme.example",
    "cid": "0oa1",
    "uid": "00u1",
    "scp": ["openid", "orders:read"],
    "groups": ["Staff"],
    "auth_time": NOW,
}
FIREBASE = {
    "iss": "https://securetoken.google.com/shop-4711",
    "aud": "shop-4711",
    "sub": "uid-1",
    "user_id": "uid-1",
    "auth_time": NOW,
    "roles": ["editor"],
    "email": "alice@shop.example",
    "email_verified": True,
    "firebase": {"identities": {}, "sign_in_provider": "password"},
}

ROBOT = {
    "sub": "s1",
    "azp": "robot",
    "client_id": "robot",
    "preferred_username": "service-account-robot",
}

# Page, which of its mappings, header typ, claims; then what the principal says.
ACCEPTED = [
    (
        ("keycloak", 0, "JWT", KEYCLOAK),
        ("f0b4", "user", {"openid", "email", "orders:read"}, {"offline_access", "buyer", "editor"}),
    ),
    (
        ("keycloak", 0, "JWT", KEYCLOAK | ROBOT),
        ("s1", "client", {"openid", "email", "orders:read"}, {"offline_access", "buyer", "editor"}),
    ),
    (
        ("auth0", 0, "JWT", AUTH0),
        (
            "auth0|6553da60",
            "user",
            {"openid", "orders:read"},
            {"orders:read", "orders:write", "editor"},
        ),
    ),
    (
        ("auth0", 0, "at+jwt", AUTH0 | {"client_id": "K1AUPhZq", "azp": None, "permissions": None}),
        ("auth0|6553da60", "user", {"openid", "orders:read"}, {"editor"}),
    ),
    (
        (
            "auth0",
            0,
            "JWT",
            AUTH0 | {"sub": "K1AUPhZq@clients", "gty": "client-credentials", "permissions": []},
        ),
        ("K1AUPhZq@clients", "client", {"openid", "orders:read"}, {"editor"}),
    ),
    (
        ("entra", 0, "JWT", ENTRA),
        ("pairwise-1", "user", {"orders.read", "orders.write"}, {"Editor"}),
    ),
    (
        ("entra", 0, "JWT", ENTRA | {"scp": None, "sub": "sp-1", "oid": "sp-1", "idtyp": "app"}),
        ("sp-1", "client", set(), {"Editor"}),
    ),
    (("entra", 1, "JWT", ENTRA_V1), ("pairwise-1", "user", {"orders.read"}, set())),
    (("entra", 1, "JWT", ENTRA_V1 | {"aud": API}), ("pairwise-1", "user", {"orders.read"}, set())),
    (
        ("cognito", 0, None, COGNITO),
        ("aaaaaaaa-bbbb", "user", {"openid", "orders/read"}, {"admin"}),
    ),
    (
        (
            "cognito",
            0,
            None,
            COGNITO | {"sub": APP_CLIENT, "username": None, "cognito:groups": None},
        ),
        (APP_CLIENT, "client", {"openid", "orders/read"}, set()),
    ),
    (("cognito", 1, None, COGNITO_ID), ("aaaaaaaa-bbbb", "user", set(), {"admin"})),
    (
        ("okta", 0, None, OKTA),
        ("alice@acme.example", "user", {"openid", "orders:read"}, {"Staff"}),
    ),
    (
        ("okta", 0, None, OKTA | {"sub": "0oa1", "uid": None, "groups": None}),
        ("0oa1", "client", {"openid", "orders:read"}, set()),
    ),
    (("firebase", 0, "JWT", FIREBASE), ("uid-1", "user", set(), {"editor"})),
]

# Page, which of its mappings, header typ, claims, and why it is refused.
REFUSED = [
    ("keycloak", 0, "JWT", KEYCLOAK | {"aud": "account"}, "audience_mismatch"),
    ("keycloak", 0, "JWT", KEYCLOAK | {"aud": None}, "audience_mismatch"),
    (
        "keycloak",
        0,
        "JWT",
        KEYCLOAK | {"iss": "http://keycloak:8080/realms/shop"},
        "unknown_issuer",
    ),
    ("keycloak", 0, "JWT", KEYCLOAK | {"typ": "ID", "aud": "orders"}, "wrong_type"),
    ("keycloak", 0, "JWT", KEYCLOAK | {"typ": "Offline"}, "wrong_type"),
    ("keycloak", 0, "JWT", KEYCLOAK | {"typ": "Refresh"}, "wrong_type"),
    (
        "keycloak",
        0,
        "JWT",
        {name: KEYCLOAK[name] for name in ("iss", "aud", "typ")},
        "no_subject",
    ),
    ("auth0", 0, "JWT", AUTH0 | {"iss": "https://acme.eu.auth0.com"}, "unknown_issuer"),
    ("auth0", 0, "JWT", AUTH0 | {"aud": "K1AUPhZq", "nonce": "n"}, "audience_mismatch"),
    (
        "entra",
        0,
        "JWT",
        ENTRA_V1 | {"aud": GRAPH, "scp": "User.Read"},
        "unknown_issuer",
    ),
    ("entra", 0, "JWT", ENTRA_V1, "unknown_issuer"),
    (
        "entra",
        0,
        "JWT",
        ENTRA | {"iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"},
        "unknown_issuer",
    ),
    ("entra", 0, "JWT", ENTRA | {"aud": f"api://{API}"}, "audience_mismatch"),
    ("entra", 0, "JWT", ENTRA | {"azp": None, "scp": None, "nonce": "n"}, "claim_missing"),
    ("entra", 1, "JWT", ENTRA_V1 | {"appid": None, "nonce": "n"}, "claim_missing"),
    ("cognito", 0, None, COGNITO_ID, "wrong_type"),
    ("cognito", 0, None, COGNITO | {"client_id": "another"}, "client_mismatch"),
    ("cognito", 0, None, COGNITO | {"iss": POOL + "2"}, "unknown_issuer"),
    ("cognito", 1, None, COGNITO, "audience_mismatch"),
    ("okta", 0, None, OKTA | {"iss": "https://acme.okta.com"}, "unknown_issuer"),
    ("okta", 0, "application/okta-internal-at+jwt", OKTA, "wrong_type"),
    ("okta", 0, None, OKTA | {"aud": "0oa1"}, "audience_mismatch"),
    ("okta", 0, None, OKTA | {"at_hash": "x"}, "wrong_type"),
    ("okta", 0, None, OKTA | {"cid": None}, "claim_missing"),
    ("firebase", 0, "JWT", FIREBASE | {"aud": "shop-test"}, "audience_mismatch"),
    (
        "firebase",
        0,
        "JWT",
        FIREBASE | {"iss": "https://securetoken.google.com/shop-test"},
        "unknown_issuer",
    ),
    (
        "firebase",
        0,
        "JWT",
        FIREBASE | {"iss": "firebase-adminsdk@shop-4711.iam.gserviceaccount.com"},
        "unknown_issuer",
    ),
    (
        "firebase",
        0,
        "JWT",
        FIREBASE | {"iss": "https://session.firebase.google.com/shop-4711"},
        "unknown_issuer",
    ),
    ("firebase", 0, "JWT", FIREBASE | {"exp": 1_600_000_000}, "expired"),
]

# What no claims are needed for: page, token, reason.
UNREADABLE = [
    ("auth0", "3q2-opaque_7hT", "malformed"),
    ("auth0", "eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "malformed"),
    ("cognito", "eyJjdHkiOiJKV1QifQ.a2V5.aXY.Y2lwaGVy.dGFn", "malformed"),
    ("firebase", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "algorithm"),
]


@pytest.fixture(scope="module")
def key():
    """The key of whichever provider."""
    return _jose.generate_key("RS256")


@pytest.fixture(scope="module")
def other_key():
    """A key that is not published."""
    return _jose.generate_key("RS256")


@pytest.fixture(scope="module")
def provider(key):
    """A transport that finds metadata and keys of every issuer in this module."""
    site = Site()
    jwks = {"keys": [_jose.public_jwk(key)]}
    for issuer in (POOL, *(ENTRA["iss"].replace(TENANT, t) for t in (TENANT, OTHER_TENANT))):
        metadata = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
        site[f"{issuer}/.well-known/openid-configuration"] = metadata
        site[f"{issuer}/keys"] = jwks
    return site


@pytest.fixture
def configured(key, provider, monkeypatch):
    """Return a page's mapping, with local keys in the place of those that would be fetched."""
    monkeypatch.setenv("KEYCLOAK_SECRET", "f3a9c1e07b5d4826-of-a-test")
    module = types.ModuleType("myapp.auth")
    monkeypatch.setitem(sys.modules, "myapp", types.ModuleType("myapp"))
    monkeypatch.setitem(sys.modules, "myapp.auth", module)

    def of(name, nth, mappings=None):
        page = PAGES[name]
        for block in page.blocks:
            if "def " in block:
                code = re.sub(r"(audience=\w+),", r"\1, transport=TRANSPORT,", block)
                module.__dict__.update(page.run(code, {"TRANSPORT": provider}))
        return local((mappings or page.mappings())[nth], key)

    return of


def local(mapping, key):
    """Return the mapping with a pinned key beside each issuer."""
    mapping = copy.deepcopy(mapping)
    for entry in mapping["credentials"]:
        if entry["type"] == "jwks":
            entry.pop("discovery_url", None)
            entry["jwks"] = {"keys": [_jose.public_jwk(key)]}
    return mapping


def signed(claims, key, typ="JWT"):
    """Sign; without ``typ`` the header has none."""
    said = {"iat": NOW, "exp": END, "jti": "j1"} | claims
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key.private, "RS256", headers={"kid": key.kid, "typ": typ})


def name_of(value):
    return value[0] if isinstance(value, tuple) and isinstance(value[0], str) else None


@pytest.mark.parametrize(("shape", "expected"), ACCEPTED, ids=name_of)
def test_a_token_of_the_provider_is_accepted(configured, key, shape, expected):
    """With the mapping as it stands, and with the scopes and roles that the page promises."""
    page, nth, typ, claims = shape
    found = principal_of(configured(page, nth), signed(claims, key, typ))
    assert expected == (found.subject, found.kind, set(found.scopes), set(found.roles))
    assert found.issuer == claims["iss"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}-{case[-1]}")
def test_another_token_is_refused_with_the_reason_of_the_page(configured, key, case):
    """What the table of first errors says is what a developer sees."""
    page, nth, typ, claims, reason = case
    with pytest.raises(InvalidToken) as refused:
        principal_of(configured(page, nth), signed(claims, key, typ))
    assert reason == refused.value.reason


@pytest.mark.parametrize(("page", "token", "reason"), UNREADABLE)
def test_what_is_no_signed_token_is_refused(configured, page, token, reason):
    """Opaque, encrypted and unsigned ones."""
    with pytest.raises(InvalidToken) as refused:
        principal_of(configured(page, 0), token)
    assert reason == refused.value.reason


@pytest.mark.parametrize(("page", "alg"), [("keycloak", "HS512"), ("auth0", "HS256")])
def test_what_the_provider_signs_with_a_secret_is_refused(configured, page, alg):
    """Refresh tokens, and those of an API that is set to it."""
    header, payload = ({"alg": alg}, {"sub": "x"})
    parts = [_jose.encode(json.dumps(part).encode()) for part in (header, payload)]
    with pytest.raises(InvalidToken) as refused:
        principal_of(configured(page, 0), ".".join([*parts, "AAAA"]))
    assert "algorithm" == refused.value.reason


def test_a_token_for_graph_has_no_good_signature(configured, other_key):
    """Even where somebody lets its audience in: it is made so that only Graph can verify it."""
    mapping = configured("entra", 1)
    mapping["credentials"][0]["audience"] = GRAPH
    mapping["credentials"][0]["jwks"]["keys"][0]["kid"] = other_key.kid
    with pytest.raises(InvalidToken) as refused:
        principal_of(mapping, signed(ENTRA_V1 | {"aud": GRAPH}, other_key))
    assert "bad_signature" == refused.value.reason


def test_a_token_of_another_pool_has_an_unknown_key(configured, other_key):
    """Where it is of the same issuer all the same."""
    with pytest.raises(InvalidToken) as refused:
        principal_of(configured("cognito", 0), signed(COGNITO, other_key, None))
    assert "unknown_key" == refused.value.reason


@pytest.mark.parametrize(
    ("configured_as", "named"),
    [
        ("https://sso.example/realms/shop", "http://keycloak:8080/realms/shop"),
        ("https://acme.eu.auth0.com", "https://acme.eu.auth0.com/"),
        (
            "https://login.microsoftonline.com/common/v2.0",
            "https://login.microsoftonline.com/{tenantid}/v2.0",
        ),
        ("https://acme-admin.okta.com/oauth2/default", "https://acme.okta.com/oauth2/default"),
    ],
)
def test_metadata_of_another_name_is_an_outage(key, configured_as, named):
    """`issuer_mismatch`, as four of the pages say."""
    url = f"{configured_as}/.well-known/openid-configuration"
    site = Site(**{url: {"issuer": named, "jwks_uri": f"{configured_as}/keys"}})
    verifier = JWKSVerifier(configured_as, audience="x", transport=site)
    with pytest.raises(AuthServiceUnavailable) as outage:
        verifier.verify(signed({"iss": configured_as, "aud": "x", "sub": "a"}, key))
    assert "issuer_mismatch" == outage.value.reason


@pytest.mark.parametrize("name", NAMES)
def test_toml_says_what_python_says(configured, name):
    """The first TOML block is the first mapping; every one is a configuration."""
    page = PAGES[name]
    written = page.tomls()
    assert settings(page.mappings()[0]).credentials == settings(written[0]).credentials
    assert all(settings(mapping) for mapping in written)


@pytest.mark.parametrize("name", NAMES)
def test_every_reason_of_the_page_is_tested_here(name):
    """Nothing stands in a table of first errors that was not seen."""
    rows = PAGES[name].rows("First errors")
    said = {s for row in rows for s in slugs(row[0]) if re.fullmatch(r"[a-z_]+", s)}
    seen = {reason for page, *_, reason in (*REFUSED, *UNREADABLE) if page == name}
    elsewhere = {
        "keycloak": {"issuer_mismatch", "algorithm"},
        "auth0": {"issuer_mismatch", "algorithm"},
        "entra": {"issuer_mismatch", "bad_signature"},
        "cognito": {"unknown_key"},
        "okta": {"issuer_mismatch"},
    }
    assert said == seen | elsewhere.get(name, set())


def test_a_lightweight_token_has_no_roles(configured, key):
    """As Keycloak's page says."""
    claims = KEYCLOAK | {"realm_access": None, "resource_access": None}
    assert frozenset() == principal_of(configured("keycloak", 0), signed(claims, key)).roles


def test_keycloak_can_be_asked(configured, key, monkeypatch):
    """The section ``live`` of the page fits into the mapping above it."""
    page = PAGES["keycloak"]
    names = page.run(page.block('["live"] = {'), {"TOKENWARD": configured("keycloak", 0)})
    entry = settings(names["TOKENWARD"]).credentials[0]
    assert (KEYCLOAK["iss"], ("orders",)) == (entry.live.issuer, tuple(entry.live.audience))


def test_the_pool_at_large_takes_every_client(configured, key):
    """Cognito's last TOML block says so, and still takes no ID token."""
    page = PAGES["cognito"]
    mapping = configured("cognito", 1, page.tomls())
    token = signed(COGNITO | {"client_id": "another"}, key, None)
    assert "aaaaaaaa-bbbb" == principal_of(mapping, token).subject
    with pytest.raises(InvalidToken):
        principal_of(mapping, signed(COGNITO_ID, key, None))


def test_many_tenants_are_those_of_the_list(configured, key):
    """Two of them, and no third."""
    mapping = configured("entra", 1, PAGES["entra"].tomls())
    other = ENTRA | {"iss": ENTRA["iss"].replace(TENANT, OTHER_TENANT)}
    assert "pairwise-1" == principal_of(mapping, signed(ENTRA, key)).subject
    assert other["iss"] == principal_of(mapping, signed(other, key)).issuer
    third = ENTRA | {"iss": ENTRA["iss"].replace(TENANT, "0" * 36)}
    with pytest.raises(InvalidToken) as refused:
        principal_of(mapping, signed(third, key))
    assert "unknown_issuer" == refused.value.reason


def test_both_versions_are_taken_together(configured, key):
    """Entra's two mappings in one list."""
    both = {"credentials": [configured("entra", n)["credentials"][0] for n in (0, 1)]}
    found = [principal_of(both, signed(claims, key)).client_id for claims in (ENTRA, ENTRA_V1)]
    assert [ENTRA["azp"], ENTRA_V1["appid"]] == found


def test_an_id_token_of_one_registration_needs_the_required_claim(configured, key):
    """Entra's page says why it asks for `azp`: without, an ID token would pass."""
    mapping = configured("entra", 0)
    id_token = signed(ENTRA | {"azp": None, "azpacr": None, "scp": None, "nonce": "n"}, key)
    mapping["credentials"][0].pop("required")
    assert "pairwise-1" == principal_of(mapping, id_token).subject


def test_firebase_keys_may_be_named():
    """The address on the page is an entry's."""
    page = PAGES["firebase"]
    (uri,) = re.findall(r'`"jwks_uri": "([^"]+)"`', page.text)
    entry = page.mappings()[0]["credentials"][0] | {"jwks_uri": uri}
    assert uri == settings({"credentials": [entry]}).credentials[0].jwks_uri


def test_auth0_can_be_held_to_its_new_profile(configured, key):
    """`token_types`, as its page says."""
    mapping = configured("auth0", 0)
    mapping["credentials"][0]["token_types"] = ["at+jwt"]
    assert principal_of(mapping, signed(AUTH0, key, "at+jwt"))
    with pytest.raises(InvalidToken):
        principal_of(mapping, signed(AUTH0, key))
