from __future__ import annotations

import os
import re
import threading
import unicodedata

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidRequest
from tokenward.passwords import (
    PasswordHasher,
    _gate,
    hash_password,
    limit_hashing,
    needs_rehash,
    verify_password,
)
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest, RegisterRequest

REFUSED = [
    pytest.param("", id="empty"),
    pytest.param("x" * 1_025, id="too many characters"),
    pytest.param("é" * 513, id="too many bytes"),
    pytest.param("x" * 5_000_000, id="megabytes"),
    pytest.param("\ud800abcdef", id="lone surrogate"),
    pytest.param(b"secret", id="bytes"),
    pytest.param(None, id="None"),
    pytest.param(123456, id="number"),
    pytest.param({"$ne": None}, id="mapping"),
]
MALFORMED = [
    pytest.param(None, id="None"),
    pytest.param("", id="empty"),
    pytest.param("secret", id="no hash"),
    pytest.param("$2b$04$", id="cut"),
    pytest.param("$2x$04$" + "." * 53, id="2x"),
    pytest.param("$2b$03$" + "." * 53, id="cost too low"),
    pytest.param("$2b$31$" + "." * 53, id="cost that never ends"),
    pytest.param("$2b$99$" + "." * 53, id="impossible cost"),
    pytest.param("$2b$04$" + "!" * 53, id="foreign alphabet"),
    pytest.param("$2b$04$" + "." * 53 + "\n", id="line end"),
    pytest.param("$2b$04$" + "." * 54, id="too long"),
    pytest.param("$2b$04$" + "a" * 53, id="unused bits set"),
    pytest.param("$tw2$2b$04$" + "." * 53, id="a tag to come"),
    pytest.param("$2b$٠٤$" + "." * 53, id="other digits"),
    pytest.param(b"$2b$04$" + b"." * 53, id="bytes"),
    pytest.param(5, id="number"),
]


def plain(password: bytes, cost: int = 4, form: bytes = b"2b") -> str:
    """Return a hash as other programs make it."""
    return (
        bcrypt.hashpw(password[:72], bcrypt.gensalt(cost, b"2b"))
        .decode()
        .replace("$2b$", f"${form.decode()}$")
    )


@pytest.fixture
def work(monkeypatch):
    """Every bcrypt run as its number of rounds."""
    rounds = []

    def counting(function):
        def call(password, salt):
            result = function(password, salt)
            rounds.append(2 ** int(salt[4:6]))
            return result

        return call

    monkeypatch.setattr(bcrypt, "hashpw", counting(bcrypt.hashpw))
    monkeypatch.setattr(bcrypt, "checkpw", counting(bcrypt.checkpw))
    return rounds


@pytest.fixture
def limits():
    """The function that bounds hashing, its effect undone at the end."""
    yield limit_hashing
    limit_hashing()


class Blocked:
    """Stands for a bcrypt that is busy until it is let go."""

    def __init__(self, monkeypatch) -> None:
        self.real = bcrypt.hashpw
        self.running = 0
        self.most = 0
        self.started = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.lock = threading.Lock()
        monkeypatch.setattr(bcrypt, "hashpw", self)

    def __call__(self, password, salt):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.started.release()
        assert self.let_go.wait(90)
        with self.lock:
            self.running -= 1
        return self.real(password, salt)


def start_hashing(results) -> threading.Thread:
    def run() -> None:
        try:
            results.append(hash_password("secret", cost=4))
        except AuthServiceUnavailable as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_hash_has_our_tag_the_cost_and_a_bcrypt_hash():
    """The stored form is documented, so that another program can read it."""
    assert re.fullmatch(r"\$tw1\$2b\$05\$[./A-Za-z0-9]{53}", hash_password("secret", cost=5))


def test_the_default_cost_is_12():
    """The work is what the documentation says unless it is set otherwise."""
    assert PasswordHasher().cost == 12


def test_two_hashes_of_one_password_differ():
    """Each hash has a salt of its own."""
    assert hash_password("secret", cost=4) != hash_password("secret", cost=4)


def test_a_known_hash_verifies():
    """Hashes made by an earlier version stay good."""
    known = "$tw1$2b$04$Ph4quo22e.Dpswtp8iPGUeKmRwux/6xdrGe3Lr0BTgKCxeWdLb2X6"
    assert verify_password("correct horse", known, cost=4)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
@settings(max_examples=50, deadline=None)
def test_the_password_that_was_hashed_verifies_and_another_does_not(password):
    """Any text is a password: NUL, emoji, combining characters."""
    hashed = hash_password(password, cost=4)
    assert verify_password(password, hashed, cost=4)
    assert not verify_password(password + "x", hashed, cost=4)


