"""Passwords of Django's users: ours readable for Django, Django's readable for us."""

from __future__ import annotations

import threading

import bcrypt
import pytest
from django.contrib.auth.hashers import (
    MD5PasswordHasher,
    PBKDF2PasswordHasher,
    check_password,
    get_hasher,
    identify_hasher,
    make_password,
)

from tokenward.django.hashers import (
    ColumnPasswordHasher,
    TokenwardPasswordHasher,
    column_of,
    hash_in,
)
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidRequest
from tokenward.passwords import PasswordHasher, limit_hashing

PASSWORD = "correct horse battery"


class Cheap(TokenwardPasswordHasher):
    """As a project that wants another cost writes it."""

    cost = 4


class Counting(PBKDF2PasswordHasher):
    """Django's, and writes down what work was asked of it."""

    algorithm = "counting"
    iterations = 3
    done: list[int] = []  # noqa: RUF012 - Django makes the instances

    def encode(self, password, salt, iterations=None):
        self.done.append(iterations or self.iterations)
        return super().encode(password, salt, iterations)


class Broken(MD5PasswordHasher):
    """One whose library is not there."""

    algorithm = "broken"

    def encode(self, password, salt):
        raise ValueError("Couldn't load 'Broken' algorithm library: No module named 'broken'")


OURS = f"{__name__}.Cheap"
COUNTING = f"{__name__}.Counting"
BROKEN = f"{__name__}.Broken"
MD5 = "django.contrib.auth.hashers.MD5PasswordHasher"


@pytest.fixture
def hashers(settings):
    """Return a function that says what PASSWORD_HASHERS is."""

    def use(*paths):
        settings.PASSWORD_HASHERS = list(paths)
        Counting.done.clear()

    return use


@pytest.fixture
def bcrypted(monkeypatch):
    """The costs of the bcrypt hashes that are made or checked."""
    costs = []
    hashpw, checkpw = bcrypt.hashpw, bcrypt.checkpw

    def counted_hash(password, salt):
        costs.append(int(salt[4:6]))
        return hashpw(password, salt)

    def counted_check(password, hashed):
        costs.append(int(hashed[4:6]))
        return checkpw(password, hashed)

    monkeypatch.setattr(bcrypt, "hashpw", counted_hash)
    monkeypatch.setattr(bcrypt, "checkpw", counted_check)
    return costs


# --- for PASSWORD_HASHERS ------------------------------------------------------------------------


def test_django_reads_what_the_service_stored(hashers):
    """The admin and ModelBackend let in who registered at the service."""
    hashers(OURS)
    encoded = column_of(PasswordHasher(cost=4).hash(PASSWORD))
    assert encoded.startswith("tokenward$$tw1$2b$04$")
    assert len(encoded) <= 128
    assert check_password(PASSWORD, encoded)
    assert not check_password("wrong", encoded)


def test_the_service_reads_what_django_made(hashers):
    """A password set in the admin opens the service."""
    hashers(OURS)
    hashed = hash_in(make_password(PASSWORD))
    assert hashed.startswith("$tw1$2b$04$")
    assert ColumnPasswordHasher(cost=4).verify(PASSWORD, hashed)


def test_bytes_and_text_are_one_password(hashers):
    """As with Django's own hashers."""
    hashers(OURS)
    assert check_password("pässwörd", make_password("pässwörd".encode()))


@pytest.mark.parametrize("password", ["", "x" * 1_025, b"\xff", "\ud800"])
def test_what_is_no_password_opens_nothing_and_breaks_nothing(hashers, password, bcrypted):
    """A login form takes anything; the work is that of a hash, whether there is a user or not."""
    hashers(OURS)
    encoded = make_password(password)
    assert bcrypted == [4]
    assert not check_password(password, encoded)
    assert bcrypted == [4, 4]


