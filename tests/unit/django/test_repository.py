"""The auth service's users as rows of a Django project."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import traceback
from datetime import UTC, datetime

import pytest
from django.apps import apps
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    models,
    transaction,
)
from django.db.models.deletion import ProtectedError
from django.db.models.signals import post_save, pre_delete
from django.test.utils import CaptureQueriesContext

from tokenward.django import DjangoUserRepository
from tokenward.django._database import translated_errors
from tokenward.django._user_model import visible_rows
from tokenward.django.accounts import Adoption, adopt_existing, settle
from tokenward.django.accounts.saved import connect_accounts
from tokenward.django.hashers import TokenwardPasswordHasher
from tokenward.django.models import Account
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidCredentials,
    InvalidRequest,
    InvalidToken,
    TokenRevoked,
    UserAlreadyExists,
    UserNotFound,
)
from tokenward.keys import KeyRing
from tokenward.repositories import MemoryTokenRepository
from tokenward.schemas import LoginRequest, PublicUser, RegisterRequest
from tokenward.service import AuthService
from tokenward.testing import FakeClock

pytestmark = pytest.mark.django_db

NOW = 1_700_000_000
MOMENT = datetime.fromtimestamp(NOW, UTC)
MD5 = "django.contrib.auth.hashers.MD5PasswordHasher"


class Cheap(TokenwardPasswordHasher):
    cost = 4


OURS = f"{__name__}.Cheap"


@pytest.fixture(autouse=True)
def project(settings):
    """A project with nothing of ours in the way of its admin."""
    connect_accounts()
    settings.PASSWORD_HASHERS = [OURS, MD5]
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "tokenward" not in name]
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ]
    return settings


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def users(project, clock):
    return DjangoUserRepository(bcrypt_cost=4, clock=clock)


@pytest.fixture
def service(users, clock):
    return AuthService(
        users,
        keys=KeyRing.generate(clock=clock),
        tokens=MemoryTokenRepository(),
        issuer="https://auth.example",
        audience="orders",
        registration="open",
        clock=clock,
    )


def register(users, username="alice", email=None, password="orchid-7", **more):
    email = email or f"{username}@example.com"
    return users.create(RegisterRequest(username=username, email=email, password=password), **more)


def login(users, username="alice", password="orchid-7"):
    return users.verify_credentials(LoginRequest(username=username, password=password))


def old_row(username, password="orchid-7", **more):
    """A row as a project has it from before: no account, and a hash that Django made."""
    row = User(username=username, password=make_password(password, hasher="md5"), **more)
    return User.objects.bulk_create([row])[0]


def version_of(users, username="alice"):
    return users.get_by_username(username).token_version


# --- registering ---------------------------------------------------------------------------------


def test_a_registration_makes_a_user_of_the_project(users):
    """Everything Django reads of a user is there, and the id in tokens is not its primary key."""
    created = register(users, "Alice", "Alice@Example.com", roles=["editor"])
    row = User.objects.get(username="Alice")
    assert (row.email, row.is_active, row.is_staff) == ("Alice@example.com", True, False)
    assert row.date_joined == MOMENT
    assert row.password.startswith("tokenward$$tw1$2b$04$")
    assert authenticate(None, username="Alice", password="orchid-7") == row
    account = row.tokenward_account
    assert account.id == created.id != str(row.pk)
    assert (account.roles, account.is_active, account.token_version) == (["editor"], True, 0)


def test_a_name_is_stored_as_djangos_forms_would(users):
    """Else its owner could not log in with a form, which normalizes what is typed."""
    created = register(users, "\uff21lice", "alice@example.com")
    assert created.username == User.objects.get().username == "Alice"
    assert users.get_by_username("\uff21lice").id == created.id


@pytest.mark.parametrize(
    ("username", "email"),
    [
        ("Admin", "new@example.com"),
        ("ADMIN", "new@example.com"),
        ("new", "admin@example.com"),
        ("new", "Admin@EXAMPLE.com"),
    ],
)
def test_what_a_row_without_an_account_has_is_taken(users, username, email):
    """Nobody registers beside a user whom the service has not met yet."""
    old_row("Admin", email="admin@example.com")
    with pytest.raises(UserAlreadyExists) as caught:
        register(users, username, email)
    assert caught.value.__cause__ is None
    assert (User.objects.count(), Account.objects.count()) == (1, 0)


def test_a_refused_registration_leaves_no_row(users):
    """The user and the account come together, or not at all."""
    register(users, "alice", "alice@example.com")
    for username, email in [("ALICE", "other@example.com"), ("other", "ALICE@example.com")]:
        with pytest.raises(UserAlreadyExists):
            register(users, username, email)
    assert (User.objects.count(), Account.objects.count()) == (1, 1)


def test_a_registration_that_the_projects_own_code_stops_leaves_nothing(users):
    """A receiver that makes a profile, and fails, takes the user with it."""

    def fail(**_):
        raise RuntimeError("no profile")

    post_save.connect(fail, sender=User)
    try:
        with pytest.raises(RuntimeError, match="no profile"):
            register(users)
    finally:
        post_save.disconnect(fail, sender=User)
    assert (User.objects.count(), Account.objects.count()) == (0, 0)
    assert register(users).username == "alice"


@pytest.mark.parametrize(
    ("username", "email", "field"),
    [
        ("al!ce", "alice@example.com", "username"),
        ("alice", "jos\u00e9@example.com", "email"),
        ("alice", "a@" + ".".join(["x" * 62] * 4) + ".example", "email"),
    ],
)
def test_the_projects_own_validators_hold(users, username, email, field):
    """What the admin would refuse to save is not registered; the input is not repeated."""
    request = RegisterRequest.model_construct(username=username, email=email, password="orchid-7")
    with pytest.raises(InvalidRequest) as caught:
        users.create(request)
    assert caught.value.fields == {field: "is not one that this site accepts"}
    assert User.objects.count() == 0


class NotThis:
    """A password validator that quotes."""

    def validate(self, password, user=None):
        if user is not None and user.get_username() == "quoted":
            raise ValidationError(f"{password} is no good")


@pytest.fixture
def validators(project):
    project.AUTH_PASSWORD_VALIDATORS = [
        {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
        {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
        {"NAME": f"{__name__}.NotThis"},
    ]


def test_the_projects_password_validators_hold(users, validators):
    """A new password is one that the project's own forms would take; an old one still opens."""
    old_row("bob", "password")
    for username, password, said in [
        ("alice", "iloveyou", "This password is too common."),
        ("alicethegreat", "alicethegreat", "The password is too similar to the username."),
        ("quoted", "quartz-lantern", "is not one that this site accepts"),
    ]:
        with pytest.raises(InvalidRequest) as caught:
            register(users, username, "someone@example.com", password)
        assert caught.value.fields == {"password": said}
    with pytest.raises(InvalidRequest) as caught:
        users.set_password("bob", "letmein")
    assert caught.value.fields == {"password": "This password is too common."}
    assert login(users, "bob", "password").username == "bob"


