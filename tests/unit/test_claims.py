"""claims.py: one policy for every verifier (RULES 10 to 14, 21)."""

import json
import logging
import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.claims import ClaimsPolicy, scopes_of
from tokenward.claims import policy as module
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InsufficientScope,
    InvalidClaim,
    InvalidToken,
    NotAuthenticated,
    TokenExpired,
)
from tokenward.principal import Principal
from tokenward.schemas import PublicUser

NOW = 1_700_000_000
ANY = ClaimsPolicy(audience=None)


def good(**claims):
    """Return claims that every policy below accepts."""
    known = {"iss": "https://as.example", "sub": "u1", "aud": "orders", "exp": NOW + 60}
    return {k: v for k, v in (known | claims).items() if v is not ...}


def refused(policy, claims, *, now=NOW):
    """Return the error with which `policy` refuses `claims`."""
    with pytest.raises(InvalidToken) as caught:
        policy.check_claims(claims, now=now)
    return caught.value


def wrong_type(policy, header, claims):
    """Assert that the token is refused for what it is."""
    with pytest.raises(InvalidToken) as caught:
        policy.check_type(header, claims)
    assert "wrong_type" == caught.value.reason


@pytest.fixture(autouse=True)
def _every_line_is_logged(monkeypatch):
    """Start each test with a log that has said nothing this minute."""
    monkeypatch.setattr(module._seldom, "_last", {})


# --- construction


