"""oidc-provider slow, failing, killed and started again: the outcome, and what it left behind."""

import pytest

from tokenward.errors import AuthServiceUnavailable, InvalidToken

STORING = "/storing/token/introspection"


def outage(verifier, token, reason):
    """Assert that a token cannot be judged, that nothing is kept of it, and for which reason."""
    entries = verifier.stats().entries
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(token)
    assert (reason, entries) == (caught.value.reason, verifier.stats().entries)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_failing_server_is_an_outage(server, make_verifier, status):
    """Nobody's verdict, one request each, and over as soon as it answers again."""
    verifier, token = make_verifier(), server.issue()
    server.fail(STORING, status=status, times=2)
    outage(verifier, token, "bad_response")
    outage(verifier, token, "bad_response")
    assert 2 == server.asked(STORING)

    assert "client:caller" == verifier.verify(token).subject
    assert 3 == server.asked(STORING)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>active</html>", "text/html"),
        ('{"active":true,"sub":"root","aud":"https://orders.example"}', "text/plain"),
        ('{"active":"true"}', "application/json"),
        ('{"active":true', "application/json"),
    ],
)
def test_page_of_a_proxy_is_an_outage(server, make_verifier, body, content_type):
    """A 200 that is no answer of RFC 7662 accepts nobody and refuses nobody."""
    verifier, token = make_verifier(), server.issue()
    server.fail(STORING, status=200, body=body, headers={"Content-Type": content_type})
    outage(verifier, token, "bad_response")

    assert "client:caller" == verifier.verify(token).subject


def test_answer_after_the_deadline_is_an_outage(server, make_client, make_verifier, eventually):
    """The caller is told in time, and what comes later is not taken for anything."""
    verifier = make_verifier(make_client(server.storing_endpoint, timeout=1))
    token = server.issue()
    server.hold(STORING)
    outage(verifier, token, "deadline")
    eventually(lambda: server.asked(STORING) == 1)
    server.revoke(token)
    server.release()

    with pytest.raises(InvalidToken):
        verifier.verify(token)


def test_connection_that_is_reset_is_tried_again(server, make_client, make_verifier):
    """Once, as `retries` says; the second reset is an outage."""
    verifier, token = make_verifier(), server.issue()
    server.hang_up(STORING)
    assert "client:caller" == verifier.verify(token).subject
    assert 2 == server.asked(STORING)
    server.hang_up(STORING, times=2)
    outage(make_verifier(make_client(server.storing_endpoint)), token, "connect_failed")

    assert 4 == server.asked(STORING)


def test_server_that_keeps_failing_is_left_alone(server, make_verifier, eventually):
    """After five failures nobody asks it; then one trial call finds out that it is back."""
    verifier, token = make_verifier(), server.issue()
    server.fail(STORING, times=5)
    for _ in range(5):
        outage(verifier, token, "bad_response")
    outage(verifier, token, "circuit_open")
    assert 5 == server.asked(STORING)
    eventually(lambda: not _unavailable(verifier, token))

    assert ("client:caller", 6) == (verifier.verify(token).subject, server.asked(STORING))


def _unavailable(verifier, token):
    try:
        verifier.verify(token)
    except AuthServiceUnavailable:
        return True
    return False


def test_killed_server(server, make_client, make_verifier, clock):
    """What was asked before is served on; the rest waits until it is back, on the same port."""
    verifier = make_verifier(make_client(server.storing_endpoint, breaker_failures=100), ttl=60)
    known, unknown, revoked = server.issue(), server.issue(), server.issue()
    verifier.verify(known)
    verifier.verify(revoked)
    server.revoke(revoked)
    server.kill()

    assert "client:caller" == verifier.verify(known).subject
    outage(verifier, unknown, "connect_failed")
    clock.advance(60)
    outage(verifier, known, "connect_failed")
    server.start()

    assert "client:caller" == verifier.verify(unknown).subject
    assert "client:caller" == verifier.verify(known).subject
    with pytest.raises(InvalidToken):
        verifier.verify(revoked)
    assert 3 == server.asked(STORING)


def test_kept_connection_to_a_killed_server_is_replaced(server, make_client, make_verifier):
    """Restarted between two requests, nobody notices."""
    client = make_client(server.storing_endpoint, retries=0)
    verifier = make_verifier(client, ttl=0)
    token = server.issue()
    verifier.verify(token)
    server.restart()

    assert "client:caller" == verifier.verify(token).subject
    assert 1 == server.asked(STORING)