def test_an_address_is_shown_as_it_is_stored(users):
    """Created and read back, a user is the same."""
    created = register(users, "alice", "Alice@Example.COM")
    assert users.get_by_id(created.id).public() == created


# --- reading -------------------------------------------------------------------------------------


def test_a_user_is_read_with_one_query(users, django_assert_num_queries):
    """Row and account come together: a protected request costs one look at the database."""
    created = register(users)
    for find, by in [
        (users.get_by_id, created.id),
        (users.get_by_username, "ALICE"),
        (users.get_by_email, "Alice@example.com"),
    ]:
        with django_assert_num_queries(1):
            assert find(by).id == created.id


def test_a_page_is_read_with_one_query(users, django_assert_num_queries):
    """However many are on it."""
    for n in range(5):
        register(users, f"user{n}")
    with django_assert_num_queries(1):
        assert len(users.get_active_users()) == 5


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_survive_a_project_without_time_zones(project, clock, use_tz):
    """They are the same moments in a project whose database keeps local time."""
    project.USE_TZ = use_tz
    users = DjangoUserRepository(bcrypt_cost=4, clock=clock)
    created = register(users)
    clock.advance(60)
    users.set_roles("alice", ["a"])
    user = users.get_by_id(created.id)
    assert (user.created_at, user.updated_at) == (MOMENT, datetime.fromtimestamp(NOW + 60, UTC))
    row = User.objects.get()
    row.first_name, row.is_active = "Alice", False
    row.save()
    assert users.get_by_id(created.id).token_version == 2


def test_no_password_is_djangos_no_password(users):
    """An unusable password opens neither the service nor Django."""
    register(users)
    users.set_password("alice", None)
    row = User.objects.get()
    assert not row.has_usable_password()
    assert users.get_by_username("alice").hashed_password is None
    assert users.replace_hash(users.get_by_username("alice"), "$tw1$x") is False
    row.set_password("another1")
    row.save()
    assert login(users, password="another1").token_version == 2


@pytest.mark.parametrize(
    ("settings_", "message"),
    [({"using": "typo"}, "no database 'typo'"), ({"bcrypt_cost": 3}, "cost")],
)
def test_what_cannot_be_meant_stops_start_up(settings_, message):
    """The mistake shows when the repository is made."""
    with pytest.raises(ConfigurationError, match=message):
        DjangoUserRepository(**settings_)


# --- rows from before ----------------------------------------------------------------------------


def test_who_was_there_before_logs_in_at_once(users, project):
    """By name and password as always; from then on there is an account, under one id."""
    row = old_row("Bob", email="Bob@example.com")
    assert users.get_by_username("nobody") is None
    assert Account.objects.count() == 0
    user = login(users, "Bob")
    assert (user.username, user.email, user.email_verified) == ("Bob", "Bob@example.com", False)
    assert (user.id, user.roles, user.token_version) == (
        row.__class__.objects.get().tokenward_account.id,
        (),
        0,
    )
    assert user.created_at == row.date_joined.replace(microsecond=0)
    assert [login(users, name).id for name in ("bob", "BOB")] == [user.id] * 2
    assert users.get_by_email("bob@EXAMPLE.com").id == user.id


@pytest.mark.parametrize("name", ["\ufb01le", "jose\u0301", "\u00e5se", "\ufb01@LE"])
def test_who_was_there_before_is_found_by_the_name_the_row_has(users, name):
    """Code of the project may have stored what its forms would have normalized."""
    old_row(name)
    assert users.get_by_username(name).username == name
    assert users.get_by_username(name.upper()).username == name


@pytest.mark.parametrize("kept", ["Bob@example.com", "Bob@Example.COM"])
def test_who_was_there_before_is_found_by_address(users, kept):
    """A password reset finds them before they ever logged in."""
    row = old_row("Bob", email=kept)
    assert users.get_by_email("Bob@Example.COM").username == "Bob"
    assert Account.objects.get().user == row


def test_the_hash_from_before_is_renewed_at_login(users):
    """It is one of ours then, which Django reads too, and no token ends over it."""
    row = old_row("bob")
    assert login(users, "bob")
    row.refresh_from_db()
    assert row.password.startswith("tokenward$$tw1$2b$04$")
    assert version_of(users, "bob") == 0
    assert authenticate(None, username="bob", password="orchid-7") == row
    assert login(users, "bob")