@pytest.mark.parametrize(
    "arguments",
    [
        {"audience": ""},
        {"audience": ()},
        {"audience": ["orders", ""]},
        {"audience": ["orders", 1]},
        {"audience": 5},
        {"audience": True},
        {"audience": b"orders"},
        {"audience": None, "issuer": ""},
        {"audience": None, "issuer": []},
        {"audience": None, "issuer": [None]},
        {"audience": None, "required": [""]},
        {"audience": None, "required": 5},
        {"audience": None, "token_types": ()},
        {"audience": None, "token_types": [None]},
        {"audience": None, "roles_claim": ["a", 5]},
        {"audience": None, "roles_claim": ""},
        {"audience": None, "leeway": -1},
        {"audience": None, "leeway": math.inf},
        {"audience": None, "leeway": math.nan},
        {"audience": None, "leeway": True},
        {"audience": None, "leeway": "30"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_stops_the_start(arguments):
    """An argument that would turn a check off, or fail at the first request, fails now."""
    with pytest.raises(ConfigurationError):
        ClaimsPolicy(**arguments)


def test_audience_must_be_written():
    """No check is turned off by leaving something out."""
    with pytest.raises(TypeError, match="audience"):
        ClaimsPolicy()


# --- times (RULES 10)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [str(NOW + 60), "", True, False, [NOW], {"a": 1}, math.nan, math.inf, -math.inf],
    ids=repr,
)
def test_times_are_finite_numbers(name, value):
    """A string, a boolean, NaN or infinity is no time, whatever it compares to."""
    error = refused(ANY, good(**{name: value}))

    assert (InvalidClaim, name, "invalid_time") == (type(error), error.claim, error.reason)


@pytest.mark.parametrize(
    "huge",
    [10**20, 10**400, -(10**400), 1.7e308, -1.7e308],
    ids=["later", "endless", "ages-ago", "float", "negative-float"],
)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_huge_times_are_compared_and_not_overflowed(name, huge):
    """A number of any size is before or after now; it crashes nothing."""
    claims = good(**{name: huge})
    early_is_bad = name == "exp"

    if (huge < 0) == early_is_bad:
        assert isinstance(refused(ANY, claims), InvalidToken)
    else:
        assert ANY.check_claims(claims, now=NOW) is None


@pytest.mark.parametrize("leeway", [0, 30, 0.5])
@pytest.mark.parametrize("exp", [NOW, NOW + 0.25])
def test_exp_is_the_first_moment_of_refusal(leeway, exp):
    """On or after ``exp`` a token is refused, later by the leeway (RFC 7519, 4.1.4)."""
    policy = ClaimsPolicy(audience=None, leeway=leeway)
    ends = exp + leeway

    assert policy.check_claims(good(exp=exp), now=math.nextafter(ends, 0)) is None
    error = refused(policy, good(exp=exp), now=ends)
    assert (TokenExpired, "expired") == (type(error), error.reason)


@pytest.mark.parametrize("leeway", [0, 30])
@pytest.mark.parametrize(
    ("name", "reason"), [("nbf", "not_yet_valid"), ("iat", "issued_in_future")]
)
def test_nbf_and_iat_are_not_in_the_future(leeway, name, reason):
    """Before ``nbf``, or before it was issued, a token is refused, beyond the leeway."""
    policy = ClaimsPolicy(audience=None, leeway=leeway)

    assert policy.check_claims(good(**{name: NOW + leeway}), now=NOW) is None
    error = refused(policy, good(**{name: NOW + leeway + 1}))
    assert (name, reason) == (error.claim, error.reason)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("absent", [..., None])
def test_required_times(name, absent):
    """A claim that is required and absent, or null, is refused; one that is not, is not."""
    claims = good(**{name: absent})

    assert ANY.check_claims(claims, now=NOW) is None
    error = refused(ClaimsPolicy(audience=None, required=[name]), claims)
    assert ("claim_missing", name) == (error.reason, error.claim)


def test_epoch_is_utc(far_from_utc):
    """The zone of the machine changes nothing (RULES 52)."""
    assert ANY.check_claims(good(exp=NOW + 1, nbf=NOW, iat=NOW), now=NOW) is None
    assert isinstance(refused(ClaimsPolicy(audience=None, leeway=0), good(exp=NOW)), TokenExpired)


# --- issuer and audience (RULES 11)


@pytest.mark.parametrize(
    "iss",
    [
        ...,
        None,
        "",
        "https://as.example/",
        "https://AS.example",
        "https://as.example\u200b",
        " https://as.example",
        "https://as.exampl\u0435",
        ["https://as.example"],
        {"https://as.example": 1},
        True,
        5,
    ],
    ids=ascii,
)
def test_issuer_is_compared_exactly(iss):
    """A configured issuer must be there, code point by code point."""
    error = refused(ClaimsPolicy(audience=None, issuer="https://as.example"), good(iss=iss))

    assert ("iss", "unknown_issuer") == (error.claim, error.reason)


def test_one_of_several_issuers():
    """Several issuers may be named; each is exact."""
    policy = ClaimsPolicy(audience=None, issuer=["https://a.example", "https://as.example"])

    assert policy.check_claims(good(), now=NOW) is None
    assert "unknown_issuer" == refused(policy, good(iss="https://a")).reason


def test_hint_tells_the_trailing_slash():
    """The most frequent mistake is named."""
    error = refused(ClaimsPolicy(audience=None, issuer="https://as.example/"), good())

    assert "trailing slash" in error.hint


@pytest.mark.parametrize(
    "aud",
    ["orders", ["orders"], ["other", "orders"], ["orders", "orders"], ("orders",)],
    ids=repr,
)
def test_audience_is_named(aud):
    """A string, or a list of strings, that names us (RFC 7519, section 4.1.3)."""
    assert ClaimsPolicy(audience="orders").check_claims(good(aud=aud), now=NOW) is None


@pytest.mark.parametrize(
    "aud",
    [
        ...,
        None,
        "",
        "order",
        "ordersx",
        "ORDERS",
        "orders other",
        [],
        [""],
        ["other"],
        [["orders"]],
        ["orders", 5],
        ["orders", None],
        {"orders": True},
        True,
        5,
    ],
    ids=repr,
)
def test_audience_is_not_named(aud):
    """Absent, another, a substring, or in any other shape: refused."""
    error = refused(ClaimsPolicy(audience="orders"), good(aud=aud))

    assert ("aud", "audience_mismatch") == (error.claim, error.reason)


def test_any_audience_only_when_written():
    """``audience=None`` takes what is meant for anybody, and what names nobody."""
    assert ANY.check_claims(good(aud="other"), now=NOW) is None
    assert ANY.check_claims(good(aud=...), now=NOW) is None


def test_one_of_several_audiences():
    """Several audiences of ours: one must be named."""
    policy = ClaimsPolicy(audience=("orders", "billing"))

    assert policy.check_claims(good(aud=["x", "billing"]), now=NOW) is None
    assert "audience_mismatch" == refused(policy, good(aud="x")).reason


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"client_id": "web"}, True),
        ({"azp": "web"}, True),
        ({"appid": "app"}, True),
        ({"cid": "app"}, True),
        ({"client_id": "other"}, False),
        ({"client_id": "other", "azp": "web"}, False),
        ({"client_id": ["web"]}, False),
        ({"client_id": ""}, False),
        ({"client_id": "Web"}, False),
        ({}, False),
    ],
    ids=repr,
)
def test_only_these_clients(claims, accepted):
    """By whichever claim names the client first; an issuer that names no audience names it so."""
    policy = ClaimsPolicy(audience=None, clients=["web", "app"])

    if accepted:
        assert policy.check_claims(good(**claims), now=NOW) is None
    else:
        error = refused(policy, good(**claims))
        assert ("client_id", "client_mismatch") == (error.claim, error.reason)
        assert "'app' or 'web'" in error.hint


