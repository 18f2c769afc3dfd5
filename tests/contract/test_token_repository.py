from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenward.errors import InvalidRequest
from tokenward.repositories import MemoryTokenRepository, SQLiteTokenRepository

NOW = 1_700_000_000


@pytest.fixture(params=["memory", "sqlite"])
def tokens(request, tmp_path):
    """An empty repository of each kind."""
    if request.param == "memory":
        yield MemoryTokenRepository()
    else:
        repository = SQLiteTokenRepository(tmp_path / "tokens.db")
        yield repository
        repository.close()


def test_a_token_is_not_revoked_until_it_is(tokens):
    """Revoking one token leaves the others alone."""
    assert tokens.is_revoked("a") is False
    tokens.revoke("a", NOW)
    assert tokens.is_revoked("a") is True
    assert tokens.is_revoked("b") is False


def test_an_id_is_compared_exactly(tokens):
    """A jti is no name: case and white space count."""
    tokens.revoke("Abc", NOW)
    assert [tokens.is_revoked(jti) for jti in ("Abc", "abc", "ABC", "Abc ")] == [True] + [False] * 3


def test_revoking_twice_is_no_error(tokens):
    """Logging out twice is as good as once."""
    tokens.revoke("a", NOW)
    tokens.revoke("a", NOW)
    assert tokens.is_revoked("a")


@pytest.mark.parametrize("ends", [(NOW, NOW + 60), (NOW + 60, NOW)])
def test_the_later_end_stands(tokens, ends):
    """A second revocation never lets a token live again earlier."""
    for end in ends:
        tokens.revoke("a", end)
    assert tokens.purge_expired(NOW + 59) == 0
    assert tokens.is_revoked("a")
    assert tokens.purge_expired(NOW + 60) == 1


def test_purging_forgets_what_has_ended_and_nothing_else(tokens):
    """The end itself has ended; one second later has not."""
    for jti, end in [("past", NOW - 1), ("now", NOW), ("soon", NOW + 1)]:
        tokens.revoke(jti, end)
    assert tokens.purge_expired(NOW) == 2
    assert [tokens.is_revoked(jti) for jti in ("past", "now", "soon")] == [False, False, True]
    assert tokens.purge_expired(NOW) == 0


def test_parts_of_a_second_are_rounded_in_favour_of_the_revocation(tokens):
    """No token gets a part of a second back."""
    tokens.revoke("a", NOW + 0.25)
    assert tokens.purge_expired(NOW + 0.75) == 0
    assert tokens.purge_expired(NOW + 1.0) == 1


def test_a_revocation_stays_until_it_is_purged(tokens):
    """The store itself does not look at the clock."""
    tokens.revoke("a", 0)
    assert tokens.is_revoked("a")


@pytest.mark.parametrize("jti", ["", "x" * 256, "a\n", "\ud800", None, 5, b"a", {"$ne": None}, []])
def test_what_is_no_id_is_refused_when_revoking_and_unknown_when_asking(tokens, jti):
    """A wrong argument revokes nothing and breaks nothing."""
    tokens.revoke("other", NOW)
    with pytest.raises(InvalidRequest) as caught:
        tokens.revoke(jti, NOW)
    assert caught.value.fields.keys() == {"jti"}
    assert tokens.is_revoked(jti) is False
    assert tokens.purge_expired(NOW) == 1


def test_an_id_of_255_characters_is_an_id(tokens):
    """The bound is part of what is accepted."""
    tokens.revoke("x" * 255, NOW)
    assert tokens.is_revoked("x" * 255)


@pytest.mark.parametrize(
    "end", [None, "1700000000", float("nan"), float("inf"), 2**63, -(2**63), True]
)
def test_an_end_that_is_no_time_is_refused(tokens, end):
    """A revocation that could not be kept is not acknowledged."""
    with pytest.raises(InvalidRequest) as caught:
        tokens.revoke("a", end)
    assert caught.value.fields.keys() == {"expires_at"}
    assert tokens.is_revoked("a") is False


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_can_be_asked_about(tokens, text):
    """Nothing in a token breaks the look-up."""
    assert tokens.is_revoked(text) is False


def test_threads_revoke_beside_each_other(tokens):
    """Every acknowledged revocation is there, from whichever thread it came."""
    start = threading.Barrier(8)

    def revoke(thread: int) -> None:
        start.wait(20)
        for n in range(10):
            tokens.revoke(f"{thread}-{n}", NOW)
            tokens.revoke("the same", NOW + n)

    threads = [threading.Thread(target=revoke, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(tokens.is_revoked(f"{t}-{n}") for t in range(8) for n in range(10))
    assert tokens.purge_expired(NOW) == 80
    assert tokens.is_revoked("the same")