def test_the_hash_from_before_stays_where_django_could_not_read_another(users, project):
    """Without our hasher in PASSWORD_HASHERS everything is made by Django's."""
    project.PASSWORD_HASHERS = [MD5]
    row = old_row("bob")
    assert login(users, "bob")
    assert row.password == User.objects.get().password
    register(users)
    assert User.objects.get(username="alice").password.startswith("md5$")
    assert authenticate(None, username="alice", password="orchid-7")
    assert login(users)


def test_an_operator_reaches_who_was_there_before(users):
    """Giving a role to somebody who never logged in needs no adoption first."""
    old_row("Bob")
    old_row("Carol")
    users.set_roles("Bob", ["editor"])
    assert users.get_by_username("bob").roles == ("editor",)
    users.delete("Carol")
    assert User.objects.count() == 1


@pytest.mark.parametrize("failure", ["wrong", "inactive", "unusable"])
def test_who_was_there_before_is_refused_like_everybody(users, failure):
    """An account is no way around what the row says."""
    row = old_row("bob", is_active=failure != "inactive")
    if failure == "unusable":
        row.set_unusable_password()
        row.save()
    assert login(users, "bob", "wrong" if failure == "wrong" else "orchid-7") is None


def test_adoption_of_everybody(users):
    """All at once, in the order of the rows; a second time there is nothing to do."""
    register(users)
    many = [old_row(f"user{n}", email=f"user{n}@example.com") for n in range(3)]
    rows = [User(username=f"more{n}", password="!") for n in range(600)]
    User.objects.bulk_create(rows)
    assert adopt_existing() == Adoption(603)
    assert users.count() == 604
    ids = dict(Account.objects.values_list("user_id", "id"))
    assert adopt_existing() == Adoption(0)
    assert dict(Account.objects.values_list("user_id", "id")) == ids
    assert users.get_by_id(ids[many[0].pk]).username == "user0"


def test_of_two_rows_with_one_name_the_older_is_adopted(users):
    """The other cannot log in, is told of, and can be renamed."""
    old_row("Bob", "first1")
    second = old_row("bob", "second2")
    assert adopt_existing() == Adoption(1, without_account=("bob",))
    assert login(users, "bob", "first1").username == "Bob"
    assert login(users, "bob", "second2") is None
    assert adopt_existing() == Adoption(0, without_account=("bob",))
    second.username = "robert"
    second.save()
    assert login(users, "robert", "second2").username == "robert"
    assert adopt_existing() == Adoption(0)


def test_of_two_rows_with_one_address_the_older_has_it(users):
    """Both log in; the other has no address at the service, and is told of."""
    old_row("alice", email="us@example.com")
    old_row("bob", email="Us@example.com")
    assert adopt_existing() == Adoption(2, without_email=("bob",))
    assert users.get_by_email("us@example.com").username == "alice"
    assert login(users, "alice").email == "us@example.com"
    assert login(users, "bob").email is None
    User.objects.filter(username="alice").update(email="alice@example.com")
    assert adopt_existing() == Adoption(0)
    assert users.get_by_email("us@example.com").username == "bob"


def test_what_somebody_gave_up_is_had_by_who_is_saved_next(users):
    """The row that shares an address or a name need not change for it."""
    first, second = old_row("alice", email="us@example.com"), old_row("bob", email="us@example.com")
    adopt_existing()
    in_the_orm(email="alice@example.com")(first)
    assert login(users, "bob").email is None
    in_the_orm()(second)
    assert login(users, "bob").email == "us@example.com"


def test_a_name_that_nobody_may_have_is_told_of(users):
    """It cannot be typed at the service."""
    old_row("john smith")
    assert adopt_existing() == Adoption(0, without_account=("john smith",))
    assert login(users, "john smith") is None


def test_no_address_is_shared(users):
    """Rows without an address do not have one in common."""
    old_row("alice")
    old_row("bob")
    assert adopt_existing() == Adoption(2)
    assert users.get_by_email("") is None
    assert login(users, "bob").email is None


# --- changes made elsewhere ----------------------------------------------------------------------


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("root", password="orchid-7"))
    return client


def submit(admin, row, **changes):
    """Change a row with the admin's own form; return the answer."""
    url = f"/admin/auth/user/{row.pk}/change/"
    form = admin.get(url).context["adminform"].form
    data = {}
    for name in form.fields:
        value = form[name].value()
        if name in {"last_login", "date_joined"}:
            shown = ["", ""] if value is None else [value.strftime("%Y-%m-%d"), "00:00:00"]
            data[f"{name}_0"], data[f"{name}_1"] = shown
        elif value is True:
            data[name] = "on"
        elif value not in (None, False):
            data[name] = value
    data |= changes
    return admin.post(url, {name: value for name, value in data.items() if value is not None})


def test_a_renaming_in_the_admin_is_followed(users, admin):
    """The new name logs in, the old one is free, and tokens stay what they were."""
    created = register(users)
    row = User.objects.get(username="alice")
    assert submit(admin, row, username="Alicia", email="alicia@example.com").status_code == 302
    assert users.get_by_username("ALICIA").id == users.get_by_email("alicia@example.com").id
    assert users.get_by_id(created.id).token_version == 0
    assert users.get_by_username("alice") is None
    assert users.get_by_email("alice@example.com") is None
    assert register(users, "alice").id != created.id


def test_a_new_address_is_not_a_verified_one(users, admin):
    """What was shown to be theirs was the old one."""
    register(users, email_verified=True)
    submit(admin, User.objects.get(username="alice"), email="ALICE@example.com")
    assert users.get_by_username("alice").email_verified is True
    submit(admin, User.objects.get(username="alice"), email="other@example.com")
    assert users.get_by_username("alice").email_verified is False


