from __future__ import annotations

import contextlib
import copy
import re
import threading
import types
from datetime import UTC, datetime

import bcrypt
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenward.django import DjangoUserRepository
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidRequest,
    TokenRevoked,
    UserAlreadyExists,
    UserNotFound,
)
from tokenward.passwords import PasswordHasher
from tokenward.repositories import MemoryUserRepository, SQLiteUserRepository, open_repositories
from tokenward.schemas import LoginRequest, PublicUser, RegisterRequest, User

NOW = 1_700_000_000

SAME_NAMES = [
    pytest.param("alice", "alice", id="itself"),
    pytest.param("alice", "ALICE", id="case"),
    pytest.param("alice", "  alice\t", id="space around"),
    pytest.param("alice", "\uff21lice", id="fullwidth"),
    pytest.param("strasse", "straße", id="sharp s"),
    pytest.param("STRASSE", "stra\u1e9ee", id="capital sharp s"),
    pytest.param("kelvin", "\u212aelvin", id="Kelvin sign"),
    pytest.param("\u00e5ngstrom", "\u212bngstrom", id="Ångström sign"),
    pytest.param("file", "\ufb01le", id="ligature"),
    pytest.param("jos\u00e9", "jose\u0301", id="combining accent"),
    pytest.param("ΣΟΦΟΣ", "σοφος", id="final sigma"),
    pytest.param("o\u00b2", "o2", id="superscript"),
]
DIFFERENT_NAMES = [
    pytest.param("iris", "\u0131ris", id="Turkish dotless i"),
    pytest.param("iris", "\u0130ris", id="Turkish dotted capital"),
    pytest.param("jose", "josé", id="accent"),
    pytest.param("alice", "\u0430lice", id="Cyrillic"),
    pytest.param("alice", "alice2", id="longer"),
]
NOBODY = [
    pytest.param("nobody", id="unknown"),
    pytest.param("", id="empty"),
    pytest.param("  ", id="space"),
    pytest.param("alice smith", id="space inside"),
    pytest.param("alice\0", id="NUL"),
    pytest.param("ali\u200bce", id="zero width"),
    pytest.param("\ud800", id="lone surrogate"),
    pytest.param("x" * 10_000, id="too long"),
    pytest.param("' OR 1=1 --", id="SQL"),
    pytest.param("%", id="SQL wildcard"),
    pytest.param({"$ne": None}, id="query object"),
    pytest.param(["alice"], id="list"),
    pytest.param(None, id="None"),
    pytest.param(0, id="zero"),
    pytest.param(b"alice", id="bytes"),
]


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class CountingHasher(PasswordHasher):
    """Writes down what is asked of it."""

    def __init__(self, *, cost: int = 4) -> None:
        super().__init__(cost=cost)
        self.calls: list[str] = []

    def hash(self, password):
        self.calls.append("hash")
        return super().hash(password)

    def verify(self, plain_password, hashed_password):
        self.calls.append("verify")
        return super().verify(plain_password, hashed_password)


@pytest.fixture
def clock():
    return Clock()


STORES = {"memory": "memory://", "sqlite": "sqlite:///{}/users.db"}


@pytest.fixture(
    params=[
        *STORES,
        pytest.param("mongo", marks=pytest.mark.peer),
        pytest.param("django", marks=pytest.mark.django_db),
    ]
)
def users(request, tmp_path, clock):
    """An empty repository of each kind."""
    if request.param == "django":
        project = request.getfixturevalue("settings")
        project.PASSWORD_HASHERS = ["tokenward.django.hashers.TokenwardPasswordHasher"]
        yield DjangoUserRepository(bcrypt_cost=4, clock=clock)
        return
    if request.param == "mongo":
        url = request.getfixturevalue("mongo").new_url()
    else:
        url = STORES[request.param].format(tmp_path)
    repositories = open_repositories(url, bcrypt_cost=4, clock=clock)
    yield repositories.users
    repositories.close()


def register(users, username="alice", email=None, password="secret1", **more) -> PublicUser:
    email = email or f"user{users.count()}@example.com"
    return users.create(RegisterRequest(username=username, email=email, password=password), **more)


def login(users, username="alice", password="secret1") -> User | None:
    return users.verify_credentials(LoginRequest(username=username, password=password))


