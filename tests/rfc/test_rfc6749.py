"""RFC 6749, The OAuth 2.0 Authorization Framework: our token endpoint, and who may ask it."""

import io
import json
from urllib.parse import quote_plus, urlencode

import pytest
from service_callers import AUDIENCE, FORM, GRANTS, ORDERS, Caller, basic, make_service

from tokenward import _jose
from tokenward.clients import Client
from tokenward.endpoints import Request, dispatch, routes
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService

CLIENT_ID = "orders & more"
SECRET = "9f8a+77e1/quartz:100%25 =ü"


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


# --- the token endpoint


@pytest.fixture(scope="module")
def caller():
    return Caller(make_service())


def claims_of(answer):
    return _jose.parse(answer.json["access_token"]).claims


def refused(answer):
    """Return status and code, and hold that nothing else is said (section 5.2)."""
    assert set(answer.json) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    return answer.error


def test_3_2_requests_are_posts(caller):
    """The client MUST use POST."""
    assert caller.get("/token").status == 405


def test_3_2_requests_are_forms(caller):
    """Section 4.4.2: application/x-www-form-urlencoded in the entity-body."""
    answer = caller.post("/token", {"grant_type": "client_credentials"}, authorization=basic())
    assert answer.status == 415


def test_2_3_1_credentials_in_the_uri_are_refused(caller):
    """They can only be transmitted in the request-body, and MUST NOT be in the URI."""
    fields = {"grant_type": "client_credentials", "client_id": "shop"}
    for query in ("client_secret=x", "x=1&client%5Fsecret=x", "client_assertion=x"):
        answer = caller.form("/token", fields, authorization=basic(), query=query)
        assert refused(answer) == (400, "invalid_request")
        assert "never in the URL" in answer.json["error_description"]


def test_3_2_parameters_that_are_not_known_are_ignored(caller):
    """The authorization server MUST ignore unrecognized request parameters."""
    assert caller.token(grant_type="client_credentials", nonce="x").status == 200


def test_4_4_client_credentials(caller):
    """The client acts for itself."""
    answer = caller.token(grant_type="client_credentials")
    claims = claims_of(answer)
    assert (claims["sub"], claims["client_id"]) == ("shop", "shop")


def test_4_4_3_no_refresh_token(caller):
    """SHOULD NOT be included."""
    answer = caller.token(grant_type="client_credentials")
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "scope"}


def test_5_1_answer(caller):
    """The members as defined there, and both headers against keeping it."""
    answer = caller.token(grant_type="client_credentials")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)


@pytest.mark.parametrize(
    ("asked", "granted"),
    [({}, "read write"), ({"scope": "read"}, "read"), ({"scope": "write read"}, "read write")],
)
def test_3_3_scope(caller, asked, granted):
    """What is asked for of what may be had; all of it, where nothing is asked."""
    answer = caller.token(grant_type="client_credentials", **asked)
    assert sorted(answer.json["scope"].split()) == granted.split()
    assert sorted(claims_of(answer)["scope"].split()) == granted.split()


@pytest.mark.parametrize(
    "scope",
    ["admin", "read admin", "READ", "rea", "read  write", " read", "read\t", 'r"', "ü", "\0"],
)
def test_5_2_invalid_scope(caller, scope):
    """Invalid, unknown, malformed, or more than the client may have."""
    answer = caller.token(grant_type="client_credentials", scope=scope)
    assert refused(answer) == (400, "invalid_scope")


def test_5_2_invalid_request(caller):
    """What is missing is named in a text of ours."""
    answer = caller.token()
    assert refused(answer) == (400, "invalid_request")
    assert answer.json["error_description"] == "The form field grant_type is required."
    answer = caller.token(grant_type="refresh_token")
    assert refused(answer) == (400, "invalid_request")
    assert answer.json["error_description"] == "The form field refresh_token is required."