def test_deactivation_and_a_new_password_in_the_admin_end_tokens_once_each(users, admin):
    """The counter in tokens rises by one for each, and by nothing else the form saves."""
    register(users)
    row = User.objects.get(username="alice")
    submit(admin, row, first_name="Alice", is_staff="on")
    assert version_of(users) == 0
    submit(admin, row, is_active=None)
    assert version_of(users) == 1
    assert login(users) is None
    submit(admin, row, is_active="on")
    assert version_of(users) == 2
    url = f"/admin/auth/user/{row.pk}/password/"
    data = {"password1": "another-1", "password2": "another-1", "usable_password": "true"}
    assert admin.post(url, data).status_code == 302
    assert version_of(users) == 3
    assert login(users, password="another-1")


def test_a_name_that_is_anothers_is_saved_and_unknown_to_the_service(users, admin, caplog):
    """The admin sees no error page; the log says it, and renaming once more heals it."""
    alice, bob = register(users, "alice"), register(users, "bob")
    row = User.objects.get(username="bob")
    assert submit(admin, row, username="ALICE").status_code == 302
    assert [r.getMessage() for r in caplog.records if r.name == "tokenward.django.accounts"] == [
        "The name of user ALICE is another user's, or nobody's; the auth service does not know it"
    ]
    assert users.get_by_username("ALICE").id == alice.id
    assert users.get_by_id(bob.id) is None
    assert users.get_by_username("bob") is None
    assert users.get_by_email("bob@example.com") is None
    assert [user.username for user in users.get_active_users()] == ["alice"]
    assert adopt_existing().without_account == ("ALICE",)
    assert submit(admin, row, username="Bob").status_code == 302
    assert users.get_by_username("bob").id == bob.id


def test_an_address_that_is_anothers_is_saved_and_unknown_to_the_service(users, admin):
    """Its first owner keeps it at the service, whatever the column says."""
    register(users, "alice")
    register(users, "bob", email_verified=True)
    row = User.objects.get(username="bob")
    assert submit(admin, row, email="Alice@example.com").status_code == 302
    assert users.get_by_email("alice@example.com").username == "alice"
    bob = users.get_by_username("bob")
    assert (bob.email, bob.email_verified) == (None, False)


def test_a_name_of_no_kind_is_saved_and_unknown_to_the_service(users):
    """The ORM stores what it is given."""
    created = register(users)
    row = User.objects.get()
    row.username = "alice smith"
    row.save()
    assert users.get_by_id(created.id) is None
    row.username = "alice"
    row.save()
    assert users.get_by_id(created.id).username == "alice"


def test_a_user_added_in_the_admin_has_an_account_where_the_service_is_in_use(users, admin):
    """Their name is theirs from the start, in every spelling."""
    register(users)
    data = {"username": "Bob", "password1": "another-1", "password2": "another-1"}
    answer = admin.post("/admin/auth/user/add/", data | {"usable_password": "true"})
    assert answer.status_code == 302
    assert Account.objects.filter(user__username="Bob").exists()
    assert login(users, "BOB", "another-1")
    with pytest.raises(UserAlreadyExists):
        register(users, "bob")


def test_a_user_added_under_a_name_that_is_taken_has_none(users, caplog):
    """The project's save stands; the service goes on with who had the name."""
    created = register(users)
    User.objects.create_user("ALICE")
    assert "User ALICE has no account at the auth service" in caplog.text
    assert users.get_by_username("ALICE").id == created.id


def in_the_orm(**changes):
    def change(row):
        for name, value in changes.items():
            setattr(row, name, value)
        row.save()

    return change


def new_password(row, **saving):
    row.set_password("another1")
    row.save(**saving)


def assigned_password(row, **saving):
    row.password = make_password("another1")
    row.save(**saving)


def no_password(row):
    row.set_unusable_password()
    row.save()


def both(row):
    row.is_active = False
    new_password(row)


def in_a_proxy(row):
    class Person(User):
        class Meta:
            proxy = True
            app_label = "tokenward"

    connect_accounts()
    new_password(Person.objects.get(pk=row.pk))
    del apps.all_models["tokenward"]["person"]
    apps.clear_cache()


@pytest.mark.parametrize(
    ("change", "raised"),
    [
        pytest.param(in_the_orm(), 0, id="nothing"),
        pytest.param(in_the_orm(first_name="Alice", last_name="A"), 0, id="another column"),
        pytest.param(in_the_orm(username="Alice", email="ALICE@example.com"), 0, id="case"),
        pytest.param(in_the_orm(last_login=MOMENT), 0, id="last_login"),
        pytest.param(lambda row: row.save(update_fields=["last_login"]), 0, id="only last_login"),
        pytest.param(lambda row: row.check_password("orchid-7"), 0, id="checked, up to date"),
        pytest.param(in_the_orm(is_active=False), 1, id="is_active"),
        pytest.param(new_password, 1, id="set_password"),
        pytest.param(
            lambda row: new_password(row, update_fields=["password"]), 1, id="only set_password"
        ),
        pytest.param(assigned_password, 1, id="make_password"),
        pytest.param(
            lambda row: assigned_password(row, update_fields=["password"]), 1, id="only password"
        ),
        pytest.param(no_password, 1, id="unusable"),
        pytest.param(both, 1, id="both in one save"),
        pytest.param(in_a_proxy, 1, id="through a proxy"),
        pytest.param(
            lambda row: User.objects.filter(pk=row.pk).update(is_active=False), 1, id="update()"
        ),
        pytest.param(
            lambda row: User.objects.filter(pk=row.pk).update(password=make_password("x")),
            1,
            id="update() of the password",
        ),
        pytest.param(
            lambda row: User.objects.filter(pk=row.pk).update(last_login=MOMENT), 0, id="no change"
        ),
    ],
)
def test_what_a_token_vouches_for_is_counted_once_however_it_changes(
    users, change, raised, request
):
    """Password and is_active raise the counter, whoever writes them and how; all else does not."""
    created = register(users)
    change(User.objects.get())
    if "update()" not in request.node.name:
        assert Account.objects.get().token_version == raised
    found = [users.get_by_id(created.id), users.get_by_username("alice")]
    found += [users.get_by_id(created.id)]
    assert [user.token_version for user in found] == [raised] * 3
    User.objects.get().save()
    assert version_of(users) == raised