def test_any_client_by_default():
    """It is a check more, not one to be turned off."""
    for clients in ((), []):
        policy = ClaimsPolicy(audience=None, clients=clients)
        assert policy.check_claims(good(client_id="x"), now=NOW) is None


def test_evidence_is_in_attributes_and_the_hint_is_escaped():
    """What came is kept for programs; in the hint it cannot forge a line of a log."""
    error = refused(ClaimsPolicy(audience="orders"), good(aud=["x\r\nforged", "y" * 5_000]))

    assert (["orders"], ["x\r\nforged", "y" * 5_000]) == (error.expected, error.actual)
    assert "\n" not in error.hint
    assert len(error.hint) < 600
    assert "forged" not in f"{error} {error!r} {error.description}"


# --- which kind of token (RULES 12)


@pytest.mark.parametrize("typ", [..., "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_access_tokens_by_default(typ):
    """No header typ, JWT, or that of RFC 9068, in any case."""
    header = {} if typ is ... else {"typ": typ}

    assert ANY.check_type(header, good()) is None


@pytest.mark.parametrize(
    "typ", ["", "id+jwt", "logout+jwt", "dpop+jwt", "jwt ", "JOSE", "token-introspection+jwt"]
)
def test_other_header_types_by_default(typ):
    """A JWT that says it is something else is no access token (RFC 8725, section 3.11)."""
    wrong_type(ANY, {"typ": typ}, good())


@pytest.mark.parametrize("typ", [5, True, ["JWT"], {"JWT": 1}], ids=repr)
@pytest.mark.parametrize("token_types", [None, ("JWT",)])
def test_header_type_is_a_string(typ, token_types):
    """Any other JSON type is refused."""
    wrong_type(ClaimsPolicy(audience=None, token_types=token_types), {"typ": typ}, good())


@pytest.mark.parametrize(
    ("configured", "typ", "accepted"),
    [
        ("at+jwt", "at+jwt", True),
        ("at+jwt", "application/at+jwt", True),
        ("application/at+jwt", "AT+JWT", True),
        ("AT+jwt", "Application/at+JWT", True),
        ("at+jwt", "JWT", False),
        ("at+jwt", ..., False),
        ("at+jwt", "", False),
        ("JWT", "JWT", True),
        ("JWT", "application/jwt", True),
        ("JWT", ..., False),
        ("JWT", "at+jwt", False),
        ("own+jwt", "own+jwt", True),
        ("own+jwt", "image/own+jwt", False),
    ],
)
def test_configured_types_are_exact(configured, typ, accepted):
    """With ``token_types``, those and none else; absence is none of them (RFC 9068, 4)."""
    policy = ClaimsPolicy(audience=None, token_types=[configured])
    header = {} if typ is ... else {"typ": typ}

    if accepted:
        assert policy.check_type(header, good()) is None
    else:
        wrong_type(policy, header, good())


OTHER_KINDS = [
    {"typ": "ID"},
    {"typ": "Refresh"},
    {"typ": "offline"},
    {"typ": "Logout"},
    {"token_use": "id"},
    {"token_use": "refresh"},
    {"token_use": ""},
    {"token_use": ["access"]},
    {"token_type": "refresh"},
    {"token_type": "Refresh"},
    {"type": "refresh"},
    {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    {"events": None},
    {"at_hash": "x"},
    {"c_hash": "x"},
    {"s_hash": "x"},
]


@pytest.mark.parametrize("marks", OTHER_KINDS, ids=repr)
@pytest.mark.parametrize(
    ("token_types", "header"),
    [(None, {}), (None, {"typ": "JWT"}), (None, {"typ": "at+jwt"}), (("JWT",), {"typ": "JWT"})],
    ids=repr,
)
def test_marks_of_other_kinds(marks, token_types, header):
    """An ID, refresh or logout token is refused wherever the header does not settle the kind."""
    wrong_type(ClaimsPolicy(audience=None, token_types=token_types), header, good(**marks))


OF_ID_TOKENS = [
    {"typ": "ID"},
    {"typ": "id"},
    {"token_use": "id"},
    {"at_hash": "x"},
    {"c_hash": "x"},
    {"s_hash": "x"},
    {"at_hash": "x", "typ": "ID", "token_use": "id"},
    {},
    {"token_use": "access"},
]


@pytest.mark.parametrize("marks", OF_ID_TOKENS, ids=repr)
@pytest.mark.parametrize("header", [{}, {"typ": "JWT"}], ids=repr)
def test_id_tokens_where_they_are_wanted(marks, header):
    """Beside access tokens, not instead of them."""
    policy = ClaimsPolicy(audience=None, accept_id_tokens=True)

    assert policy.check_type(header, good(**marks)) is None


@pytest.mark.parametrize(
    "marks", [marks for marks in OTHER_KINDS if marks not in OF_ID_TOKENS], ids=repr
)
def test_what_is_no_id_token_either(marks):
    """Refresh and logout tokens are for nobody's API."""
    wrong_type(ClaimsPolicy(audience=None, accept_id_tokens=True), {"typ": "JWT"}, good(**marks))


@pytest.mark.parametrize("typ", ["logout+jwt", "secevent+jwt", "dpop+jwt", "rt+jwt"])
def test_the_header_still_counts_where_id_tokens_are_wanted(typ):
    """A type of its own is another kind of token."""
    wrong_type(ClaimsPolicy(audience=None, accept_id_tokens=True), {"typ": typ}, good())


@pytest.mark.parametrize("marks", OTHER_KINDS, ids=repr)
def test_an_explicit_type_settles_the_kind(marks):
    """Where ``at+jwt`` is demanded and there, the payload's marks mean nothing."""
    policy = ClaimsPolicy(audience=None, token_types=["at+jwt"])

    assert policy.check_type({"typ": "at+jwt"}, good(**marks)) is None


@pytest.mark.parametrize(
    "marks",
    [
        {"typ": "Bearer"},
        {"typ": 5},
        {"token_use": "access"},
        {"token_use": None},
        {"token_type": "Bearer"},
        {"token_type": "access"},
        {"type": "access"},
        {"type": 5},
    ],
    ids=repr,
)
def test_marks_of_access_tokens(marks):
    """What real issuers put into access tokens is accepted."""
    assert ANY.check_type({}, good(**marks)) is None


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, "x", True, 5], ids=repr)
def test_bound_tokens_are_refused(cnf):
    """A token bound to a key we cannot check is none for its mere bearer (RFC 7800)."""
    error = refused(ANY, good(cnf=cnf))

    assert ("cnf", "sender_constrained") == (error.claim, error.reason)


def test_null_cnf_binds_nothing():
    """Some servers name every member they know."""
    assert ANY.check_claims(good(cnf=None), now=NOW) is None


# --- scopes (RULES 13)


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ""),
        ({"scope": "a b"}, "a b"),
        ({"scope": "  a   b a "}, "a b"),
        ({"scope": ""}, ""),
        ({"scope": ["a", "b"]}, "a b"),
        ({"scope": ("a",)}, "a"),
        ({"scp": "a b"}, "a b"),
        ({"scp": ["a", "b"]}, "a b"),
        ({"scope": "a", "scp": "b"}, "a"),
        ({"scope": "", "scp": "b"}, ""),
        ({"scope": [], "scp": "b"}, ""),
        ({"scope": None, "scp": "b"}, "b"),
        ({"scope": ["a", 5, None, ""]}, "a"),
        ({"scope": 5}, ""),
        ({"scope": {"a": True}}, ""),
        ({"scope": True, "scp": "b"}, ""),
    ],
    ids=str,
)
def test_scopes(claims, scopes):
    """``scope`` wins over ``scp``; string or list; a set, never substrings."""
    assert frozenset(scopes.split()) == scopes_of(claims)


