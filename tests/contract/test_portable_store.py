from __future__ import annotations

import hashlib
import json

import pytest

from tokenward.errors import InvalidRequest, UserAlreadyExists
from tokenward.repositories import KINDS, Family, Portable, Rotation, open_repositories
from tokenward.schemas import LoginRequest, RegisterRequest

NOW = 1_700_000_000
KINDS_OF_STORE = ["memory", "sqlite", pytest.param("mongo", marks=pytest.mark.peer)]


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@pytest.fixture
def open_store(request, tmp_path):
    """Opens a new, empty store of a kind."""
    opened = []

    def open_(kind: str):
        if kind == "mongo":
            mongo = request.getfixturevalue("mongo")
            url = mongo.new_url()
        else:
            url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/{len(opened)}.db"}[kind]
        repositories = open_repositories(url, bcrypt_cost=4, clock=lambda: NOW)
        if kind == "mongo":
            mongo.keep_expired(url)
        opened.append(repositories)
        return repositories

    yield open_
    for repositories in opened:
        repositories.close()


@pytest.fixture(params=KINDS_OF_STORE)
def repositories(request, open_store):
    """An empty store of each kind."""
    return open_store(request.param)


@pytest.fixture
def store(repositories):
    return repositories.store


def fill(repositories) -> None:
    """Put something of every kind into a store: in disorder, expired, ended, without a name."""
    users, tokens = repositories.users, repositories.tokens
    for name in ("zoë", "alice", "Mallory", "bob"):
        users.create(
            RegisterRequest(username=name, email=f"{name}@example.com", password="secret1"),
            roles=["b", "a"] if name == "alice" else [],
        )
    users.set_password("bob", None)
    users.set_active("alice", active=False)
    users.set_email_verified("mallory", verified=True)
    repositories.store.put("users", [user_record("nobody's", email=None, email_key=None)])
    for n, name in enumerate(("s", "f", "e", "x")):
        family = Family(
            name, f"user {n % 2}", "shop", ("read", "a")[:n], n, NOW, NOW, NOW - (n == 3)
        )
        tokens.start_family(family, digest(name))
    repositories.store.put("families", [family_record("r", used=[f"{n}" for n in range(5)])])
    tokens.end_family("e")
    for jti, end in [("b", NOW), ("ä", NOW + 5), ("a", NOW - 5), ("B", 0)]:
        tokens.revoke(jti, end)
        tokens.use_once(f"client {jti}", end)
        tokens.put_one_time(digest(jti), "reset" if jti == "a" else "verify", f"id {jti}", end)


def user_record(name: str, **changes) -> dict:
    return {
        "id": f"id of {name}",
        "username": name,
        "username_key": name,
        "email": f"{name}@example.com",
        "email_key": f"{name}@example.com",
        "hashed_password": None,
        "is_active": True,
        "email_verified": False,
        "roles": [],
        "token_version": 0,
        "created_at": NOW,
        "updated_at": NOW,
        **changes,
    }


def family_record(name: str, *, used=(), current=None, **changes) -> dict:
    return {
        "id": name,
        "subject": "user 0",
        "client_id": "shop",
        "scopes": ["read"],
        "version": 0,
        "created_at": NOW,
        "used_at": NOW,
        "expires_at": NOW + 1_000,
        "ended": False,
        "current": digest(current or name).hex(),
        "used": [digest(f"{name} {n}").hex() for n in used],
        **changes,
    }


def pages(store, kind, limit=500) -> list[list[dict]]:
    """Return everything of a kind, page by page."""
    found, after = [], None
    while True:
        page, after = store.records(kind, after=after, limit=limit)
        found.append(page)
        if after is None:
            return found


def everything(store) -> dict[str, list[dict]]:
    return {kind: [r for page in pages(store, kind) for r in page] for kind in KINDS}