def plain(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


# --- creating and finding ------------------------------------------------------------------------


def test_create_returns_what_others_may_see(users):
    """The answer to a registration is a PublicUser and nothing more."""
    created = register(users, "Alice", "Alice@Example.com", roles=["editor"])
    assert type(created) is PublicUser
    assert created == PublicUser(
        id=created.id,
        username="Alice",
        email="Alice@example.com",
        is_active=True,
        email_verified=False,
        roles=("editor",),
    )


def test_create_can_be_told_more_by_an_administrator(users):
    """An account can be made that is closed yet, or whose address is known to be right."""
    register(users, is_active=False, email_verified=True)
    user = users.get_by_username("alice")
    assert (user.is_active, user.email_verified) == (False, True)


def test_a_user_is_found_by_id_name_and_address(users):
    """Three ways lead to one user."""
    created = register(users, "alice", "alice@example.com")
    found = [
        users.get_by_id(created.id),
        users.get_by_username("alice"),
        users.get_by_email("alice@example.com"),
    ]
    assert [user.public() for user in found] == [created] * 3
    assert {type(user) for user in found} == {User}


def test_what_is_stored_comes_back(users, clock):
    """Every field survives the store; times are whole seconds, in UTC."""
    clock.now = NOW + 0.75
    created = register(users, "Zoë", "zoe@example.com", roles=["a", "b"])
    user = users.get_by_id(created.id)
    moment = datetime.fromtimestamp(NOW, UTC)
    assert user.hashed_password.startswith("$tw1$2b$04$")
    assert user == User(
        id=created.id,
        username="Zoë",
        email="zoe@example.com",
        roles=("a", "b"),
        hashed_password=user.hashed_password,
        created_at=moment,
        updated_at=moment,
        token_version=0,
    )


def test_ids_are_random_and_url_safe(users):
    """128 bits that say nothing of the user, and go into a token as they are."""
    ids = {register(users, f"user{n}").id for n in range(5)}
    assert len(ids) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", id_) for id_ in ids)


def test_an_id_is_compared_exactly(users):
    """An id is no name: its case counts."""
    created = register(users)
    assert users.get_by_id(created.id.swapcase()) is None
    assert users.get_by_id(f" {created.id}") is None


@pytest.mark.parametrize(("name", "same"), SAME_NAMES)
def test_names_that_read_the_same_are_taken_once(users, name, same):
    """Nobody can register beside another under a name that looks like theirs."""
    register(users, name)
    with pytest.raises(UserAlreadyExists):
        register(users, same)
    assert users.count() == 1


@pytest.mark.parametrize(("name", "same"), SAME_NAMES)
def test_a_name_is_found_however_it_is_typed(users, name, same):
    """Who registered under one form logs in under each."""
    created = register(users, name)
    assert users.get_by_username(same).id == created.id
    assert login(users, same).id == created.id


@pytest.mark.parametrize(("name", "other"), DIFFERENT_NAMES)
def test_different_names_are_different_users(users, name, other):
    """Folding goes no further than it must."""
    first, second = register(users, name), register(users, other)
    assert users.get_by_username(name).id == first.id
    assert users.get_by_username(other).id == second.id


def test_an_address_is_taken_once_in_any_case(users):
    """The same rule holds for e-mail addresses."""
    register(users, "alice", "alice@example.com")
    with pytest.raises(UserAlreadyExists):
        register(users, "bob", "ALICE@EXAMPLE.COM")
    assert users.get_by_email("Alice@Example.Com").username == "alice"


def test_an_address_without_a_canonical_key_is_refused(users):
    """It is well-formed, but folded it holds white space, and nobody could be found by it."""
    with pytest.raises(InvalidRequest) as caught:
        register(users, email="a\u00b4b@example.com")
    assert caught.value.fields.keys() == {"email"}
    assert users.count() == 0


def test_taken_does_not_say_which(users):
    """A name and an address that are taken get one answer."""
    register(users, "alice", "alice@example.com")
    said = []
    for username, email in [("alice", "new@example.com"), ("new", "alice@example.com")]:
        with pytest.raises(UserAlreadyExists) as caught:
            register(users, username, email)
        said.append((str(caught.value), caught.value.hint, caught.value.__cause__))
    assert said[0] == said[1]


def test_a_refused_registration_leaves_nothing(users):
    """Neither half of a refused pair is kept."""
    register(users, "alice", "alice@example.com")
    with pytest.raises(UserAlreadyExists):
        register(users, "alice", "other@example.com")
    assert users.get_by_email("other@example.com") is None
    assert register(users, "bob", "other@example.com").username == "bob"


def test_an_address_is_no_username(users):
    """A name that is another's address finds nobody."""
    register(users, "alice", "alice@example.com")
    assert users.get_by_username("alice@example.com") is None
    assert users.get_by_email("alice") is None


@pytest.mark.parametrize("name", NOBODY)
def test_looking_for_nobody_finds_nobody(users, name):
    """Whatever comes as a name, it is no error and no query."""
    register(users)
    assert users.get_by_username(name) is None
    assert users.get_by_email(name) is None
    assert users.get_by_id(name) is None


def test_nobody_has_an_id_that_no_store_could_be_asked_for(users):
    """Longer than a message to a database may be: nobody's id, and no outage."""
    assert users.get_by_id("x" * 20_000_000) is None


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_is_looked_for_without_an_error(users, text):
    """Nothing a caller can type breaks a look-up."""
    assert users.get_by_username(text) is None
    assert users.get_by_email(text) is None
    assert users.get_by_id(text) is None


def test_count_includes_inactive_users(users):
    """Everybody counts."""
    assert users.count() == 0
    register(users, "alice")
    register(users, "bob", is_active=False)
    assert users.count() == 2


# --- pages ---------------------------------------------------------------------------------------


def test_active_users_come_in_pages_in_the_order_of_registration(users):
    """Pages neither overlap nor leave anyone out; inactive users are on none."""
    for name in ["dora", "alice", "carol", "bob", "eve"]:
        register(users, name)
    users.set_active("carol", active=False)
    users.set_roles("dora", ["admin"])
    pages = [[user.username for user in users.get_active_users(skip, 2)] for skip in (0, 2, 4)]
    assert pages == [["dora", "alice"], ["bob", "eve"], []]


def test_a_page_has_100_users_unless_asked_otherwise(users):
    """The defaults are those of the contract."""
    users.hasher = CountingHasher()
    users.hasher.hash = lambda password: "$"
    for n in range(101):
        register(users, f"user{n}")
    assert len(users.get_active_users()) == 100
    assert len(users.get_active_users(limit=1_000)) == 101
    assert users.get_active_users(limit=0) == []


@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ({"skip": -1}, {"skip"}),
        ({"skip": "0"}, {"skip"}),
        ({"skip": True}, {"skip"}),
        ({"skip": 2**64}, {"skip"}),
        ({"limit": -1}, {"limit"}),
        ({"limit": 1_001}, {"limit"}),
        ({"limit": 1.5}, {"limit"}),
        ({"limit": None, "skip": None}, {"limit", "skip"}),
    ],
)
def test_a_page_out_of_bounds_is_refused(users, page, fields):
    """Nobody gets everything at once, in SQLite not by a negative limit either."""
    with pytest.raises(InvalidRequest) as caught:
        users.get_active_users(**page)
    assert caught.value.fields.keys() == fields


