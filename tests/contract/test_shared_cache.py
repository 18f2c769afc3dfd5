"""The shared level, in the process and on a real Redis: alone, and between verifiers (RULES 48).

Two verifiers over one cache are as two processes.
"""

import threading
import time

import pytest
from redis_server import RedisServer

from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.shared_cache import LONGEST_TTL, MAX_VALUE_BYTES
from tokenward.testing import FakeAuthorizationServer, MemoryRevocationBus, MemorySharedCache

SECRETS = ["kq3V-new-8fJ2_0pTzXw7Lm"]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """Run a Redis."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def cache(request):
    """A cache of each kind, empty."""
    if request.param == "memory":
        yield MemorySharedCache(secrets=SECRETS)
    else:
        url = request.getfixturevalue("redis").url
        made = RedisSharedCache(
            url, secrets=SECRETS, prefix=f"{request.node.name}:", timeout=PATIENCE
        )
        yield made
        made.close()


@pytest.fixture
def bus(request, cache):
    """A bus of the same kind."""
    if isinstance(cache, MemorySharedCache):
        yield MemoryRevocationBus(secrets=SECRETS)
    else:
        url = request.getfixturevalue("redis").url
        made = RedisRevocationBus(
            url, secrets=SECRETS, channel=f"{request.node.name}:bus", timeout=PATIENCE
        )
        yield made
        made.close()


def eventually(condition):
    """Wait for another thread to have done something."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        pause.wait(0.005)


# --- the cache -----------------------------------------------------------------------------------


def test_values_come_back_in_order(cache):
    """Any bytes under any name; ``None`` where there is nothing."""
    cache.set(b"a", b"\x00\r\n$\xff", ttl=60)
    cache.set(b"{\x00\r\n}", b"2", ttl=60)

    assert [b"2", None, b"\x00\r\n$\xff"] == list(cache.get_many([b"{\x00\r\n}", b"x", b"a"]))
    assert [None] == list(cache.get_many([b"x"]))


def test_a_value_is_replaced(cache):
    """The last one stands."""
    cache.set(b"a", b"1", ttl=60)
    cache.set(b"a", b"2", ttl=60)

    assert [b"2"] == list(cache.get_many([b"a"]))


def test_a_value_is_deleted(cache):
    """Also one that is not there."""
    cache.set(b"a", b"1", ttl=60)
    cache.delete(b"a")
    cache.delete(b"a")

    assert [None] == list(cache.get_many([b"a"]))


def test_a_value_ends(cache):
    """With its ttl, however short."""
    cache.set(b"a", b"1", ttl=0.05)
    cache.set(b"b", b"1", ttl=60)
    cache.set(b"c", b"1", ttl=0.000_01)
    eventually(lambda: cache.get_many([b"a", b"c"]) == [None, None])

    assert [b"1"] == list(cache.get_many([b"b"]))


def test_the_largest_value_comes_whole(cache):
    """And its names are as long as they may be."""
    cache.set(b"n" * 200, b"v" * MAX_VALUE_BYTES, ttl=60)

    assert [b"v" * MAX_VALUE_BYTES] == list(cache.get_many([b"n" * 200]))


# --- between verifiers ---------------------------------------------------------------------------


@pytest.fixture
def server():
    """Run an authorization server."""
    with FakeAuthorizationServer() as fake:
        yield fake


@pytest.fixture
def make(server, cache):
    """Return a function that makes a verifier, as another process would."""
    made = []

    def verifier(**options):
        client = IntrospectionClient(
            server.introspection_endpoint,
            client_auth=ClientSecretBasic(server.client_id, server.client_secret),
            breaker_failures=1_000,
            timeout=PATIENCE,
        )
        options = {"audience": server.audience, "shared_cache": cache} | options
        made.append(IntrospectionVerifier(client, **options))
        return made[-1]

    yield verifier
    for one in made:
        one.close()


def calls(server):
    """Return how often the server was asked."""
    return len(server.requests(server.introspection_endpoint))


def test_one_question_for_both(server, make):
    """The second one has the answer from the first one, and its own copy from then on."""
    token = server.token(opaque=True, sub="alice")
    first, second = make(), make()
    first.verify(token)

    assert ["alice"] * 2 == [second.verify(token).subject for _ in range(2)]
    assert 1 == calls(server)
    assert (1, 1, 0) == (
        second.stats().shared_hits,
        second.stats().hits,
        second.stats().shared_errors,
    )


