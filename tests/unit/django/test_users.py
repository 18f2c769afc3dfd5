"""tokenward.django.users: whose row a principal is, and what their roles come to in it."""

import copy
import logging
import os
import pickle
import subprocess
import sys
import threading

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission, User
from django.db import OperationalError, connection
from django.db.models.signals import post_save, pre_save
from django.http import HttpResponse
from django.test import AsyncClient
from django.urls import path
from django_users import ISSUER, OTHER, PASSWORD, alice, introspection, taking, tokens

from tokenward.django._guard.user import auser_of, user_of
from tokenward.django._state import parts
from tokenward.django.accounts import adopt
from tokenward.django.decorators import login_required
from tokenward.django.models import Account, Identity, digest_of
from tokenward.django.signals import token_refused
from tokenward.django.users import StatelessUser, needs_database, user_for
from tokenward.django.users.new_rows import _fits, _has
from tokenward.errors import (
    AuthServiceUnavailable,
    Forbidden,
    UserNotFound,
)
from tokenward.principal import Principal
from tokenward.schemas import LoginRequest

pytestmark = pytest.mark.django_db

WRITE = {"orders:write": ["auth.change_user"]}


@pytest.fixture(autouse=True)
def mapped(settings):
    """Return a function that says how principals become rows."""

    def configure(*issuers, **section):
        settings.TOKENWARD = taking(*issuers, **section)

    configure()
    return configure


def named(user):
    """Return the names of the groups a row is in, as the database has them."""
    return set(User.objects.get(pk=user.pk).groups.values_list("name", flat=True))


def name(request):
    return HttpResponse(request.user.get_username())


async def aname(request):
    user = await request.auser()
    return HttpResponse(user.get_username())


urlpatterns = [path("name", name), path("aname", aname)]


# --- finding


def test_a_person_is_one_row_however_they_are_called():
    """Found by issuer and subject: another name, address or role is the same row."""
    first = user_for(alice(email="a@example.com"))
    again = user_for(alice(username="alicia", email="b@example.com", roles={"x"}))
    assert first.pk == again.pk
    row = User.objects.get()
    assert ("alice", "a@example.com") == (row.username, row.email)
    identity = Identity.objects.get()
    assert (ISSUER, "a1", digest_of(alice().key)) == (
        identity.issuer,
        identity.subject,
        identity.digest,
    )


@pytest.mark.parametrize(
    "other",
    [alice(issuer=OTHER), alice(subject="A1"), alice(subject="a1 "), alice(subject="á1")],
    ids=["issuer", "case", "space", "accent"],
)
def test_two_people_are_two_rows(other):
    """Whatever differs in issuer or subject is somebody else, name or no name."""
    assert user_for(alice()).pk != user_for(other).pk
    assert 2 == Identity.objects.count()


def test_a_name_that_is_taken_is_never_adopted():
    """A row of the same name is somebody else's; the newcomer gets a name of their own."""
    local = User.objects.create_superuser("alice", "a@example.com", PASSWORD)
    row = user_for(alice(email="a@example.com", email_verified=True))
    assert local.pk != row.pk
    assert f"alice-{digest_of(alice().key)[:12]}" == row.username
    assert (False, False) == (row.is_staff, row.is_superuser)


def test_a_name_taken_in_another_case_is_taken():
    """Nobody is called like somebody else but for a capital."""
    User.objects.create_user("ALICE")
    assert user_for(alice()).username.startswith("alice-")


def test_even_the_derived_name_is_never_adopted():
    """Whoever registers the derived name beforehand gains nothing by it."""
    digest = digest_of(alice().key)
    squatters = {"alice", f"alice-{digest[:12]}", f"user-{digest[:12]}"}
    for squatter in squatters:
        User.objects.create_user(squatter)
    assert user_for(alice()).username not in squatters


@pytest.mark.parametrize(
    ("source", "claims", "expected"),
    [
        ("username", {}, "alice"),
        ("subject", {}, "a1"),
        ("email", {}, "a@example.com"),
        ("nickname", {"nickname": "Ally"}, "Ally"),
        ("nickname", {"nickname": "\uff21lly"}, "Ally"),
        ("nickname", {"nickname": "  Ally  "}, "Ally"),
        ("nickname", {}, None),
        ("nickname", {"nickname": ["Ally"]}, None),
        ("nickname", {"nickname": ""}, None),
        ("nickname", {"nickname": "Ally McBeal"}, None),
        ("nickname", {"nickname": "Al\x00ly"}, None),
        ("nickname", {"nickname": "Al\u202ely"}, None),
        ("claims", {}, None),
    ],
)
def test_the_name_comes_from_where_it_is_said_to(mapped, source, claims, expected):
    """An attribute or a claim names the row; what is no name gives way to one from the digest."""
    mapped(username_from=source)
    who = alice(email="a@example.com", claims=claims)
    assert (expected or f"user-{digest_of(who.key)[:12]}") == user_for(who).username


