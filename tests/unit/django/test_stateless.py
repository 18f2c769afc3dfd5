"""tokenward.django.users.stateless: a user without a row answers whatever Django asks of one."""

import copy
import pickle

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import path
from django_users import ISSUER, OTHER, alice, taking, tokens
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.throttling import UserRateThrottle

from tokenward.django.users import needs_database, user_for
from tokenward.django.users.stateless import StatelessUser
from tokenward.errors import ConfigurationError
from tokenward.principal import Principal

MAPPING = {"orders:read": ["auth.view_user"], "orders:write": ["auth.view_user", "auth.add_user"]}


@pytest.fixture
def stateless(settings):
    """Return a function that configures users without rows."""

    def configure(**section):
        settings.TOKENWARD = taking(user="stateless", **section)

    configure()
    return configure


def show(request):
    return HttpResponse(request.user.get_username())


urlpatterns = [
    path("name", show),
    path("mine", login_required(show)),
    path("may", permission_required("auth.view_user", raise_exception=True)(show)),
]


def test_it_is_authenticated_and_active(stateless):
    """It is somebody, with no right that nobody gave."""
    user = user_for(alice())
    assert (True, False, True) == (user.is_authenticated, user.is_anonymous, user.is_active)
    assert (False, False) == (user.is_staff, user.is_superuser)
    assert not needs_database(alice())


def test_what_it_is_called(stateless):
    """Names to show come from the principal, and where there are none it is the subject."""
    claims = {"name": "Alice Liddell", "given_name": "Alice", "family_name": 5}
    user = user_for(alice(email="a@example.com", claims=claims))
    assert ("alice", "alice", "alice") == (user.username, user.get_username(), str(user))
    assert ("Alice Liddell", "Alice") == (user.get_full_name(), user.get_short_name())
    assert "a@example.com" == user.email
    bare = user_for(Principal("s-1", issuer=ISSUER, claims={"name": ["x"]}))
    assert ("s-1", "", "", "") == (
        bare.get_username(),
        bare.get_full_name(),
        bare.get_short_name(),
        bare.email,
    )
    assert (("s-1",), False) == (bare.natural_key(), bare.has_usable_password())


def test_two_people_are_never_taken_for_one(stateless):
    """Identity is issuer and subject: one name at two issuers is two users, with two keys."""
    here, there = user_for(alice()), user_for(alice(issuer=OTHER))
    renamed = user_for(alice(username="alicia", scopes={"more"}))
    assert here != there
    assert here.pk != there.pk
    assert (here, hash(here), here.pk) == (renamed, hash(renamed), renamed.id)
    assert here != AnonymousUser()
    assert here.principal.key == here.pk


def test_a_throttle_keeps_people_apart(stateless, rf):
    """Django REST framework counts by `pk`: everybody has their own."""
    throttle = UserRateThrottle.__new__(UserRateThrottle)
    keys = set()
    for issuer in (ISSUER, OTHER):
        request = rf.get("/")
        request.user = user_for(alice(issuer=issuer))
        keys.add(throttle.get_cache_key(request, view=None))
    assert 2 == len(keys)


@pytest.mark.parametrize("kind", ["client", "service"])
def test_no_program_is_staff(settings, kind):
    """A client or a service is no person: no role makes it one, and no row is ever its own."""
    settings.TOKENWARD = taking(
        staff_roles=["admin"], superuser_roles=["admin"], permissions=MAPPING
    )
    principal = alice(kind=kind, roles={"admin"}, scopes={"orders:read"})
    user = user_for(principal)
    assert isinstance(user, StatelessUser)
    assert (False, False) == (user.is_staff, user.is_superuser)
    assert {"auth.view_user"} == user.get_all_permissions()
    assert not needs_database(principal)