def test_5_2_repeated_parameter(caller):
    """A parameter that comes twice makes the request malformed."""
    fields = [("grant_type", "client_credentials")] * 2
    answer = caller.form("/token", fields, authorization=basic())
    assert refused(answer) == (400, "invalid_request")


@pytest.mark.parametrize("authorization", [None, basic("shop", "wrong"), basic("nobody", "x")])
def test_5_2_invalid_client(caller, authorization):
    """Before anything else is looked at, and with a challenge."""
    for fields in ({"grant_type": "client_credentials"}, {"grant_type": "x"}, {}):
        answer = caller.form("/token", fields, authorization=authorization)
        assert refused(answer) == (401, "invalid_client")
        assert answer.headers["www-authenticate"] == 'Basic realm="api"'


@pytest.mark.parametrize(
    "grant_type",
    ["password", "authorization_code", "CLIENT_CREDENTIALS", "client_credentials ", "\0", "ü"],
)
def test_5_2_unsupported_grant_type(caller, grant_type):
    """Not supported by the authorization server."""
    assert refused(caller.token(grant_type=grant_type)) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("grant_type", GRANTS)
def test_5_2_unauthorized_client(caller, grant_type):
    """Authenticated, and not authorized to use this grant type."""
    answer = caller.token(ORDERS, grant_type=grant_type, refresh_token="x")
    assert refused(answer) == (400, "unauthorized_client")


def test_6_refresh(caller):
    """A new access token for the same person, and a new refresh token in the old one's place."""
    first = caller.login(authorization=basic())
    answer = caller.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert answer.status == 200
    assert set(answer.json) == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "scope",
    }
    assert answer.json["refresh_token"] != first["refresh_token"]
    assert claims_of(answer)["sub"] == first["user"]["id"]
    assert claims_of(answer)["client_id"] == "shop"


def test_6_scope_of_a_refresh(caller):
    """Treated as equal if omitted; MUST NOT include any scope that was not granted."""
    token = caller.login(authorization=basic())["refresh_token"]
    answer = caller.token(grant_type="refresh_token", refresh_token=token, scope="read admin")
    assert refused(answer) == (400, "invalid_scope")
    answer = caller.token(grant_type="refresh_token", refresh_token=token, scope="read")
    assert answer.json["scope"] == claims_of(answer)["scope"] == "read"
    token = answer.json["refresh_token"]
    answer = caller.token(grant_type="refresh_token", refresh_token=token)
    assert sorted(answer.json["scope"].split()) == ["read", "write"]


def test_5_2_invalid_grant(caller):
    """Unknown, used before, or issued to another client: one answer for all of them."""
    own = caller.login(authorization=basic())["refresh_token"]
    assert caller.token(grant_type="refresh_token", refresh_token=own).status == 200
    first_party = caller.login()["refresh_token"]
    answers = [
        caller.token(grant_type="refresh_token", refresh_token=token)
        for token in ("nonsense", own, first_party, "\0", "ü" * 100)
    ]
    assert {refused(answer) for answer in answers} == {(400, "invalid_grant")}
    assert len({answer.body for answer in answers}) == 1


def test_6_refresh_token_is_bound_to_its_client():
    """The authorization server MUST verify the binding; /refresh does as well."""
    more = Client("more", "third-0quartz-77e1-lamps", grants=GRANTS)
    service = make_service(clients=[*make_service(users=()).clients, more])
    caller = Caller(service)
    token = caller.login(authorization=basic())["refresh_token"]
    fields = {"grant_type": "refresh_token", "refresh_token": token}
    others = basic("more", "third-0quartz-77e1-lamps")
    assert refused(caller.form("/token", fields, authorization=others)) == (400, "invalid_grant")
    for authorization in (None, others):
        answer = caller.post("/refresh", {"refresh_token": token}, authorization=authorization)
        assert answer.error == (400, "invalid_grant")
    answer = caller.post("/refresh", {"refresh_token": token}, authorization=basic())
    assert (answer.status, claims_of(answer)["aud"]) == (200, AUDIENCE)
