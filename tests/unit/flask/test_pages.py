"""tokenward.flask: signing in with a browser, and who is sent to the sign-in page."""

from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, redirect, request

from tokenward.authenticator import Authenticator, Credential, cookie
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, TokenRevoked
from tokenward.flask import (
    Tokenward,
    clear_login,
    current_principal,
    login_required,
    public,
    safe_next,
    set_login,
)
from tokenward.flask._state import app_state
from tokenward.schemas import LoginRequest, LoginResponse
from tokenward.testing import StubVerifier, override_authenticator

TO_A_PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
FORM = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
FROM_ELSEWHERE = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]


LOGIN = LoginResponse(access_token="the.token", expires_in=900)


@pytest.fixture
def make():
    """A function that makes a shop with an auth service of its own, where one can sign in."""

    def make(pages=None, **options):
        app = Flask("shop")
        app.testing = True
        app.config["TOKENWARD"] = {
            "service": {
                "issuer": "https://auth.example",
                "audience": "shop",
                "store": "memory://",
                "password": {"bcrypt_cost": 4},
            },
            "pages": {"cookie": "shop", "login_view": "sign_in", **(pages or {})},
            **options,
        }
        Tokenward(app)
        app.extensions["tokenward"].service.create_user(
            "alice", email="alice@shop.example", password="correct battery"
        )
        app.add_url_rule("/sign-in", view_func=public(sign_in), methods=["GET", "POST"])
        app.add_url_rule("/sign-out", view_func=public(sign_out), methods=["GET", "POST"])
        app.add_url_rule("/profile", view_func=profile, methods=["GET", "POST"])
        app.add_url_rule("/orders/<path:name>", "orders", profile)
        return app

    return make


def service():
    return app_state().service


def sign_in():
    login = service().login_user(LoginRequest(username="alice", password="correct battery"))
    return set_login(redirect(safe_next(request.args.get("next"), "/profile"), 303), login)


def sign_out():
    return clear_login(redirect("/", 303), end=lambda token: service().logout_user(token))


@login_required
def profile(**_):
    return current_principal.username


def cookie_set_by(response):
    """Return the one cookie of a response: its name, its value, and its attributes."""
    (line,) = response.headers.getlist("Set-Cookie")
    pair, *attributes = line.split("; ")
    name, _, value = pair.partition("=")
    return name, value, {a for a in attributes if not a.startswith("Expires=")}


def token_of(client):
    return cookie_set_by(client.post("/sign-in", headers=FORM))[1]


def carrying(token, headers=TO_A_PAGE, name="__Host-shop"):
    return {**headers, "Cookie": f"{name}={token}"}


@pytest.fixture
def client(make):
    """What sends requests to a shop; without a jar, so that each test sees its cookies."""
    return make().test_client(use_cookies=False)


def test_signing_in_sets_the_cookie(client):
    """For this host, for as long as the token lives, out of reach of scripts and other sites."""
    response = client.post("/sign-in?next=/orders/7", headers=FORM)
    name, token, attributes = cookie_set_by(response)
    assert (303, "/orders/7") == (response.status_code, response.headers["Location"])
    assert "__Host-shop" == name
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=900"} == attributes
    assert "no-store" == response.headers["Cache-Control"]
    page = client.get("/profile", headers=carrying(token))
    assert (200, "alice") == (page.status_code, page.text)


def test_the_cookie_is_as_the_configuration_says(make):
    """Development without https, and a stricter site."""
    app = make({"cookie": "other", "secure": False, "samesite": "Strict"})
    name, token, attributes = cookie_set_by(app.test_client().post("/sign-in", headers=FORM))
    assert "other" == name
    assert {"HttpOnly", "Path=/", "SameSite=Strict", "Max-Age=900"} == attributes
    client = app.test_client(use_cookies=False)
    assert 200 == client.get("/profile", headers=carrying(token, name="other")).status_code
    assert 302 == client.get("/profile", headers=carrying(token)).status_code


def test_a_page_that_needed_the_cookie_is_kept_by_nobody(client):
    """Back, after signing out, must not show it; a bearer's answer is the program's business."""
    token = token_of(client)
    page = client.get("/profile", headers=carrying(token))
    assert "no-store" == page.headers["Cache-Control"]
    assert {"Authorization", "Cookie"} == set(page.vary)
    answer = client.get("/profile", headers={"Authorization": f"Bearer {token}"})
    assert "Cache-Control" not in answer.headers