def fingerprint(store) -> str:
    """Return a digest over every record, which depends on no order of members."""
    text = json.dumps(everything(store), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def copy(source, target, limit: int) -> None:
    for kind in KINDS:
        for page in pages(source, kind, limit):
            target.put(kind, page)


# --- what comes out ------------------------------------------------------------------------------


def test_a_store_is_portable_and_empty_at_first(store):
    """Of each kind there is nothing, and one look says so."""
    assert isinstance(store, Portable)
    assert [store.records(kind) for kind in KINDS] == [([], None)] * 5
    assert [store.tally(kind) for kind in KINDS] == [0] * 5


def test_a_user_is_a_record(repositories):
    """Every member, as JSON has it; times in whole seconds."""
    created = repositories.users.create(
        RegisterRequest(username="Zoë", email="Zoe@Example.com", password="secret1"),
        roles=["b", "a"],
        email_verified=True,
    )
    repositories.users.set_active("zoë", active=False)
    user = repositories.users.get_by_id(created.id)
    assert repositories.store.records("users") == (
        [
            {
                "id": created.id,
                "username": "Zoë",
                "username_key": "zoë",
                "email": "Zoe@example.com",
                "email_key": "zoe@example.com",
                "hashed_password": user.hashed_password,
                "is_active": False,
                "email_verified": True,
                "roles": ["b", "a"],
                "token_version": 1,
                "created_at": NOW,
                "updated_at": NOW,
            }
        ],
        None,
    )


def test_a_family_is_a_record(repositories):
    """With the digests of its tokens in the order of their use."""
    tokens = repositories.tokens
    family = Family("f", "s", "shop", ("read", "a"), 3, NOW - 9, NOW - 8, NOW + 5)
    tokens.start_family(family, digest("1"))
    tokens.rotate(digest("1"), digest("0"), NOW + 6)
    tokens.rotate(digest("0"), digest("2"), NOW + 7)
    tokens.end_family("f")
    assert repositories.store.records("families") == (
        [
            {
                "id": "f",
                "subject": "s",
                "client_id": "shop",
                "scopes": ["read", "a"],
                "version": 3,
                "created_at": NOW - 9,
                "used_at": NOW,
                "expires_at": NOW + 7,
                "ended": True,
                "current": digest("2").hex(),
                "used": [digest("1").hex(), digest("0").hex()],
            }
        ],
        None,
    )


def test_everything_else_is_a_record_too(repositories):
    """Each with the id it is found by."""
    repositories.tokens.revoke("jti", NOW + 1)
    repositories.tokens.use_once("key", NOW + 2)
    repositories.tokens.put_one_time(digest("a"), "reset", "alice", NOW + 3)
    store = repositories.store
    assert store.records("revocations") == ([{"id": "jti", "expires_at": NOW + 1}], None)
    assert store.records("used_once") == ([{"id": "key", "expires_at": NOW + 2}], None)
    one_time = {
        "id": digest("a").hex(),
        "purpose": "reset",
        "subject": "alice",
        "expires_at": NOW + 3,
    }
    assert store.records("one_time_tokens") == ([one_time], None)


def test_records_come_in_their_order(repositories):
    """Users as they registered, families as they began, the rest by id."""
    fill(repositories)
    found = everything(repositories.store)
    names = [user["username"] for user in found["users"]]
    assert names == ["zoë", "alice", "Mallory", "bob", "nobody's"]
    assert [family["id"] for family in found["families"]] == ["s", "f", "e", "x", "r"]
    for kind in ("revocations", "one_time_tokens", "used_once"):
        ids = [record["id"] for record in found[kind]]
        assert ids == sorted(ids)
        assert len(ids) == 4


def test_what_has_expired_is_a_record_too(repositories):
    """Nothing is left behind that a later check would miss."""
    fill(repositories)
    assert [repositories.store.tally(kind) for kind in KINDS] == [5, 5, 4, 4, 4]


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_pages_neither_overlap_nor_leave_anything_out(repositories, limit):
    """The last page says that it is the last, also where it is full."""
    fill(repositories)
    for kind in KINDS:
        found = pages(repositories.store, kind, limit)
        assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
        assert 1 <= len(found[-1]) <= limit
        assert [r for page in found for r in page] == pages(repositories.store, kind)[0]


def test_records_are_plain_json(repositories):
    """They can be written down and read again without a change."""
    fill(repositories)
    found = everything(repositories.store)
    assert json.loads(json.dumps(found)) == found


# --- what goes in --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", KINDS_OF_STORE)
def test_everything_can_be_carried_into_any_store(repositories, open_store, target):
    """Order, ends, used tokens, hashes and what has expired arrive; the source stays."""
    fill(repositories)
    before = fingerprint(repositories.store)
    there = open_store(target)
    copy(repositories.store, there.store, limit=2)
    assert everything(there.store) == everything(repositories.store)
    assert fingerprint(there.store) == before
    assert fingerprint(repositories.store) == before
    assert [there.store.tally(kind) for kind in KINDS] == [5, 5, 4, 4, 4]


def test_what_was_carried_is_in_use(repositories):
    """People log in, sessions go on, used tokens are known, revoked ones stay revoked."""
    source = open_repositories("memory://", bcrypt_cost=4, clock=lambda: NOW)
    fill(source)
    copy(source.store, repositories.store, limit=500)
    users, tokens = repositories.users, repositories.tokens
    assert users.verify_credentials(LoginRequest(username="ZOË", password="secret1"))
    assert [user.username for user in users.get_active_users()] == [
        "zoë",
        "Mallory",
        "bob",
        "nobody's",
    ]
    assert users.count() == 5
    with pytest.raises(UserAlreadyExists):
        users.create(RegisterRequest(username="ALICE", email="new@example.com", password="secret1"))
    assert tokens.is_revoked("ä")
    assert tokens.take_one_time(digest("ä"), "verify") == "id ä"
    assert tokens.use_once("client ä", NOW + 9) is False
    assert tokens.family_active("e") is False
    assert tokens.rotate(digest("r"), digest("r new"), NOW + 9) is Rotation.ROTATED
    assert tokens.rotate(digest("r 3"), digest("r newer"), NOW + 9) is Rotation.REUSED
    assert users.create(
        RegisterRequest(username="new", email="new@example.com", password="secret1")
    )
    assert [u.username for u in users.get_active_users()][-1] == "new"


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_what_was_interrupted_is_done_again_from_its_beginning(repositories, open_store, steps):
    """Each page that is there already takes its own place, and nothing comes twice."""
    fill(repositories)
    there = open_store("sqlite").store
    calls = [(kind, page) for kind in KINDS for page in pages(repositories.store, kind, 2)]
    for kind, page in calls[:steps]:
        there.put(kind, page)
    copy(repositories.store, there, limit=3)
    copy(repositories.store, there, limit=2)
    assert everything(there) == everything(repositories.store)


def test_a_record_that_is_there_is_replaced_in_its_place(store):
    """The newer one stands, with the place in the order that the older one had."""
    store.put("users", [user_record("a"), user_record("b"), user_record("c")])
    store.put("users", [user_record("a2", id="id of a", token_version=4), user_record("d")])
    assert store.records("users")[0] == [
        user_record("a2", id="id of a", token_version=4),
        user_record("b"),
        user_record("c"),
        user_record("d"),
    ]
    store.put("users", [user_record("a")])
    assert store.tally("users") == 4
    store.put("families", [family_record("a", used="123"), family_record("b")])
    moved = family_record("a", used="12", current="later", ended=True)
    store.put("families", [moved])
    assert store.records("families")[0] == [moved, family_record("b")]
    for kind in ("revocations", "used_once"):
        store.put(kind, [{"id": "x", "expires_at": NOW + 5}])
        store.put(kind, [{"id": "x", "expires_at": NOW + 1}])
        assert store.records(kind)[0] == [{"id": "x", "expires_at": NOW + 1}]


def test_a_replaced_name_is_free_and_the_new_one_taken(repositories):
    """What a user is found by goes with the record."""
    store, users = repositories.store, repositories.users
    store.put("users", [user_record("old")])
    store.put("users", [user_record("new", id="id of old")])
    assert users.get_by_username("old") is None
    assert users.get_by_email("old@example.com") is None
    assert users.get_by_username("new").id == users.get_by_email("new@example.com").id
    store.put("users", [user_record("old") | {"id": "another"}])
    assert store.tally("users") == 2


def test_a_replaced_family_knows_only_its_own_tokens(repositories):
    """The tokens of the record that was there before are nobody's."""
    store, tokens = repositories.store, repositories.tokens
    store.put("families", [family_record("a", used="12")])
    store.put("families", [family_record("a", used="2", current="later")])
    found = [tokens.find_family(digest(name)) for name in ("later", "a 2", "a 1", "a")]
    assert [f and f[1] for f in found] == [True, False, None, None]


@pytest.mark.parametrize(
    "clash", [{"username_key": "a"}, {"email_key": "a@example.com"}], ids=["name", "address"]
)
def test_a_name_of_another_stores_nothing(store, clash):
    """Of a page that clashes no record is kept, not even those before the clash."""
    store.put("users", [user_record("a")])
    with pytest.raises(UserAlreadyExists):
        store.put("users", [user_record("b"), user_record("c", **clash), user_record("d")])
    assert store.records("users")[0] == [user_record("a")]
    store.put("users", [user_record("b"), user_record("c")])
    assert store.tally("users") == 3


def test_a_clash_within_a_page_stores_nothing(store):
    """Two of one name in one page are as wrong as one after the other."""
    with pytest.raises(UserAlreadyExists):
        store.put("users", [user_record("a"), user_record("b", username_key="a")])
    assert store.records("users") == ([], None)


def test_a_token_of_another_family_stores_nothing(store):
    """A digest belongs to one family."""
    store.put("families", [family_record("a", used="1")])
    with pytest.raises(InvalidRequest):
        store.put("families", [family_record("b"), family_record("c", current="a")])
    assert store.records("families")[0] == [family_record("a", used="1")]


@pytest.mark.parametrize(
    "clashing",
    [
        [family_record("b", used="2", current="a 1")],
        [family_record("b") | {"used": [digest("a 1").hex()]}],
        [family_record("b") | {"used": [digest("a").hex()]}],
        # What the one lets go, those after it may have, and not those before it.
        [family_record("b") | {"used": [digest("a 1").hex()]}, family_record("a")],
        [family_record("b", current="a"), family_record("a", current="later")],
        [family_record("b", current="x"), family_record("c", current="x")],
        [family_record(name) | {"used": [digest("x").hex()]} for name in "bc"],
        [family_record("b", current="x"), family_record("c") | {"used": [digest("x").hex()]}],
        [
            family_record("b") | {"used": [digest("x").hex()]},
            family_record("c", current="x"),
            family_record("b"),
        ],
        [family_record("b", used="11")],
    ],
    ids=[
        "current-used",
        "used-used",
        "used-current",
        "before-used-is-free",
        "before-current-is-free",
        "one-page-current",
        "one-page-used",
        "one-page-both",
        "one-page-before-it-is-free",
        "its-own-twice",
    ],
)
def test_a_token_belongs_to_one_family(store, clashing):
    """Whether it is used or current there; then nothing of the page is stored."""
    store.put("families", [family_record("a", used="1")])
    with pytest.raises(InvalidRequest):
        store.put("families", [family_record("d"), *clashing])
    assert store.records("families")[0] == [family_record("a", used="1")]


def test_a_token_that_goes_is_free_in_the_same_page(repositories):
    """Of two families in one page, the second may have what the first lets go."""
    store, tokens = repositories.store, repositories.tokens
    store.put("families", [family_record("a", used="1")])
    page = [
        family_record("a", current="later"),
        family_record("b", current="a 1") | {"used": [digest("a").hex()]},
        family_record("b"),
        family_record("c", current="a 1"),
    ]
    store.put("families", page)
    assert store.records("families")[0] == [page[0], *page[2:]]
    assert [tokens.find_family(digest(name))[0].id for name in ("later", "b", "a 1")] == [*"abc"]
    assert tokens.find_family(digest("a")) is None


def test_users_without_an_address_do_not_clash(store):
    """No address is not an address."""
    nameless = [user_record(name, email=None, email_key=None) for name in "ab"]
    store.put("users", nameless)
    store.put("users", nameless)
    assert store.records("users")[0] == nameless


def test_nothing_can_be_put(store):
    """An empty page is a page."""
    for kind in KINDS:
        store.put(kind, [])
        assert store.tally(kind) == 0


WRONG = [
    ("users", {}),
    ("users", {**user_record("a"), "admin": True}),
    ("users", {k: v for k, v in user_record("a").items() if k != "roles"}),
    ("users", user_record("a", id=None)),
    ("users", user_record("a", username_key={"$ne": None})),
    ("users", user_record("a", username="a\nb")),
    ("users", user_record("a", is_active=1)),
    ("users", user_record("a", roles="admin")),
    ("users", user_record("a", roles=[["admin"]])),
    ("users", user_record("a", token_version="1")),
    ("users", user_record("a", token_version=True)),
    ("users", user_record("a", token_version=2**60)),
    ("users", user_record("a", created_at=2**52)),
    ("users", user_record("a", updated_at=1.5)),
    ("families", family_record("")),
    ("families", family_record("a", scopes=["a b"])),
    ("families", family_record("a", ended=None)),
    ("families", {**family_record("a"), "current": "xyz"}),
    ("families", {**family_record("a"), "current": "AB" * 32}),
    ("families", {**family_record("a"), "used": [digest("a").hex(), "ab"]}),
    ("families", {**family_record("a"), "used": [b"x" * 32]}),
    ("revocations", {"id": "a"}),
    ("revocations", {"id": 5, "expires_at": NOW}),
    ("revocations", {"id": "a", "expires_at": float(NOW)}),
    ("used_once", {"id": "a\0", "expires_at": NOW}),
    ("one_time_tokens", {"id": "a", "purpose": "p", "subject": "s", "expires_at": NOW}),
    ("nothing", {"id": "a", "expires_at": NOW}),
]


def test_what_is_no_record_stores_nothing(store):
    """A page with one such thing in it is refused whole, and nothing of it is shown."""
    good = {
        "users": user_record("good"),
        "families": family_record("good"),
        "one_time_tokens": {
            "id": digest("good").hex(),
            "purpose": "p",
            "subject": "s",
            "expires_at": NOW,
        },
    }
    for kind, record in WRONG:
        with pytest.raises(InvalidRequest) as caught:
            store.put(kind, [good.get(kind, {"id": "good", "expires_at": NOW}), record])
        assert len(caught.value.fields) == 1, record
        assert "$ne" not in str(caught.value.fields)
    assert [store.tally(kind) for kind in KINDS] == [0] * 5


def test_what_cannot_be_asked_is_refused(store):
    """The message names the argument."""
    asked = [
        ("kind", lambda: store.records("passwords")),
        ("kind", lambda: store.tally("users; DROP TABLE users")),
        ("limit", lambda: store.records("users", limit=0)),
        ("limit", lambda: store.records("users", limit=10_001)),
        ("limit", lambda: store.records("users", limit="5")),
        ("after", lambda: store.records("revocations", after={"$gt": ""})),
        ("after", lambda: store.records("revocations", after="\ud800")),
    ]
    for argument, ask in asked:
        with pytest.raises(InvalidRequest) as caught:
            ask()
        assert caught.value.fields.keys() == {argument}


# --- much of it ----------------------------------------------------------------------------------


def test_of_a_record_that_is_given_twice_the_later_one_stands(store):
    """In one page as in two: in the place of the first, with its own tokens alone."""
    again = family_record("a", used="2", current="later")
    store.put("families", [family_record("a", used="12"), family_record("b"), again])
    assert store.records("families")[0] == [again, family_record("b")]
    renamed = user_record("a2", id="id of a")
    store.put("users", [user_record("a"), user_record("b"), renamed])
    assert store.records("users")[0] == [renamed, user_record("b")]
    store.put("used_once", [{"id": "x", "expires_at": NOW + n} for n in (5, 1)])
    assert store.records("used_once")[0] == [{"id": "x", "expires_at": NOW + 1}]


def test_a_name_that_goes_is_free_in_the_same_page(repositories):
    """Of two users in one page, the second may be called what the first was."""
    store, users = repositories.store, repositories.users
    store.put("users", [user_record("a")])
    store.put("users", [user_record("b", id="id of a"), user_record("a", id="another")])
    assert users.get_by_username("a").id == "another"
    assert users.get_by_username("b").id == "id of a"


def test_sessions_come_in_the_order_of_logins_whoevers_they_are(repositories):
    """Also one that was somebody else's before it was replaced, and after another has ended."""
    store, tokens = repositories.store, repositories.tokens
    store.put("families", [family_record(name, subject=name[0]) for name in ("b1", "a1", "b2")])
    store.put("families", [family_record("a1", subject="b")])
    assert [family.id for family in tokens.families("b")] == ["b1", "a1", "b2"]
    assert tokens.families("a") == []
    store.put("families", [family_record("b1", subject="b", expires_at=NOW - 1)])
    tokens.purge_expired(NOW)
    assert [family.id for family in tokens.families("b")] == ["a1", "b2"]
    assert tokens.end_all("b") == 2
    assert tokens.families("b") == []
