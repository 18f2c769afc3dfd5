"""RFC 8707, Resource Indicators for OAuth 2.0: at our token endpoint."""

import pytest
from service_callers import AUDIENCE, GRANTS, SECRET, STOCK, Caller, basic, make_service

from tokenward import _jose
from tokenward.clients import Client


@pytest.fixture(scope="module")
def caller():
    return Caller(make_service())


def audience(answer):
    assert answer.status == 200, answer.json
    return _jose.parse(answer.json["access_token"]).claims["aud"]


@pytest.mark.parametrize("name", ["resource", "audience"])
@pytest.mark.parametrize("named", [STOCK, AUDIENCE])
def test_2_2_token_is_for_the_resource(caller, name, named):
    """And for nobody else; by an absolute URI, or by the name that is configured."""
    answer = caller.token(grant_type="client_credentials", **{name: named})
    assert audience(answer) in (named, [named])


def test_2_both_names_for_one_are_one(caller):
    """They do not contradict each other."""
    answer = caller.token(grant_type="client_credentials", resource=STOCK, audience=STOCK)
    assert audience(answer) in (STOCK, [STOCK])


@pytest.mark.parametrize(
    "fields",
    [
        {"resource": "https://evil.example"},
        {"resource": "https://api.example/stock/"},
        {"resource": "https://api.example/stock#part"},
        {"resource": "HTTPS://api.example/stock"},
        {"resource": "/stock"},
        {"audience": "https://evil.example"},
        {"audience": "\0"},
        {"resource": STOCK, "audience": AUDIENCE},
    ],
)
def test_2_invalid_target(caller, fields):
    """Invalid, missing, unknown, or malformed; a fragment MUST NOT be included."""
    answer = caller.token(grant_type="client_credentials", **fields)
    assert answer.error == (400, "invalid_target")
    assert set(answer.json) == {"error", "error_description"}


def test_2_fragment_is_refused_whatever_is_configured():
    """It MUST NOT be there; as an audience that name is what it is."""
    named = f"{STOCK}#part"
    shop = Client("shop", SECRET, grants=GRANTS, token_audiences=[named])
    caller = Caller(make_service(users=(), clients=[shop]))
    answer = caller.token(grant_type="client_credentials", resource=named)
    assert answer.error == (400, "invalid_target")
    assert audience(caller.token(grant_type="client_credentials", audience=named)) == named


def test_2_one_resource_at_a_time(caller):
    """Which of two values counts must not be a guess; ask once for each."""
    fields = [("grant_type", "client_credentials"), ("resource", STOCK), ("resource", AUDIENCE)]
    answer = caller.form("/token", fields, authorization=basic())
    assert answer.error == (400, "invalid_request")


def test_2_2_refreshed_token_is_for_the_audience_of_the_login(caller):
    """It was granted for the service's own; more is not to be had, and the token stays good."""
    token = caller.login(authorization=basic())["refresh_token"]
    fields = {"grant_type": "refresh_token", "refresh_token": token}
    assert caller.token(**fields, resource=STOCK).error == (400, "invalid_target")
    assert audience(caller.token(**fields, resource=AUDIENCE)) == AUDIENCE