def test_a_hash_below_the_cost_is_renewed_by_django(hashers):
    """Raising the cost reaches who logs in with a browser, too."""
    hashers("tokenward.django.hashers.TokenwardPasswordHasher")
    weak = column_of(PasswordHasher(cost=4).hash(PASSWORD))
    assert get_hasher().must_update(weak)
    hashers(OURS)
    renewed = []
    assert check_password(PASSWORD, weak, setter=renewed.append)
    assert renewed == []
    plain = column_of(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    assert check_password(PASSWORD, plain, setter=renewed.append)
    assert renewed == [PASSWORD]


def test_a_refusal_by_django_does_the_work_of_the_configured_cost(hashers, bcrypted):
    """A hash of lower cost is not told by a quick answer."""
    hashers(OURS)
    weak = column_of(PasswordHasher(cost=4).hash(PASSWORD))
    bcrypted.clear()
    hasher = Cheap()
    hasher.cost = 6
    assert not hasher.verify("wrong", weak)
    hasher.harden_runtime("wrong", weak)
    assert sum(2**cost for cost in bcrypted) == 2**6


def test_the_summary_shows_nothing_of_the_hash(hashers):
    """It is what an admin page prints."""
    hashers(OURS)
    encoded = make_password(PASSWORD)
    summary = identify_hasher(encoded).safe_summary(encoded)
    assert summary == {"algorithm": "tokenward", "work factor": 4}
    assert Cheap().safe_summary("tokenward$x")["work factor"] is None


# --- for the repository --------------------------------------------------------------------------


def test_the_first_hasher_says_which_kind_is_made(hashers):
    """As everywhere in Django; what Django could not read is never stored."""
    hashers(OURS, MD5)
    hasher = ColumnPasswordHasher(cost=4)
    assert hasher.hash(PASSWORD).startswith("$tw1$2b$04$")
    hashers(MD5, OURS)
    assert hasher.hash(PASSWORD).startswith("md5$")
    hashers(MD5)
    assert hasher.hash(PASSWORD).startswith("md5$")


@pytest.mark.parametrize(
    ("listed", "kind", "renewed"),
    [
        ([OURS, MD5], "ours", False),
        ([OURS, MD5], "plain bcrypt", True),
        ([OURS, MD5], "md5", True),
        ([MD5, OURS], "ours", True),
        ([MD5, OURS], "md5", False),
        ([MD5], "ours", True),
        ([MD5], "md5", False),
        ([COUNTING, MD5], "md5", True),
    ],
)
def test_a_hash_of_another_kind_verifies_and_is_due(hashers, listed, kind, renewed):
    """Whatever a project has had first, its people log in, and their hashes follow."""
    hashers(MD5)
    hashed = {
        "ours": PasswordHasher(cost=4).hash(PASSWORD),
        "plain bcrypt": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
        "md5": make_password(PASSWORD),
    }[kind]
    hashers(*listed)
    hasher = ColumnPasswordHasher(cost=4)
    assert hasher.verify(PASSWORD, hashed)
    assert not hasher.verify("wrong", hashed)
    assert hasher.needs_rehash(hashed) is renewed


def test_fewer_iterations_than_today_are_due_where_django_makes_the_hashes(hashers):
    """The same that Django would do at a login."""
    hashers(COUNTING)
    weak = Counting().encode(PASSWORD, "x" * 22, 2)
    assert ColumnPasswordHasher(cost=4).verify(PASSWORD, weak)
    assert ColumnPasswordHasher(cost=4).needs_rehash(weak)


def stored(kind):
    return {
        "nothing": None,
        "ours": PasswordHasher(cost=4).hash(PASSWORD),
        "ours, malformed": "$tw1$2b$04$x",
        "django's": Counting().encode(PASSWORD, "x" * 22),
        "django's, weaker": Counting().encode(PASSWORD, "x" * 22, 1),
        "unlisted": "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA",
        "malformed": "counting$many$salt$hash",
        "no hash at all": "x",
    }[kind]


KINDS = [
    "nothing",
    "ours",
    "ours, malformed",
    "django's",
    "django's, weaker",
    "unlisted",
    "malformed",
    "no hash at all",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_does_the_work_of_both_kinds(hashers, bcrypted, kind):
    """Nobody can time who has which hash, or whether there is anybody."""
    hashers(OURS, COUNTING)
    hashed = stored(kind)
    bcrypted.clear()
    Counting.done.clear()
    assert not ColumnPasswordHasher(cost=4).verify("wrong", hashed)
    assert bcrypted == [4]
    assert sum(Counting.done) == Counting.iterations


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("django's")])
def test_a_refusal_does_one_hash_where_all_are_of_ours(hashers, bcrypted, kind):
    """A project without hashes of old names one hasher, and pays for one."""
    hashers(OURS, COUNTING)
    hashed = stored(kind)
    hashers(OURS)
    bcrypted.clear()
    assert not ColumnPasswordHasher(cost=4).verify("wrong", hashed)
    assert bcrypted == [4]
    assert Counting.done == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("ours")])
