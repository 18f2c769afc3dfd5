"""principal.py: a value that nobody can change, and that grants only what it holds."""

import copy
import dataclasses
import json
import pickle
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.errors import InsufficientScope, NotAuthenticated
from tokenward.principal import ANONYMOUS, FrozenClaims, Principal, freeze, thaw
from tokenward.schemas import PublicUser, User

CLAIMS = {"sub": "u1", "roles": ["reader"], "realm_access": {"roles": ["a", {"b": ["c"]}]}}

MUTATIONS = {
    "setitem": lambda d: d.__setitem__("roles", ["admin"]),
    "delitem": lambda d: d.__delitem__("roles"),
    "ior": lambda d: d.__ior__({"roles": ["admin"]}),
    "clear": lambda d: d.clear(),
    "pop": lambda d: d.pop("roles"),
    "popitem": lambda d: d.popitem(),
    "setdefault": lambda d: d.setdefault("admin", True),
    "update": lambda d: d.update(roles=["admin"]),
    "attribute": lambda d: setattr(d, "roles", ["admin"]),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def principal(**fields):
    """Return a principal with claims that are nested."""
    return Principal("u1", **{"issuer": "https://as.example", "claims": CLAIMS} | fields)


def frozen_parts(value):
    """Yield every mapping inside a frozen value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | tuple):
            yield from frozen_parts(inner)


def test_mutations_are_all_of_them():
    """Every public method that a plain dict has and that changes it is tried below."""
    harmless = {"copy", "fromkeys", "get", "items", "keys", "values"}
    public = {n for n in vars(dict) if not n.startswith("_")}

    assert public - harmless == MUTATIONS.keys() - {"setitem", "delitem", "ior", "attribute"}


@pytest.mark.parametrize("how", MUTATIONS)
def test_claims_refuse_every_mutation_at_every_level(how):
    """A view that changes claims fails; it does not change what the next request sees."""
    who = principal()
    parts = list(frozen_parts(who.claims))

    assert 3 == len(parts)
    for part in parts:
        with pytest.raises((TypeError, AttributeError)):
            MUTATIONS[how](part)
    assert CLAIMS == thaw(who.claims)


def test_lists_become_tuples():
    """A list in a claim cannot be appended to."""
    who = principal()

    assert (("reader",), ("a", {"b": ("c",)})) == (
        who.claims["roles"],
        who.claims["realm_access"]["roles"],
    )


def test_merging_makes_a_new_mapping():
    """The ``|`` of a frozen mapping gives a plain dict and leaves the original alone."""
    who = principal()
    merged = who.claims | {"sub": "other"}

    assert ("other", "u1") == (merged["sub"], who.claims["sub"])
    assert who.claims.copy() is not who.claims


def test_claims_are_detached_from_what_was_handed_in():
    """Changing the mapping a verifier parsed does not change the principal."""
    claims = copy.deepcopy(CLAIMS)
    who = Principal("u1", claims=MappingProxyType(claims))
    claims["roles"].append("admin")
    claims["realm_access"]["roles"][1]["b"].append("admin")

    assert CLAIMS == thaw(who.claims)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Principal)])
def test_no_field_can_be_set(field):
    """A principal is shared between threads; no attribute of it moves."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(principal(), field, "other")


def test_no_field_can_be_added():
    """There is no room for an attribute that the next request would find."""
    who = principal()

    with pytest.raises((AttributeError, TypeError)):
        who.tenant = "acme"
    assert not hasattr(who, "__dict__")


@pytest.mark.parametrize("field", ["scopes", "roles"])
def test_one_string_is_no_set_of_names(field):
    """``scopes="admin"`` would grant a, d, m, i and n."""
    with pytest.raises(TypeError, match=field):
        Principal("u1", **{field: "admin"})


def test_collections_become_frozen_sets():
    """Scopes and roles are sets, whatever collection they came in."""
    who = Principal("u1", scopes=["a", "b", "a"], roles=("r",))

    assert (frozenset("ab"), frozenset("r")) == (who.scopes, who.roles)


def test_only_the_subject_is_positional():
    """Issuer and subject cannot be swapped by accident."""
    with pytest.raises(TypeError):
        Principal("u1", "https://as.example")


def test_defaults_grant_nothing():
    """A principal of nothing but a subject holds nothing."""
    who = Principal("u1")

    assert ("", "user", frozenset(), frozenset(), {}) == (
        who.issuer,
        who.kind,
        who.scopes,
        who.roles,
        who.claims,
    )
    assert (None,) * 6 == (
        who.client_id,
        who.username,
        who.email,
        who.email_verified,
        who.expires_at,
        who.user,
    )
    assert (True, False) == (who.is_authenticated, who.is_anonymous)


def test_json_takes_claims():
    """``json.dumps`` and ``jsonify`` take claims as they are."""
    import flask

    app = flask.Flask(__name__)
    who = principal()
    with app.app_context():
        body = flask.jsonify(who.claims).get_json()

    assert CLAIMS == json.loads(json.dumps(who.claims)) == body


@given(json_values)
def test_freezing_loses_nothing(value):
    """What JSON can say survives being frozen and thawed."""
    assert value == thaw(freeze(value))
    assert json.dumps(value) == json.dumps(freeze(value))


def test_freezing_twice_copies_once():
    """Claims that are frozen already are shared, not copied."""
    claims = freeze(CLAIMS)

    assert claims is freeze(claims) is Principal("u1", claims=claims).claims


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner]])
def test_freezing_refuses_what_would_not_end(wrap):
    """Claims nested deeper than any token's are refused, not recursed into."""
    deep = {}
    for _ in range(100):
        deep = wrap(deep)

    with pytest.raises(ValueError, match="nested deeper"):
        freeze(deep)


