"""Many threads at one file database of a Django project."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import connections

from tokenward.django import DjangoUserRepository
from tokenward.django.models import Account
from tokenward.errors import UserAlreadyExists
from tokenward.passwords import limit_hashing
from tokenward.schemas import LoginRequest, RegisterRequest

pytestmark = pytest.mark.django_db(transaction=True)

SAME = ["alice", "ALICE", "\uff21lice", "Alice"]
THREADS = 16


@pytest.fixture
def users(settings):
    """A repository with room for every hash."""
    settings.PASSWORD_HASHERS = [
        "tokenward.django.hashers.TokenwardPasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    limit_hashing(concurrent=2, waiting=100)
    yield DjangoUserRepository(bcrypt_cost=4)
    limit_hashing()


def together(work) -> list:
    """Run ``work(n)`` in threads that begin at once; return what each made of it, by number."""
    barrier = threading.Barrier(THREADS)
    outcomes = [None] * THREADS

    def run(n: int) -> None:
        try:
            barrier.wait(120)
            outcomes[n] = work(n)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            outcomes[n] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    return outcomes


def request(username, email, password="secret1"):
    return RegisterRequest(username=username, email=email, password=password)


def winner_among(outcomes) -> int:
    """Return who won, given that all others were told that it is taken."""
    lost = [n for n, outcome in enumerate(outcomes) if type(outcome) is UserAlreadyExists]
    (winner,) = set(range(THREADS)) - set(lost)
    assert not isinstance(outcomes[winner], Exception)
    return winner


def test_of_16_threads_that_want_one_name_one_gets_it(users):
    """In every spelling; a busy database is waited for, and nobody is told that it is down."""
    outcomes = together(
        lambda n: users.create(
            request(SAME[n % len(SAME)], f"{n}@example.com", password=f"secret{n}")
        )
    )
    winner = winner_among(outcomes)
    assert (User.objects.count(), Account.objects.count()) == (1, 1)
    credentials = LoginRequest(username="alice", password=f"secret{winner}")
    assert users.verify_credentials(credentials).email == f"{winner}@example.com"


def test_of_16_threads_that_want_one_address_one_gets_it(users):
    """The address is as unique as the name."""
    addresses = ["alice@example.com", "Alice@example.com", "ALICE@EXAMPLE.COM"]
    outcomes = together(lambda n: users.create(request(f"user{n}", addresses[n % 3])))
    winner = winner_among(outcomes)
    assert [row.username for row in User.objects.all()] == [f"user{winner}"]
    assert users.get_by_email("alice@example.com").username == f"user{winner}"


def test_16_threads_that_want_different_names_all_get_theirs(users):
    """They wait for each other, and none is turned away."""
    outcomes = together(lambda n: users.create(request(f"user{n}", f"{n}@example.com")))
    assert [outcome.username for outcome in outcomes] == [f"user{n}" for n in range(THREADS)]
    assert users.count() == THREADS


def test_16_first_logins_of_one_user_make_one_account(users):
    """Who was there before gets one id, whichever login comes first."""
    row = User(username="Bob", password=make_password("secret1", hasher="md5"))
    row.save()
    credentials = LoginRequest(username="Bob", password="secret1")
    outcomes = together(lambda n: users.verify_credentials(credentials))
    assert {outcome.id for outcome in outcomes} == {Account.objects.get().id}
    assert {outcome.token_version for outcome in outcomes} == {0}
    assert users.get_by_username("bob").token_version == 0


def test_a_change_that_16_threads_notice_is_counted_once(users):
    """An update() of the row is found by whoever reads it, all at once."""
    created = users.create(request("alice", "alice@example.com"))
    User.objects.update(is_active=False)
    outcomes = together(lambda n: users.get_by_id(created.id))
    assert [(user.is_active, user.token_version) for user in outcomes] == [(False, 1)] * THREADS
    assert users.get_by_id(created.id).token_version == 1


def test_changes_by_16_threads_add_up(users):
    """None is lost, however they fall together."""
    users.create(request("alice", "alice@example.com"))
    outcomes = together(lambda n: users.set_roles("alice", [f"role{n}"]))
    assert outcomes == [None] * THREADS
    assert users.get_by_username("alice").token_version == THREADS