def test_what_a_save_does_not_write_does_not_count(users):
    """An old object that writes one column knows nothing of what the others have become."""
    created = register(users)
    old = User.objects.get()
    users.set_password("alice", "another1")
    old.username = "Alicia"
    old.save(update_fields=["username"])
    assert users.get_by_id(created.id).token_version == 1
    assert login(users, "alicia", "another1")


def test_two_who_see_the_same_change_count_it_once(users):
    """Whichever request writes first: the other finds that it is done."""
    created = register(users)
    User.objects.update(is_active=False)
    first, second = visible_rows("default").get(), visible_rows("default").get()
    for row in (first, second):
        settled = settle(row, row.tokenward_account, using="default")
        assert (settled.is_active, settled.token_version) == (False, 1)
    assert users.get_by_id(created.id).token_version == 1


def test_an_account_opened_again_unseen_does_not_bring_tokens_back(users):
    """Closed by an update() that no signal told of, it was counted when a token was refused."""
    created = register(users)
    User.objects.update(is_active=False)
    assert users.get_by_id(created.id).is_active is False
    User.objects.update(is_active=True)
    assert users.get_by_id(created.id).token_version == 2


def test_a_hash_that_django_renews_at_a_login_ends_no_token(users, project):
    """Logging in at the admin does not log anybody out of the service."""
    project.PASSWORD_HASHERS = [MD5, OURS]
    created = register(users)
    row = User.objects.get()
    assert row.password.startswith("md5$")
    project.PASSWORD_HASHERS = [OURS, MD5]
    assert authenticate(None, username="alice", password="orchid-7") == row
    row.refresh_from_db()
    assert row.password.startswith("tokenward$")
    assert users.get_by_id(created.id).token_version == 0
    assert authenticate(None, username="alice", password="orchid-7") == row
    new_password(row, update_fields=["password"])
    assert users.get_by_id(created.id).token_version == 1


def test_a_hash_that_we_renew_ends_no_token(users, project):
    """Nor the other way round, and Django's sessions go by the row as always."""
    old_row("bob")
    assert login(users, "bob").token_version == 0
    project.PASSWORD_HASHERS = [f"{__name__}.Dearer"]
    users.hasher.cost = 5
    assert login(users, "bob")
    assert User.objects.get().password.startswith("tokenward$$tw1$2b$05$")
    User.objects.get().save()
    assert version_of(users, "bob") == 0


class Dearer(TokenwardPasswordHasher):
    cost = 5


def test_a_renewed_hash_does_not_undo_a_password_that_no_signal_told_of(users):
    """A login that began before comes too late, and the change still counts."""
    created = register(users)
    before = users.get_by_id(created.id)
    User.objects.update(password=make_password("another1"))
    assert users.replace_hash(before, users.hasher.hash("orchid-7")) is False
    assert login(users, password="another1").token_version == 1
    assert login(users, password="orchid-7") is None


def test_a_renaming_that_no_signal_told_of_is_followed(users):
    """update() and SQL change names, too."""
    created = register(users)
    User.objects.update(username="Alicia", email="alicia@example.com")
    assert users.get_by_username("Alicia").id == created.id
    assert users.get_by_email("alicia@example.com").id == created.id
    assert users.get_by_username("alice") is None
    assert register(users, "alice", "alice@example.com").id != created.id


def test_the_old_name_finds_nobody_before_the_new_one_is_asked_for(users):
    """The account is put right by whichever look comes first."""
    register(users)
    User.objects.update(username="Alicia", email="alicia@example.com")
    assert users.get_by_email("alice@example.com") is None
    assert users.get_by_username("alice") is None
    with pytest.raises(UserNotFound):
        users.set_roles("alice", ["admin"])
    assert users.get_by_username("ALICIA").username == "Alicia"


def test_a_row_deleted_in_the_project_is_gone_from_the_service(users):
    """The account goes with its row."""
    created = register(users)
    User.objects.all().delete()
    assert users.get_by_id(created.id) is None
    assert users.count() == 0


def test_deleting_takes_the_row_and_what_depends_on_it(users):
    """The project's own rows go as its models say."""
    register(users)
    User.objects.get().groups.add(Group.objects.create(name="Editors"))
    users.delete("ALICE")
    assert (User.objects.count(), Account.objects.count()) == (0, 0)
    assert User.groups.through.objects.count() == 0


def test_a_row_that_the_project_needs_is_not_deleted(users):
    """The operator is told what to do instead."""
    created = register(users)

    def protect(instance, **_):
        raise ProtectedError("orders need it", {instance})

    pre_delete.connect(protect, sender=User)
    try:
        with pytest.raises(InvalidRequest) as caught:
            users.delete("alice")
    finally:
        pre_delete.disconnect(protect, sender=User)
    assert "deactivate" in caught.value.fields["username"]
    assert users.get_by_id(created.id)


# --- what it costs a project that only verifies tokens -------------------------------------------


def ours_among(queries):
    return [query["sql"] for query in queries if "tokenward_account" in query["sql"]]


