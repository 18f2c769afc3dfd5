"""claims/hints.py: what to do about a refused claim, for whoever set it up."""

import pytest

from tokenward.claims import ClaimsPolicy
from tokenward.errors import InvalidToken

NOW = 1_700_000_000
GRAPH = "00000003-0000-0000-c000-000000000000"
ENTRA = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555"


def judge(policy, claims):
    """Check a token's kind and its claims, as a verifier does."""
    policy.check_type({}, claims)
    policy.check_claims({"sub": "u1", **claims}, now=NOW)


def hint_of(claims, *, issuer=None, audience=None):
    """Return the hint with which a policy refuses these claims."""
    with pytest.raises(InvalidToken) as caught:
        judge(ClaimsPolicy(audience=audience, issuer=issuer), claims)
    return caught.value.hint


@pytest.mark.parametrize(
    ("audience", "claims", "advice"),
    [
        ("orders", {"aud": "account", "iss": "https://k.example/realms/shop"}, "audience mapper"),
        ("orders", {"aud": ["account"], "iss": "https://k.example/realms/a"}, "audience mapper"),
        ("orders", {"iss": "https://k.example/auth/realms/shop"}, "audience mapper"),
        (
            "orders",
            {"aud": ["account", "realm-management"], "iss": "https://k.example/realms/a"},
            "audience mapper",
        ),
        ("api", {"aud": "api/", "iss": "https://k.example/realms/a"}, "a scheme or a slash"),
        ("orders", {"aud": GRAPH, "iss": f"{ENTRA}/v2.0"}, "Microsoft Graph"),
        ("orders", {"aud": "https://graph.microsoft.com"}, "Microsoft Graph"),
        ("api://orders", {"aud": "orders"}, "differ in a scheme or a slash"),
        ("https://api.example", {"aud": "https://api.example/"}, "differ in a scheme or a slash"),
        ("https://api.example", {"aud": ["x", "http://api.example"]}, "a scheme or a slash"),
        ("orders", {"aud": "web", "nonce": "n"}, "looks like an ID token"),
        ("orders", {"aud": "web", "auth_time": NOW}, "looks like an ID token"),
        ("orders", {}, "write audience=None (in TOML: false) to accept"),
        ("orders", {"nonce": "n"}, "looks like an ID token"),
    ],
)
def test_an_audience_is_explained(audience, claims, advice):
    """By what providers are known for."""
    hint = hint_of(claims, audience=audience)

    assert advice in hint
    assert 1 == hint.count(";")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "account", "iss": "https://as.example"},
        {"aud": "web", "nonce": "n", "scope": "orders:read"},
        {"aud": "billing"},
        {"aud": []},
        {"aud": {"orders": 1}},
        {"aud": ["orders", 5]},
        {"aud": [{}], "iss": "https://k.example/realms/shop"},
        {"aud": [[]], "iss": "https://k.example/realms/shop"},
    ],
    ids=repr,
)
def test_nothing_is_made_up_about_an_audience(claims):
    """Where the claims do not tell, neither does the hint."""
    assert ";" not in hint_of(claims, audience="orders")


@pytest.mark.parametrize(
    ("issuer", "iss", "advice"),
    [
        ("https://as.example", "https://as.example/", "trailing slash"),
        ("https://as.example/", "https://as.example", "trailing slash"),
        ("https://as.example", "http://as.example", "TLS ends before it"),
        ("https://k.example/realms/a", "http://keycloak:8080/realms/a", "one public name"),
        (f"{ENTRA}/v2.0", f"https://sts.windows.net/{ENTRA[-36:]}/", "requestedAccessTokenVersion"),
        ("https://as.example", "https://other.example", "another environment"),
        ("https://as.example", "https://[", "another environment"),
    ],
)
def test_an_issuer_is_explained(issuer, iss, advice):
    """By how the two differ."""
    hint = hint_of({"iss": iss}, issuer=issuer)

    assert advice in hint
    assert 1 == hint.count(";")


@pytest.mark.parametrize("iss", [None, 5, ["https://as.example"], {}], ids=repr)
def test_what_is_no_issuer_needs_no_advice(iss):
    """There is nothing to compare."""
    assert ";" not in hint_of({"iss": iss}, issuer="https://as.example")


@pytest.mark.parametrize(("late", "advised"), [(300, True), (3_600, True), (3_601, False)])
def test_a_clock_may_be_wrong(late, advised):
    """If the token expired a moment ago; one of yesterday did expire."""
    hint = hint_of({"exp": NOW - late})

    assert f"expired {late} s ago" in hint
    assert advised == ("compare the clocks" in hint)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_clock_may_be_late(name):
    """A token from the future is of a machine that is ahead."""
    hint = hint_of({name: NOW + 300})

    assert "300 s" in hint
    assert "compare the clocks" in hint


@pytest.mark.parametrize(
    "claims", [{"typ": "ID"}, {"token_use": "id"}, {"at_hash": "x"}, {"c_hash": "x"}], ids=repr
)
def test_an_id_token_may_be_meant(claims):
    """Then there is a setting for it."""
    hint = hint_of(claims)

    assert "send the access token, or set accept_id_tokens" in hint


@pytest.mark.parametrize(
    "claims", [{"typ": "Refresh"}, {"token_use": "refresh"}, {"events": {}}], ids=repr
)
def test_other_kinds_are_never_meant(claims):
    """No setting takes them."""
    hint = hint_of(claims)

    assert "send the access token" in hint
    assert "accept_id_tokens" not in hint
