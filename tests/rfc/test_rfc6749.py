"""RFC 6749, The OAuth 2.0 Authorization Framework: client authentication at our endpoints."""

import base64
import io
import json
from urllib.parse import quote_plus, urlencode

import pytest

from tokenward.clients import Client
from tokenward.endpoints import Request, dispatch, routes
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService

CLIENT_ID = "orders & more"
SECRET = "9f8a+77e1/quartz:100%25 =ü"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def ask():
    """Return a function that introspects nonsense, and returns status, error and challenge."""
    stores = open_repositories("memory://", bcrypt_cost=4)
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(),
        tokens=stores.tokens,
        issuer="https://auth.example",
        audience="orders",
        clients=[Client(CLIENT_ID, SECRET)],
    )

    def post(authorization=None, form=(), **more):
        headers = {"Content-Type": FORM}
        if authorization is not None:
            headers["Authorization"] = authorization
        body = urlencode([("token", "x"), *form, *more.items()]).encode()
        request = Request("POST", "/introspect", headers, read=io.BytesIO(body).read)
        answer = dispatch(service, request, routes(service))
        challenge = dict(answer.headers).get("WWW-Authenticate")
        return answer.status, json.loads(answer.body).get("error"), challenge

    return post


def basic(client_id, secret):
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def test_2_3_1_basic_with_form_encoded_parts(ask):
    """Id and secret encoded per appendix B, then base64."""
    assert ask(basic(quote_plus(CLIENT_ID), quote_plus(SECRET)))[0] == 200


def test_2_3_1_basic_with_raw_parts(ask):
    """As most clients send them; the first colon ends the id."""
    assert ask(basic(CLIENT_ID, SECRET))[0] == 200


def test_2_3_1_post(ask):
    """In the request-body, and never in the URI."""
    assert ask(client_id=CLIENT_ID, client_secret=SECRET)[0] == 200


def test_2_3_only_one_method_in_a_request(ask):
    """The client MUST NOT use more than one."""
    both = ask(basic(CLIENT_ID, SECRET), client_id=CLIENT_ID, client_secret=SECRET)
    assert both[:2] == (400, "invalid_request")


@pytest.mark.parametrize(
    ("authorization", "form"),
    [
        (None, {}),
        (None, {"client_id": CLIENT_ID, "client_secret": "wrong"}),
        (None, {"client_id": "nobody", "client_secret": SECRET}),
        (basic(CLIENT_ID, "wrong"), {}),
        (basic("nobody", SECRET), {}),
        ("Basic !", {}),
        ("Bearer abc", {}),
        (None, {"client_assertion": "e30.e30.AA"}),
    ],
)
def test_5_2_invalid_client_is_401_with_a_challenge(ask, authorization, form):
    """With the scheme that the client is to use, whichever it tried."""
    assert ask(authorization, **form) == (401, "invalid_client", 'Basic realm="api"')


def test_3_2_parameter_without_a_value_is_as_good_as_none(ask):
    """An empty secret is no second method, and no authentication either."""
    assert ask(basic(CLIENT_ID, SECRET), client_secret="")[0] == 200
    assert ask(client_id=CLIENT_ID, client_secret="")[0] == 401


def test_3_2_parameter_that_comes_twice_is_refused(ask):
    """Which of two values counts must not be a guess."""
    twice = [("client_id", CLIENT_ID), ("client_secret", SECRET), ("client_secret", SECRET)]
    assert ask(form=twice)[:2] == (400, "invalid_request")