def test_what_cannot_be_printed_is_no_name():
    """Nor in a column whose model has no validator for it."""
    assert _fits("first_name", "Ally")
    assert not _fits("first_name", "Al\u202ely")
    assert not _fits("first_name", "")


def test_a_long_name_is_cut_and_told_apart():
    """What the column cannot hold is cut, and then it is no longer the name of one."""
    row = user_for(alice(username="a" * 200))
    assert 150 == len(row.username)
    assert row.username.endswith(f"-{digest_of(alice().key)[:12]}")


def test_no_password_opens_a_row_that_was_made():
    """It has none, and Django knows that."""
    assert not User.objects.get(pk=user_for(alice()).pk).has_usable_password()


@pytest.mark.parametrize(
    ("email", "kept"),
    [
        ("a@EXAMPLE.com", "a@example.com"),
        (None, ""),
        ("not an address", ""),
        ("a\x00@example.com", ""),
    ],
)
def test_the_address_is_kept_as_it_is_asserted(email, kept):
    """What is none is left out."""
    assert kept == user_for(alice(email=email)).email


def test_a_subject_that_no_column_takes_is_kept_readable():
    """Some databases refuse a NUL; identity is the digest, and stays exact."""
    who = alice(subject="a\x00b")
    assert user_for(who).pk == user_for(who).pk
    assert "a\ufffdb" == Identity.objects.get().subject


def test_nobody_is_made_where_none_are_to_be(mapped):
    """With `create` off an unknown person is refused, and nothing is written."""
    mapped(create=False)
    with pytest.raises(UserNotFound) as caught:
        user_for(alice())
    assert ("user_unknown", 401, "invalid_token") == (
        caught.value.reason,
        caught.value.status_code,
        caught.value.error,
    )
    assert (0, 0) == (User.objects.count(), Identity.objects.count())


def test_an_inactive_row_is_refused(mapped):
    """Deactivated in the admin, the person is out; nothing is written for them any more."""
    mapped(staff_roles=["admin"])
    row = user_for(alice())
    User.objects.update(is_active=False)
    with pytest.raises(UserNotFound) as caught:
        user_for(alice(roles={"admin"}))
    assert "user_inactive" == caught.value.reason
    assert not User.objects.get(pk=row.pk).is_staff


def test_a_refusal_is_a_401_and_leaves_a_line(settings, client, caplog):
    """The answer is that of every refused token; the log says why."""
    settings.ROOT_URLCONF = __name__
    user_for(alice())
    User.objects.update(is_active=False)
    refusals = []

    def note_refusal(sender, error, **_):
        refusals.append(error.reason)

    token_refused.connect(note_refusal)
    try:
        with tokens(token=alice()), caplog.at_level(logging.DEBUG, "tokenward.refused"):
            answer = client.get("/name", HTTP_AUTHORIZATION="Bearer token")
    finally:
        token_refused.disconnect(note_refusal)
    assert ["user_inactive"] == refusals
    assert 401 == answer.status_code
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]
    assert "no-store" == answer["Cache-Control"]
    assert "user_inactive" in caplog.text


@pytest.mark.parametrize("kind", ["client", "service"])
def test_no_program_gets_a_row(kind):
    """Only a person maps."""
    assert isinstance(user_for(alice(kind=kind)), StatelessUser)
    assert 0 == User.objects.count()
    assert (True, False) == (needs_database(alice()), needs_database(alice(kind=kind)))


def test_a_hit_takes_one_query(settings, client, django_assert_num_queries):
    """The whole middleware around it, and one query: the row's own."""
    settings.ROOT_URLCONF = __name__
    settings.TOKENWARD = taking(staff_roles=["admin"], groups={"editor": "Editors"})
    who = alice(roles={"admin", "editor"})
    user_for(who)
    with tokens(token=who), django_assert_num_queries(1):
        assert b"alice" == client.get("/name", HTTP_AUTHORIZATION="Bearer token").content


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("user", ["model", "stateless"])
def test_an_async_view_gets_the_user_too(settings, mapped, async_client, user):
    """`request.auser()` asks the database off the loop, where it has to."""
    settings.ROOT_URLCONF = __name__
    mapped(user=user)

    async def ask():
        return await async_client.get("/aname", Authorization="Bearer token")

    with tokens(token=alice()):
        assert b"alice" == async_to_sync(ask)().content
    if user == "model":
        User.objects.update(is_active=False)
        with tokens(token=alice()):
            assert 401 == async_to_sync(ask)().status_code


