"""MemorySharedCache and MemoryRevocationBus: what a test of a program may ask of them.

That they keep the contract, together with those on Redis, is in ``tests/contract``.
"""

import pytest

from tokenward.errors import AuthServiceUnavailable
from tokenward.testing import FakeClock, MemoryRevocationBus, MemorySharedCache

SECRETS = ["kq3V-new-8fJ2_0pTzXw7Lm"]


def test_values_end_by_the_clock_of_the_test():
    """At the very second."""
    clock = FakeClock()
    cache = MemorySharedCache(secrets=SECRETS, clock=clock)
    cache.set(b"a", b"1", ttl=10)
    clock.advance(9.5)
    assert [b"1"] == cache.get_many([b"a"])
    clock.advance(0.5)
    assert [None] == cache.get_many([b"a"])


def test_a_value_that_the_test_puts_there_stays():
    """As somebody who can write to the store would."""
    cache = MemorySharedCache(secrets=SECRETS)
    cache.values[b"a"] = b"1"

    assert [b"1"] == cache.get_many([b"a"])


@pytest.mark.parametrize(
    "use",
    [
        lambda cache: cache.get_many([b"a"]),
        lambda cache: cache.set(b"a", b"1", ttl=1),
        lambda cache: cache.delete(b"a"),
    ],
    ids=["get_many", "set", "delete"],
)
def test_a_cache_that_is_down_fails(use):
    """Every call is counted, and changes nothing."""
    cache = MemorySharedCache(secrets=SECRETS)
    cache.set(b"a", b"0", ttl=60)
    cache.down = True
    with pytest.raises(AuthServiceUnavailable):
        use(cache)

    assert 2 == cache.calls
    assert {b"a": b"0"} == cache.values


def test_a_bus_that_is_down_sends_nothing():
    """And one that is lost says so to everybody."""
    heard = []
    bus = MemoryRevocationBus(secrets=SECRETS)
    bus.subscribe(heard.append, missed=lambda: heard.append("missed"))
    bus.publish(b"1")
    bus.down = True
    with pytest.raises(AuthServiceUnavailable):
        bus.publish(b"2")
    bus.lose()

    assert ["missed", b"1", "missed"] == heard
    assert [b"1"] == bus.messages


def test_they_show_no_secret():
    """Nor a value."""
    cache, bus = MemorySharedCache(secrets=SECRETS), MemoryRevocationBus(secrets=SECRETS)
    cache.set(b"a", b"1", ttl=60)
    bus.subscribe(print, missed=lambda: None)

    assert ("MemorySharedCache(1 values)", "MemoryRevocationBus(1 subscribers)") == (
        repr(cache),
        repr(bus),
    )
