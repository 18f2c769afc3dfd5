"""tokenward.django.admin: there to be looked at, and nothing secret to be seen (RULES 44)."""

import re
from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from tokenward.django.models import Account, Identity, digest_of
from tokenward.principal import Principal

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
BACKEND = "django.contrib.auth.backends.ModelBackend"
PAGES = ("changelist", "add", "change", "delete", "history")


@pytest.fixture(autouse=True)
def only_djangos_backend(settings):
    settings.AUTHENTICATION_BACKENDS = [BACKEND]
    settings.TOKENWARD = {}


@pytest.fixture
def alice():
    return User.objects.create_user("alice", "alice@example.com", PASSWORD)


@pytest.fixture
def identity(alice):
    principal = Principal("a-subject", issuer="https://as.example")
    return Identity.objects.create(
        digest=digest_of(principal.key),
        issuer=principal.issuer,
        subject=principal.subject,
        user=alice,
        mapped="of-its-roles" * 4,
    )


@pytest.fixture
def account(alice):
    now = datetime.now(UTC)
    return Account.objects.create(
        id="an-id-of-an-account",
        user=alice,
        username_digest=digest_of("alice"),
        email_digest=digest_of("alice@example.com"),
        password_digest=digest_of(alice.password),
        roles=["editor"],
        created_at=now,
        updated_at=now,
    )


@pytest.fixture
def root():
    """A test client of a superuser who logged in with a password."""
    User.objects.create_superuser("root", "root@example.com", PASSWORD)
    client = Client()
    assert client.login(username="root", password=PASSWORD)
    return client


@pytest.fixture
def clerk():
    """Staff without a permission, and a test client of theirs."""
    user = User.objects.create_user("clerk", password=PASSWORD, is_staff=True)
    client = Client()
    client.force_login(user, BACKEND)
    return user, client


def url(row, page):
    name = f"admin:tokenward_{row._meta.model_name}_{page}"
    return reverse(name) if page in ("changelist", "add") else reverse(name, args=[row.pk])


@pytest.fixture(params=["identity", "account"])
def row(request):
    return request.getfixturevalue(request.param)


def secrets_of(alice):
    return [
        digest_of(text)
        for text in (
            Principal("a-subject", issuer="https://as.example").key,
            "alice",
            "alice@example.com",
            alice.password,
        )
    ] + [alice.password, "of-its-roles"]


# --- looked at ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["changelist", "change", "history"])
def test_a_superuser_sees_the_rows_and_nothing_secret(root, row, alice, page):
    """No digest, no hash, no token; the list, the row, its history."""
    response = root.get(url(row, page))
    text = response.content.decode()
    assert 200 == response.status_code
    assert [] == [secret for secret in secrets_of(alice) if secret in text]


def test_an_identity_shows_who_an_issuer_calls_what(root, identity):
    """Issuer, subject, user and since when."""
    for page in ("changelist", "change"):
        text = root.get(url(identity, page)).content.decode()
        assert "a-subject" in text
        assert "https://as.example" in text
        assert "alice" in text


def test_an_account_shows_its_roles(root, account):
    """And its id, by which tokens name its owner."""
    text = root.get(url(account, "change")).content.decode()
    assert "editor" in text
    assert "an-id-of-an-account" in text


@pytest.mark.parametrize(
    ("query", "expected"),
    [("a-subject", 1), ("as.example", 1), ("alice", 1), ("somebody", 0), ("of-its-roles", 0)],
)
def test_identities_are_found_by_issuer_subject_and_username(root, identity, query, expected):
    """And by nothing else."""
    text = root.get(url(identity, "changelist"), {"q": query}).content.decode()
    assert expected == len(re.findall(r"<tr><td class=\"action-checkbox\"", text))


@pytest.mark.parametrize(("query", "expected"), [("an-id-of", 1), ("alice", 1), ("editor", 0)])
def test_accounts_are_found_by_id_and_username(root, account, query, expected):
    """What a token says, and what a person says."""
    text = root.get(url(account, "changelist"), {"q": query}).content.decode()
    assert expected == text.count("an-id-of-an-account</")


def test_a_list_asks_for_its_users_at_once(root, identity, django_assert_max_num_queries):
    """However many rows there are."""
    for number in range(20):
        Identity.objects.create(
            digest=str(number),
            issuer="https://as.example",
            subject=str(number),
            user=User.objects.create_user(f"user {number}"),
        )
    with django_assert_max_num_queries(8):
        root.get(url(identity, "changelist"))


# --- changed ------------------------------------------------------------------------------------


def test_nobody_adds_or_changes_a_row(root, row):
    """The page has no form for it, and a form sent all the same is refused."""
    assert 403 == root.get(url(row, "add")).status_code
    assert 403 == root.post(url(row, "add"), {"subject": "mallory"}).status_code
    assert 403 == root.post(url(row, "change"), {"roles": '["owner"]'}).status_code
    assert 'name="_save"' not in root.get(url(row, "change")).content.decode()
    row.refresh_from_db()
    assert getattr(row, "roles", ["editor"]) == ["editor"]
    assert 1 == type(row).objects.count()


def test_an_identity_can_be_deleted_and_its_user_stays(root, identity, alice):
    """The mapping is undone, and nothing else."""
    assert 200 == root.get(url(identity, "delete")).status_code
    assert 302 == root.post(url(identity, "delete"), {"post": "yes"}).status_code
    assert not Identity.objects.exists()
    assert User.objects.filter(pk=alice.pk).exists()


def test_an_account_is_not_deleted_alone(root, account):
    """Its tokens would be nobody's, and its owner would get another id."""
    assert 403 == root.get(url(account, "delete")).status_code
    assert 403 == root.post(url(account, "delete"), {"post": "yes"}).status_code
    action = {"action": "delete_selected", "_selected_action": account.pk, "post": "yes"}
    root.post(url(account, "changelist"), action)
    assert Account.objects.exists()


def test_a_user_is_deleted_with_account_and_identities(root, account, identity, alice):
    """The page of Django's own users works as before."""
    page = reverse("admin:auth_user_delete", args=[alice.pk])
    assert 302 == root.post(page, {"post": "yes"}).status_code
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not Account.objects.exists()
    assert not Identity.objects.exists()


# --- by whom ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_staff_without_a_permission_see_nothing(clerk, row, page):
    """403, on every page."""
    assert 403 == clerk[1].get(url(row, page)).status_code


@pytest.mark.parametrize("page", PAGES)
def test_who_is_not_staff_is_sent_to_log_in(row, alice, page):
    """Logged in or not."""
    client = Client()
    assert 302 == client.get(url(row, page)).status_code
    client.force_login(alice, BACKEND)
    assert 302 == client.get(url(row, page)).status_code


def test_staff_see_what_they_may_and_delete_what_they_may(clerk, identity):
    """As Django's permissions say."""
    user, client = clerk
    user.user_permissions.add(Permission.objects.get(codename="view_identity"))
    assert 200 == client.get(url(identity, "change")).status_code
    assert 403 == client.post(url(identity, "delete"), {"post": "yes"}).status_code
    user.user_permissions.add(Permission.objects.get(codename="delete_identity"))
    assert 302 == client.post(url(identity, "delete"), {"post": "yes"}).status_code


def test_the_two_tables_are_in_the_admin_and_no_other_of_ours():
    """Found by Django's autodiscovery, where the admin is installed."""
    ours = {m.__name__ for m in admin.site._registry if m._meta.app_label == "tokenward"}
    assert {"Account", "Identity"} == ours