@pytest.mark.parametrize(
    ("password", "other"),
    [
        pytest.param("x" * 72 + "a", "x" * 72 + "b", id="byte 73"),
        pytest.param("x" * 1_023 + "a", "x" * 1_023 + "b", id="byte 1024"),
        pytest.param("secret\0a", "secret\0b", id="after NUL"),
        pytest.param("secret\0", "secret", id="final NUL"),
        pytest.param("é" * 40 + "a", "é" * 40 + "b", id="not ASCII"),
        pytest.param(" secret", "secret", id="space"),
    ],
)
def test_every_byte_of_a_password_counts(password, other):
    """Nothing is cut where bcrypt alone would cut it."""
    assert not verify_password(other, hash_password(password, cost=4), cost=4)


def test_composed_and_decomposed_forms_are_one_password():
    """One keyboard sends é as one character, another as two."""
    decomposed = unicodedata.normalize("NFD", "pássword")
    assert verify_password(decomposed, hash_password("pássword", cost=4), cost=4)


def test_compatibility_forms_are_different_passwords():
    """NFC and no more: a password is not a name."""
    assert not verify_password("\uff21bcdef", hash_password("Abcdef", cost=4), cost=4)


@pytest.mark.parametrize("form", [b"2a", b"2b", b"2y"])
def test_a_plain_hash_from_elsewhere_verifies(form):
    """People keep their passwords when their accounts move here."""
    assert verify_password("pässword", plain("pässword".encode(), form=form), cost=4)
    assert not verify_password("password", plain("pässword".encode(), form=form), cost=4)


def test_a_plain_hash_verifies_by_the_first_72_bytes():
    """As its maker did, who knew no more of the password."""
    hashed = plain(b"x" * 80)
    assert verify_password("x" * 72 + "anything", hashed, cost=4)
    assert not verify_password("x" * 71, hashed, cost=4)


def test_a_plain_hash_is_of_the_password_as_it_was_typed():
    """Its maker normalized nothing."""
    decomposed = unicodedata.normalize("NFD", "pássword")
    assert verify_password(decomposed, plain(decomposed.encode()), cost=4)


@pytest.mark.parametrize("hashed", MALFORMED)
def test_a_malformed_hash_refuses_and_costs_one_hash(hashed, work):
    """A broken record is a failed login like any other, in its answer and in its time."""
    assert verify_password("secret", hashed, cost=5) is False
    assert sum(work) == 2**5


@pytest.mark.parametrize("stored_cost", [4, 5, 6, 7])
@pytest.mark.parametrize("ours", [True, False])
def test_a_wrong_password_costs_one_hash_whatever_the_stored_cost(stored_cost, ours, work):
    """An account with an old, cheap hash cannot be told from one that does not exist."""
    hashed = hash_password("secret", cost=stored_cost) if ours else plain(b"secret", stored_cost)
    work.clear()
    assert verify_password("wrong", hashed, cost=7) is False
    assert sum(work) == 2**7


def test_a_right_password_costs_one_hash(work):
    """Nothing is hashed twice on the way in."""
    hashed = hash_password("secret", cost=5)
    work.clear()
    assert verify_password("secret", hashed, cost=5)
    assert work == [2**5]


@pytest.mark.parametrize("password", REFUSED)
def test_what_is_no_password_is_refused_before_any_work(password, work):
    """A megabyte of password, or an object, costs nothing."""
    hashed = plain(b"secret")
    work.clear()
    with pytest.raises(InvalidRequest) as hashing:
        hash_password(password, cost=4)
    with pytest.raises(InvalidRequest) as verifying:
        verify_password(password, hashed, cost=4)
    assert hashing.value.fields == verifying.value.fields
    assert hashing.value.fields.keys() == {"password"}
    assert work == []


def test_1024_bytes_are_accepted():
    """The bound is part of what is accepted."""
    assert verify_password("é" * 512, hash_password("é" * 512, cost=4), cost=4)


def test_a_refused_password_is_in_no_message():
    """Errors are logged and sent."""
    with pytest.raises(InvalidRequest) as caught:
        hash_password("hunter2" * 200, cost=4)
    said = (str(caught.value), repr(caught.value), caught.value.hint, caught.value.fields)
    assert "hunter2" not in repr(said)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("hashed", "expected"),
    [
        pytest.param(hash_password("secret", cost=5), False, id="as it should be"),
        pytest.param(hash_password("secret", cost=4), True, id="lower cost"),
        pytest.param(hash_password("secret", cost=6), True, id="higher cost"),
        pytest.param(plain(b"secret", 5), True, id="plain"),
        pytest.param("broken", True, id="malformed"),
    ],
)
def test_needs_rehash_names_foreign_hashes_and_those_of_another_cost(hashed, expected):
    """These are what a login renews."""
    assert needs_rehash(hashed, cost=5) is expected


