"""oidc-provider down or failing: what its keys that are known are still good for, and how long."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from oidc_provider import JSON, JWKS, PATIENCE, SIGNED

from tokenward.errors import AuthServiceUnavailable, InvalidToken

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
TTL, AHEAD, COOLDOWN, STALE = 900, 60, 30, 3_600
THREADS = 16


@pytest.fixture
def make_verifier(make_jwks_verifier):
    """Make verifiers with the usual times, written out."""
    times = {"ttl": TTL, "refresh_ahead": AHEAD, "cooldown": COOLDOWN, "stale_for": STALE}
    return lambda *issuer, **options: make_jwks_verifier(*issuer, **times | options)


@pytest.fixture
def verifier(server, make_verifier):
    """A verifier that is told where the keys are, so that each attempt is one request."""
    return make_verifier(server.issuer, jwks_uri=server.jwks_uri)


@pytest.fixture
def patient(server, make_verifier):
    """The same, that waits for an answer for as long as a test may take."""
    return make_verifier(server.issuer, jwks_uri=server.jwks_uri, timeout=2 * PATIENCE)


def issued(server):
    return server.issue(audience=SIGNED)


def outage(verifier, token):
    """Return the error with which a token cannot be judged."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(token)
    assert (503, "temporarily_unavailable") == (caught.value.status_code, caught.value.error)
    return caught.value


def accepted(verifier, *tokens):
    return ["caller"] * len(tokens) == [verifier.verify(token).client_id for token in tokens]


# --- before the first fetch


@pytest.mark.parametrize("by", ["discovery", "jwks_uri"])
def test_server_that_is_down_at_the_start(server, make_verifier, clock, by):
    """Made without it, 503 until it is up, and no restart of ours."""
    token = issued(server)
    server.kill()
    verifier = (
        make_verifier() if by == "discovery" else make_verifier(None, jwks_uri=server.jwks_uri)
    )
    assert verifier.warm_up() is False
    assert "connect_failed" == outage(verifier, token).reason
    assert verifier.cached(token) is None
    server.start()
    clock.advance(COOLDOWN)

    assert accepted(verifier, token, token)
    assert 1 == server.asked(JWKS)


@pytest.mark.parametrize("path", [OAUTH, JWKS])
@pytest.mark.parametrize("status", [500, 503, 404])
def test_server_that_fails_at_the_start(server, make_verifier, clock, path, status):
    """It is left alone for a while, by all threads together; then it is asked again."""
    verifier, tokens = make_verifier(), [issued(server) for _ in range(THREADS)]
    server.fail(path, status=status, times=100)
    server.fail(OPENID, status=status, times=100)  # asked where the other is not there
    with ThreadPoolExecutor(THREADS) as pool:
        waits = list(pool.map(lambda token: outage(verifier, token).retry_after, tokens))
    assert all(1 <= wait <= COOLDOWN for wait in waits)
    assert 1 == server.asked(path)
    # The metadata has a shorter pause of its own.
    clock.advance(9 if path == OAUTH else COOLDOWN - 1)
    outage(verifier, tokens[0])
    assert 1 == server.asked(path)
    server.reset()
    clock.advance(1)

    assert accepted(verifier, *tokens)
    assert 1 == server.asked(path)


def test_flood_while_there_are_no_keys(server, make_verifier, clock):
    """What cannot be ours is refused all the same, and nothing is asked for its sake."""
    verifier = make_verifier()
    server.fail(OAUTH, times=100)
    outage(verifier, issued(server))
    for token in (server.issue(audience=f"{SIGNED}/ES256"), server.issue(), "a.b.c"):
        with pytest.raises(InvalidToken):
            verifier.verify(token)

    assert (1, 0) == (server.asked(OAUTH), server.asked(JWKS))


# --- within the ttl


def test_known_keys_need_no_server(server, verifier, clock):
    """Cached tokens and new ones pass while it is dead, and nobody tries to reach it."""
    cached, *new = [issued(server) for _ in range(4)]
    verifier.verify(cached)
    server.kill()
    clock.advance(TTL - AHEAD - 1)

    assert accepted(verifier, cached, *new)
    assert 1 == verifier.stats().upstream_calls


def test_unknown_key_while_the_server_is_down(server, verifier, clock):
    """Nobody can tell whether it is a new one: 503 and one attempt, and the others go on."""
    old = issued(server)
    verifier.verify(old)
    server.rotate(keep=True)
    new = issued(server)
    server.fail(JWKS, times=100)
    for _ in range(3):
        assert "bad_response" == outage(verifier, new).reason
        assert accepted(verifier, old)
    assert 2 == server.asked(JWKS)
    server.reset()
    clock.advance(COOLDOWN)

    assert accepted(verifier, old, new)
    assert 1 == server.asked(JWKS)


# --- from the end of the ttl to the hard limit


def test_stale_keys_serve_while_the_server_fails(server, verifier, clock):
    """Cached tokens and new ones; attempts become rare, the more of them have failed."""
    cached, new = issued(server), issued(server)
    verifier.verify(cached)
    server.fail(JWKS, times=10_000)
    clock.advance(TTL)
    attempts = []
    for _ in range(10):
        before = verifier.stats().upstream_calls
        for _ in range(60):
            clock.advance(1)
            assert accepted(verifier, cached, new)
        attempts.append(verifier.stats().upstream_calls - before)

    # The first pause a second or less, then twice as long each time, up to 30 seconds.
    assert 4 <= attempts[0] <= 9
    assert all(1 <= late <= 5 for late in attempts[2:])
    # Some of them never left: five failures in a row open the breaker.
    assert 6 <= server.asked(JWKS) <= 1 + sum(attempts)