def test_one_request_asks_once(rf, django_assert_num_queries):
    """Whoever asks again gets the same object."""
    user_for(alice())
    request = rf.get("/", HTTP_AUTHORIZATION="Bearer token")
    with tokens(token=alice()), django_assert_num_queries(1):
        assert user_of(request) is user_of(request) is async_to_sync(auser_of)(request)


def test_the_user_knows_the_backend_that_makes_no_session():
    """What `login()` would keep of it is a backend that knows nobody."""
    assert "tokenward.django.backends.TokenBackend" == user_for(alice()).backend


# --- concurrency and outages


def together(*principals):
    """Ask for the rows of all at one moment; return their keys, and what went wrong."""
    barrier = threading.Barrier(len(principals))
    found, failed = [], []

    def ask(principal):
        try:
            barrier.wait(90)
            found.append(user_for(principal).pk)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=[who]) for who in principals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, failed


@pytest.mark.django_db(transaction=True)
def test_sixteen_first_requests_make_one_row(mapped):
    """Whoever comes first makes it; the others find it."""
    mapped(staff_roles=["admin"], groups={"editor": "Editors"})
    found, failed = together(*[alice(roles={"admin", "editor"})] * 16)
    assert ([], 16, 1) == (failed, len(found), len(set(found)))
    assert (1, 1, 1) == (
        User.objects.count(),
        Identity.objects.count(),
        Group.objects.count(),
    )
    assert {"Editors"} == named(User.objects.get())


@pytest.mark.django_db(transaction=True)
def test_sixteen_people_of_one_name_are_sixteen_rows():
    """A name may be wanted by many at once; nobody becomes somebody else."""
    found, failed = together(*[alice(subject=f"a{number}") for number in range(16)])
    assert ([], 16, 16) == (failed, len(set(found)), Identity.objects.count())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("create", [True, False])
def test_sixteen_first_requests_link_one_row(mapped, create):
    """Whoever comes first links it; no other row is made, and nobody is refused."""
    mapped(link_verified_email=True, create=create)
    local = User.objects.create_user("local", "a@example.com")
    found, failed = together(*[verified()] * 16)
    assert ([], [local.pk] * 16) == (failed, found)
    assert (1, 1) == (User.objects.count(), Identity.objects.count())


@pytest.mark.django_db(transaction=True)
def test_roles_that_change_at_once_leave_one_of_them(mapped):
    """Two tokens of one person say different things: what is left is what one of them said."""
    mapped(groups={"editor": "Editors", "lead": "Leads"})
    row = user_for(alice())
    _, failed = together(*[alice(roles={"editor"}), alice(roles={"lead"})] * 4)
    assert [] == failed
    assert named(row) in ({"Editors"}, {"Leads"})


def test_a_database_that_is_down_is_a_503(settings, client):
    """Nobody could decide: no refusal, and no half-known user."""
    settings.ROOT_URLCONF = __name__

    def broken(execute, sql, params, many, context):
        raise OperationalError("could not connect to server")

    with tokens(token=alice()), connection.execute_wrapper(broken):
        answer = client.get("/name", HTTP_AUTHORIZATION="Bearer token")
    assert 503 == answer.status_code
    assert "WWW-Authenticate" not in answer
    assert "Retry-After" in answer


def test_a_model_that_takes_no_row_is_an_outage_that_says_why(caplog):
    """A project whose model wants more than we can know is told so, and nothing is left behind."""

    def refuse(sender, **_):
        from django.db import IntegrityError

        raise IntegrityError("NOT NULL constraint failed: auth_user.badge")

    pre_save.connect(refuse, sender=User)
    try:
        with pytest.raises(AuthServiceUnavailable) as caught:
            user_for(alice())
    finally:
        pre_save.disconnect(refuse, sender=User)
    assert "takes no row for a new person" in caught.value.hint
    assert "takes no row for a new person" in caplog.text
    assert 0 == Identity.objects.count()


# --- linking


@pytest.fixture
def linking(mapped):
    mapped(ISSUER, OTHER, link_verified_email=True)


def verified(**changes):
    return alice(email="a@example.com", email_verified=True, **changes)