def test_frozen_claims_share_their_names():
    """Thousands of cached tokens say the same names, which are kept once."""
    one, other = (freeze(json.loads('{"a_name": {"of_a": 1}}')) for _ in range(2))

    assert next(iter(one)) is next(iter(other))
    assert next(iter(one["a_name"])) is next(iter(other["a_name"]))


def test_thawing_sorts_sets():
    """A set becomes a list in one order."""
    assert {"a": ["x", "y"]} == thaw(freeze({"a": {"y", "x"}}))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_keeps_it_equal_and_frozen(protocol):
    """A principal crosses to a worker process and is as frozen there."""
    who = principal(user=PublicUser(id="u1", username="ada"), scopes=["a"])
    remade = pickle.loads(pickle.dumps(who, protocol))  # noqa: S301 - our own bytes

    assert (who, hash(who)) == (remade, hash(remade))
    assert all(isinstance(part, FrozenClaims) for part in frozen_parts(remade.claims))
    with pytest.raises(TypeError):
        remade.claims["roles"] = ("admin",)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_are_equal_and_frozen(copied):
    """A deep copy of claims is no way to a mutable one."""
    who = principal()
    other = copied(who)

    assert who == other
    assert other.claims is who.claims
    with pytest.raises(TypeError):
        copied(who.claims["realm_access"])["roles"] = ()


def test_equal_when_every_field_is():
    """The hash is that of the identity; equality looks at everything."""
    one, same, more = principal(), principal(), principal(scopes=["a"])

    assert one == same
    assert one != more
    assert {hash(one)} == {hash(same), hash(more)}


def test_hash_is_the_identity():
    """The identity is issuer and subject, and neither alone."""
    identities = [("i", "s"), ("i", "t"), ("j", "s"), ("", "is"), ("is", "")]

    assert len(identities) == len({hash(Principal(s, issuer=i)) for i, s in identities})


@given(st.text(), st.text(), st.text(), st.text())
def test_key_tells_identities_apart(issuer, subject, other_issuer, other_subject):
    """Two identities never share a key, whatever bars and percents they hold."""
    one = Principal(subject, issuer=issuer)
    other = Principal(other_subject, issuer=other_issuer)

    same = (issuer, subject) == (other_issuer, other_subject)
    assert same == (one.key == other.key)


def test_key_escapes():
    """Bar and percent are escaped; all else stands."""
    who = Principal("a|b%7C", issuer="https://as.example/é|x")

    assert "https://as.example/é%7Cx|a%7Cb%257C" == who.key


def test_repr_shows_identity_only():
    """Claims, names and addresses are other people's data, and a repr lands in logs."""
    who = principal(
        email="ada@example.org",
        username="ada",
        client_id="c",
        user=PublicUser(id="u1", username="ada"),
    )

    assert "Principal(kind='user', issuer='https://as.example', subject='u1')" == repr(who)


HAS = [
    ("scopes", ("a",), True, True),
    ("scopes", ("a", "b"), True, True),
    ("scopes", ("a", "x"), False, True),
    ("scopes", ("x",), False, False),
    ("scopes", ("a b",), False, False),
    ("scopes", ("A",), False, False),
    ("scopes", (), True, False),
    ("roles", ("r",), True, True),
    ("roles", ("r", "x"), False, True),
    ("roles", ("a",), False, False),
    ("roles", (), True, False),
]


