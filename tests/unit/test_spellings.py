"""_spellings.py: the strings that are one and the same signed token."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward import _jose
from tokenward._spellings import digest_of, digests_of, spellings
from tokenward.errors import InvalidToken


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_the_twin_of_a_token_verifies_as_well(alg):
    """Both are good by the key, and each is the twin of the other."""
    key = _jose.generate_key(alg)
    token = _jose.sign({"sub": "u"}, key)
    first, twin = spellings(token)
    for spelling in (first, twin):
        _jose.verify(_jose.parse(spelling), _jose.KeySet([key]), algorithms=frozenset([alg]))

    assert token == first != twin
    assert (twin, token) == spellings(twin)


@pytest.mark.parametrize("alg", ["RS256", "EdDSA", "HS256"])
def test_other_signatures_have_one_spelling(alg):
    """There is nothing to write otherwise."""
    token = _jose.sign({"sub": "u"}, _jose.generate_key(alg))

    assert (token,) == spellings(token)


@given(st.text() | st.from_regex(r"eyJ[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_whatever_comes_is_its_own_spelling(text):
    """Nothing raises, and the text itself is always the first."""
    assert text == spellings(text)[0]


@given(st.text())
def test_a_digest_is_that_of_the_text(text):
    """SHA-256 of its UTF-8: what every process makes of the token."""
    expected = hashlib.sha256(text.encode()).digest()

    assert expected == digest_of(text) == digests_of(text)[0]


def test_all_spellings_have_a_digest():
    """In their order."""
    token = _jose.sign({"sub": "u"}, _jose.generate_key("ES256"))

    assert tuple(map(digest_of, spellings(token))) == digests_of(token)
    assert 2 == len(digests_of(token))


class Encodes:
    """Something that is no string, and encodes."""

    def encode(self):
        return b"token"


@pytest.mark.parametrize("thing", [None, 5, b"token", ["token"], str, "\ud800"], ids=repr)
def test_what_is_no_token_has_no_digest(thing):
    """It is refused, or there is nothing to forget."""
    with pytest.raises(InvalidToken):
        digest_of(thing)
    assert () == digests_of(thing) == digests_of(Encodes())