@pytest.mark.parametrize("space", ["\t", "\n", "\x1c", "\u00a0", "\u2003"])
def test_sp_alone_separates_scopes(space):
    """RFC 6749, section 3.3: no other white space makes two scopes of one."""
    name = f"read{space}admin"
    assert {name, "x"} == scopes_of({"scope": f"{name} x"})


def test_a_scope_with_a_space_in_a_list_is_one_name():
    """A list is not split: ``["a b"]`` grants neither a nor b."""
    assert not ANY.principal(good(scope=["a b"])).has_any_scope("a", "b")


# --- roles


@pytest.mark.parametrize(
    ("path", "claims", "roles"),
    [
        ("roles", {"roles": ["a", "b"]}, "a b"),
        ("roles", {"roles": "a"}, "a"),
        ("roles", {}, ""),
        ("roles", {"roles": None}, ""),
        ("roles", {"roles": ["a", 5, None, ""]}, "a"),
        ("roles", {"roles": {"a": 1}}, ""),
        ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, "a"),
        (
            "realm_access.roles",
            {"realm_access.roles": ["b"], "realm_access": {"roles": ["a"]}},
            "b",
        ),
        ("https://x.example/roles", {"https://x.example/roles": ["a"]}, "a"),
        ("https://x.example/c.roles", {"https://x.example/c": {"roles": ["a"]}}, "a"),
        (
            "resource_access.x.example.roles",
            {"resource_access": {"x.example": {"roles": "a"}}},
            "a",
        ),
        ("a.b.c", {"a.b": {"c": "long"}, "a": {"b": {"c": "short"}}}, "long"),
        ("a.b.c", {"a.b": {"d": "x"}, "a": {"b": {"c": "r"}}}, "r"),
        ("realm_access.roles", {"realm_access": ["roles"]}, ""),
        ("realm_access.roles", {"realm_access": "roles"}, ""),
        ("a.b.c", {"a": {"b": {"c": "r"}}}, "r"),
        ("a..b", {"a": {"": {"b": "r"}}}, "r"),
        (("roles", "groups"), {"roles": ["a"], "groups": ["b"]}, "a b"),
        (("roles", "realm_access.roles"), {"realm_access": {"roles": ["b"]}}, "b"),
        ((), {"roles": ["a"]}, ""),
    ],
    ids=str,
)
def test_roles(path, claims, roles):
    """A name is looked up whole, then as a path; several are joined."""
    policy = ClaimsPolicy(audience=None, roles_claim=path)

    assert frozenset(roles.split()) == policy.principal(good(**claims)).roles