@pytest.mark.parametrize(
    ("save", "questions"),
    [
        (lambda row: row.save(), 1),
        (lambda row: row.save(update_fields=["last_login"]), 0),
        (lambda row: row.save(update_fields=["first_name", "last_name"]), 0),
        (lambda row: User.objects.create_user("bob"), 1),
    ],
)
def test_without_accounts_a_save_costs_one_question_at_most(save, questions):
    """And no row of anybody gets an account."""
    row = User.objects.create_user("alice")
    with CaptureQueriesContext(connection) as asked:
        save(row)
    assert len(ours_among(asked)) == questions
    assert Account.objects.count() == 0


def test_without_our_table_the_project_saves_its_users(users):
    """One who never ran our migration notices nothing; the service says what to do."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tokenward_account RENAME TO elsewhere")
    row = User.objects.create_user("alice")
    row.is_active = False
    row.save()
    assert User.objects.filter(is_active=False).count() == 1
    for ask in (users.count, lambda: users.get_by_id("x"), lambda: register(users, "bob")):
        with pytest.raises(AuthServiceUnavailable) as caught, transaction.atomic():
            ask()
        assert caught.value.reason == "store_unavailable"
        assert caught.value.hint.endswith("run manage.py migrate")
    assert User.objects.count() == 1


def test_a_fixture_is_loaded_as_it_is(users):
    """Loading rows writes nothing beside them; they are adopted when they are asked for."""
    register(users)
    row = User(pk=99, username="carol", password=make_password("orchid-7"))
    row.save_base(raw=True)
    assert Account.objects.count() == 1
    assert login(users, "carol")


# --- outages -------------------------------------------------------------------------------------


def every_kind_of(error):
    yield error
    for kind in error.__subclasses__():
        yield from every_kind_of(kind)


SECRET = "tokenward$$tw1$2b$12$secretsecretsecret"


@pytest.mark.parametrize("kind", {*every_kind_of(Error)}, ids=lambda kind: kind.__name__)
def test_every_error_of_a_database_is_an_outage(kind):
    """None escapes; nothing that a database quotes of a row is in what is said or printed."""
    # Some want more to be made than a text.
    error = kind.__new__(kind, f"refused\nDETAIL: Failing row contains ({SECRET})")
    with pytest.raises(AuthServiceUnavailable) as caught, translated_errors():
        raise error
    assert caught.value.reason == "store_unavailable"
    assert SECRET not in caught.value.hint
    if not isinstance(error, OperationalError | InterfaceError):
        assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OperationalError("no such table: tokenward_account"), "migrate"),
        (OperationalError(1054, "Unknown column 'x' in 'field list'"), "migrate"),
        (ProgrammingError('relation "tokenward_account" does not exist'), "migrate"),
        (OperationalError("database is locked"), "database is locked"),
        (DataError("value too long for secret1"), "DataError"),
        (IntegrityError("Key (x)=(secret1)"), "IntegrityError"),
        (DatabaseError("orchid-7"), "DatabaseError"),
        (transaction.TransactionManagementError("orchid-7"), "transaction"),
    ],
)
def test_an_outage_says_what_to_do(error, advice):
    """The hint is for the operator's log."""
    with pytest.raises(AuthServiceUnavailable) as caught, translated_errors():
        raise error
    assert advice in caught.value.hint
    assert "orchid-7" not in caught.value.hint


@pytest.fixture
def other_writer():
    """Another connection to the same file."""
    raw = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    yield raw
    raw.close()
    connection.close()


def impatient():
    """Have this thread's connection, which is a new one after an outage, wait for a moment only."""
    connection.ensure_connection()
    connection.connection.execute("PRAGMA busy_timeout = 50")


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_locked_is_an_outage_and_no_wrong_password(users, other_writer):
    """Neither "taken" nor "unknown" is ever said for it; when it is free, all goes on."""
    register(users)
    other_writer.execute("BEGIN EXCLUSIVE")
    for ask in (
        lambda: register(users, "bob"),
        lambda: login(users),
        lambda: users.set_roles("alice", ["admin"]),
        lambda: users.get_by_id("x"),
        lambda: users.delete("alice"),
        users.count,
        users.get_active_users,
        adopt_existing,
    ):
        impatient()
        with pytest.raises(AuthServiceUnavailable) as caught:
            ask()
        assert "locked" in caught.value.hint
    other_writer.execute("ROLLBACK")
    assert register(users, "bob").username == "bob"
    assert login(users).roles == ()


@pytest.mark.django_db(transaction=True)
def test_a_save_of_the_projects_stands_although_the_account_cannot_follow(
    users, other_writer, caplog
):
    """The service makes good for it when it reads the row: the token ends all the same."""
    created = register(users)
    row = User.objects.get()
    row.is_active = False

    def lock(**_):
        other_writer.execute("BEGIN IMMEDIATE")
        impatient()

    # Called when the row is written, and before our own receiver is.
    post_save.disconnect(sender=User, dispatch_uid="tokenward.accounts")
    post_save.connect(lock, sender=User)
    connect_accounts()
    try:
        row.save()
    finally:
        post_save.disconnect(lock, sender=User)
        other_writer.execute("ROLLBACK")
    assert "could not follow (OperationalError)" in caplog.text
    connection.close()
    assert Account.objects.get().token_version == 0
    user = users.get_by_id(created.id)
    assert (user.is_active, user.token_version) == (False, 1)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_broke_is_replaced(users):
    """A thread outside Django's requests would keep it for ever."""
    created = register(users)
    connection.connection.close()
    with pytest.raises(AuthServiceUnavailable):
        users.get_by_id(created.id)
    assert users.get_by_id(created.id).username == "alice"