# --- changing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (("set_active", False), {"is_active": False, "token_version": 1}),
        (("set_active", True), {"is_active": True, "token_version": 1}),
        (("set_roles", ("b", "a")), {"roles": ("b", "a"), "token_version": 1}),
        (("set_roles", ()), {"roles": (), "token_version": 1}),
        (("set_password", None), {"hashed_password": None, "token_version": 1}),
        (("set_email_verified", True), {"email_verified": True, "token_version": 0}),
    ],
)
def test_a_change_is_stored_and_ends_older_tokens(users, clock, change, changed):
    """What a token vouches for is counted with the user; a verified address is no such thing."""
    created = register(users, "alice", roles=["reader"])
    other = register(users, "bob")
    before = users.get_by_id(created.id)
    clock.now += 60
    method, value = change
    getattr(users, method)("ALICE", value)
    expected = {**changed, "updated_at": datetime.fromtimestamp(NOW + 60, UTC)}
    assert users.get_by_id(created.id) == before.model_copy(update=expected)
    assert users.get_by_username("bob").public() == other


def test_a_new_password_replaces_the_old_one(users):
    """The old password opens nothing any more, and older tokens end."""
    register(users)
    users.set_password("alice", "another1")
    assert login(users, password="secret1") is None
    assert login(users, password="another1").token_version == 1


def test_changes_add_up(users):
    """Each change ends the tokens of the time before it."""
    register(users)
    users.set_roles("alice", ["a"])
    users.set_password("alice", "another1")
    users.set_active("alice", active=True)
    assert users.get_by_username("alice").token_version == 3