# --- who


@pytest.mark.parametrize(
    ("claims", "kind", "subject"),
    [
        ({"sub": "u1"}, "user", "u1"),
        ({"sub": "u1", "client_id": "c"}, "user", "u1"),
        ({"sub": "c", "client_id": "c"}, "client", "c"),
        ({"sub": "c@clients", "azp": "c", "gty": "client-credentials"}, "client", "c@clients"),
        ({"sub": "auth0|1", "azp": "c", "gty": "password"}, "user", "auth0|1"),
        ({"sub": "9f", "azp": "c", "idtyp": "app"}, "client", "9f"),
        ({"sub": "9f", "azp": "c", "idtyp": "user"}, "user", "9f"),
        ({"sub": "9f", "azp": "c", "preferred_username": "service-account-c"}, "client", "9f"),
        ({"sub": "9f", "azp": "d", "preferred_username": "service-account-c"}, "user", "9f"),
        ({"sub": "9f", "azp": "c", "preferred_username": ["service-account-c"]}, "user", "9f"),
        ({"sub": "9f", "idtyp": "app"}, "user", "9f"),
        ({"sub": None, "client_id": "c"}, "client", "client:c"),
        ({"sub": "", "azp": "c"}, "client", "client:c"),
        ({"sub": 5, "appid": "c"}, "client", "client:c"),
        ({"cid": "c"}, "client", "client:c"),
        ({"client_id": "", "azp": None, "cid": "c"}, "client", "client:c"),
        ({"common_name": "s"}, "service", "service:s"),
        ({"username": "ada"}, "user", "username:ada"),
        ({"preferred_username": "ada"}, "user", "username:ada"),
    ],
    ids=str,
)
def test_subjects(claims, kind, subject):
    """``sub`` when it is a non-empty string, else what else says who it is."""
    who = ANY.principal(claims)

    assert (kind, subject) == (who.kind, who.subject)