def test_no_row_is_linked_unless_that_is_wanted():
    """By default an address is nothing but a column."""
    local = User.objects.create_user("local", "a@example.com")
    assert local.pk != user_for(verified()).pk


def test_a_verified_address_links_the_one_row_that_has_it(linking):
    """Opted in, a person comes to the row they have, for good; the row keeps its columns."""
    local = User.objects.create_user("local", "A@Example.com", PASSWORD)
    assert local.pk == user_for(verified()).pk
    assert local.pk == user_for(alice(email="other@example.com")).pk
    row = User.objects.get()
    assert ("local", "A@example.com", True) == (
        row.username,
        row.email,
        row.check_password(PASSWORD),
    )


@pytest.mark.parametrize("flag", [None, False, "true", 1])
def test_an_address_that_is_not_verified_links_nothing(linking, flag):
    """Only `True` is verified."""
    local = User.objects.create_user("local", "a@example.com")
    assert local.pk != user_for(alice(email="a@example.com", email_verified=flag)).pk


@pytest.mark.parametrize(
    "columns",
    [{"is_staff": True}, {"is_superuser": True}, {"is_active": False}, {"email": "b@example.com"}],
)
def test_staff_and_the_inactive_are_never_linked(linking, columns):
    """Nobody comes to a row that could do more than they may, or that was closed."""
    local = User.objects.create_user("local", **({"email": "a@example.com"} | columns))
    assert local.pk != user_for(verified()).pk


def test_an_address_of_two_rows_links_neither(linking):
    """Which of the two is meant nobody knows."""
    locals_ = {User.objects.create_user(f"local{n}", "a@example.com").pk for n in range(2)}
    assert user_for(verified()).pk not in locals_


def test_only_ascii_is_the_same_in_another_case(linking):
    """A letter that some databases fold to another is another mailbox."""
    local = User.objects.create_user("local", "ma\u017fter@example.com")
    row = user_for(alice(email="master@example.com", email_verified=True))
    assert local.pk != row.pk
    # SQLite does not even find it; others would.
    assert not _has(local, "email", "master@example.com")
    assert _has(local, "email", "MA\u017fTER@example.com")


def test_one_row_is_one_subject_of_an_issuer(linking):
    """A second subject with the same address at the same issuer is a second person."""
    local = User.objects.create_user("local", "a@example.com")
    assert local.pk == user_for(verified()).pk
    assert local.pk != user_for(verified(subject="a2")).pk


def test_one_issuers_person_is_not_joined_by_anothers(linking):
    """What one issuer says of an address must not open what is the other's."""
    assert user_for(verified()).pk != user_for(verified(issuer=OTHER)).pk


def test_an_address_that_was_changed_since_links_nobody(linking):
    """Whoever has a row can write another's address on it, and wait for them there."""
    trap = user_for(alice(subject="mallory", email="m@example.com", email_verified=True))
    User.objects.filter(pk=trap.pk).update(email="a@example.com")
    assert trap.pk != user_for(verified(issuer=OTHER)).pk


def test_a_row_of_somebody_who_only_claimed_the_address_is_not_joined(mapped, linking):
    """Whoever registers another's address somewhere must not meet them on one row."""
    mapped(ISSUER, OTHER)
    trap = user_for(alice(email="a@example.com", email_verified=False))
    assert "a@example.com" == trap.email
    mapped(ISSUER, OTHER, link_verified_email=True)
    assert trap.pk != user_for(verified(issuer=OTHER)).pk


@pytest.mark.parametrize("is_theirs", [True, False])
def test_an_account_counts_if_its_address_was_shown_to_be_theirs(linking, is_theirs):
    """Our own service's accounts are held to the same."""
    local = User.objects.create_user("local", "a@example.com")
    adopt(local, using="default")
    Account.objects.update(email_verified=is_theirs)
    assert is_theirs is (local.pk == user_for(verified()).pk)


def test_linking_does_not_need_to_make(mapped):
    """With `create` off, the people that there are come in, and nobody else."""
    mapped(link_verified_email=True, create=False)
    local = User.objects.create_user("local", "a@example.com")
    assert local.pk == user_for(verified()).pk
    with pytest.raises(UserNotFound):
        user_for(alice(subject="a2", email="b@example.com", email_verified=True))


# --- roles


def test_nothing_is_written_by_default():
    """Without a list, no role comes to anything, and what an operator wrote stays."""
    row = user_for(alice(roles={"admin", "staff", "superuser"}))
    assert (False, False, set()) == (row.is_staff, row.is_superuser, named(row))
    User.objects.update(is_staff=True)
    assert user_for(alice()).is_staff