def test_roles_keep_their_order_each_once(users):
    """A role given twice is one role."""
    register(users)
    users.set_roles("alice", iter(["b", "a", "b"]))
    assert users.get_by_username("alice").roles == ("b", "a")


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param("admin", id="a string"),
        pytest.param([""], id="an empty role"),
        pytest.param(["a\nb"], id="a line end"),
        pytest.param(["\ud800"], id="a lone surrogate"),
        pytest.param([None], id="no string"),
        pytest.param([["a"]], id="a list"),
        pytest.param(["x" * 151], id="a long role"),
        pytest.param([str(n) for n in range(101)], id="too many"),
    ],
)
def test_roles_that_are_no_roles_are_refused(users, roles):
    """A string in place of a list does not become five roles of one letter."""
    with pytest.raises(InvalidRequest) as creating:
        register(users, roles=roles)
    register(users)
    with pytest.raises(InvalidRequest) as changing:
        users.set_roles("alice", roles)
    assert creating.value.fields == changing.value.fields
    assert creating.value.fields.keys() == {"roles"}
    assert users.get_by_username("alice").roles == ()


def test_a_password_out_of_bounds_is_not_set(users):
    """The store refuses what it could not verify later."""
    register(users)
    for password in ("", "x" * 1_025):
        with pytest.raises(InvalidRequest):
            users.set_password("alice", password)
    assert login(users).token_version == 0


def test_a_password_is_set_for_the_version_it_was_meant_for(users):
    """As for everybody; and it counts like any change."""
    register(users)
    users.set_roles("alice", ["a"])
    users.set_password("ALICE", "another1", version=1)
    assert login(users, password="another1").token_version == 2
    users.set_password("alice", None, version=2)
    user = users.get_by_username("alice")
    assert (user.hashed_password, user.token_version) == (None, 3)


@pytest.mark.parametrize("version", [0, 2, -1])
def test_a_password_for_another_version_is_not_set(users, clock, version):
    """The account has moved on; nothing of it is touched, and nobody else's."""
    register(users, "bob")
    register(users)
    users.set_roles("alice", ["a"])
    before = users.get_by_username("alice")
    clock.now += 60
    for password in ("another1", None):
        with pytest.raises(TokenRevoked) as caught:
            users.set_password("alice", password, version=version)
        assert "alice" not in f"{caught.value} {caught.value.hint}"
    assert users.get_by_username("alice") == before
    assert login(users, "bob")


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.set_password("alice", None),
        lambda users: users.set_active("alice", active=False),
        lambda users: users.set_roles("alice", ["suspect"]),
    ],
    ids=["password", "active", "roles"],
)
def test_what_changed_while_a_password_was_hashed_stands(users, change):
    """Whoever closed the account was told that it is closed."""
    left = []

    class Slow(CountingHasher):
        def hash(self, password):
            change(users)
            left.append(users.get_by_username("alice"))
            return super().hash(password)

    register(users)
    users.hasher = Slow()
    with pytest.raises(TokenRevoked):
        users.set_password("alice", "another1", version=0)
    assert [users.get_by_username("alice")] == left


def test_a_user_who_goes_while_a_password_is_hashed_is_not_found(users):
    """Gone is gone, whatever the version was."""

    class Slow(CountingHasher):
        def hash(self, password):
            users.delete("alice")
            return super().hash(password)

    register(users)
    users.hasher = Slow()
    with pytest.raises(UserNotFound):
        users.set_password("alice", "another1", version=0)
    assert users.count() == 0


def test_of_many_passwords_for_one_version_one_is_set(repositories):
    """Comparing and setting are one step."""
    users = repositories.users
    register(users)
    start, won = threading.Barrier(8), []
    hashes = [PasswordHasher(cost=4).hash(f"another{number}") for number in range(8)]

    def change(number):
        mine = copy.copy(users)
        mine.hasher = types.SimpleNamespace(hash=lambda _: (hashes[number], start.wait(30))[0])
        with contextlib.suppress(TokenRevoked):
            mine.set_password("alice", f"another{number}", version=0)
            won.append(number)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(won) == 1
    assert login(users, password=f"another{won[0]}").token_version == 1