def test_within_a_transaction_a_refusal_breaks_nothing(users):
    """ATOMIC_REQUESTS: the request goes on, and commits what it did."""
    with transaction.atomic():
        register(users)
        with pytest.raises(UserAlreadyExists):
            register(users)
        User.objects.create_user("bob")
    assert User.objects.count() == 2


# --- under the service ---------------------------------------------------------------------------


def test_the_service_works_on_the_projects_users(service):
    """Register, log in, be asked about, change, log out: nothing knows where users are kept."""
    created = service.register_user(
        RegisterRequest(username="Alice", email="alice@example.com", password="orchid-7")
    )
    service.users.set_roles("alice", ["editor"])
    token = service.login_user(LoginRequest(username="ALICE", password="orchid-7")).access_token
    assert service.get_logged_in_user(token) == created.model_copy(update={"roles": ("editor",)})
    assert type(service.get_logged_in_user(token)) is PublicUser
    answer = service.introspect_token(token)
    assert (answer.sub, answer.username, answer.roles) == (created.id, "Alice", ["editor"])
    service.logout_user(token)
    with pytest.raises(TokenRevoked):
        service.get_logged_in_user(token)
    with pytest.raises(InvalidCredentials):
        service.login_user(LoginRequest(username="alice", password="wrong"))
    assert service.ready()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda users, row: users.set_active("alice", active=False), id="set_active"),
        pytest.param(lambda users, row: users.set_roles("alice", ["a"]), id="set_roles"),
        pytest.param(lambda users, row: users.set_password("alice", "another1"), id="password"),
        pytest.param(lambda users, row: users.delete("alice"), id="delete"),
        pytest.param(lambda users, row: in_the_orm(is_active=False)(row), id="closed elsewhere"),
        pytest.param(lambda users, row: new_password(row), id="password set elsewhere"),
        pytest.param(lambda users, row: User.objects.update(is_active=False), id="update()"),
        pytest.param(lambda users, row: row.delete(), id="deleted elsewhere"),
    ],
)
def test_a_token_ends_with_what_it_vouches_for(service, change):
    """At the issuer at once, whoever made the change."""
    service.create_user("alice", email="alice@example.com", password="orchid-7")
    token = service.login_user(LoginRequest(username="alice", password="orchid-7")).access_token
    assert service.get_logged_in_user(token).username == "alice"
    change(service.users, User.objects.get())
    with pytest.raises(InvalidToken):
        service.get_logged_in_user(token)
    assert service.introspect_token(token).active is False


def test_a_token_outlives_what_it_does_not_vouch_for(service):
    """A login at the admin, a corrected address, a new first name."""
    service.create_user("alice", email="alice@example.com", password="orchid-7")
    token = service.login_user(LoginRequest(username="alice", password="orchid-7")).access_token
    authenticate(None, username="alice", password="orchid-7")
    in_the_orm(first_name="Alice", email="a@example.com", last_login=MOMENT)(User.objects.get())
    assert service.get_logged_in_user(token).email == "a@example.com"


# --- other user models ---------------------------------------------------------------------------

MODELS = {
    "Person": """
        # No address, no is_active, no date_joined; a key that says nothing, and rows that hide.
        class People(BaseUserManager):
            def get_queryset(self):
                return super().get_queryset().filter(gone=False)

        class Person(AbstractBaseUser):
            id = models.UUIDField(primary_key=True, default=uuid.uuid4)
            handle = models.CharField(max_length=30, unique=True)
            gone = models.BooleanField(default=False)
            objects = People()
            USERNAME_FIELD = "handle"
    """,
    "Reader": """
        # The address is the name, and is all there is.
        class Reader(AbstractBaseUser):
            email = models.EmailField(unique=True)
            is_active = models.BooleanField(default=True)
            objects = BaseUserManager()
            USERNAME_FIELD = EMAIL_FIELD = "email"
    """,
    "Member": """
        # Columns that nobody fills.
        class Member(AbstractBaseUser):
            username = models.CharField(max_length=150, unique=True)
            born = models.DateField()
            objects = BaseUserManager()
            USERNAME_FIELD = "username"
    """,
    "Number": """
        # No name that is text.
        class Number(AbstractBaseUser):
            number = models.IntegerField(unique=True)
            objects = BaseUserManager()
            USERNAME_FIELD = "number"
    """,
}

PREAMBLE = """
import uuid
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
"""

PROJECT = """
import json, sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "people", "tokenward.django"
    ],
    AUTH_USER_MODEL=f"people.{sys.argv[1]}",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["tokenward.django.hashers.TokenwardPasswordHasher"],
    SECRET_KEY="x",
    USE_TZ=True,
)
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from tokenward.django import DjangoUserRepository
from tokenward.django.accounts.saved import connect_accounts
from tokenward.django.models import Account
from tokenward.errors import *
from tokenward.errors import AuthError, ConfigurationError, InvalidRequest, UserAlreadyExists
from tokenward.schemas import LoginRequest, RegisterRequest

call_command("migrate", run_syncdb=True, verbosity=0)
connect_accounts()
Model = get_user_model()
said = {}

def register(username, email):
    return users.create(RegisterRequest(username=username, email=email, password="orchid-7"))

def login(username):
    return users.verify_credentials(LoginRequest(username=username, password="orchid-7"))

def error(ask, *arguments):
    try:
        ask(*arguments)
    except AuthError as caught:
        return [type(caught).__name__, getattr(caught, "fields", None), caught.hint]
"""