def test_people_behind_one_client_stay_apart():
    """Without a ``sub`` the username tells people apart whose client is the same."""
    ada, eve = (ANY.principal({"client_id": "c", "username": name}) for name in ("ada", "eve"))

    assert ("username:ada", "username:eve") == (ada.subject, eve.subject)


@pytest.mark.parametrize(
    "claims", [{}, {"sub": None}, {"sub": ""}, {"sub": 5}, {"sub": ["a"]}, {"email": "a@b.example"}]
)
def test_nobody(claims):
    """Claims that name nobody are refused; an e-mail address is no name."""
    with pytest.raises(InvalidToken) as caught:
        ANY.principal(claims)

    assert "no_subject" == caught.value.reason


def test_members_of_a_principal():
    """Each member comes from the claim that the contract names."""
    user = PublicUser(id="u1", username="ada")
    claims = good(
        scope="a b",
        roles=["r"],
        azp="c",
        preferred_username="ada",
        email="ada@example.org",
        email_verified=True,
        exp=NOW + 0.5,
    )
    expected = Principal(
        "u1",
        issuer="https://as.example",
        scopes=["a", "b"],
        roles=["r"],
        client_id="c",
        username="ada",
        email="ada@example.org",
        email_verified=True,
        expires_at=NOW,
        claims=claims,
        user=user,
    )

    assert expected == ANY.principal(claims, issuer="https://endpoint.example", user=user)
    assert int is type(ANY.principal(claims).expires_at)


@pytest.mark.parametrize("iss", [..., None, "", 5])
def test_the_issuer_is_filled_in(iss):
    """Identity needs an issuer even where the answer carries none."""
    who = ANY.principal(good(iss=iss), issuer="https://endpoint.example")

    assert "https://endpoint.example" == who.issuer


@pytest.mark.parametrize("verified", ["true", 1, None, [], "false"])
def test_email_verified_is_a_boolean(verified):
    """Whatever is not JSON true or false says nothing."""
    assert ANY.principal(good(email_verified=verified)).email_verified is None


@pytest.mark.parametrize(
    ("first", "second"), [("client_id", "azp"), ("azp", "appid"), ("appid", "cid")]
)
def test_order_of_client_claims(first, second):
    """The registered claim wins over the vendors'."""
    assert "a" == ANY.principal(good(**{first: "a", second: "b"})).client_id


def test_username_wins_over_preferred_username():
    """RFC 7662 has the first, OpenID Connect the second."""
    assert "a" == ANY.principal(good(username="a", preferred_username="b")).username


def test_claims_nested_too_deep_are_refused():
    """What cannot be frozen is a bad token, not a crash (RULES 14)."""
    deep = {}
    inner = deep
    for _ in range(100):
        inner["a"] = inner = {}

    with pytest.raises(InvalidToken) as caught:
        ANY.principal(good(deep=deep))
    assert "malformed" == caught.value.reason


# --- check=


def test_check_sees_the_claims():
    """``check`` runs on claims that passed everything else."""
    seen = []
    policy = ClaimsPolicy(audience="orders", check=seen.append)
    policy.check_claims(good(tenant="acme"), now=NOW)
    refused(policy, good(aud="other"))

    assert [good(tenant="acme")] == seen