@pytest.mark.parametrize("imported", [hash_password("secret", cost=6), plain(b"secret", 6)])
def test_a_login_brings_a_costlier_hash_down_to_the_configured_cost(imported):
    """After it, a wrong password takes no longer than an unknown name does (RULES 33)."""
    users = open_repositories("memory://", bcrypt_cost=4).users
    request = RegisterRequest(username="ada", email="ada@example.org", password="first secret")
    users.create(request)
    assert users.replace_hash(users.get_by_username("ada"), imported)
    assert users.verify_credentials(LoginRequest(username="ada", password="secret")) is not None

    assert users.get_by_username("ada").hashed_password.startswith("$tw1$2b$04$")
    assert users.verify_credentials(LoginRequest(username="ada", password="secret")) is not None


@pytest.mark.parametrize("cost", [3, 17, -1, 12.0, "12", None, True])
def test_a_cost_out_of_bounds_is_a_configuration_error(cost):
    """A cost of 31 would stop the service, one of 1 would protect nothing."""
    with pytest.raises(ConfigurationError, match="4 to 16"):
        PasswordHasher(cost=cost)


@pytest.mark.parametrize("cost", [4, 16])
def test_the_bounds_of_the_cost_are_allowed(cost):
    """The documented range includes its ends."""
    assert PasswordHasher(cost=cost).cost == cost


def test_no_more_hashes_run_at_a_time_than_allowed(limits, monkeypatch):
    """The other threads of a server stay free; those that wait get their turn."""
    limits(concurrent=2, waiting=3)
    bcrypt_ = Blocked(monkeypatch)
    results = []
    threads = [start_hashing(results) for _ in range(5)]
    for _ in range(2):
        assert bcrypt_.started.acquire(timeout=90)
    bcrypt_.let_go.set()
    for thread in threads:
        thread.join(90)
    assert bcrypt_.most == 2
    assert [type(result) for result in results] == [str] * 5


def test_beyond_the_queue_it_is_unavailable_at_once(limits, monkeypatch):
    """A crowd at the login is told to come back; a refusal of the password it is not."""
    limits(concurrent=1, waiting=0)
    bcrypt_ = Blocked(monkeypatch)
    results = []
    thread = start_hashing(results)
    assert bcrypt_.started.acquire(timeout=90)
    for attempt in (hash_password, lambda _: verify_password("secret", None)):
        with pytest.raises(AuthServiceUnavailable) as caught:
            attempt("secret")
        assert caught.value.reason == "hashing_busy"
        assert caught.value.retry_after > 0
    bcrypt_.let_go.set()
    thread.join(90)
    assert len(results) == 1
    assert hash_password("secret", cost=4)


def test_waiting_ends(limits, monkeypatch):
    """A hash that takes for ever does not hold the others for ever."""
    limits(concurrent=1, waiting=1, timeout=0)
    bcrypt_ = Blocked(monkeypatch)
    thread = start_hashing([])
    assert bcrypt_.started.acquire(timeout=90)
    with pytest.raises(AuthServiceUnavailable) as caught:
        hash_password("secret")
    assert caught.value.reason == "hashing_busy"
    bcrypt_.let_go.set()
    thread.join(90)


def test_a_failing_hash_gives_its_place_back(limits, monkeypatch):
    """Whatever goes wrong inside, the next login finds the door open."""
    limits(concurrent=1, waiting=0)
    with monkeypatch.context() as patch:
        patch.setattr(bcrypt, "hashpw", lambda *_: 1 / 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                hash_password("secret", cost=4)
    assert hash_password("secret", cost=4)


def test_a_forked_child_hashes_although_its_parent_was_busy(limits, monkeypatch):
    """A place that a thread of the parent holds is not held for ever in the child."""
    limits(concurrent=1, waiting=0)
    bcrypt_ = Blocked(monkeypatch)
    thread = start_hashing([])
    assert bcrypt_.started.acquire(timeout=90)
    child = os.fork()
    if child == 0:
        bcrypt.hashpw = bcrypt_.real
        try:
            os._exit(0 if hash_password("secret", cost=4) else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    bcrypt_.let_go.set()
    thread.join(90)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize(
    "bounds", [{"concurrent": 0}, {"waiting": -1}, {"concurrent": -2}, {"timeout": -1}]
)
def test_bounds_that_let_nobody_in_are_a_configuration_error(bounds, limits):
    """A mistake here shows at start-up and not at the first login."""
    with pytest.raises(ConfigurationError, match="limit_hashing"):
        limits(**bounds)


def test_as_many_hashes_run_as_the_process_has_cores(limits, monkeypatch):
    """Counted where the system says which cores are ours, and else all of them."""
    limits()
    assert _gate._concurrent == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    limits()
    assert _gate._concurrent == os.cpu_count()
    assert _gate._waiting == 2 * os.cpu_count()


def test_repr_shows_the_cost_alone():
    """What is logged about a hasher is harmless."""
    assert repr(PasswordHasher(cost=4)) == "PasswordHasher(cost=4)"