def test_what_is_managed_is_given_and_taken_away(mapped):
    """A role that is gone is gone with the next request, and one that is new is there."""
    mapped(
        staff_roles=["admin"],
        superuser_roles=["root"],
        groups={"editor": ["Editors", "Writers"], "lead": ["Leads", "Writers"]},
    )

    def with_roles(*roles):
        row = user_for(alice(roles=roles))
        stored = User.objects.get(pk=row.pk)
        assert (stored.is_staff, stored.is_superuser) == (row.is_staff, row.is_superuser)
        return row.is_staff, row.is_superuser, named(row)

    assert (True, False, {"Editors", "Writers"}) == with_roles("admin", "editor")
    assert (True, True, {"Leads", "Writers"}) == with_roles("admin", "root", "lead", "x")
    assert (False, False, set()) == with_roles()
    assert (False, True, set()) == with_roles("root")


def test_what_is_not_managed_is_never_touched(mapped):
    """Groups and columns that no list names are the operator's."""
    mapped(groups={"editor": "Editors"})
    row = user_for(alice(roles={"editor"}))
    row.groups.add(Group.objects.create(name="Friends"))
    User.objects.update(is_staff=True, is_superuser=True)
    row = user_for(alice())
    assert (True, True, {"Friends"}) == (row.is_staff, row.is_superuser, named(row))


@pytest.mark.parametrize("role", ["Admin", "admin ", "adm", "administrator"])
def test_a_role_counts_as_it_is_written(mapped, role):
    """No case, no prefix, no white space."""
    mapped(staff_roles=["admin"])
    assert not user_for(alice(roles={role})).is_staff


def test_each_issuer_has_a_list_of_its_own(mapped):
    """No issuer speaks by another's list."""
    mapped(
        ISSUER,
        OTHER,
        issuers={ISSUER: {"staff_roles": ["admin"]}, OTHER: {"superuser_roles": ["admin"]}},
    )
    here, there = user_for(alice(roles={"admin"})), user_for(alice(issuer=OTHER, roles={"admin"}))
    assert ((True, False), (False, True)) == (
        (here.is_staff, here.is_superuser),
        (there.is_staff, there.is_superuser),
    )
    stranger = user_for(alice(issuer="https://else.example", roles={"admin"}))
    assert (False, False) == (stranger.is_staff, stranger.is_superuser)


def test_the_lists_without_an_issuer_are_the_one_issuers(mapped):
    """A verifier that says another issuer gets nothing of them."""
    mapped(staff_roles=["admin"])
    assert user_for(alice(roles={"admin"})).is_staff
    assert not user_for(alice(roles={"admin"}, issuer=OTHER)).is_staff
    assert not user_for(alice(roles={"admin"}, issuer="")).is_staff


def test_on_one_row_each_issuer_says_what_it_says(mapped):
    """One row of two issuers: what one gave is not what the other's token may use."""
    groups = {"groups": {"editor": "Editors"}}
    mapped(ISSUER, OTHER, link_verified_email=True, issuers={ISSUER: groups, OTHER: groups})
    here, there = verified(roles={"editor"}), verified(issuer=OTHER)
    row = user_for(there)
    user_for(here)
    # By an operator's hand: no issuer's word alone does this.
    Identity.objects.filter(issuer=ISSUER).update(user=row, mapped="")
    for _ in range(2):
        assert (row.pk, {"Editors"}) == (user_for(here).pk, named(row))
        assert (row.pk, set()) == (user_for(there).pk, named(row))


def test_only_what_differs_is_written(mapped):
    """The project's own hooks see one save of the one column, and none when nothing changed."""
    mapped(staff_roles=["admin"], superuser_roles=["root"])
    user_for(alice())
    saved = []

    def note(sender, update_fields, **_):
        saved.append(update_fields)

    post_save.connect(note, sender=User)
    try:
        user_for(alice(roles={"admin"}))
        user_for(alice(roles={"admin"}))
    finally:
        post_save.disconnect(note, sender=User)
    assert [frozenset({"is_staff"})] == saved


def test_a_change_by_hand_of_staff_is_undone(mapped):
    """The columns are compared at every request."""
    mapped(staff_roles=["admin"])
    row = user_for(alice())
    User.objects.update(is_staff=True)
    assert not user_for(alice()).is_staff
    assert not User.objects.get(pk=row.pk).is_staff