@pytest.mark.django_db
@pytest.mark.parametrize("moment", ["before the row is read", "after it"])
def test_what_a_project_does_to_its_row_meanwhile_stands(settings, clock, moment):
    """Its own code knows nothing of our versions; what it did is counted, and not undone."""
    settings.PASSWORD_HASHERS = ["tokenward.django.hashers.TokenwardPasswordHasher"]
    rows = get_user_model()._base_manager.all()
    theirs = f"tokenward{plain('theirs12')}"
    done = []

    def meanwhile():
        if not done:
            done.append(True)
            rows.update(password=theirs)

    class Between(DjangoUserRepository):
        def get_by_username(self, username):
            found = super().get_by_username(username)
            if moment == "before the row is read":
                meanwhile()
            return found

    def watch(execute, sql, params, many, context):
        if sql.startswith("SAVEPOINT"):
            meanwhile()
        return execute(sql, params, many, context)

    users = Between(bcrypt_cost=4, clock=clock)
    register(users)
    version = DjangoUserRepository(bcrypt_cost=4).get_by_username("alice").token_version
    with connection.execute_wrapper(watch), pytest.raises(TokenRevoked):
        users.set_password("alice", "another1", version=version)
    assert done
    assert rows.get().password == theirs
    assert users.get_by_username("alice").token_version == version + 1


def test_a_deleted_user_is_gone_and_the_name_is_free(users):
    """A new user of the same name is another user."""
    old = register(users, "alice", "alice@example.com")
    users.delete("Alice")
    assert users.count() == 0
    assert users.get_by_id(old.id) is None
    assert users.get_by_email("alice@example.com") is None
    assert register(users, "alice", "alice@example.com").id != old.id


@pytest.mark.parametrize("name", NOBODY)
@pytest.mark.parametrize(
    "change",
    [
        lambda users, name: users.set_password(name, "another1"),
        lambda users, name: users.set_password(name, "another1", version=0),
        lambda users, name: users.set_active(name, active=False),
        lambda users, name: users.set_roles(name, ["admin"]),
        lambda users, name: users.set_email_verified(name, verified=True),
        lambda users, name: users.delete(name),
    ],
    ids=["password", "password of version", "active", "roles", "email_verified", "delete"],
)
def test_changing_nobody_says_so(users, change, name):
    """A misspelt name is not passed over in silence; what is shown of it is escaped."""
    register(users)
    with pytest.raises(UserNotFound, match="user_not_found") as caught:
        change(users, name)
    assert caught.value.hint.startswith("there is no user named ")
    assert caught.value.hint.isprintable()
    assert users.get_by_username("alice").token_version == 0


# --- logging in ----------------------------------------------------------------------------------


def test_the_right_password_gives_the_user(users):
    """A login ends with the whole user, so that a token can be made."""
    created = register(users)
    assert login(users) == users.get_by_id(created.id)


