"""Other keys at oidc-provider: what is fetched, which tokens pass, and which do not any more."""

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from oidc_provider import JWKS, PATIENCE, SIGNED

from tokenward.errors import AuthError, InvalidToken

TTL, AHEAD, COOLDOWN = 900, 60, 30

cached_or_not = pytest.mark.parametrize("cache_entries", [10_000, 0], ids=["cached", "uncached"])


@pytest.fixture
def verifier(make_jwks_verifier):
    """A verifier with the usual times, written out."""
    return make_jwks_verifier(ttl=TTL, refresh_ahead=AHEAD, cooldown=COOLDOWN)


def issued(server):
    return server.issue(audience=SIGNED)


def reason(verifier, token):
    """Return why a token is refused; ``None`` where it is not."""
    try:
        verifier.verify(token)
    except InvalidToken as refusal:
        return refusal.reason
    return None


# --- a new key that nobody knew of


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "dropped"])
def test_token_of_a_new_key_passes_at_once(server, verifier, keep):
    """Within the cooldown of the first fetch as well, by one fetch for all who come."""
    verifier.verify(issued(server))
    server.rotate(keep=keep)
    tokens = [issued(server) for _ in range(4)]
    with ThreadPoolExecutor(len(tokens)) as pool:
        assert [None] * len(tokens) == list(pool.map(lambda token: reason(verifier, token), tokens))

    assert 2 == server.asked(JWKS)


def test_key_that_is_kept_goes_on(server, verifier, clock):
    """Its tokens pass after the fetch, the cached one and one that is seen for the first time."""
    cached, new = issued(server), issued(server)
    verifier.verify(cached)
    server.rotate(keep=True)
    verifier.verify(issued(server))
    clock.advance(1)

    assert [None, None] == [reason(verifier, token) for token in (cached, new)]
    assert 2 == server.asked(JWKS)


@pytest.mark.parametrize("by", ["an unknown kid", "refresh", "the ttl"])
def test_key_that_is_dropped_is_refused_after_the_fetch(server, verifier, clock, by):
    """Whatever the fetch was for; a token that was cached is refused like one that was not."""
    cached, new = issued(server), issued(server)
    verifier.verify(cached)
    server.rotate(keep=False)
    assert [None, None] == [reason(verifier, cached), reason(verifier, new)]
    assert 1 == server.asked(JWKS)

    if by == "an unknown kid":
        assert reason(verifier, issued(server)) is None
    elif by == "refresh":
        verifier.refresh()
    else:
        clock.advance(TTL - AHEAD)
    first = reason(verifier, cached)

    assert ("unknown_key", "unknown_key") == (first, reason(verifier, new))
    assert None is reason(verifier, issued(server))


def test_dropped_key_is_asked_about_once(server, verifier, clock):
    """Its tokens name a kid that is unknown now: one fetch in each cooldown, and no more."""
    old = [issued(server) for _ in range(5)]
    verifier.verify(old[0])
    server.rotate(keep=False)
    verifier.refresh()
    assert 2 == server.asked(JWKS)
    for fetches in (3, 4):
        assert {"unknown_key"} == {reason(verifier, token) for token in old * 2}
        assert fetches == server.asked(JWKS)
        clock.advance(COOLDOWN)

    assert None is reason(verifier, issued(server))


def test_second_rotation_within_the_cooldown(server, verifier, clock):
    """The next new key waits until the cooldown is over, counted from the last attempt."""
    verifier.verify(issued(server))
    server.rotate(keep=True)
    verifier.verify(issued(server))
    server.rotate(keep=True)
    token = issued(server)
    clock.advance(COOLDOWN - 1)
    assert ("unknown_key", 2) == (reason(verifier, token), server.asked(JWKS))
    clock.advance(1)

    assert (None, 3) == (reason(verifier, token), server.asked(JWKS))