def with_model(tmp_path, model, program):
    """Run ``program`` in a project with its own user model; return what it put into ``said``."""
    people = tmp_path / "people"
    people.mkdir()
    (people / "__init__.py").touch()
    (people / "models.py").write_text(PREAMBLE + textwrap.dedent(MODELS[model]))
    script = tmp_path / "project.py"
    ending = "\nprint(json.dumps(said))\n"
    script.write_text(PROJECT + textwrap.dedent(program) + ending)
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", script, model],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_user_model_with_little_in_it(tmp_path):
    """What the model has no column for, the account keeps, or nobody has."""
    said = with_model(
        tmp_path,
        "Person",
        """
        users = DjangoUserRepository(bcrypt_cost=4, clock=lambda: 1_700_000_000)
        created = register("Alice", "alice@example.com")
        said["created"] = created.model_dump(exclude={"id"})
        said["same"] = users.get_by_id(created.id) == login("ALICE")
        said["joined"] = int(login("alice").created_at.timestamp())
        said["by email"] = users.get_by_email("alice@example.com") is None
        said["no address is taken"] = register("Bob", "alice@example.com").email
        said["taken"] = error(register, "ALICE", "new@example.com")[0]
        said["too long"] = error(register, "x" * 31, "new@example.com")[1]
        users.set_active("alice", active=False)
        said["closed"] = [login("alice"), users.get_by_username("alice").is_active]
        said["active"] = [user.username for user in users.get_active_users()]
        users.set_active("alice", active=True)
        said["open"] = login("alice").token_version
        row = Model.objects.get(handle="Bob")
        row.gone = True
        row.save()
        said["hidden"] = [login("bob"), users.count()]
        said["still taken"] = error(register, "BOB", "new@example.com")[0]
        Model.objects.bulk_create([Model(handle="Carol", password=row.password)])
        said["adopted"] = login("Carol").username
        Model.objects.bulk_create([Model(handle="Dave", password=row.password, gone=True)])
        said["hidden from before"] = login("Dave")
        said["taken by a hidden row"] = error(register, "DAVE", "new@example.com")[0]
        """,
    )
    public = {"username": "Alice", "email": None, "is_active": True}
    assert said == {
        "created": {**public, "email_verified": False, "roles": []},
        "same": True,
        "joined": NOW,
        "by email": True,
        "no address is taken": None,
        "taken": "UserAlreadyExists",
        "too long": {"username": "is not one that this site accepts"},
        "closed": [None, False],
        "active": ["Bob"],
        "open": 2,
        "hidden": [None, 1],
        "still taken": "UserAlreadyExists",
        "adopted": "Carol",
        "hidden from before": None,
        "taken by a hidden row": "UserAlreadyExists",
    }


def test_a_user_model_whose_name_is_the_address(tmp_path):
    """One column is both, so both must be given alike."""
    said = with_model(
        tmp_path,
        "Reader",
        """
        users = DjangoUserRepository(bcrypt_cost=4)
        said["differ"] = error(register, "alice", "alice@example.com")[1]
        created = register("Alice@example.com", "alice@Example.com")
        said["created"] = [created.username, created.email]
        said["found"] = [
            users.get_by_email("ALICE@example.com") == users.get_by_id(created.id),
            login("alice@EXAMPLE.com").email,
        ]
        row = Model.objects.get()
        row.email = "alicia@example.com"
        row.is_active = False
        row.save()
        user = users.get_by_email("Alicia@example.com")
        said["renamed"] = [user.id == created.id, user.username, user.token_version]
        """,
    )
    assert said == {
        "differ": {"username": "must be the e-mail address"},
        "created": ["alice@example.com", "alice@example.com"],
        "found": [True, "alice@example.com"],
        "renamed": [True, "alicia@example.com", 1],
    }


def test_a_column_that_nobody_fills_is_named_and_not_called_taken(tmp_path):
    """The operator reads which one; who was there before logs in all the same."""
    said = with_model(
        tmp_path,
        "Member",
        """
        from datetime import date
        from django.contrib.auth.hashers import make_password
        users = DjangoUserRepository(bcrypt_cost=4)
        said["refused"] = error(register, "alice", "alice@example.com")
        row = Model(username="Bob", password=make_password("orchid-7"), born=date(2000, 1, 1))
        row.save()
        said["bob"] = login("Bob").username
        said["taken"] = error(register, "Bob", "bob@example.com")[0]
        """,
    )
    kind, _, hint = said.pop("refused")
    assert kind == "AuthServiceUnavailable"
    assert "user model Member has columns that a registration leaves empty (born)" in hint
    assert said == {"bob": "Bob", "taken": "UserAlreadyExists"}


def test_a_user_model_that_cannot_serve_stops_start_up(tmp_path):
    """The mistake shows when the repository is made; a project without one saves as ever."""
    said = with_model(
        tmp_path,
        "Number",
        """
        Model(number=1).save()
        said["saved"] = Model.objects.count()
        try:
            DjangoUserRepository()
        except ConfigurationError as caught:
            said["refused"] = str(caught)
        """,
    )
    assert said["saved"] == 1
    assert said["refused"].startswith("The user model Number keeps no text in 'number'")


def test_a_project_without_a_database_is_told_so(tmp_path):
    """A verifier needs none; the service's users do."""
    program = """
        from django.db import connections
        connections.settings["default"]["ENGINE"] = "django.db.backends.dummy"
        del connections["default"]
        try:
            DjangoUserRepository()
        except ConfigurationError as caught:
            said["refused"] = str(caught)
    """
    said = with_model(tmp_path, "Reader", program)
    assert said["refused"].startswith("settings.DATABASES has no database 'default'")


def test_the_migration_is_what_the_models_say(tmp_path):
    """Nobody who runs makemigrations finds something of ours to write."""
    from django.core.management import call_command

    call_command("makemigrations", "tokenward", check=True, dry_run=True, verbosity=0)
    assert issubclass(Account, models.Model)
