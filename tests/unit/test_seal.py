"""Sealed values: what opens what, and what is given away (RULES 8, 9)."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward._seal import Box, Sealer
from tokenward.errors import ConfigurationError

NEW = "kq3V-new-8fJ2_0pTzXw7Lm"
OLD = "R9d!old-c41Hs6vQe+bYtUa"
OTHER = "zz-other-5nW8gKx1PjE3mC"


def test_what_is_sealed_opens():
    """A value comes back as it was."""
    sealer = Sealer([NEW], "keys")
    assert sealer.open(sealer.seal(b"value")) == b"value"


@given(st.binary(max_size=2_000))
def test_any_bytes_can_be_sealed(value):
    """No value is special, and none stands readable in its seal."""
    sealed = SEALER.seal(value)
    assert SEALER.open(sealed) == value
    assert len(value) < 8 or value not in sealed


SEALER = Sealer([NEW], "keys")


def test_the_same_value_is_sealed_differently_each_time():
    """Two seals do not show that the values are the same."""
    assert SEALER.seal(b"value") != SEALER.seal(b"value")


def test_the_newest_secret_seals_and_any_opens():
    """An old secret in the list opens what it sealed; the newest one seals from then on."""
    sealed_before = Sealer([OLD], "keys").seal(b"value")
    both = Sealer([NEW, OLD], "keys")
    assert both.open(sealed_before) == b"value"
    assert Sealer([NEW], "keys").open(both.seal(b"value")) == b"value"


def test_another_secret_does_not_open():
    """The error says what to do, and holds no secret."""
    sealed = Sealer([OLD], "keys").seal(b"value")
    with pytest.raises(ConfigurationError) as caught:
        Sealer([NEW, OTHER], "keys").open(sealed)
    said = str(caught.value)
    assert "none of the 2 secrets" in said
    assert "back into the list" in said
    assert not any(secret in said for secret in (NEW, OLD, OTHER))


def test_another_purpose_does_not_open():
    """What was sealed as one thing never opens as another."""
    with pytest.raises(ConfigurationError):
        Sealer([NEW], "cache").open(SEALER.seal(b"value"))


@given(st.data())
def test_a_changed_seal_never_opens_as_another_value(data):
    """It opens as nothing; or, where base64 has two spellings of the same bytes, as the same."""
    sealed = SEALER.seal(b"value")
    position = data.draw(st.integers(0, len(sealed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != sealed[position]))
    changed = sealed[:position] + bytes([byte]) + sealed[position + 1 :]
    try:
        opened = SEALER.open(changed)
    except ConfigurationError:
        return
    assert opened == b"value"


@given(st.binary(max_size=200))
def test_anything_else_does_not_open(sealed):
    """Garbage, empty and cut values are the documented error."""
    with pytest.raises(ConfigurationError):
        SEALER.open(sealed)


@pytest.mark.parametrize("given_secrets", [[], (), "", NEW])
def test_secrets_are_a_list_of_at_least_one(given_secrets):
    """None at all, or one string instead of a list, is refused."""
    with pytest.raises(ConfigurationError, match="a list, newest first"):
        Sealer(given_secrets, "keys")


def test_each_secret_is_looked_at():
    """An old secret that is weak is refused as well, and the message says which it is."""
    with pytest.raises(ConfigurationError, match="Secret 2 for keys is shorter"):
        Sealer([NEW, "short"], "keys")


def test_a_sealer_shows_and_gives_away_nothing():
    """Its repr has the purpose and a number; it is not pickled."""
    assert repr(Sealer([NEW, OLD], "keys")) == "Sealer(purpose='keys', secrets=2)"
    with pytest.raises(TypeError):
        pickle.dumps(SEALER)


BOX = Box([NEW], "answers")


@given(st.binary(max_size=2_000), st.binary(max_size=200))
def test_a_box_gives_back_what_it_sealed(value, bound):
    """No value is special, and none stands readable in its seal."""
    sealed = BOX.seal(value, bound)
    assert value == BOX.open(sealed, bound)
    assert len(value) < 8 or value not in sealed


def test_a_box_seals_differently_each_time():
    """Two seals do not show that the values are the same."""
    assert BOX.seal(b"value", b"x") != BOX.seal(b"value", b"x")


@pytest.mark.parametrize("bound", [b"", b"other", b"bound ", b"boun"])
def test_a_box_opens_with_what_it_was_bound_to_only(bound):
    """Moved to where something else belongs, a value is nothing."""
    assert BOX.open(BOX.seal(b"value", b"bound"), bound) is None


@given(st.data())
def test_a_changed_box_opens_as_nothing(data):
    """Whichever byte is changed: the name of the secret, the nonce or the rest."""
    sealed = BOX.seal(b"value", b"bound")
    position = data.draw(st.integers(0, len(sealed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != sealed[position]))
    assert BOX.open(sealed[:position] + bytes([byte]) + sealed[position + 1 :], b"bound") is None


@given(st.binary(max_size=200))
def test_a_box_opens_no_garbage(sealed):
    """Anything else is nothing, however short, and no error."""
    assert BOX.open(sealed) is None


def test_a_cut_box_opens_as_nothing():
    """At every length, its own but for one byte included."""
    sealed = BOX.seal(b"value")
    assert {None} == {BOX.open(sealed[:length]) for length in range(len(sealed))}


def test_a_box_opens_what_any_secret_sealed():
    """The newest one seals; the others are still known."""
    both = Box([NEW, OLD], "answers")
    assert b"value" == both.open(Box([OLD], "answers").seal(b"value"))
    assert b"value" == BOX.open(both.seal(b"value"))
    assert Box([OLD], "answers").open(both.seal(b"value")) is None


def test_a_box_seals_under_each_secret_where_it_is_asked_to():
    """For readers who have one of them only; the newest comes first."""
    newest, oldest = Box([NEW, OLD], "answers").seals(b"value", b"bound")
    assert b"value" == BOX.open(newest, b"bound")
    assert b"value" == Box([OLD], "answers").open(oldest, b"bound")


def test_a_box_for_something_else_opens_and_names_otherwise():
    """The purpose is part of every key."""
    other = Box([NEW], "messages")
    assert other.open(BOX.seal(b"value")) is None
    assert other.names(b"value") != BOX.names(b"value")


def test_a_name_is_the_same_for_whoever_has_the_secret():
    """Under each secret, newest first; nothing of the value stands in it."""
    assert BOX.names(b"v") == Box([NEW], "answers").names(b"v")
    assert [*BOX.names(b"v"), *Box([OLD], "answers").names(b"v")] == Box(
        [NEW, OLD], "answers"
    ).names(b"v")
    assert {32} == {len(name) for name in BOX.names(b"v" * 500)}
    assert 2 == len({BOX.names(b"v")[0], BOX.names(b"w")[0]})


@pytest.mark.parametrize("weak", [[], NEW, None, ["short"], [NEW, "a" * 40], [None]])
def test_a_box_needs_real_secrets(weak):
    """A list of them, each of which nobody can guess."""
    with pytest.raises(ConfigurationError):
        Box(weak, "answers")


def test_a_box_shows_and_gives_away_nothing():
    """Its repr has the purpose and a number; it is not pickled."""
    assert "Box(purpose='answers', secrets=2)" == repr(Box([NEW, OLD], "answers"))
    with pytest.raises(TypeError):
        pickle.dumps(BOX)
