"""Which tokens are access tokens, and what they say of roles and scopes (RULES 10, 12, 13)."""

import pytest

from tokenward.errors import InvalidToken

ID_CLAIMS = {"nonce": "n", "at_hash": "h", "c_hash": "h", "auth_time": 1}


def reason(verifier, token):
    """Return why a token is refused; ``None``: it is not."""
    try:
        verifier.verify(token)
    except InvalidToken as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize(
    ("typ", "default", "strict"),
    [
        ("at+jwt", None, None),
        ("AT+JWT", None, None),
        ("application/at+jwt", None, None),
        ("JWT", None, "wrong_type"),
        ("application/jwt", None, "wrong_type"),
        ("dpop+jwt", "wrong_type", "wrong_type"),
        ("logout+jwt", "wrong_type", "wrong_type"),
        ("", "wrong_type", "wrong_type"),
    ],
)
def test_rfc_9068_by_its_type(make, issuer, typ, default, strict):
    """With token_types exactly those; without, what can be an access token (RULES 12)."""
    token = issuer.token(header_typ=typ)

    assert default == reason(make(), token)
    assert strict == reason(make(token_types=["at+jwt"]), token)


@pytest.mark.parametrize(
    ("claims", "default", "with_id"),
    [
        (ID_CLAIMS, "wrong_type", None),
        ({"typ": "ID"}, "wrong_type", None),
        ({"token_use": "id"}, "wrong_type", None),
        ({"token_use": "access"}, None, None),
        ({"typ": "Bearer"}, None, None),
        ({"typ": "Refresh"}, "wrong_type", "wrong_type"),
        ({"typ": "Offline"}, "wrong_type", "wrong_type"),
        ({"typ": "Logout"}, "wrong_type", "wrong_type"),
        ({"token_type": "refresh"}, "wrong_type", "wrong_type"),
        ({"type": "refresh"}, "wrong_type", "wrong_type"),
        ({"events": {}}, "wrong_type", "wrong_type"),
        ({"token_use": "refresh"}, "wrong_type", "wrong_type"),
    ],
    ids=str,
)
def test_id_tokens_are_another_profile(make, issuer, claims, default, with_id):
    """`accept_id_tokens` takes them, and no other kind (RULES 12)."""
    token = issuer.token(header_typ="JWT", **claims)

    assert default == reason(make(), token)
    assert with_id == reason(make(accept_id_tokens=True), token)


def test_an_id_token_of_another_client(make, issuer):
    """Its audience is the client, so that is what is configured."""
    token = issuer.token(header_typ="JWT", aud="web-app", **ID_CLAIMS)
    verifier = make(accept_id_tokens=True, audience="web-app")

    assert ("u1", "audience_mismatch") == (
        verifier.verify(token).subject,
        reason(make(accept_id_tokens=True), token),
    )


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, "x", [1], 0])
def test_a_bound_token_is_refused(make, issuer, cnf):
    """Nobody here checks the binding, whatever it is (RULES 12)."""
    assert "sender_constrained" == reason(make(), issuer.token(cnf=cnf))


@pytest.mark.parametrize(
    ("required", "claims", "expected"),
    [
        (["exp"], {"exp": None}, "claim_missing"),
        ([], {"exp": None}, None),
        (["jti", "client_id"], {"jti": "1"}, "claim_missing"),
        (["jti", "client_id"], {"jti": "1", "client_id": "c"}, None),
    ],
    ids=str,
)
def test_what_is_required(make, issuer, required, claims, expected):
    """``exp`` is by default; your list replaces that (RULES 10)."""
    assert expected == reason(make(required=required), issuer.token(**claims))


def test_a_token_without_an_end(make, issuer, clock):
    """It is cached as long as its keys are the same."""
    verifier = make(required=())
    token = issuer.token(exp=None)
    for _ in range(3):
        verifier.verify(token)
        clock.advance(4_000)

    assert (2, 1) == (verifier.stats().hits, verifier.stats().misses)
    assert verifier.verify(token).expires_at is None


@pytest.mark.parametrize(
    ("where", "claims", "roles"),
    [
        ("roles", {"roles": ["a", "b"]}, {"a", "b"}),
        ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, {"a"}),
        ("https://shop.example/roles", {"https://shop.example/roles": ["a"]}, {"a"}),
        (
            ["realm_access.roles", "resource_access.orders.roles"],
            {
                "realm_access": {"roles": ["a"]},
                "resource_access": {"orders": {"roles": ["b"]}, "other": {"roles": ["c"]}},
            },
            {"a", "b"},
        ),
        ("groups", {"groups": "one"}, {"one"}),
        ("groups", {"groups": {"a": 1}}, set()),
        ("groups", {"groups": [1, None, "a", ""]}, {"a"}),
        ("realm_access.roles", {"realm_access": "x"}, set()),
        ([], {"roles": ["a"]}, set()),
    ],
    ids=str,
)
def test_roles_from_claims(make, issuer, where, claims, roles):
    """A name, a path, a URL with dots in it, or several of these."""
    assert roles == make(roles_claim=where).verify(issuer.token(**claims)).roles


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scp": ["a", "b"]}, {"a", "b"}),
        ({"scope": "a", "scp": ["b"]}, {"a"}),
        ({"scope": ["a"]}, {"a"}),
        ({}, set()),
    ],
    ids=str,
)
def test_scopes(make, issuer, claims, scopes):
    """``scope`` wins over ``scp`` (RULES 13)."""
    assert scopes == make().verify(issuer.token(**claims)).scopes


@pytest.mark.parametrize(
    ("audience", "aud", "good"),
    [
        ("orders", "orders", True),
        ("orders", ["x", "orders"], True),
        (["orders", "shop"], "shop", True),
        ("orders", "ORDERS", False),
        ("orders", "orders2", False),
        ("orders", ["x", 7, "orders"], False),
        ("orders", [], False),
        (None, None, True),
        (None, "anything", True),
    ],
    ids=str,
)
def test_audiences(make, issuer, audience, aud, good):
    """One of yours, exactly (RULES 11)."""
    expected = None if good else "audience_mismatch"

    assert expected == reason(make(audience=audience), issuer.token(aud=aud))


# --- verify_token


@pytest.mark.parametrize(
    "form",
    ["{}", "Bearer {}", "bearer {}", "BEARER   {}", " Bearer {} ", "\tBearer {}\n", " {}"],
    ids=repr,
)
def test_claims_of_a_token_with_or_without_its_scheme(make, issuer, form):
    """Plain JSON types, and a copy of your own."""
    verifier = make()
    token = issuer.token(roles=["a"], nested={"x": [1]})
    claims = verifier.verify_token(form.format(token))
    assert (dict, list, dict) == tuple(map(type, (claims, claims["roles"], claims["nested"])))
    assert ("u1", ["a"], {"x": [1]}) == (claims["sub"], claims["roles"], claims["nested"])
    claims["nested"]["x"].clear()

    assert {"x": [1]} == verifier.verify_token(token)["nested"]


@pytest.mark.parametrize(
    "token", ["", "Bearer", "Bearer ", "Basic abc", "Bearer a b", None, 7, b"x"]
)
def test_what_is_no_token_has_no_claims(make, token):
    """A refusal, whatever comes."""
    with pytest.raises(InvalidToken) as caught:
        make().verify_token(token)

    assert "malformed" == caught.value.reason