def test_stale_keys_are_renewed_when_the_server_is_back(server, verifier, clock):
    """Without anybody's doing: the next attempt that is due succeeds, and rest is restored."""
    cached, new = issued(server), issued(server)
    verifier.verify(cached)
    server.kill()
    clock.advance(TTL + 600)
    assert accepted(verifier, cached, new)
    assert (2, 1) == (verifier.stats().upstream_calls, verifier.stats().upstream_errors)
    server.start()
    clock.advance(30)
    assert accepted(verifier, *[cached, new] * 5)
    assert (1, 0) == (server.asked(JWKS), verifier.keys_age())
    clock.advance(TTL - AHEAD - 1)

    assert accepted(verifier, cached, new)
    assert 1 == server.asked(JWKS)


def test_dropped_key_serves_until_the_server_can_say_so(server, verifier, clock):
    """During an outage nobody knows that it was withdrawn; the first fetch after it tells."""
    cached, new = issued(server), issued(server)
    verifier.verify(cached)
    server.kill()
    server.rotate(keep=False)
    clock.advance(TTL + 1)
    assert accepted(verifier, cached, new)
    server.start()
    clock.advance(30)
    for token in (cached, new):
        with pytest.raises(InvalidToken) as caught:
            verifier.verify(token)
        assert "unknown_key" == caught.value.reason

    assert accepted(verifier, issued(server))


def test_only_one_request_waits_for_a_server_that_is_slow(server, patient, clock, eventually):
    """While one finds out whether it answers, all others are served."""
    tokens = [issued(server) for _ in range(THREADS)]
    patient.verify(tokens[0])
    server.hold(JWKS)
    clock.advance(TTL - AHEAD)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(patient.verify, tokens[0])
        eventually(lambda: server.asked(JWKS) == 2)
        assert accepted(patient, *tokens)
        assert not slow.done()
        server.release()
        assert "caller" == slow.result(PATIENCE).client_id

    assert 2 == server.asked(JWKS)


def test_nobody_waits_while_a_server_that_failed_is_tried_again(server, patient, clock, eventually):
    """Stale keys too serve all but the one that asks."""
    tokens = [issued(server) for _ in range(THREADS)]
    patient.verify(tokens[0])
    server.fail(JWKS)
    clock.advance(TTL)
    assert accepted(patient, *tokens)
    server.hold(JWKS)
    clock.advance(30)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(patient.verify, tokens[0])
        eventually(lambda: server.asked(JWKS) == 3)
        assert accepted(patient, *tokens)
        assert not slow.done()
        server.release()
        assert "caller" == slow.result(PATIENCE).client_id

    assert (3, 0) == (server.asked(JWKS), patient.keys_age())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>maintenance</html>", "text/html"),
        ('{"keys":[]}', JSON),
        ('{"keys":{}}', JSON),
        ('{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}', JSON),
        ('{"keys":[' + "[" * 10_000, JSON),
        (" " * 1_100_000 + '{"keys":[]}', JSON),
    ],
    ids=["page", "empty", "no-list", "secret", "deep", "large"],
)
def test_broken_document_changes_nothing(server, verifier, clock, body, content_type):
    """A 200 with something else in it is a failure: the last good keys serve on."""
    cached, new = issued(server), issued(server)
    verifier.verify(cached)
    headers = {"Content-Type": content_type}
    server.fail(JWKS, status=200, body=body, headers=headers, times=100)
    clock.advance(TTL)

    assert accepted(verifier, cached, new)
    assert 2 == server.asked(JWKS)
    with pytest.raises(AuthServiceUnavailable):
        verifier.refresh()
    assert accepted(verifier, cached, new)


# --- beyond the hard limit


def test_hard_limit(server, verifier, clock):
    """Not a second beyond `stale_for`, not for cached tokens either; then 503 until it is back."""
    cached, new = issued(server), issued(server)
    verifier.verify(cached)
    server.kill()
    clock.advance(TTL + STALE - 1)
    assert accepted(verifier, cached, new)
    clock.advance(1)
    for token in (cached, new):
        assert "connect_failed" == outage(verifier, token).reason
    assert verifier.cached(cached) is None
    assert verifier.keys_age() is None
    with pytest.raises(AuthServiceUnavailable):
        verifier.jwks()
    calls = verifier.stats().upstream_calls
    clock.advance(COOLDOWN - 2)  # the last attempt was a second before
    outage(verifier, cached)
    assert calls == verifier.stats().upstream_calls
    server.start()
    clock.advance(1)

    assert accepted(verifier, cached, new)
    assert 1 == server.asked(JWKS)


def test_no_stale_keys_where_none_are_wanted(server, make_verifier, clock):
    """With ``stale_for=0`` the ttl is the limit."""
    verifier = make_verifier(server.issuer, jwks_uri=server.jwks_uri, stale_for=0)
    token = issued(server)
    verifier.verify(token)
    server.kill()
    clock.advance(TTL - 1)
    assert accepted(verifier, token)
    clock.advance(1)

    outage(verifier, token)


def test_clock_that_jumped_back(server, verifier, clock):
    """Keys from the future are none; they are fetched again, and nobody is turned away."""
    token = issued(server)
    clock.advance(600)
    verifier.verify(token)
    clock.advance(-590)

    assert accepted(verifier, token)
    assert 2 == server.asked(JWKS)