@pytest.mark.parametrize(
    "error",
    [
        InvalidClaim("tenant", "acme", "eve", "wrong tenant"),
        TokenExpired("by my own clock"),
        AuthServiceUnavailable("my database is down"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_check_refuses_with_its_own_error(error):
    """A refusal, or an outage, of the check is the caller's as it stands."""

    def check(_claims):
        raise error

    with pytest.raises(type(error)) as caught:
        ClaimsPolicy(audience=None, check=check).check_claims(good(), now=NOW)
    assert error is caught.value


@pytest.mark.parametrize(
    "error",
    [
        KeyError("LEAK"),
        ValueError("LEAK"),
        RecursionError("LEAK"),
        MemoryError("LEAK"),
        NotAuthenticated("LEAK"),
        InsufficientScope(["LEAK"]),
        ConfigurationError("LEAK"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_check_that_fails_refuses(error, caplog):
    """A check that crashes never accepts; nor can it pass for "nothing was presented"."""

    def check(_claims):
        raise error

    policy = ClaimsPolicy(audience=None, check=check)
    with caplog.at_level(logging.DEBUG):
        failed = refused(policy, good())

    assert (InvalidClaim, "check_failed") == (type(failed), failed.reason)
    assert type(error).__name__ in failed.hint
    assert type(error).__name__ in caplog.text
    assert "LEAK" not in failed.hint + caplog.text


def test_check_is_asked_apart_from_the_rest():
    """Before a signature is checked, nobody has said these claims."""
    asked = []
    policy = ClaimsPolicy(audience="orders", check=asked.append)

    policy.check_registered(good(), now=NOW)
    assert [] == asked
    policy.check_own(good())
    assert [good()] == asked
    policy.check_claims(good(), now=NOW)
    assert [good(), good()] == asked


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_check_does_not_swallow_the_end_of_the_program(error):
    """Ctrl-C in a check is Ctrl-C."""

    def check(_claims):
        raise error

    with pytest.raises(error):
        ClaimsPolicy(audience=None, check=check).check_claims(good(), now=NOW)


# --- everything

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.integers(NOW - 100, NOW + 100)
    | st.sampled_from(["orders", "https://as.example", "ID", "at+jwt", "access", "refresh"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.just("roles"), inner, max_size=3)
    ),
    max_leaves=8,
)
claim_names = st.sampled_from(
    [
        *("iss", "sub", "aud", "exp", "nbf", "iat", "cnf", "scope", "scp", "roles", "typ"),
        *("token_use", "token_type", "type", "events", "at_hash", "client_id", "azp", "email"),
        *("email_verified", "username", "common_name", "realm_access"),
    ]
)
mappings = st.dictionaries(claim_names | st.text(max_size=4), json_values, max_size=8)
STRICT = ClaimsPolicy(
    audience="orders",
    issuer="https://as.example",
    required=["exp"],
    token_types=["at+jwt"],
    roles_claim=["roles", "realm_access.roles"],
)


@given(mappings, mappings, st.sampled_from([ANY, STRICT]), st.booleans())
def test_any_claims_are_a_principal_or_an_invalid_token(header, claims, policy, complete):
    """Whatever JSON an issuer sends, only the documented error leaves (RULES 14)."""
    if complete:
        claims = good() | claims
    try:
        policy.check_type(header, claims)
        policy.check_claims(MappingProxyType(claims), now=NOW)
        who = policy.principal(claims, issuer="https://endpoint.example")
    except InvalidToken as error:
        told = f"{error} {error.hint}"
        assert told.isascii() or told.isprintable()
        return
    assert who.subject
    assert who.issuer
    assert json.dumps(who.to_dict())
    assert all(isinstance(name, str) and name for name in who.scopes | who.roles)


@given(mappings)
def test_what_is_accepted_keeps_to_the_policy(claims):
    """No shape of claims gets past a configured issuer, audience or expiry."""
    try:
        STRICT.check_claims(claims, now=NOW)
    except InvalidToken:
        return
    aud = claims["aud"]
    assert "https://as.example" == claims["iss"]
    assert "orders" == aud or "orders" in aud
    assert NOW < claims["exp"] + 30
    assert claims.get("cnf") is None


def test_check_sees_plain_json_of_its_own():
    """Lists as lists, whether the claims are fresh or frozen; changing them changes nothing."""
    seen = []

    def check(claims):
        seen.append(dict(claims))
        claims["tenants"].append("other")

    policy = ClaimsPolicy(audience=None, check=check)
    fresh = {"sub": "a", "tenants": ["acme"]}
    policy.check_claims(fresh, now=0)
    policy.check_claims(policy.principal(fresh).claims, now=0)
    assert [["acme", "other"]] * 2 == [claims["tenants"] for claims in seen]
    assert ["acme"] == fresh["tenants"]