def test_another_list_counts_at_once(mapped):
    """What the operator changes in the settings holds for everybody's next request."""
    mapped(groups={"editor": "Editors"})
    row = user_for(alice(roles={"editor"}))
    mapped(groups={"editor": "Writers", "lead": "Editors"})
    user_for(alice(roles={"editor"}))
    assert {"Writers"} == named(row)


# --- scopes


@pytest.fixture
def writer(mapped):
    """A row with every right, of which only some need a scope."""
    mapped(permissions=WRITE)
    row = user_for(alice())
    for codename in ("change_user", "view_user"):
        row.user_permissions.add(Permission.objects.get(codename=codename))
    return row


@pytest.mark.parametrize("is_superuser", [False, True])
@pytest.mark.parametrize("scopes", [set(), {"orders:write"}])
def test_a_permission_takes_the_grant_and_the_scope(writer, scopes, is_superuser):
    """Scopes restrict a request, a superuser's too; they grant nothing, and write nothing."""
    User.objects.update(is_superuser=is_superuser)
    user = user_for(alice(scopes=scopes))
    opened = bool(scopes)
    assert opened is user.has_perm("auth.change_user")
    assert opened is user.has_perms(["auth.view_user", "auth.change_user"])
    assert opened is ("auth.change_user" in user.get_all_permissions())
    assert opened is ("auth.change_user" in user.get_user_permissions())
    assert user.has_perm("auth.view_user")
    assert user.has_module_perms("auth")
    assert is_superuser is user.has_perm("auth.delete_user")
    assert User.objects.get().has_perm("auth.change_user")


def test_a_scope_grants_nothing_that_the_database_does_not(mapped):
    """The scope alone is not enough."""
    mapped(permissions=WRITE)
    assert not user_for(alice(scopes={"orders:write"})).has_perm("auth.change_user")


def test_the_async_twins_are_limited_too(writer):
    """Where Django has them."""
    user = user_for(alice())
    if not hasattr(User, "ahas_perm"):
        assert not hasattr(user, "ahas_perm")
        return

    async def ask():
        return (
            await user.ahas_perm("auth.change_user"),
            await user.ahas_perms(iter(["auth.view_user", "auth.change_user"])),
            await user.aget_all_permissions(),
            await user.aget_user_permissions(),
            await user.aget_group_permissions(),
            await user.ahas_module_perms("auth"),
        )

    view = {"auth.view_user"}
    assert (False, False, view, view, set(), True) == async_to_sync(ask)()


def test_an_app_of_which_nothing_is_left_is_closed(mapped):
    """Whoever may use nothing of an app does not see it."""
    mapped(permissions={"users": ["auth.change_user"]})
    row = user_for(alice())
    row.user_permissions.add(Permission.objects.get(codename="change_user"))
    assert not user_for(alice()).has_module_perms("auth")
    assert user_for(alice(scopes={"users"})).has_module_perms("auth")
    assert not user_for(alice()).has_module_perms("admin")


def test_an_iterator_of_permissions_is_read_once(writer):
    """Django takes any iterable; what was looked at for the limits is looked at again."""
    assert not user_for(alice()).has_perms(iter(["auth.delete_user"]))
    assert user_for(alice()).has_perms(iter(["auth.view_user"]))


def test_a_string_is_no_list_of_permissions(writer):
    """Refused as Django refuses it."""
    with pytest.raises(ValueError, match="perm_list must be an iterable"):
        user_for(alice()).has_perms("auth.change_user")


def test_limits_are_of_one_request(writer):
    """Another request of the same person has its own."""
    narrow, wide = user_for(alice()), user_for(alice(scopes={"orders:write"}))
    assert (False, True) == (
        narrow.has_perm("auth.change_user"),
        wide.has_perm("auth.change_user"),
    )
    narrow.save()
    assert User.objects.get().has_perm("auth.change_user")


def pickled(user):
    """Return what another process would have of it."""
    return pickle.loads(pickle.dumps(user))  # noqa: S301 - our own


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_is_limited_and_holds_no_claims(writer, copied):
    """Pickled for a queue or a cache, the user may do no more than in the request."""
    who = alice(claims={"jti": "LEAK"})
    with tokens(token=who):
        user = user_for(who)
    other = copied(user)
    assert (user, False) == (other, other.has_perm("auth.change_user"))
    assert other.has_perm("auth.view_user")
    assert b"LEAK" not in pickle.dumps(user)


# --- on_user


def note(user, principal):
    """Remember who came, and whether that is inside the transaction."""
    note.calls.append((user.pk, principal.subject, connection.in_atomic_block, named(user)))


