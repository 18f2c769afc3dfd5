"""The revocation bus, in the process and on a real Redis (RULES 45, 48)."""

import threading
import time

import pytest
from redis_server import RedisServer

from tokenward.redis_cache import RedisRevocationBus
from tokenward.testing import MemoryRevocationBus

SECRETS = ["kq3V-new-8fJ2_0pTzXw7Lm"]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """Run a Redis."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def bus(request):
    """A bus of each kind."""
    if request.param == "memory":
        yield MemoryRevocationBus(secrets=SECRETS)
    else:
        url = request.getfixturevalue("redis").url
        made = RedisRevocationBus(url, secrets=SECRETS, channel=request.node.name, timeout=PATIENCE)
        yield made
        made.close()


class Heard(list):
    """What a subscriber got, in order; ``missed`` among it."""

    def missed(self):
        self.append("missed")

    def subscribe(self, bus):
        """Subscribe, and wait until that has begun."""
        end = bus.subscribe(self.append, missed=self.missed)
        self.wait(["missed"])
        self.clear()
        return end

    def wait(self, wanted):
        """Wait until exactly that was heard."""
        pause = threading.Event()
        deadline = time.monotonic() + PATIENCE
        while list(self) != wanted:
            assert time.monotonic() < deadline, f"heard {list(self)}, not {wanted}"
            pause.wait(0.002)


@pytest.fixture
def heard():
    return Heard()


def test_a_message_comes_to_everybody(bus, heard):
    """To the process that sends it as well, whole and in order."""
    other = Heard()
    heard.subscribe(bus)
    other.subscribe(bus)
    messages = [b"1", b"\x00\r\n\xff", b"3" * 1_000]
    for message in messages:
        bus.publish(message)

    heard.wait(messages)
    other.wait(messages)


def test_a_subscription_begins_with_a_word(bus, heard):
    """What came before it may have been missed: for everyone who subscribes, once."""
    other = Heard()
    heard.subscribe(bus)
    other.subscribe(bus)

    assert ([], []) == (heard, other)


def test_nobody_hears_after_the_end(bus, heard):
    """Ending is for one, and may be said twice."""
    gone = Heard()
    heard.subscribe(bus)
    end = gone.subscribe(bus)
    end()
    end()
    bus.publish(b"1")

    heard.wait([b"1"])
    assert [] == gone


def test_the_same_function_may_subscribe_twice(bus, heard):
    """Each subscription ends by itself."""
    first = heard.subscribe(bus)
    heard.subscribe(bus)
    first()
    bus.publish(b"1")

    heard.wait([b"1"])


def test_a_subscription_may_begin_again(bus, heard):
    """After the last one has ended."""
    heard.subscribe(bus)()
    heard.subscribe(bus)
    bus.publish(b"1")

    heard.wait([b"1"])


def test_publishing_needs_no_subscriber(bus):
    """A message that nobody wants is no failure."""
    assert bus.publish(b"1") is None


def test_a_bus_names_its_secrets(bus):
    """What messages are sealed under."""
    assert tuple(SECRETS) == tuple(bus.secrets)
    assert SECRETS[0] not in repr(bus)
