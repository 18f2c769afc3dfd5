"""RFC 7009, OAuth 2.0 Token Revocation: our endpoint."""

import pytest
from service_callers import ORDERS, Caller, basic, make_service


@pytest.fixture
def caller():
    return Caller(make_service())


def revoke(caller, token, *, authorization=None, **fields):
    fields = {"token": token, **fields}
    return caller.form("/revoke", fields, authorization=authorization or basic())


def test_2_1_request_is_a_form_posted(caller):
    """Parameters as application/x-www-form-urlencoded in the entity-body."""
    assert caller.get("/revoke").status == 405
    assert caller.post("/revoke", {"token": "x"}, authorization=basic()).status == 415


def test_2_1_token_is_required(caller):
    """REQUIRED."""
    for fields in ({}, {"token": ""}, {"token_type_hint": "access_token"}):
        answer = caller.form("/revoke", fields, authorization=basic())
        assert answer.error == (400, "invalid_request")
        assert answer.json["error_description"] == "The form field token is required."


def test_2_1_token_in_the_uri_is_refused(caller):
    """Section 2: it would end up in logs, good as it is until then."""
    answer = caller.form("/revoke", authorization=basic(), query="token=x")
    assert answer.error == (400, "invalid_request")


@pytest.mark.parametrize("authorization", [None, basic("shop", "wrong"), basic("nobody", "x")])
def test_2_1_client_is_authenticated_first(caller, authorization):
    """The authorization server first validates the client credentials."""
    token = caller.login(authorization=basic())["access_token"]
    answer = caller.form("/revoke", {"token": token}, authorization=authorization)
    assert answer.error == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert caller.is_active(token)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard_of", None])
def test_2_1_access_token_is_over_at_once(caller, hint):
    """Whatever the hint: a wrong one extends the search, and an unknown one is ignored."""
    token = caller.login(authorization=basic())["access_token"]
    fields = {} if hint is None else {"token_type_hint": hint}
    assert caller.is_active(token)
    assert revoke(caller, token, **fields).status == 200
    assert not caller.is_active(token)
    assert caller.get("/me", token).error == (401, "invalid_token")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard_of", None])
def test_2_1_refresh_token_takes_the_access_tokens_along(caller, hint):
    """SHOULD also invalidate all access tokens based on the same authorization grant."""
    granted = caller.login(authorization=basic())
    other = caller.login(authorization=basic())
    fields = {} if hint is None else {"token_type_hint": hint}
    assert revoke(caller, granted["refresh_token"], **fields).status == 200
    answer = caller.token(grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert answer.error == (400, "invalid_grant")
    assert not caller.is_active(granted["access_token"])
    assert caller.is_active(other["access_token"])


def test_2_1_another_clients_token_goes_on(caller):
    """Was it issued to the client that asks? The answer does not tell."""
    granted = caller.login(authorization=basic())
    for kind in ("access_token", "refresh_token"):
        answer = revoke(caller, granted[kind], authorization=ORDERS)
        assert (answer.status, answer.body) == (200, b"")
    assert caller.is_active(granted["access_token"])
    answer = caller.token(grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert answer.status == 200


def test_2_1_a_clients_own_token(caller):
    """One from the client credentials grant is a token like another."""
    token = caller.token(grant_type="client_credentials").json["access_token"]
    assert caller.is_active(token)
    assert revoke(caller, token).status == 200
    assert not caller.is_active(token)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "\0", "ü", "x" * 20_000])
def test_2_2_invalid_token_is_no_error(caller, token):
    """The purpose, the token's end, is achieved already."""
    answer = revoke(caller, token)
    assert (answer.status, answer.body) == (200, b"")


def test_2_2_answer_is_the_status(caller):
    """The content of the body is ignored by the client; there is none, and nobody keeps it."""
    token = caller.login(authorization=basic())["access_token"]
    for _ in range(2):
        answer = revoke(caller, token)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers == {
            "content-type": "text/plain",
            "cache-control": "no-store",
            "vary": "Authorization",
            "content-length": "0",
        }