def refuse(user, principal):
    """Let nobody in."""
    raise Forbidden("not from there")


def write(user, principal):
    """Write what the project wants to keep."""
    user.first_name = "Alice"
    user.save(update_fields=["first_name"])


@pytest.mark.django_db(transaction=True)
def test_on_user_is_told_of_what_was_written(mapped):
    """Once for a row that is made, and for each change of its rights, in the transaction."""
    note.calls = []
    mapped(on_user=f"{__name__}.note", staff_roles=["admin"], groups={"editor": "Editors"})
    row = user_for(alice())
    user_for(alice())
    assert [(row.pk, "a1", True, set())] == note.calls
    user_for(alice(roles={"editor"}))
    user_for(alice(roles={"editor"}))
    user_for(alice(roles={"admin"}))
    assert [{"Editors"}, set()] == [call[3] for call in note.calls[1:]]


def test_on_user_is_told_of_a_row_that_is_linked(mapped):
    """The row is not new, and the person is."""
    note.calls = []
    mapped(on_user=f"{__name__}.note", link_verified_email=True)
    local = User.objects.create_user("local", "a@example.com")
    user_for(verified())
    assert [local.pk] == [call[0] for call in note.calls]


def test_on_user_may_refuse_and_nothing_is_written(mapped):
    """What it raises ends the transaction."""
    mapped(on_user=f"{__name__}.refuse")
    with pytest.raises(Forbidden):
        user_for(alice())
    assert (0, 0) == (User.objects.count(), Identity.objects.count())


def test_on_user_may_write(mapped):
    """It is handed the row."""
    mapped(on_user=f"{__name__}.write")
    user_for(alice())
    assert "Alice" == User.objects.get().first_name


# --- the users of our own service


@pytest.fixture
def own_service(settings):
    """Return a function that runs the auth service here, over the project's own users."""

    def configure(**section):
        settings.TOKENWARD = {
            "service": {
                "issuer": ISSUER,
                "audience": "shop",
                "store": "memory://",
                "password": {"bcrypt_cost": 4},
            },
            "django": {"service_users": "model", **section},
        }
        return parts().service

    return configure


def test_a_user_of_our_own_service_is_their_own_row(own_service, settings, client):
    """Found by the account; no second row is made beside it."""
    settings.ROOT_URLCONF = __name__
    service = own_service(create=False)
    service.create_user("alice", email="a@example.com", password=PASSWORD)
    granted = service.login_user(LoginRequest(username="alice", password=PASSWORD))
    bearer = f"Bearer {granted.access_token}"
    assert b"alice" == client.get("/name", HTTP_AUTHORIZATION=bearer).content
    account = Account.objects.select_related("user").get()
    assert account.user == user_for(Principal(account.id, issuer=ISSUER))
    assert (1, 0) == (User.objects.count(), Identity.objects.count())


@login_required
async def async_name(request):
    return HttpResponse((await request.auser()).get_username())


def test_an_async_guard_finds_the_users_of_the_tests_transaction(own_service, settings, client):
    """On a loop in the test's thread, and on one of its own."""
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [path("", async_name)]})
    service = own_service(user="model")
    service.create_user("alice", email="a@example.com", password=PASSWORD)
    granted = service.login_user(LoginRequest(username="alice", password=PASSWORD))
    headers = {"Authorization": f"Bearer {granted.access_token}"}

    async def ask():
        return (await AsyncClient().get("/", headers=headers)).content

    assert b"alice" == client.get("/", headers=headers).content
    assert b"alice" == async_to_sync(ask)()


@pytest.mark.parametrize("section", [{}, {"groups": {"editor": "Editors"}}])
def test_a_hit_of_an_account_takes_one_query(own_service, django_assert_num_queries, section):
    """With groups and without."""
    service = own_service(**section)
    made = service.create_user("alice", email="a@example.com", password=PASSWORD)
    who = Principal(made.id, issuer=ISSUER, roles={"editor"})
    user_for(who)
    with django_assert_num_queries(1):
        user_for(who)


def test_roles_of_an_account_come_and_go(own_service):
    """As for everybody else."""
    service = own_service(staff_roles=["admin"], groups={"editor": "Editors"})
    made = service.create_user("alice", email="a@example.com", password=PASSWORD)
    row = user_for(Principal(made.id, issuer=ISSUER, roles={"editor", "admin"}))
    assert (True, {"Editors"}) == (row.is_staff, named(row))
    row = user_for(Principal(made.id, issuer=ISSUER))
    assert (False, set()) == (row.is_staff, named(row))
    assert 1 == User.objects.count()


