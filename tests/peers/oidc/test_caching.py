"""How long an answer of oidc-provider counts: revoked, expired, or not to be stored at all."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from oidc_provider import PATIENCE

from tokenward._http import RequestsTransport
from tokenward.errors import AuthServiceUnavailable, InvalidToken, TokenExpired

STORING = "/storing/token/introspection"
THREADS = 32


def refused(verifier, token, error=InvalidToken, **options):
    """Return the error of exactly this kind with which a token is refused."""
    with pytest.raises(error) as caught:
        verifier.verify(token, **options)
    assert error is type(caught.value)
    return caught.value


def test_answer_is_asked_for_once_per_ttl(server, make_verifier, clock):
    """A hit costs the provider nothing; at the end of the ttl it is asked again."""
    verifier, token = make_verifier(ttl=60), server.issue()
    for _ in range(10):
        verifier.verify(token)
    assert 1 == server.asked(STORING)
    clock.advance(60)
    verifier.verify(token)

    assert 2 == server.asked(STORING)


def test_answer_that_forbids_to_be_stored_is_not(server, make_verifier, make_client):
    """Straight from the provider it says no-store: every verification asks."""
    verifier, token = make_verifier(make_client()), server.issue()
    for _ in range(3):
        verifier.verify(token)

    assert (3, 0) == (server.asked(), verifier.stats().entries)


def test_single_flight(server, make_client, make_verifier, eventually):
    """32 threads meet one token that nobody asked about yet: one request, the provider says."""
    verifier = make_verifier(make_client(server.storing_endpoint, timeout=PATIENCE))
    token = server.issue()
    server.hold(STORING)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(verifier.verify, token) for _ in range(THREADS)]
        eventually(lambda: verifier.stats().misses == THREADS)
        server.release()
        subjects = {each.result(PATIENCE).subject for each in waiting}

    assert ({"client:caller"}, 1) == (subjects, server.asked(STORING))


def test_single_flight_that_fails(server, make_client, make_verifier, eventually):
    """One request then too, an outage of their own for each, and the next one asks again."""
    verifier = make_verifier(make_client(server.storing_endpoint, timeout=PATIENCE))
    token = server.issue()
    server.fail(STORING, hold=True)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(verifier.verify, token) for _ in range(THREADS)]
        eventually(lambda: verifier.stats().misses == THREADS)
        server.release()
        errors = [each.exception(PATIENCE) for each in waiting]

    assert {AuthServiceUnavailable} == set(map(type, errors))
    assert (THREADS, 1) == (len(set(map(id, errors))), server.asked(STORING))
    assert "client:caller" == verifier.verify(token).subject


# --- revocation


def test_revocation_counts_after_the_ttl(server, make_verifier, clock):
    """Until then the answer that was given is served; then the provider says inactive."""
    verifier, token = make_verifier(ttl=60), server.issue()
    verifier.verify(token)
    server.revoke(token)
    clock.advance(53)
    assert "client:caller" == verifier.verify(token).subject
    clock.advance(7)

    assert "inactive" == refused(verifier, token).reason
    assert 2 == server.asked(STORING)


def test_revocation_counts_at_once_with_live(server, make_verifier):
    """And for those who do not ask for it, too, from then on."""
    verifier, token = make_verifier(), server.issue()
    verifier.verify(token)
    server.revoke(token)

    assert "inactive" == refused(verifier, token, live=True).reason
    assert "inactive" == refused(verifier, token).reason
    assert 2 == server.asked(STORING)


@pytest.mark.parametrize("forget", ["invalidate", "clear"])
def test_revocation_counts_at_once_after_forgetting(server, make_verifier, forget):
    """What a logout does: the next request asks."""
    verifier, token = make_verifier(), server.issue()
    verifier.verify(token)
    server.revoke(token)
    verifier.invalidate(token) if forget == "invalidate" else verifier.clear()

    assert "inactive" == refused(verifier, token).reason


def test_answer_under_way_while_it_is_revoked_is_not_kept(server, make_client, make_verifier):
    """The provider said active before the revocation; who asks after `invalidate` is refused."""
    transport = SlowNetwork()
    verifier = make_verifier(make_client(server.storing_endpoint, transport=transport))
    token = server.issue()
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(verifier.verify, token)
        assert transport.answered.wait(PATIENCE)
        server.revoke(token)
        verifier.invalidate(token)
        late = refused(verifier, token)
        transport.delivered.set()
        assert "client:caller" == early.result(PATIENCE).subject

    assert ("inactive", "inactive") == (late.reason, refused(verifier, token).reason)


class SlowNetwork:
    """A transport on which the first answer is long on its way."""

    def __init__(self):
        self.inner = RequestsTransport()
        self.answered = threading.Event()
        self.delivered = threading.Event()

    def send(self, request, *, deadline):
        response = self.inner.send(request, deadline=deadline)
        if not self.answered.is_set():
            self.answered.set()
            assert self.delivered.wait(PATIENCE)
        return response

    def close(self):
        self.delivered.set()
        self.inner.close()


# --- expiry


def test_expired_token_is_refused_by_our_clock(server, make_verifier, clock):
    """An answer that might be kept for an hour ends with the token; within the leeway none is."""
    verifier, token = make_verifier(ttl=3600, leeway=30), server.issue()
    exp = verifier.verify(token).expires_at
    clock.now = exp - 1
    verifier.verify(token)
    assert 1 == server.asked(STORING)
    for clock.now in (exp, exp + 29):
        assert "client:caller" == verifier.verify(token).subject
    assert 3 == server.asked(STORING)
    clock.now = exp + 30

    assert "expired" == refused(verifier, token, TokenExpired).reason


def test_expired_token_is_refused_by_the_server(server, make_verifier, eventually):
    """Two seconds later the provider itself says inactive; a clock that stands does not matter."""
    verifier, token = make_verifier(), server.issue("hasty")
    eventually(lambda: not server.is_active(token))

    assert "inactive" == refused(verifier, token).reason


def test_stale_answer_is_served_while_the_server_fails(server, make_verifier, clock):
    """With `stale_if_error`, past the ttl and before ``exp``; without it that is an outage."""
    verifier = make_verifier(ttl=60, stale_if_error=300)
    strict = make_verifier(ttl=60)
    token = server.issue()
    verifier.verify(token)
    strict.verify(token)
    clock.advance(60)
    server.fail(STORING, times=2)

    assert "client:caller" == verifier.verify(token).subject
    assert 1 == verifier.stats().stale_served
    refused(strict, token, AuthServiceUnavailable)


def test_stale_answer_is_never_served_beyond_exp(server, make_verifier, clock):
    """An outage then, and no acceptance, however long `stale_if_error` is."""
    verifier = make_verifier(ttl=60, stale_if_error=3600)
    token = server.issue()
    exp = verifier.verify(token).expires_at
    server.fail(STORING, times=2)
    clock.now = exp - 1
    assert "client:caller" == verifier.verify(token).subject
    clock.now = exp

    refused(verifier, token, AuthServiceUnavailable)
    assert (1, 3) == (verifier.stats().stale_served, server.asked(STORING))


def test_stale_answer_is_never_served_once_revoked(server, make_verifier, clock):
    """The provider said inactive: a failure after that does not bring the acceptance back."""
    verifier = make_verifier(ttl=60, negative_ttl=15, stale_if_error=300)
    token = server.issue()
    verifier.verify(token)
    server.revoke(token)
    clock.advance(60)
    refused(verifier, token)
    clock.advance(15)
    server.fail(STORING)

    refused(verifier, token, AuthServiceUnavailable)