def test_a_bearer_token_comes_before_the_cookie(client):
    """What a program presents on purpose decides, and a refusal of it is final."""
    headers = {**carrying(token_of(client)), "Authorization": "Bearer nonsense"}
    answer = client.get("/profile", headers=headers)
    assert 401 == answer.status_code
    assert "invalid_token" == answer.json["error"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
def test_another_sites_form_signs_nobody_in_or_out(client, headers):
    """403, without a cookie and without an end of the token; no proof is no permission."""
    token = token_of(client)
    for path in ("/sign-in", "/sign-out"):
        response = client.post(path, headers=carrying(token, headers))
        assert 403 == response.status_code
        assert "cross_site_request" == response.json["error"]
        assert "Set-Cookie" not in response.headers
    assert 200 == client.get("/profile", headers=carrying(token)).status_code


def test_a_configured_origin_may_sign_in_and_out(make):
    """Our own page elsewhere, or a browser that says nothing but where the form is from."""
    client = make(origins=["https://www.shop.example"]).test_client()
    headers = {"Origin": "https://www.shop.example"}
    assert 303 == client.post("/sign-in", headers=headers).status_code
    assert 303 == client.post("/sign-out", headers=headers).status_code


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_signing_in_and_out_by_a_link_is_a_mistake_in_the_program(client, path):
    """It shows at the first try, with what to do."""
    with pytest.raises(ConfigurationError, match="POST"):
        client.get(path, headers=TO_A_PAGE)


def test_a_token_too_long_for_a_cookie_is_a_mistake_in_the_set_up(make):
    """Browsers would drop it and say nothing."""
    login = LoginResponse(access_token="t" * 5_000, expires_in=900)
    app = make()
    with (
        app.test_request_context(method="POST", headers=FORM),
        pytest.raises(ConfigurationError, match="5000 characters"),
    ):
        set_login(redirect("/"), login)


@pytest.mark.parametrize("change", [lambda r: set_login(r, LOGIN), clear_login])
def test_without_the_section_pages_there_is_no_cookie(app, auth, change):
    """It says what to write where."""
    with (
        app.test_request_context(method="POST", headers=FORM),
        pytest.raises(ConfigurationError, match=r'app\.config\["TOKENWARD"\]'),
    ):
        change(redirect("/"))


def test_signing_out_empties_the_cookie_and_ends_the_token(client):
    """It is good nowhere any more, a copy of it included; and an empty one is none."""
    token = token_of(client)
    response = client.post("/sign-out", headers=carrying(token, FORM))
    assert ("__Host-shop", "", {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=1"}) == (
        cookie_set_by(response)
    )
    for empty in ("", '""'):
        answer = client.get("/profile", headers=carrying(empty, {}))
        assert "not_authenticated" == answer.json["error"]
    assert "no-store" == response.headers["Cache-Control"]
    answer = client.get("/profile", headers={"Authorization": f"Bearer {token}"})
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_signing_out_twice_is_signing_out(client):
    """A token that has ended, or no cookie at all, is no reason to say no."""
    headers = carrying(token_of(client), FORM)
    for sent in (headers, headers, FORM):
        response = client.post("/sign-out", headers=sent)
        assert (303, "") == (response.status_code, cookie_set_by(response)[1])


@pytest.mark.parametrize("error", [AuthServiceUnavailable(), TokenRevoked()])
def test_an_outage_keeps_nobody_signed_in(make, error):
    """The cookie goes, whatever the auth service says or does not say."""

    def end(token):
        raise error

    app = make()
    view = lambda: clear_login(redirect("/", 303), end=end)  # noqa: E731 - a view
    app.add_url_rule("/leave", view_func=view, methods=["POST"], endpoint="leave")
    client = app.test_client(use_cookies=False)
    response = client.post("/leave", headers=carrying(token_of(client), FORM))
    assert (303, "") == (response.status_code, cookie_set_by(response)[1])


def test_without_an_end_the_token_lives_on(make):
    """It is the application that knows whom to tell."""
    app = make()
    view = lambda: clear_login(redirect("/", 303))  # noqa: E731 - a view
    app.add_url_rule("/leave", view_func=view, methods=["POST"], endpoint="leave")
    client = app.test_client(use_cookies=False)
    token = token_of(client)
    client.post("/leave", headers=carrying(token, FORM))
    assert 200 == client.get("/profile", headers=carrying(token)).status_code


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/profile", "/profile"),
        ("/profile?tab=a%26b&q=%C3%A9", "/profile?tab=a%26b&q=%C3%A9"),
        ("/orders/caf%C3%A9/what%3F", "/orders/caf%C3%A9/what%3F"),
        ("/orders/50%25", "/orders/50%25"),
        ("/orders/a;b=1,2", "/orders/a;b=1,2"),
    ],
)
def test_a_person_is_sent_to_sign_in_and_comes_back(client, path, back):
    """Where they wanted to go is written as their browser wrote it, and taken when they return."""
    response = client.get(path, headers=TO_A_PAGE)
    assert 302 == response.status_code
    assert "no-store" == response.headers["Cache-Control"]
    assert {"Authorization", "Cookie"} == set(response.vary)
    assert "Set-Cookie" not in response.headers
    there = urlsplit(response.headers["Location"])
    assert "/sign-in" == there.path
    assert {"next": [back]} == parse_qs(there.query)
    returned = client.post(response.headers["Location"], headers=FORM)
    assert back == returned.headers["Location"]