def test_an_account_that_is_gone_is_refused(own_service):
    """Our own service's word about nobody makes nobody."""
    own_service()
    with pytest.raises(UserNotFound) as caught:
        user_for(Principal("gone", issuer=ISSUER))
    assert ("user_unknown", 0) == (caught.value.reason, User.objects.count())


def test_a_deactivated_account_is_refused(own_service):
    """The row's own column says so."""
    service = own_service()
    made = service.create_user("alice", email="a@example.com", password=PASSWORD)
    User.objects.update(is_active=False)
    with pytest.raises(UserNotFound):
        user_for(Principal(made.id, issuer=ISSUER))


# --- a project's own user model

MODELS = """
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class Person(AbstractBaseUser):
    address = models.EmailField(unique=True)
    objects = BaseUserManager()
    USERNAME_FIELD = EMAIL_FIELD = "address"


class Member(AbstractBaseUser):
    login = models.CharField(unique=True, max_length=10)
    address = models.EmailField(unique=True, null=True)
    objects = BaseUserManager()
    USERNAME_FIELD = "login"
    EMAIL_FIELD = "address"
"""
PROJECT = """
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of the tests, and long enough for every check: " + "x9Zq" * 8,
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "people", "tokenward.django",
    ],
    AUTH_USER_MODEL=sys.argv[1],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIGRATION_MODULES={"people": None, "tokenward": None},
    TOKENWARD={
        "credentials": [CREDENTIAL],
        "django": {"permissions": {"write": ["people.add_person"]}},
    },
)
django.setup()

from django.core.management import call_command
from django.test.utils import override_settings

from tokenward.django.users.new_rows import _fits, _has
from tokenward.django._state import parts
from tokenward.django._guard.user import auser_of, user_of
from tokenward.django.users import user_for
from tokenward.errors import ConfigurationError
from tokenward.principal import Principal

call_command("migrate", run_syncdb=True, verbosity=0)


def row(subject, email):
    return user_for(Principal(subject, issuer="https://i.example", email=email))


for subject, email in (("1", "a@example.com"), ("2", "A@example.com"), ("3", None), ("1", None)):
    found = row(subject, email)
    print(found.get_username(), found.address)
for section in ({"staff_roles": "x"}, {"superuser_roles": "x"}, {"groups": {"x": "X"}}):
    with override_settings(TOKENWARD={"credentials": [CREDENTIAL], "django": section}):
        try:
            parts()
        except ConfigurationError as error:
            print(error)
"""


def run_project(tmp_path_factory, model):
    """Return what a project of its own prints, whose people are of this model."""
    folder = tmp_path_factory.mktemp("people")
    (folder / "people").mkdir()
    (folder / "people" / "__init__.py").touch()
    (folder / "people" / "models.py").write_text(MODELS, "utf-8")
    script = folder / "project.py"
    script.write_text(PROJECT.replace("CREDENTIAL", repr(introspection(ISSUER))), "utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), f"people.{model}"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=150,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """What a project says whose people are known by their address alone, and have no rights."""
    return run_project(tmp_path_factory, "Person")


def test_a_model_without_names_works(people):
    """An address that is taken is never shared, and none is invented that could be somebody's."""
    names = [line.split()[0] for line in people[:4]]
    assert ("a@example.com", names[0]) == (names[0], names[3])
    assert names[1].endswith("@user.invalid")
    assert names[2].endswith("@user.invalid")
    assert names[1] != names[2]


def test_a_short_name_and_an_address_that_may_be_missing_work(tmp_path_factory):
    """What a column cannot hold is cut; what must not be there twice is left out."""
    members = [line.split() for line in run_project(tmp_path_factory, "Member")[:4]]
    assert members[0] == members[3]
    assert "a@example.com" == members[0][1]
    assert ["None", "None"] == [address for _, address in members[1:3]]
    assert 3 == len({name for name, _ in members})
    assert all(len(name) <= 10 for name, _ in members)


@pytest.mark.parametrize(
    ("line", "setting", "column"),
    [
        (4, "staff_roles", "is_staff"),
        (5, "superuser_roles", "is_superuser"),
        (6, "groups", "groups"),
    ],
)
def test_a_right_that_the_model_has_no_column_for_stops_the_program(people, line, setting, column):
    """Roles cannot become what the project's user model does not have."""
    assert f"django.{setting} needs '{column}' on the user model" in people[line]
