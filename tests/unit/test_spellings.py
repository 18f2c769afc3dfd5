"""_spellings.py: the strings that are one and the same signed token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward import _jose
from tokenward._spellings import spellings


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
