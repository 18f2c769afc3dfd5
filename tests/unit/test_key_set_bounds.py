"""What is kept of a key set or of metadata, however much there is of it (RULES 16)."""

import json

import pytest
from sites import Site, said

from tokenward import _jose
from tokenward._jose import keyset as keyset_module
from tokenward.commands.published.entries import described
from tokenward.jwks.pinned import PinnedKeySet
from tokenward.jwkset import FetchedKeySet
from tokenward.metadata import IssuerMetadata
from tokenward.principal import thaw

KEY = _jose.public_jwk(_jose.generate_key("ES256"))
JWKS = "https://as.example/jwks"
ISSUER = "https://as.example"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
LIMIT = 65_536
MANY = (
    "it and 899 of the entries after it are not used;"
    " 299000 entries after the first 1000 are not looked at"
)


def key(number):
    """Return a key with a name of its own."""
    return KEY | {"kid": str(number)}


def test_a_set_is_looked_at_up_to_its_thousandth_entry():
    """What stands behind it is no key of the set."""
    key_set = _jose.parse_key_set({"keys": [key(0), *[{}] * 998, key(1), key(2)]})

    assert (["0", "1"], (0, 999)) == ([key.kid for key in key_set.keys], key_set.positions)


@pytest.mark.parametrize(
    ("entries", "rest"),
    [
        (100, None),
        (101, (100, "it and 0 of the entries after it are not used")),
        (1_000, (100, "it and 899 of the entries after it are not used")),
        (300_000, (100, MANY)),
    ],
)
def test_a_hundred_entries_are_told_of(entries, rest):
    """One more says how many others there are."""
    skipped = _jose.parse_key_set({"keys": [{}] * entries}).skipped
    assert list(range(100)) == [one.position for one in skipped[:100]]

    assert ([] if rest is None else [(rest[0], None, rest[1])]) == [
        tuple(one) for one in skipped[100:]
    ]


def test_entries_that_are_not_looked_at_are_told_of_where_all_others_are_used(
    monkeypatch,
):
    """By the position of the first of them."""
    monkeypatch.setattr(keyset_module, "MAX_ENTRIES", 3)
    key_set = _jose.parse_key_set({"keys": [*map(key, range(3)), {}, key(4)]})

    assert ((0, 1, 2), [(3, None, "2 entries after the first 3 are not looked at")]) == (
        key_set.positions,
        [tuple(one) for one in key_set.skipped],
    )


def test_a_long_set_is_published_without_what_is_no_key():
    """The entries that are used, wherever they stand."""
    site = Site(**{JWKS: {"keys": [*[{}] * 500, key(0), *[{}] * 100_000, key(1)]}})

    assert {"keys": [key(0)]} == FetchedKeySet(JWKS, transport=site).jwks()


def test_a_long_configured_set_is_published_without_what_is_no_key():
    """The same, for a set that nobody fetches."""
    pinned = PinnedKeySet({"keys": [*[{}] * 500, key(0), *[{}] * 5_000]}, frozenset({"ES256"}))

    assert {"keys": [key(0)]} == pinned.jwks()


def test_every_entry_of_a_long_set_is_described():
    """Also those for which no reason is kept, and those that nobody looks at."""
    entries = [*[{}] * 500, key(0), *[{}] * 600]
    told = list(described(entries, _jose.parse_key_set({"keys": entries})))
    assert [500] == [one.position for one in told if one.state == "used"]
    assert len(entries) == len(told)
    assert "kty" in told[400].text
    assert "not looked at" in told[1_050].text


def test_members_that_are_no_part_of_a_key_are_kept_while_they_are_few():
    """A certificate beside the key is its issuer's word."""
    entry = KEY | {"x5c": ["A" * 4_000], "issuer": "x"}
    site = Site(**{JWKS: {"keys": [entry]}})

    assert {"keys": [entry]} == FetchedKeySet(JWKS, transport=site).jwks()


@pytest.mark.parametrize("junk", [[[{}]] * 150_000, "x" * LIMIT], ids=["entries", "text"])
def test_keys_with_too_much_beside_them_are_kept_alone(junk):
    """They verify all the same."""
    keys = FetchedKeySet(JWKS, transport=Site(**{JWKS: {"keys": [KEY | {"junk": junk}, {}]}}))

    assert ({"keys": [KEY]}, 1) == (keys.jwks(), len(keys.key_set().keys))


def kept(**members):
    """Return what is kept of an issuer's metadata."""
    page = {**members, "issuer": ISSUER, "jwks_uri": JWKS}
    metadata = IssuerMetadata(ISSUER, transport=Site(**{METADATA: said(page)}))
    assert JWKS == metadata.jwks_uri()
    return thaw(metadata.get().raw)


NAMES = {"issuer": ISSUER, "jwks_uri": JWKS}


@pytest.mark.parametrize(
    "junk",
    [[[{}]] * 150_000, "x" * 16_384, {str(n): "x" for n in range(3_000)}],
    ids=["entries", "text", "object"],
)
def test_a_long_member_of_metadata_is_not_kept(junk):
    """The others are."""
    assert NAMES | {"a": [1, {"b": None}]} == kept(junk=junk, a=[1, {"b": None}])


def test_many_members_of_metadata_are_not_kept():
    """The shortest two hundred are, in the order of the document."""
    found = kept(**{f"m{n:05}": "x" * 100 for n in range(5_000)})

    assert (200, "jwks_uri") == (len(found), list(found)[-1])


def test_metadata_is_bounded_as_a_whole():
    """However it is split into members."""
    found = kept(**{f"m{n}": [[{}]] * 2_000 for n in range(60)})

    assert NAMES == {name: found[name] for name in NAMES}
    assert len(json.dumps(found)) <= LIMIT
