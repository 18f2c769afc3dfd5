"""Objects where strings belong, and members that nobody may set."""

import json

import pytest
from service_callers import ORDERS, PASSWORD, SHOP

from tokenward.endpoints import ENDPOINTS

JSON_ROWS = [row for row in ENDPOINTS if isinstance(row.takes, type)]
FORM_ROWS = [row for row in ENDPOINTS if isinstance(row.takes, tuple)]
MEMBERS = [(row, name) for row in JSON_ROWS for name in row.takes.model_fields]
OPERATORS = [
    {"$ne": None},
    {"$gt": ""},
    {"$regex": ".*"},
    {"$where": "sleep(1000)"},
    {"$in": ["alice"]},
    ["alice"],
    [{"$ne": 1}],
    True,
    0,
    1e3,
]
TEXTS = ['{"$ne": null}', "$ne", "' OR 1=1 --", 'a"; DROP TABLE users', "$where: 1", "*", "%", "_"]
OURS = [
    "id",
    "_id",
    "sub",
    "is_active",
    "roles",
    "token_version",
    "hashed_password",
    "email_verified",
    "created_at",
    "scope",
    "client_id",
    "$set",
    "__class__",
    "",
]
GOOD = {
    "username": "mallory",
    "email": "mallory@example.com",
    "password": PASSWORD,
    "current_password": PASSWORD,
    "new_password": "violet staple lantern",
    "refresh_token": "x" * 43,
    "token": "x" * 43,
    "sid": "x" * 22,
}


@pytest.fixture(scope="module")
def granted(attacker):
    return attacker.login(attacker.newcomer())


def good_body(row):
    return {name: GOOD[name] for name in row.takes.model_fields}


def send(attacker, row, members, granted):
    token = granted["access_token"] if row.authentication == "bearer" else None
    return attacker.post(row.path, members, token=token)


@pytest.mark.parametrize(
    ("row", "name"), MEMBERS, ids=lambda v: v if isinstance(v, str) else v.name
)
def test_operator_in_a_member_is_a_400(attacker, granted, row, name):
    """RULES 36: it reaches no query; who asked stays logged in, and nobody is made."""
    before = attacker.count()
    for operator in OPERATORS:
        answer = send(attacker, row, good_body(row) | {name: operator}, granted)
        assert answer.error == (400, "invalid_request")
        assert set(answer.json["fields"]) == {name}
        assert "$" not in answer.body.decode()
    assert attacker.count() == before
    assert attacker.get("/me", granted["access_token"]).status == 200


def test_text_that_looks_like_a_query_is_text(attacker, hashes):
    """A name nobody has, a token nobody made."""
    attacker.newcomer()
    for text in TEXTS:
        answer = attacker.post("/login", {"username": text, "password": text})
        assert answer.error == (401, "invalid_credentials")
        assert attacker.refresh(text).error == (400, "invalid_grant")
        members = {"token": text, "new_password": "violet staple lantern"}
        assert attacker.post("/password/reset", members).status == 400
        assert attacker.post("/email/verify", {"token": text}).status == 400
        assert not attacker.is_active(text)
        fields = {"grant_type": "refresh_token", "refresh_token": text}
        assert attacker.form("/token", fields, authorization=SHOP).error == (400, "invalid_grant")


@pytest.mark.parametrize("row", FORM_ROWS, ids=lambda row: row.name)
def test_bracketed_form_field_is_another_field(attacker, granted, row):
    """Some parsers make an object of ``token[$ne]``; here it is a field that nobody reads."""
    for field in row.takes:
        body = f"{field.name}[$ne]=1&{field.name}[]=1".encode()
        answer = attacker.send(
            "POST",
            row.path,
            body,
            content_type="application/x-www-form-urlencoded",
            authorization=ORDERS,
        )
        assert answer.error == (400, "invalid_request")
    assert attacker.get("/me", granted["access_token"]).status == 200


@pytest.mark.parametrize("row", FORM_ROWS, ids=lambda row: row.name)
def test_operator_in_a_form_field_is_text(attacker, granted, row):
    """Its value names no token, no client, no grant."""
    for text in (*TEXTS, "\0", "\ud7ff", "\U0001d482"):
        for field in row.takes:
            fields = {"token": "x", "grant_type": "client_credentials", field.name: text}
            answer = attacker.form(row.path, fields, authorization=ORDERS)
            assert answer.status in {200, 400, 401}
            if answer.status == 200 and row.name == "introspect":
                assert answer.json == {"active": False}
            if row.name == "token":
                assert answer.status != 200
    assert attacker.get("/me", granted["access_token"]).status == 200


@pytest.mark.parametrize("row", JSON_ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("name", OURS)
def test_member_that_is_not_asked_for_is_a_400(attacker, granted, row, name):
    """Mass assignment: refused whole, and its name is not repeated."""
    before = attacker.count()
    for value in (True, 1, "admin", ["admin"], None):
        answer = send(attacker, row, good_body(row) | {name: value}, granted)
        assert answer.error == (400, "invalid_request")
        assert answer.json["fields"] == {"_": "unknown members are refused"}
    assert attacker.count() == before


def test_newcomer_is_nothing_special(attacker):
    """Active, unverified, without roles, of a random id: whatever the body tried."""
    name = attacker.newcomer()
    user = attacker.service.users.get_by_username(name)
    assert (user.roles, user.email_verified, user.token_version) == ((), False, 0)


def test_form_grants_nothing_beside_what_was_configured(attacker):
    """Members that a token has are not for the asking."""
    more = {"sub": "x", "roles": "admin", "client_id": "shop", "aud": "x", "sid": "x", "exp": "9"}
    answer = attacker.token(grant_type="client_credentials", scope="read", **more)
    token = answer.json["access_token"]
    state = attacker.form("/introspect", {"token": token}, authorization=SHOP).json
    assert (state["sub"], state["scope"], state.get("roles", [])) == ("shop", "read", [])
    assert "sid" not in state


@pytest.mark.parametrize("row", JSON_ROWS, ids=lambda row: row.name)
def test_twice_the_same_member_is_a_400(attacker, granted, row):
    """Two readers would take two values for it (RFC 8259, section 4)."""
    name = next(iter(row.takes.model_fields))
    text = json.dumps(good_body(row))[:-1] + f', "{name}": "other"}}'
    token = f"Bearer {granted['access_token']}" if row.authentication == "bearer" else None
    answer = attacker.send(
        "POST", row.path, text.encode(), content_type="application/json", authorization=token
    )
    assert answer.error == (400, "invalid_request")