@pytest.mark.parametrize(
    ("roles", "issuer", "rights"),
    [
        ({"admin"}, ISSUER, (True, False)),
        ({"root"}, ISSUER, (False, True)),
        ({"admin", "root"}, ISSUER, (True, True)),
        ({"Admin", "admin "}, ISSUER, (False, False)),
        ({"admin", "root"}, OTHER, (False, False)),
        ({"admin", "root"}, "", (False, False)),
    ],
)
def test_staff_is_by_the_exact_list_of_the_issuer(stateless, roles, issuer, rights):
    """A role counts as it is written, when the issuer whose list it is asserts it."""
    stateless(staff_roles=["admin"], superuser_roles=["root"])
    user = user_for(alice(roles=roles, issuer=issuer))
    assert rights == (user.is_staff, user.is_superuser)


def test_permissions_are_those_the_scopes_name(stateless):
    """Nothing is granted but what the mapping names for a scope that is held."""
    stateless(permissions=MAPPING)
    user = user_for(alice(scopes={"orders:read", "auth.add_user"}))
    assert user.has_perm("auth.view_user")
    assert not user.has_perm("auth.add_user")
    assert not user.has_perm("auth.view_user", object())
    assert user.has_perms(["auth.view_user"])
    assert not user.has_perms(["auth.view_user", "auth.add_user"])
    assert (True, False) == (user.has_module_perms("auth"), user.has_module_perms("admin"))
    assert {"auth.view_user"} == user.get_all_permissions() == user.get_user_permissions()
    assert (set(), set()) == (user.get_group_permissions(), user.get_all_permissions(object()))


def test_a_superuser_has_the_rest_too(stateless):
    """What the mapping does not name needs no scope of a superuser; what it names does."""
    stateless(superuser_roles=["root"], permissions=MAPPING)
    user = user_for(alice(roles={"root"}, scopes={"orders:read"}))
    assert user.has_perm("auth.delete_user")
    assert user.has_perm("auth.delete_user", object())
    assert user.has_perm("auth.view_user")
    assert not user.has_perm("auth.add_user")
    assert not user.has_perm("auth.add_user", object())
    everything = user.get_all_permissions()
    assert "auth.delete_user" in everything
    assert "auth.add_user" not in everything
    assert user.has_module_perms("auth")
    assert user.has_module_perms("whatever")


def test_a_module_whose_every_permission_is_closed_is_closed(stateless):
    """A superuser sees no app of which the token opens nothing."""
    names = [f"admin.{action}_logentry" for action in ("add", "change", "delete", "view")]
    stateless(superuser_roles=["root"], permissions={"logs": names})
    assert not user_for(alice(roles={"root"})).has_module_perms("admin")
    assert user_for(alice(roles={"root"}, scopes={"logs"})).has_module_perms("admin")


def test_the_async_twins_say_the_same(stateless):
    """Each of Django's async questions has the answer of its twin."""
    stateless(permissions=MAPPING)
    user = user_for(alice(scopes={"orders:read"}))

    async def ask():
        return (
            await user.ahas_perm("auth.view_user"),
            await user.ahas_perms(["auth.add_user"]),
            await user.ahas_module_perms("auth"),
            await user.aget_all_permissions(),
            await user.aget_user_permissions(),
            await user.aget_group_permissions(),
        )

    view = {"auth.view_user"}
    assert (True, False, True, view, view, set()) == async_to_sync(ask)()


def test_perms_are_a_list(stateless):
    """One string is refused as Django refuses it: its letters are no permissions."""
    with pytest.raises(ValueError, match="perm_list must be an iterable"):
        user_for(alice()).has_perms("auth.view_user")


def test_groups_are_empty_without_a_query(stateless):
    """No database is touched: pytest-django would refuse."""
    user = user_for(alice())
    assert ([], []) == (list(user.groups.all()), list(user.user_permissions.all()))
    assert not user.groups.filter(name="Editors").exists()


@pytest.mark.parametrize("name", ["save", "delete", "set_password", "check_password"])
def test_what_needs_a_row_says_so(stateless, name):
    """As for AnonymousUser; the error says which setting gives it a row."""
    with pytest.raises(NotImplementedError, match="user = 'model'"):
        getattr(user_for(alice()), name)("x")