def test_a_refusal_does_one_hash_where_all_are_djangos(hashers, bcrypted, kind):
    """The same the other way round."""
    hashers(COUNTING)
    hashed = stored(kind)
    bcrypted.clear()
    Counting.done.clear()
    assert not ColumnPasswordHasher(cost=4).verify("wrong", hashed)
    assert bcrypted == []
    assert sum(Counting.done) == Counting.iterations


@pytest.mark.parametrize("kind", ["ours", "django's"])
def test_the_right_password_does_one_hash(hashers, bcrypted, kind):
    """Who logs in does not wait for what hides others."""
    hashers(OURS, COUNTING)
    hashed = stored(kind)
    bcrypted.clear()
    Counting.done.clear()
    assert ColumnPasswordHasher(cost=4).verify(PASSWORD, hashed)
    assert len(bcrypted) + len(Counting.done) == 1


@pytest.mark.parametrize("password", ["", "x" * 1_025, None, 5, b"secret1", "\ud800"])
def test_what_is_no_password_is_refused_before_any_work(hashers, bcrypted, password):
    """Over-long and non-string passwords cost no hash of either kind."""
    hashers(COUNTING, OURS)
    hasher = ColumnPasswordHasher(cost=4)
    with pytest.raises(InvalidRequest):
        hasher.verify(password, None)
    with pytest.raises(InvalidRequest):
        hasher.hash(password)
    assert bcrypted == Counting.done == []


def test_djangos_hashes_wait_in_the_same_queue(hashers, settings):
    """A crowd at the login is a 503 for the last of it, whoever made the hashes."""
    entered, leave = threading.Event(), threading.Event()

    class Waiting(Counting):
        algorithm = "waiting"

        def encode(self, password, salt, iterations=None):
            entered.set()
            leave.wait(90)
            return super().encode(password, salt, iterations)

    globals()["Waiting"] = Waiting
    hashers(f"{__name__}.Waiting")
    hasher = ColumnPasswordHasher(cost=4)
    limit_hashing(concurrent=1, waiting=0)
    thread = threading.Thread(target=hasher.verify, args=("wrong", None))
    try:
        thread.start()
        assert entered.wait(90)
        for ask in (lambda: hasher.verify("wrong", None), lambda: hasher.hash("secret1")):
            with pytest.raises(AuthServiceUnavailable) as caught:
                ask()
            assert caught.value.reason == "hashing_busy"
        with pytest.raises(AuthServiceUnavailable):
            hasher.verify("wrong", "waiting$1$salt$hash")
    finally:
        leave.set()
        thread.join(90)
        limit_hashing()
        del globals()["Waiting"]


def test_a_hasher_without_its_library_refuses_and_says_so(hashers, caplog):
    """No foreign exception escapes, and no hash is in what is logged."""
    hashers(BROKEN)
    encoded = "broken$salt$0123456789abcdef"
    assert not ColumnPasswordHasher(cost=4).verify(PASSWORD, encoded)
    assert "PASSWORD_HASHERS cannot be used: broken (ValueError)" in caplog.text
    assert "0123456789abcdef" not in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("paths", [[], ["no.such.Hasher"], ["tokenward.django.hashers.ALGORITHM"]])
def test_hashers_that_cannot_be_loaded_stop_start_up(hashers, paths):
    """The mistake shows when the repository is made."""
    hashers(*paths)
    with pytest.raises(ConfigurationError, match="PASSWORD_HASHERS"):
        ColumnPasswordHasher(cost=4)


@pytest.mark.parametrize("encoded", ["", None, "!", "!" + "x" * 40])
def test_an_unusable_password_is_no_hash(encoded):
    """What Django stores for "no password" is no password here."""
    assert hash_in(encoded) is None


def test_no_password_is_stored_as_django_stores_it():
    """has_usable_password() tells the truth about it."""
    assert column_of(None).startswith("!")
    assert hash_in(column_of("pbkdf2_sha256$1$s$h")) == "pbkdf2_sha256$1$s$h"
