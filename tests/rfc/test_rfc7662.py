"""RFC 7662, OAuth 2.0 Token Introspection: our endpoint."""

import base64
import io
import json

import pytest
from service_callers import ORDERS, OTHER_SECRET, Caller, basic, make_service

from tokenward.clients import Client
from tokenward.endpoints import Request, dispatch, routes
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest
from tokenward.service import AuthService
from tokenward.tokens import create_access_token

ISSUER = "https://auth.example"
PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"


@pytest.fixture
def service():
    stores = open_repositories("memory://", bcrypt_cost=4)
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(),
        tokens=stores.tokens,
        issuer=ISSUER,
        audience="orders",
        clients=[Client("orders", SECRET), Client("stock", SECRET, audiences=["stock"])],
        claims=lambda _user: {"scope": "read write"},
    )
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    return service


@pytest.fixture
def token(service):
    return service.login_user(LoginRequest(username="alice", password=PASSWORD)).access_token


@pytest.fixture
def ask(service):
    """Return a function that posts a form as a client, and returns status and answer."""

    def post(form, *, client="orders", method="POST", content_type=None, query=""):
        headers = {"Content-Type": content_type or "application/x-www-form-urlencoded"}
        if client:
            credentials = base64.b64encode(f"{client}:{SECRET}".encode()).decode()
            headers["Authorization"] = f"Basic {credentials}"
        request = Request(
            method, "/introspect", headers, query=query, read=io.BytesIO(form.encode()).read
        )
        answer = dispatch(service, request, routes(service))
        return answer.status, json.loads(answer.body), dict(answer.headers)

    return post


def test_2_1_request_is_a_form_posted(ask, token):
    """Parameters as application/x-www-form-urlencoded in the entity-body."""
    assert ask(f"token={token}")[1]["active"] is True
    assert ask(f"token={token}", method="GET")[0] == 405
    assert ask(json.dumps({"token": token}), content_type="application/json")[0] == 415


def test_2_1_token_is_required(ask):
    """REQUIRED: the string value of the token."""
    for form in ("", "token=", "token_type_hint=access_token"):
        status, answer, _ = ask(form)
        assert (status, answer["error"]) == (400, "invalid_request")


def test_2_1_token_in_the_query_is_not_read(ask, token):
    """Section 4: a query would put the token into logs."""
    assert ask("", query=f"token={token}")[0] == 400


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard_of"])
def test_2_1_token_type_hint_is_only_a_hint(ask, token, hint):
    """A wrong hint extends the search; it never changes the answer."""
    assert ask(f"token={token}&token_type_hint={hint}")[1]["active"] is True


def test_2_1_other_parameters_are_ignored(ask, token):
    """The endpoint may accept others; what it does not know tells it nothing."""
    assert ask(f"token={token}&resource=x")[1]["active"] is True


def test_2_1_authorization_is_required(ask, token):
    """To prevent token scanning; 2.3: refused as in RFC 6749, section 5.2."""
    status, answer, headers = ask(f"token={token}", client=None)
    assert (status, answer["error"]) == (401, "invalid_client")
    assert headers["WWW-Authenticate"].startswith("Basic ")


def test_2_1_unauthenticated_caller_learns_nothing_of_the_form(ask):
    """Who one is comes before what one asks."""
    assert ask("", client=None)[0] == 401


def test_2_2_active_token_is_described(ask, service, token):
    """Every member as defined there; times are integers, scope is a string of scopes."""
    user = service.users.get_by_username("alice")
    status, answer, headers = ask(f"token={token}")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert headers["Cache-Control"] == "private, no-cache"
    assert answer["active"] is True
    assert answer["scope"] == "read write"
    assert answer["username"] == "alice"
    assert answer["token_type"] == "Bearer"
    assert (answer["sub"], answer["aud"], answer["iss"]) == (user.id, "orders", ISSUER)
    assert answer["exp"] - answer["iat"] == 900
    assert isinstance(answer["client_id"], str)
    assert isinstance(answer["jti"], str)


def test_2_2_inactive_token_is_only_inactive(ask, service, token):
    """SHOULD NOT include any additional information, including why."""
    revoked = service.login_user(LoginRequest(username="alice", password=PASSWORD)).access_token
    service.logout_user(revoked)
    expired = create_access_token(
        {"sub": service.users.get_by_username("alice").id},
        keys=service.keys,
        issuer=ISSUER,
        audience="orders",
        clock=lambda: 1_000_000_000,
    )
    foreign = create_access_token(
        {"sub": "x"}, keys=KeyRing.generate(), issuer=ISSUER, audience="orders"
    )
    for bad in (revoked, expired, foreign, token + "x", "opaque", "%00", "%F0%9F%94%91", "a+b"):
        status, answer, _ = ask(f"token={bad}")
        assert (status, answer) == (200, {"active": False})


def test_2_2_inactive_for_a_client_the_token_is_not_meant_for(ask, token):
    """The server MAY respond differently to different resources: this one learns nothing."""
    assert ask(f"token={token}", client="stock")[1] == {"active": False}


def test_2_3_inactive_is_not_an_error(ask):
    """A properly formed query for an inactive token is a 200."""
    assert ask("token=opaque")[0] == 200


def test_4_no_scanning_through_the_audience(ask, token):
    """The answers for a foreign token and for nonsense are the same, byte for byte."""
    assert ask(f"token={token}", client="stock") == ask("token=opaque", client="stock")


# --- clients, and the kinds of tokens


@pytest.fixture(scope="module")
def caller():
    return Caller(make_service())


def test_2_1_post_and_basic_are_the_same_client(caller):
    """In the form, or in the header."""
    token = caller.login()["access_token"]
    posted = {"token": token, "client_id": "orders", "client_secret": OTHER_SECRET}
    answers = [
        caller.form("/introspect", {"token": token}, authorization=ORDERS),
        caller.form("/introspect", posted),
    ]
    assert answers[0].json == answers[1].json
    assert answers[0].json["active"]


def test_2_2_session_is_named(caller):
    """A member of ours: whoever keeps sessions can end them by it."""
    granted = caller.login()
    (session,) = [s for s in sessions_of(caller, granted) if s["current"]]
    answer = caller.form(
        "/introspect", {"token": granted["access_token"]}, authorization=ORDERS
    ).json
    assert answer["sid"] == session["sid"]


def sessions_of(caller, granted):
    return caller.get("/sessions", granted["access_token"]).json["sessions"]


def test_2_2_refresh_token_is_active_to_its_own_client_only(caller):
    """Whom it is bound to may ask; to others it is as good as unknown."""
    token = caller.login(authorization=basic())["refresh_token"]
    assert not caller.is_active(token, ORDERS)
    answer = caller.form("/introspect", {"token": token}, authorization=basic()).json
    assert answer["active"]
    assert answer["client_id"] == "shop"
    assert answer.get("token_type") != "Bearer"


def test_2_2_token_of_a_client(caller):
    """Speaks for nobody but the client."""
    token = caller.token(grant_type="client_credentials", resource="orders").json["access_token"]
    answer = caller.form("/introspect", {"token": token}, authorization=ORDERS).json
    assert (answer["active"], answer["sub"], answer["client_id"]) == (True, "shop", "shop")
    assert "user" not in answer
    assert "username" not in answer


def test_2_3_refusals_say_no_more_than_two_members(caller):
    """As in RFC 6749, section 5.2."""
    answer = caller.form("/introspect", {}, authorization=ORDERS)
    assert answer.json == {
        "error": "invalid_request",
        "error_description": "The form field token is required.",
    }