def test_a_mounted_application_comes_back_to_where_it_is_mounted(client):
    """The way back starts at the root of the host, not of the application."""
    mounted = {"SCRIPT_NAME": "/shop"}
    response = client.get("/profile?a=b", headers=TO_A_PAGE, environ_overrides=mounted)
    assert "/shop/sign-in?next=/shop/profile?a%3Db" == response.headers["Location"]


@pytest.mark.parametrize(
    "headers", [{}, {"Accept": "application/json"}, {"Sec-Fetch-Mode": "cors"}, {"Accept": "*/*"}]
)
def test_a_program_gets_the_answer_of_a_program(client, headers):
    """401, JSON and a challenge, whether or not there is a sign-in page."""
    answer = client.get("/profile", headers=headers)
    assert 401 == answer.status_code
    assert "not_authenticated" == answer.json["error"]
    assert 'Bearer realm="api"' == answer.headers["WWW-Authenticate"]


def test_a_form_that_comes_too_late_is_answered_401(client):
    """Its content would be lost on the way to the sign-in page and back."""
    assert 401 == client.post("/profile", headers=FORM).status_code


def test_without_a_sign_in_page_everybody_gets_the_same_answer(make):
    """The cookie works without one too."""
    client = make({"login_view": None}).test_client(use_cookies=False)
    assert 401 == client.get("/profile", headers=TO_A_PAGE).status_code
    assert 200 == client.get("/profile", headers=carrying(token_of(client))).status_code


def test_a_sign_in_page_that_is_not_there_is_none(make, caplog):
    """A name that no view has is said in the log; the refusal is answered all the same."""
    client = make({"login_view": "sign_inn"}).test_client(use_cookies=False)
    answers = [client.get("/profile", headers=headers) for headers in (TO_A_PAGE, {})]
    assert [401, 401] == [answer.status_code for answer in answers]
    assert "not_authenticated" == answers[0].json["error"]
    assert "pages.login_view: no URL can be built for 'sign_inn'" in caplog.text


def test_a_cookie_that_is_refused_is_taken_back(client):
    """So that the next try is not refused for it; the sign-in page is opened without a loop."""
    token = token_of(client)
    client.post("/sign-out", headers=carrying(token, FORM))
    response = client.get("/profile", headers=carrying(token))
    assert "/sign-in?next=/profile" == response.headers["Location"]
    assert ("__Host-shop", "") == cookie_set_by(response)[:2]
    api = client.get("/profile", headers=carrying(token, {"Sec-Fetch-Mode": "cors"}))
    assert (401, "") == (api.status_code, cookie_set_by(api)[1])
    assert 303 == client.post("/sign-in", headers=carrying(token, FORM)).status_code


def test_an_outage_takes_no_cookie_back_and_sends_nobody_to_sign_in(make):
    """503, as for everybody: nothing is known about the cookie, and signing in would not help."""
    app = make()
    down = Credential(cookie("__Host-shop"), StubVerifier({"t": AuthServiceUnavailable()}))
    with override_authenticator(Authenticator(down)):
        response = app.test_client(use_cookies=False).get("/profile", headers=carrying("t"))
    assert 503 == response.status_code
    assert "Set-Cookie" not in response.headers
    assert "Retry-After" in response.headers


class TestDenyByDefault:
    """Where everything is closed that does not say that it is open."""

    def test_the_sign_in_page_opens_with_an_old_cookie(self, make):
        """On a public view credentials are not looked at."""
        client = make(default_access="deny").test_client(use_cookies=False)
        response = client.post("/sign-in", headers=carrying("old", FORM))
        assert 303 == response.status_code
        response = client.post("/sign-out", headers=carrying("old", FORM))
        assert 303 == response.status_code

    def test_a_sign_in_page_that_is_not_public_sends_nobody_in_circles(self, make):
        """401 shows what is wrong; a redirect to itself would not."""
        app = make({"login_view": "closed"}, default_access="deny")
        app.add_url_rule("/closed", view_func=lambda: "", endpoint="closed")
        client = app.test_client(use_cookies=False)
        response = client.get("/closed", headers=TO_A_PAGE)
        assert (401, None) == (response.status_code, response.headers.get("Location"))
        assert 302 == client.get("/profile", headers=TO_A_PAGE).status_code