def pickled(user):
    """Return what another process would have of it."""
    return pickle.loads(pickle.dumps(user))  # noqa: S301 - our own


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_is_the_same_user(stateless, copied):
    """Copied and pickled it keeps what it may do."""
    stateless(superuser_roles=["root"], permissions=MAPPING)
    user = copied(user_for(alice(roles={"root"}, scopes={"orders:read"})))
    assert user_for(alice()) == user
    assert user.has_perm("auth.view_user")
    assert not user.has_perm("auth.add_user")


def test_its_repr_shows_no_claims(stateless):
    """A repr lands in logs."""
    assert "LEAK" not in repr(user_for(alice(email="LEAK@example.com", claims={"x": "LEAK"})))


def test_django_asks_it_like_any_user(stateless, settings, client, django_assert_num_queries):
    """Django's own decorators ask it, with no query at all."""
    settings.ROOT_URLCONF = __name__
    stateless(permissions=MAPPING)
    with tokens(reader=alice(scopes={"orders:read"}), nothing=alice()):
        reader = {"HTTP_AUTHORIZATION": "Bearer reader"}
        assert b"alice" == client.get("/mine", **reader).content
        assert b"alice" == client.get("/may", **reader).content
        assert 403 == client.get("/may", HTTP_AUTHORIZATION="Bearer nothing").status_code
        assert 302 == client.get("/mine").status_code


@pytest.mark.django_db
def test_a_hit_takes_no_query(stateless, settings, client, django_assert_num_queries):
    """The whole middleware around it, and not one query."""
    settings.ROOT_URLCONF = __name__
    with tokens(token=alice()), django_assert_num_queries(0):
        assert b"alice" == client.get("/name", HTTP_AUTHORIZATION="Bearer token").content


def test_templates_ask_it(stateless):
    """`perms` and `user` in a template work."""
    stateless(permissions=MAPPING)
    request = RequestFactory().get("/")
    request.user = user_for(alice(scopes={"orders:read"}))
    template = Template(
        "{{ user }} {{ perms.auth.view_user }} {{ perms.auth.add_user }} {{ perms.admin }}"
    )
    from django.contrib.auth.context_processors import auth

    assert "alice True False" in template.render(Context(auth(request)))


def test_model_permissions_of_rest_framework_ask_it(stateless, rf):
    """DjangoModelPermissions goes by the same permissions."""
    from django.contrib.auth.models import User

    stateless(permissions=MAPPING)

    class View:
        queryset = User.objects.none()

    request = rf.post("/")
    outcomes = []
    for scope in ("orders:read", "orders:write"):
        request.user = user_for(alice(scopes={scope}))
        outcomes.append(DjangoModelPermissions().has_permission(request, View()))
    assert [False, True] == outcomes


# --- on_user


def note(user, principal):
    """Remember who came."""
    note.calls.append((user, principal))
    user.noted = True


async def too_late(user, principal):
    """Would run when the transaction is over."""


NOT_A_FUNCTION = "x"


def test_on_user_is_called_for_each_request_once(stateless, settings, client):
    """A project may put something of its own on the user of a request."""
    settings.ROOT_URLCONF = __name__
    note.calls = []
    stateless(on_user=f"{__name__}.note")
    who = alice()
    with tokens(token=who):
        client.get("/mine", HTTP_AUTHORIZATION="Bearer token")
    [(user, principal)] = note.calls
    assert (who, True) == (principal, user.noted)
    assert needs_database(who)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "cannot be imported"),
        ("nowhere.at_all", "cannot be imported"),
        (f"{__name__}.absent", "cannot be imported"),
        (f"{__name__}.NOT_A_FUNCTION", "must be a plain function"),
        (f"{__name__}.too_late", "must be a plain function"),
    ],
)
def test_a_wrong_path_stops_the_program_at_the_start(stateless, client, path, message):
    """Whatever is wrong with it is said before the first request."""
    stateless(on_user=path)
    with pytest.raises(ConfigurationError, match=message):
        client.get("/")
