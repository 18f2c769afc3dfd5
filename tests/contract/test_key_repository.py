from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tokenward.errors import ConfigurationError
from tokenward.repositories import StoredKey

CURRENT = StoredKey("b", "ES256", "current", b"-----BEGIN\x00\xff", 1_700_000_000)
NEXT = StoredKey("a", "EdDSA", "next", b"sealed", 1_700_000_001)
RETIRED = StoredKey("c", "RS256", "retired", b"", 1_600_000_000, 1_700_000_900)


@pytest.fixture
def keys(repositories):
    """An empty repository of each kind."""
    return repositories.keys


def test_a_new_store_has_no_keys(keys):
    """The first version has the number 0."""
    assert keys.load() == (0, [])


def test_keys_come_back_as_they_were_given(keys):
    """Order, bytes and times survive the store."""
    assert keys.replace(0, [CURRENT, NEXT, RETIRED]) is True
    assert keys.load() == (1, [CURRENT, NEXT, RETIRED])


def test_replacing_replaces_all(keys):
    """What is not given again is gone."""
    keys.replace(0, [CURRENT, NEXT])
    promoted = [replace(NEXT, state="current"), RETIRED]
    assert keys.replace(1, promoted) is True
    assert keys.load() == (2, promoted)
    assert keys.replace(2, []) is True
    assert keys.load() == (3, [])


@pytest.mark.parametrize("version", [0, 2, -1])
def test_a_version_that_is_not_the_present_one_changes_nothing(keys, version):
    """Who read before somebody else's change has to read again."""
    keys.replace(0, [CURRENT])
    assert keys.replace(version, [NEXT]) is False
    assert keys.load() == (1, [CURRENT])


def test_a_kid_names_one_key(keys):
    """Two keys of one name would be told apart by luck."""
    keys.replace(0, [CURRENT])
    with pytest.raises(ConfigurationError, match="kid"):
        keys.replace(1, [NEXT, replace(RETIRED, kid=NEXT.kid)])
    assert keys.load() == (1, [CURRENT])


def test_what_load_gave_is_the_callers(keys):
    """Changing the list changes nothing that is stored."""
    keys.replace(0, [CURRENT])
    _, loaded = keys.load()
    loaded.clear()
    assert keys.load() == (1, [CURRENT])


def test_of_many_who_replace_one_version_one_wins(keys):
    """Two rotations at a time end in one set of keys, not in a mixture."""
    start = threading.Barrier(16)
    won = []

    def rotate(n: int) -> None:
        mine = [replace(CURRENT, kid=f"{n}"), replace(NEXT, kid=f"{n} next")]
        start.wait(120)
        if keys.replace(0, mine):
            won.append(mine)

    threads = [threading.Thread(target=rotate, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(won) == 1
    assert keys.load() == (1, won[0])


def test_a_reader_sees_the_keys_of_one_version(keys):
    """While others rotate, a version and its keys belong together."""
    keys.replace(0, [replace(CURRENT, kid="1"), replace(NEXT, kid="1 next")])

    def rotate() -> None:
        for version in range(1, 50):
            name = str(version + 1)
            keys.replace(version, [replace(CURRENT, kid=name), replace(NEXT, kid=f"{name} next")])

    writer = threading.Thread(target=rotate)
    writer.start()
    version = 0
    while version < 50:
        version, loaded = keys.load()
        assert [key.kid for key in loaded] == [f"{version}", f"{version} next"]
    writer.join(120)


def test_key_material_is_in_no_repr():
    """A logged key is a name."""
    assert "BEGIN" not in repr(CURRENT)
    assert "material" not in repr(CURRENT)