FAILURES = {
    "wrong": ("alice", "wrong"),
    "unknown": ("nobody", "secret1"),
    "impossible": ("no body", "secret1"),
    "inactive": ("closed", "secret1"),
    "inactive and wrong": ("closed", "wrong"),
    "without a password": ("passwordless", "secret1"),
    "with a broken hash": ("broken", "secret1"),
    "query object as text": ('{"$ne": null}', "secret1"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failed_login_does_one_hash_and_says_nothing(users, failure):
    """Neither the answer nor the time tells which names exist."""
    register(users, "alice")
    register(users, "closed", is_active=False)
    register(users, "passwordless")
    users.set_password("passwordless", None)
    register(users, "broken")
    users.replace_hash(users.get_by_username("broken"), "$2b$04$broken")
    users.hasher = CountingHasher()
    assert login(users, *FAILURES[failure]) is None
    assert users.hasher.calls == ["verify"]


def test_a_successful_login_does_one_hash(users):
    """An up-to-date hash is verified and left alone."""
    register(users)
    users.hasher = CountingHasher()
    assert login(users)
    assert users.hasher.calls == ["verify"]


@pytest.mark.parametrize("password", ["", "x" * 1_025, None, 5, b"secret1", "\ud800"])
def test_what_is_no_password_is_refused_before_the_user_is_looked_up(users, password):
    """Over-long and non-string passwords cost neither a query nor a hash."""
    looked_up = []

    class Watched(type(users)):
        def get_by_username(self, username):
            looked_up.append(username)

    users.__class__ = Watched
    users.hasher = CountingHasher()
    with pytest.raises(InvalidRequest) as caught:
        users.verify_credentials(LoginRequest.model_construct(username="alice", password=password))
    assert caught.value.fields.keys() == {"password"}
    assert looked_up == []


def test_a_reopened_account_logs_in_again(users):
    """Closing an account is not forgetting it."""
    register(users)
    users.set_active("alice", active=False)
    users.set_active("alice", active=True)
    assert login(users).is_active


@pytest.mark.parametrize("password", ["secret1", "x" * 100, "pässwörd"])
def test_a_plain_hash_is_renewed_at_login(users, password):
    """Accounts brought from elsewhere lose the 72-byte limit without noticing."""
    register(users)
    users.replace_hash(users.get_by_username("alice"), plain(password[:72]))
    assert login(users, password=password)
    renewed = users.get_by_username("alice")
    assert renewed.hashed_password.startswith("$tw1$2b$04$")
    assert renewed.token_version == 0
    assert login(users, password=password)
    assert users.get_by_username("alice") == renewed


def test_a_hash_of_lower_cost_is_renewed_at_login(users):
    """Raising the cost reaches everybody who logs in."""
    register(users)
    users.hasher = PasswordHasher(cost=5)
    assert login(users)
    assert users.get_by_username("alice").hashed_password.startswith("$tw1$2b$05$")


def test_a_failed_login_renews_nothing(users):
    """Only who knows the password can have it hashed anew."""
    register(users)
    before = users.get_by_username("alice")
    users.hasher = PasswordHasher(cost=5)
    assert login(users, password="wrong") is None
    assert users.get_by_username("alice") == before


@pytest.mark.parametrize("error", [AuthServiceUnavailable("busy"), RuntimeError("driver")])
def test_a_login_stands_although_its_hash_cannot_be_renewed(users, error, caplog):
    """A full disk or a busy machine does not lock people out."""

    class Failing(CountingHasher):
        def hash(self, password):
            raise error

    register(users)
    users.hasher = Failing(cost=5)
    assert login(users).username == "alice"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "secret1" not in caplog.text


def test_a_renewed_hash_does_not_undo_a_new_password(users):
    """A login that began before the change comes too late."""
    register(users)
    before = users.get_by_username("alice")
    users.set_password("alice", "another1")
    assert users.replace_hash(before, PasswordHasher(cost=4).hash("secret1")) is False
    assert login(users, password="another1")
    assert login(users, password="secret1") is None


def test_a_renewed_hash_does_not_bring_back_a_deleted_user(users):
    """Nor one who is gone."""
    register(users)
    before = users.get_by_username("alice")
    users.delete("alice")
    assert users.replace_hash(before, before.hashed_password) is False
    assert users.count() == 0


def test_authenticate_user_issues_a_token(users):
    """The seed's shape: a token from the function the service gave, and the public user."""
    created = register(users)
    users.issue = lambda user: f"token for {user.id}"
    answer = users.authenticate_user(LoginRequest(username="alice", password="secret1"))
    assert answer == {"access_token": f"token for {created.id}", "user": created}
    assert type(answer["user"]) is PublicUser


def test_authenticate_user_refuses_like_verify_credentials(users):
    """A failed login is None and issues nothing."""
    register(users)
    users.issue = pytest.fail
    assert users.authenticate_user(LoginRequest(username="alice", password="wrong1")) is None


def test_authenticate_user_needs_something_that_issues(users):
    """A repository on its own says what to do instead of failing oddly."""
    register(users)
    with pytest.raises(ConfigurationError, match="AuthService"):
        users.authenticate_user(LoginRequest(username="alice", password="secret1"))


# --- what never leaves ---------------------------------------------------------------------------


def test_a_hash_is_in_no_repr_and_no_dump(users):
    """Whatever is logged or sent about a user, the hash is not in it."""
    register(users)
    user = users.get_by_username("alice")
    for said in (repr(user), str(user), user.model_dump(), user.model_dump_json(), repr(users)):
        assert "$tw1$" not in str(said)


@pytest.mark.parametrize("cost", [3, 17, "12"])
def test_a_cost_out_of_bounds_stops_start_up_and_leaves_no_file(cost, tmp_path):
    """The mistake shows when the repository is made."""
    with pytest.raises(ConfigurationError, match="cost"):
        MemoryUserRepository(bcrypt_cost=cost)
    with pytest.raises(ConfigurationError, match="cost"):
        SQLiteUserRepository(tmp_path / "users.db", bcrypt_cost=cost)
    with pytest.raises(ConfigurationError, match="cost"):
        DjangoUserRepository(bcrypt_cost=cost)
    assert list(tmp_path.iterdir()) == []
