"""What oidc-provider says of its tokens, and of us (RFC 7662)."""

import logging

import pytest
from oidc_provider import AUDIENCE, SECRETS

from tokenward import BearerAuth, ClientSecretBasic, ClientSecretPost, error_response
from tokenward.errors import AuthServiceUnavailable, InvalidClaim, InvalidToken

TOKEN = "/token/introspection"
STORING = "/storing" + TOKEN


def refused(error, act, *arguments, **options):
    """Return the error of exactly this kind with which something ends."""
    with pytest.raises(error) as caught:
        act(*arguments, **options)
    assert error is type(caught.value)
    return caught.value


# --- client authentication


def test_right_credentials_are_answered(server, make_client, make_verifier, way):
    """Each way of client authentication is one that a certified provider accepts."""
    client = make_client(way.root + TOKEN, client_auth=way.right)
    token = server.issue()
    principal = make_verifier(client).verify(token)

    assert ("client:caller", "client") == (principal.subject, principal.kind)
    assert (server.issuer, {"read"}) == (principal.issuer, principal.scopes)
    assert 1 == server.asked()


def test_wrong_credentials_are_an_outage(server, make_client, make_verifier, way):
    """It is we who are refused: never the token, and the server is left alone for a while."""
    client = make_client(way.root + TOKEN, client_auth=way.wrong)
    verifier = make_verifier(client)
    token = server.issue()
    outcomes = [refused(AuthServiceUnavailable, verifier.verify, token) for _ in range(3)]

    assert ["client_refused"] * 3 == [error.reason for error in outcomes]
    assert {(503, 5)} == {(error_response(e).status, e.retry_after) for e in outcomes}
    assert 1 == server.asked()
    assert 0 == verifier.stats().entries


def test_wrong_credentials_are_logged_once(server, make_client, caplog):
    """One ERROR that says whose fault it is, however many requests come."""
    caplog.set_level(logging.WARNING, "tokenward")
    wrong = ClientSecretPost("orders-post", "another-secret")
    for _ in range(3):
        client = make_client(server.storing_endpoint, client_auth=wrong)
        refused(AuthServiceUnavailable, client.introspect, server.issue())

    assert [("tokenward.introspection", "ERROR")] == [
        (record.name, record.levelname) for record in caplog.records
    ]
    assert "does not accept our client credentials" in caplog.text
    assert "another-secret" not in caplog.text
    assert 3 == server.asked(STORING)


def test_raw_secret_that_needs_encoding_is_refused(server, make_client):
    """A server that decodes reads another secret: 50+50 becomes 50 50 (RFC 6749, section 2.3.1)."""
    secret = SECRETS["orders-plus"]
    form = make_client(client_auth=ClientSecretBasic("orders-plus", secret))
    raw = make_client(client_auth=ClientSecretBasic("orders-plus", secret, encoding="raw"))
    token = server.issue()

    assert form.introspect(token)["active"] is True
    assert "client_refused" == refused(AuthServiceUnavailable, raw.introspect, token).reason


def test_what_cannot_be_decoded_is_an_outage_of_one_call(server, make_client):
    """A stray percent sign is a 400 there, which says nothing about the next call."""
    auth = ClientSecretBasic("orders", SECRETS["orders"], encoding="raw")
    client = make_client(client_auth=auth)
    token = server.issue()
    reasons = [refused(AuthServiceUnavailable, client.introspect, token).reason for _ in range(2)]

    assert (["bad_response"] * 2, 2) == (reasons, server.asked())


def test_bearer_where_it_is_not_taken_is_an_outage(server, make_client, make_verifier):
    """This provider wants client credentials: its 400 condemns no token."""
    client = make_client(client_auth=BearerAuth(server.issue()))
    verifier = make_verifier(client)
    error = refused(AuthServiceUnavailable, verifier.verify, server.issue())

    assert ("bad_response", 0) == (error.reason, verifier.stats().entries)


def test_answer_that_was_lost_is_asked_for_again(server, make_client, way):
    """The provider had seen the request: what it takes only once, it gets anew."""
    client = make_client(way.root + TOKEN, client_auth=way.right)
    token = server.issue()
    server.lose(TOKEN)

    assert client.introspect(token)["active"] is True
    assert 2 == server.asked()


# --- the answer


def test_unknown_token_is_inactive(server, make_verifier):
    """A refusal, which is kept: a caller who insists costs one question."""
    verifier = make_verifier()
    errors = [refused(InvalidToken, verifier.verify, "never-issued") for _ in range(3)]

    assert ["inactive"] * 3 == [error.reason for error in errors]
    assert 1 == server.asked(STORING)


def test_jwt_is_not_introspected_there(server, make_verifier):
    """400 unsupported_token_type is about this token: refused, and kept as a refusal."""
    verifier = make_verifier()
    token = server.issue(audience=AUDIENCE + "/signed")
    errors = [refused(InvalidToken, verifier.verify, token) for _ in range(3)]

    assert ["unsupported_token_type"] * 3 == [error.reason for error in errors]
    assert 1 == server.asked(STORING)
    assert "client:caller" == verifier.verify(server.issue()).subject


def test_token_for_somebody_else_is_refused(server, make_verifier):
    """The server says active, and says for whom."""
    token = server.issue(audience=AUDIENCE + "/elsewhere")
    error = refused(InvalidClaim, make_verifier().verify, token)

    assert ("audience_mismatch", 401) == (error.reason, error.status_code)


def test_token_of_another_issuer_is_refused(server, make_verifier):
    """The server names itself in its answer."""
    verifier = make_verifier(issuer=server.tenant)

    assert "unknown_issuer" == refused(InvalidClaim, verifier.verify, server.issue()).reason


def test_token_bound_to_a_certificate_is_refused(server, make_verifier):
    """What ``cnf`` demands cannot be checked here (RFC 8705, section 3.2)."""
    token = server.issue_bound()

    assert server.is_active(token)
    refused(InvalidClaim, make_verifier().verify, token)