def test_rotation_while_the_server_is_down(server, verifier):
    """It comes back with other keys: the next token fetches them, once."""
    old = issued(server)
    verifier.verify(old)
    server.kill()
    server.rotate(keep=False)
    server.start()

    assert (None, 1) == (reason(verifier, issued(server)), server.asked(JWKS))
    assert "unknown_key" == reason(verifier, old)


# --- a key that was published ahead


def test_key_that_was_published_ahead_costs_no_fetch(server, verifier, clock):
    """The scheduled fetch brings it; from its first use on, its tokens pass without one."""
    verifier.verify(issued(server))
    server.publish_next()
    assert None is reason(verifier, issued(server))
    clock.advance(TTL - AHEAD)
    assert None is reason(verifier, issued(server))
    assert 2 == server.asked(JWKS)
    server.rotate(keep=True)

    assert [None] * 3 == [reason(verifier, issued(server)) for _ in range(3)]
    assert 2 == server.asked(JWKS)


@cached_or_not
def test_threads_across_rotations(server, make_jwks_verifier, clock, cache_entries):
    """Every key published one fetch before its use: no valid token is refused, none fetches."""
    options = {"ttl": TTL, "refresh_ahead": AHEAD, "cooldown": COOLDOWN}
    verifier = make_jwks_verifier(**options, cache_entries=cache_entries)
    good = Traffic(verifier, [issued(server) for _ in range(8)])
    with good:
        for _ in range(3):
            server.publish_next()
            clock.advance(TTL - AHEAD)
            good.wait()
            server.rotate(keep=True)
            good.tokens = good.tokens[-8:] + [issued(server) for _ in range(8)]
            good.wait()

    assert [] == good.refused
    assert 4 == server.asked(JWKS)


# --- keys that nobody has


@cached_or_not
def test_flood_of_unknown_keys_beside_good_traffic(
    server, make_jwks_verifier, clock, cache_entries
):
    """2,000 tokens with as many kids: one fetch in a cooldown, and every good token passes."""
    verifier = make_jwks_verifier(ttl=3_600, cooldown=COOLDOWN, cache_entries=cache_entries)
    good = [issued(server) for _ in range(20)]
    verifier.verify(good[0])
    flood, cooldowns = list(forged(server, clock, 2_000)), 4
    assert 1 == server.asked(JWKS)
    with Traffic(verifier, good) as traffic:
        for n in range(cooldowns):
            part = flood[n::cooldowns]
            with ThreadPoolExecutor(4) as pool:
                reasons = list(pool.map(lambda token: reason(verifier, token), part))
            assert {"unknown_key"} == set(reasons)
            traffic.wait()
            assert n + 2 == server.asked(JWKS)
            clock.advance(COOLDOWN)

    assert [] == traffic.refused
    assert min(len(good), cache_entries) == verifier.stats().entries


def forged(server, clock, count):
    """Make tokens with the right claims and keys of somebody else's."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = int(clock.now)
    claims = {"iss": server.issuer, "aud": SIGNED, "sub": "mallory", "iat": now, "exp": now + 900}
    for _ in range(count):
        headers = {"typ": "at+jwt", "kid": secrets.token_hex(8)}
        yield jwt.encode(claims, key, "ES256", headers=headers)


class Traffic:
    """Threads that verify good tokens, one after the other, for as long as the block lasts."""

    THREADS = 4

    def __init__(self, verifier, tokens):
        self.verifier = verifier
        self.tokens = tokens
        self.refused = []
        self._counts = [0] * self.THREADS
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._go, args=(n,), daemon=True) for n in range(self.THREADS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _go(self, number):
        while not self._stop.is_set():
            for token in self.tokens:
                try:
                    self.verifier.verify(token)
                except AuthError as error:
                    self.refused.append(error)
            self._counts[number] += 1
            time.sleep(0.001)  # leaves the processor to those who are tested

    def wait(self):
        """Wait until each thread has gone through all tokens from now on."""
        before, deadline = list(self._counts), time.monotonic() + PATIENCE
        while any(now < then + 2 for now, then in zip(self._counts, before, strict=True)):
            assert time.monotonic() < deadline, "the traffic does not flow"
            time.sleep(0.002)
