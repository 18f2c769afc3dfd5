"""RFC 6750, Bearer Token Usage: what we read, and what we answer."""

import json
import re

import pytest

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.bearer import error_response
from tokenward.errors import AuthError, InvalidAuthorizationHeader, NotAuthenticated, TokenExpired
from tokenward.principal import Principal
from tokenward.testing import StubVerifier

TOKEN = "mF_9.B5f-4.1JqM"
PARAMETER = r'([a-z_]+)="((?:[^"\\]|\\.)*)"'


@pytest.fixture
def authenticator():
    verifier = StubVerifier({TOKEN: Principal("u1", scopes={"read"}), "old": TokenExpired()})
    return Authenticator(Credential(authorization(), verifier), realm="example")


def refusal(authenticator, *, scopes=(), **request):
    """Return the answer to a request, and its challenge's parameters."""
    headers = {"Authorization": request.pop("authorization", None)}
    with pytest.raises(AuthError) as caught:
        authenticator.authenticate(headers, **request).principal.require_scopes(*scopes)
    response = error_response(caught.value, realm=authenticator.realm)
    challenge = dict(response.headers).get("WWW-Authenticate", "")
    scheme, _, parameters = challenge.partition(" ")
    assert scheme == "Bearer"
    assert re.fullmatch(rf"{PARAMETER}(?:, {PARAMETER})*", parameters)
    return response, dict(re.findall(PARAMETER, parameters))


def test_section_2_1_the_example_header(authenticator):
    """The RFC's own example is read."""
    found = authenticator.authenticate({"Authorization": f"Bearer {TOKEN}"})
    assert found.principal.subject == "u1"


def test_section_2_2_a_token_in_a_form_body_is_never_taken(authenticator):
    """Nothing but headers and the raw query is ever handed in: a body cannot be read."""
    with pytest.raises(NotAuthenticated):
        authenticator.authenticate(
            {"Content-Type": "application/x-www-form-urlencoded"}, method="POST"
        )


def test_section_2_3_a_token_in_the_query_is_never_taken(authenticator):
    """It would be in logs and histories; alone, it is as if nothing were presented."""
    with pytest.raises(NotAuthenticated):
        authenticator.authenticate({}, query=f"access_token={TOKEN}")


def test_section_2_more_than_one_method_is_invalid_request(authenticator):
    """The same token twice is refused too."""
    response, challenge = refusal(
        authenticator, authorization=f"Bearer {TOKEN}", query=f"access_token={TOKEN}"
    )
    assert response.status == 400
    assert challenge["error"] == "invalid_request"


def test_section_3_no_authentication_information_gets_a_bare_challenge(authenticator):
    """No error code, no description: only the realm."""
    response, challenge = refusal(authenticator)
    assert response.status == 401
    assert challenge == {"realm": "example"}


def test_section_3_an_expired_token(authenticator):
    """The RFC's second example: the code, and a description."""
    response, challenge = refusal(authenticator, authorization="Bearer old")
    assert response.status == 401
    assert challenge == {
        "realm": "example",
        "error": "invalid_token",
        "error_description": "The access token has expired.",
    }


def test_section_3_1_invalid_request(authenticator):
    """Malformed: 400, with a challenge."""
    response, challenge = refusal(authenticator, authorization="Bearer a b")
    assert response.status == 400
    assert challenge["error"] == "invalid_request"
    assert json.loads(response.body)["error"] == "invalid_request"


def test_section_3_1_invalid_token(authenticator):
    """Unknown to the verifier: 401."""
    response, challenge = refusal(authenticator, authorization="Bearer other")
    assert response.status == 401
    assert challenge["error"] == "invalid_token"


def test_section_3_1_insufficient_scope(authenticator):
    """403, and the scope that would do."""
    response, challenge = refusal(
        authenticator, authorization=f"Bearer {TOKEN}", scopes=("read", "write")
    )
    assert response.status == 403
    assert challenge["error"] == "insufficient_scope"
    assert challenge["scope"] == "read write"


def test_section_5_3_answers_are_not_stored(authenticator):
    """``Cache-Control: no-store`` on every refusal."""
    response, _ = refusal(authenticator)
    assert ("Cache-Control", "no-store") in response.headers


@pytest.mark.parametrize("value", ["Bearer", "Bearer a,b", "Bearer a b", 'Bearer "a"'])
def test_section_2_1_the_grammar_is_one_b64token(authenticator, value):
    """``credentials = "Bearer" 1*SP b64token``."""
    with pytest.raises(InvalidAuthorizationHeader):
        authenticator.authenticate({"Authorization": value})