def test_each_applies_its_own_policy(server, make):
    """What is shared is what the server said, and not what somebody made of it."""
    token = server.token(opaque=True)
    make().verify(token)
    with pytest.raises(InvalidToken) as caught:
        make(audience="somebody-else").verify(token)

    assert "audience_mismatch" == caught.value.reason
    assert make(audience=None).verify(token).claims["aud"] == server.audience
    assert 1 == calls(server)


def test_what_one_refuses_the_other_may_accept(server, make):
    """A refusal by policy is not shared, and takes no answer away from others."""
    token = server.token(opaque=True)
    with pytest.raises(InvalidToken):
        make(audience="somebody-else").verify(token)
    make().verify(token)
    make().verify(token)

    assert 2 == calls(server)


def test_inactive_is_not_shared(server, make):
    """A flood of made-up tokens would fill the cache."""
    for verifier in (make(), make()):
        with pytest.raises(InvalidToken):
            verifier.verify("made-up")

    assert 2 == calls(server)


def test_an_answer_serves_each_for_its_own_ttl(server, make):
    """Counted from when the server was asked, whoever did."""
    token = server.token(opaque=True)
    now = time.time()
    make(ttl=3_600, clock=lambda: now).verify(token)
    make(ttl=60, clock=lambda: now + 50).verify(token)
    assert 1 == calls(server)
    make(ttl=60, clock=lambda: now + 61).verify(token)
    assert 2 == calls(server)


def test_without_a_ttl_nothing_is_shared(server, make):
    """Neither stored nor looked for."""
    token = server.token(opaque=True)
    make(ttl=0).verify(token)
    make().verify(token)
    make(ttl=0).verify(token)

    assert 3 == calls(server)


def test_an_hour_is_the_longest(server, make):
    """Whatever the ttl: a tombstone must outlast every answer."""
    token = server.token(opaque=True, exp=int(time.time()) + 90_000)
    now = time.time()
    make(ttl=80_000, clock=lambda: now).verify(token)
    make(ttl=80_000, clock=lambda: now + LONGEST_TTL - 60).verify(token)
    assert 1 == calls(server)
    make(ttl=80_000, clock=lambda: now + LONGEST_TTL + 1).verify(token)
    assert 2 == calls(server)


def test_live_asks_and_replaces(server, make):
    """Whatever is shared; and what it is told, the others are told too."""
    token = server.token(opaque=True)
    first, second = make(), make()
    first.verify(token)
    second.verify(token, live=True)
    assert 2 == calls(server)
    server.revoke(token)
    with pytest.raises(InvalidToken):
        second.verify(token, live=True)
    with pytest.raises(InvalidToken):
        make().verify(token)
    assert 4 == calls(server)


def test_invalidate_empties_the_other_at_once(server, make, bus):
    """Long before it would have asked again, nobody is let in with a token that was revoked."""
    token = server.token(opaque=True)
    first, second = (make(ttl=3_600, revocation_bus=bus) for _ in range(2))
    first.verify(token)
    eventually(lambda: _settled(second, token))
    server.revoke(token)
    first.invalidate(token)
    eventually(lambda: _refuses(second, token))

    assert _refuses(first, token)
    assert _refuses(make(revocation_bus=bus), token)


def test_an_answer_that_comes_late_is_not_used(server, make):
    """The look-up began before the revocation; its answer is written after it."""
    token = server.token(opaque=True)
    reads, revokes = make(), make()
    revokes.invalidate(token)
    reads.verify(token)
    asked = calls(server)

    make().verify(token)
    assert asked + 1 == calls(server)


def test_invalidating_one_token_leaves_the_others(server, make, bus):
    """In this process and in the next."""
    tokens = [server.token(opaque=True) for _ in range(3)]
    verifier = make(revocation_bus=bus)
    for token in tokens:
        verifier.verify(token)
    verifier.invalidate(tokens[0])
    other = make()
    for token in tokens[1:]:
        other.verify(token)

    assert 3 == calls(server)


def test_an_answer_stands_in_while_the_server_fails(server, make):
    """Until its end; ``stale_if_error`` is for what a process was told itself."""
    token = server.token(opaque=True)
    now = time.time()
    make(ttl=60, stale_if_error=600, clock=lambda: now).verify(token)
    server.fail(server.introspection_endpoint, status=503, times=10)

    assert make(ttl=60, clock=lambda: now + 57).verify(token) is not None
    with pytest.raises(AuthServiceUnavailable):
        make(ttl=60, stale_if_error=600, clock=lambda: now + 61).verify(token)


def _settled(verifier, token):
    # Served without asking anybody, so the subscription has begun.
    verifier.verify(token)
    return verifier.stats().hits > 1


def _refuses(verifier, token):
    try:
        verifier.verify(token)
    except InvalidToken:
        return True
    return False