@pytest.mark.parametrize(("kind", "names", "every", "some"), HAS)
def test_has_and_require(kind, names, every, some):
    """``has_…`` compares whole names, and ``require_…`` raises exactly where it is false."""
    who = Principal("u1", scopes=["a", "b"], roles=["r"])
    singular = kind.removesuffix("s")

    assert every is getattr(who, f"has_{kind}")(*names)
    assert some is getattr(who, f"has_any_{singular}")(*names)
    for granted, require in ((every, f"require_{kind}"), (some, f"require_any_{singular}")):
        if granted:
            assert getattr(who, require)(*names) is None
            continue
        with pytest.raises(InsufficientScope) as caught:
            getattr(who, require)(*names)
        assert (names if kind == "scopes" else ()) == caught.value.required
        expected = "insufficient_scope" if kind == "scopes" else "insufficient_role"
        assert expected == caught.value.reason


def test_hint_of_a_refusal_is_escaped_and_cut():
    """A scope comes from outside; in a log line it cannot start another one."""
    who = Principal("u1", scopes=["x\r\nforged", "y" * 10_000])

    with pytest.raises(InsufficientScope) as caught:
        who.require_scopes("a")
    assert "\n" not in caught.value.hint
    assert len(caught.value.hint) < 1_000


def test_a_list_instead_of_names_is_an_error():
    """``has_scopes(["a"])`` is a mistake that must not pass for an answer."""
    with pytest.raises(TypeError):
        Principal("u1", scopes=["a"]).has_scopes(["a"])


def test_to_dict_is_plain_json():
    """Everything is there, in JSON's types, and can be changed without harm."""
    who = principal(
        kind="client",
        scopes=["b", "a"],
        roles=["r"],
        client_id="c",
        username="ada",
        email="ada@example.org",
        email_verified=True,
        expires_at=1_700_000_000,
        user=PublicUser(id="u1", username="ada", roles=("r",)),
    )
    expected = {
        "subject": "u1",
        "issuer": "https://as.example",
        "kind": "client",
        "scopes": ["a", "b"],
        "roles": ["r"],
        "client_id": "c",
        "username": "ada",
        "email": "ada@example.org",
        "email_verified": True,
        "expires_at": 1_700_000_000,
        "claims": CLAIMS,
        "user": {
            "id": "u1",
            "username": "ada",
            "email": None,
            "email_verified": False,
            "is_active": True,
            "roles": ["r"],
        },
    }

    assert expected == json.loads(json.dumps(who.to_dict()))
    assert expected.keys() == {f.name for f in dataclasses.fields(Principal)}
    who.to_dict()["claims"]["roles"].append("admin")
    assert CLAIMS == thaw(who.claims)


def test_to_dict_of_a_user_row_has_no_hash():
    """Even a store's own row, handed in by mistake, does not show its hash."""
    now = datetime(2024, 1, 1, tzinfo=UTC)
    row = User(username="ada", hashed_password="LEAK", created_at=now, updated_at=now)

    assert "LEAK" not in f"{Principal('u1', user=row).to_dict()} {Principal('u1', user=row)!r}"


def test_anonymous_has_the_same_surface():
    """A template or a view needs no branch to ask nobody what they may."""
    missing = [n for n in dir(principal()) if n[:2] != "__" and not hasattr(ANONYMOUS, n)]

    assert [] == missing
    assert (False, True) == (ANONYMOUS.is_authenticated, ANONYMOUS.is_anonymous)
    assert ("", frozenset(), frozenset(), {}) == (
        ANONYMOUS.subject,
        ANONYMOUS.scopes,
        ANONYMOUS.roles,
        ANONYMOUS.claims,
    )
    assert json.dumps(ANONYMOUS.to_dict())


@pytest.mark.parametrize("kind", ["scopes", "any_scope", "roles", "any_role"])
@pytest.mark.parametrize("names", [(), ("a",)])
def test_anonymous_is_granted_nothing(kind, names):
    """Not even the empty demand is met by nobody; the remedy is to authenticate."""
    assert getattr(ANONYMOUS, f"has_{kind}")(*names) is False
    with pytest.raises(NotAuthenticated):
        getattr(ANONYMOUS, f"require_{kind}")(*names)


@pytest.mark.parametrize(
    "remade",
    [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))],  # noqa: S301 - our own
)
def test_anonymous_stays_the_one(remade):
    """``is ANONYMOUS`` holds across copies and processes."""
    assert ANONYMOUS is remade(ANONYMOUS)


def test_anonymous_is_no_principal_without_a_name():
    """A principal with an empty subject is not nobody."""
    assert Principal("") != ANONYMOUS
    assert "_Anonymous(kind='user', issuer='', subject='')" == repr(ANONYMOUS)
