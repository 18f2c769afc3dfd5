"""tokenward.django.pages: signing in with a browser, and who is sent to the sign-in page."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib import auth
from django.contrib.auth import SESSION_KEY, get_user_model
from django.http import HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.test import Client
from django.test.utils import override_script_prefix
from django.urls import path

from tokenward.authenticator import Authenticator, Credential, cookie
from tokenward.django._state import parts
from tokenward.django.decorators import login_required, public
from tokenward.django.pages import clear_login, safe_next, set_login
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, TokenRevoked
from tokenward.schemas import LoginRequest, LoginResponse
from tokenward.testing import StubVerifier, override_authenticator

NAME = "__Host-shop"
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
SERVICE = {
    "issuer": "https://auth.example",
    "audience": "shop",
    "store": "memory://",
    "password": {"bcrypt_cost": 4},
}


def service():
    return parts().service


@public
def sign_in(request):
    login = service().login_user(LoginRequest(username="alice", password="correct battery"))
    return set_login(request, redirect(safe_next(request.GET.get("next"), "/profile")), login)


@public
def sign_out(request):
    return clear_login(request, redirect("/"), end=lambda token: service().logout_user(token))


@login_required
def profile(request, **_):
    return HttpResponse(request.principal.username)


@public
def form(request):
    return HttpResponse(get_token(request))


def cart(request):
    """A view that keeps something in the session, whoever asks."""
    request.session.setdefault("cart", "apples")
    return HttpResponse(request.session["cart"])


def use_session(request):
    """Log Django's own user in, or out, by Django's own means."""
    if request.POST["do"] == "login":
        user = get_user_model().objects.get(username="carol")
        auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    else:
        auth.logout(request)
    return HttpResponse("done")


def whoever(request):
    return HttpResponse(request.user.get_username() or "nobody")


class Urls:
    """A URL configuration that is no module."""

    urlpatterns = (
        path("sign-in", sign_in, name="sign-in"),
        path("sign-out", sign_out),
        path("profile", profile),
        path("orders/<path:name>", profile),
        path("form", form),
        path("cart", cart),
        path("session", use_session),
        path("whoever", whoever),
        path("closed", whoever, name="closed"),
    )


class Carrier:
    """A browser whose sign-in cookie is the test's business; it keeps every other one."""

    def __init__(self, **options):
        self.client = Client(**options)

    def __call__(self, method, path, token=None, headers=FORM, name=NAME, **options):
        if token is not None:
            self.client.cookies[name] = token
        response = getattr(self.client, method)(path, headers=headers, secure=True, **options)
        self.client.cookies.pop(name, None)
        return response

    def get(self, path, token=None, headers=TO_A_PAGE, **options):
        return self("get", path, token, headers, **options)

    def post(self, path, token=None, headers=FORM, **options):
        return self("post", path, token, headers, **options)

    def token(self):
        """Sign in, and return the token."""
        return set_by(self.post("/sign-in"))[0]


@pytest.fixture
def make(settings):
    """A function that makes a shop with an auth service of its own, where one can sign in."""

    def make(pages=None, **options):
        settings.TOKENWARD = {
            "service": SERVICE,
            "pages": {"cookie": "shop", "login_view": "sign-in", **(pages or {})},
            "django": {"user": "stateless"},
            **options,
        }
        settings.ROOT_URLCONF = Urls
        service().create_user("alice", email="alice@shop.example", password="correct battery")
        return Carrier()

    return make


@pytest.fixture
def browser(make):
    return make()


def set_by(response, name=NAME):
    """Return what a response sets the sign-in cookie to: its value, and its attributes."""
    morsel = response.cookies[name]
    attributes = {k: v for k, v in morsel.items() if v not in ("", False) and k != "expires"}
    return morsel.value, attributes


def test_signing_in_sets_the_cookie(browser):
    """For this host, for as long as the token lives, out of reach of scripts and other sites."""
    response = browser.post("/sign-in?next=/orders/7")
    assert (302, "/orders/7") == (response.status_code, response["Location"])
    token, attributes = set_by(response)
    assert {
        "path": "/",
        "secure": True,
        "httponly": True,
        "samesite": "Lax",
        "max-age": 900,
    } == attributes
    assert "no-store" == response["Cache-Control"]
    page = browser.get("/profile", token)
    assert (200, b"alice") == (page.status_code, page.content)


def test_the_cookie_is_as_the_configuration_says(make):
    """Development without https, and a stricter site."""
    browser = make({"cookie": "other", "secure": False, "samesite": "Strict"})
    token, attributes = set_by(browser.post("/sign-in"), "other")
    assert {"path": "/", "httponly": True, "samesite": "Strict", "max-age": 900} == attributes
    assert 200 == browser.get("/profile", token, name="other").status_code
    assert 302 == browser.get("/profile", token).status_code


def test_a_page_that_needed_the_cookie_is_kept_by_nobody(browser):
    """Back, after signing out, must not show it; a bearer's answer is the program's business."""
    token = browser.token()
    page = browser.get("/profile", token)
    assert "no-store" == page["Cache-Control"]
    assert {"Authorization", "Cookie"} == set(page["Vary"].split(", "))
    answer = browser.get("/profile", headers={"Authorization": f"Bearer {token}"})
    assert 200 == answer.status_code
    assert "Cache-Control" not in answer


def test_a_bearer_token_comes_before_the_cookie(browser):
    """What a program presents on purpose decides, and a refusal of it is final."""
    headers = {**TO_A_PAGE, "Authorization": "Bearer nonsense"}
    answer = browser.get("/profile", browser.token(), headers)
    assert (401, "invalid_token") == (answer.status_code, answer.json()["error"])
    assert NAME not in answer.cookies


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
def test_another_sites_form_signs_nobody_in_or_out(browser, headers):
    """403, without a cookie and without an end of the token; no proof is no permission."""
    token = browser.token()
    for where in ("/sign-in", "/sign-out"):
        response = browser.post(where, token, headers)
        assert (403, "cross_site_request") == (response.status_code, response.json()["error"])
        assert NAME not in response.cookies
    assert 200 == browser.get("/profile", token).status_code


def test_djangos_own_protection_stays(make):
    """Without its token 403, with it in; and it is a new one afterwards."""
    make()
    browser = Carrier(enforce_csrf_checks=True)
    assert 403 == browser.post("/sign-in").status_code
    field = browser.get("/form").content.decode()
    before = browser.client.cookies["csrftoken"].value
    fields = {"csrfmiddlewaretoken": field}
    headers = {**FORM, "Referer": "https://testserver/form"}
    assert 302 == browser.post("/sign-in", headers=headers, data=fields).status_code
    assert before != browser.client.cookies["csrftoken"].value


def test_a_configured_origin_may_sign_in_and_out(make):
    """Our own page elsewhere, or a browser that says nothing but where the form is from."""
    browser = make(origins=["https://www.shop.example"])
    headers = {"Origin": "https://www.shop.example"}
    assert 302 == browser.post("/sign-in", headers=headers).status_code
    assert 302 == browser.post("/sign-out", headers=headers).status_code


@pytest.mark.parametrize("where", ["/sign-in", "/sign-out"])
def test_signing_in_and_out_by_a_link_is_a_mistake_in_the_program(browser, where):
    """It shows at the first try, with what to do."""
    with pytest.raises(ConfigurationError, match="POST"):
        browser.get(where)


def test_a_token_too_long_for_a_cookie_is_a_mistake_in_the_set_up(make, rf):
    """Browsers would drop it and say nothing."""
    make()
    login = LoginResponse(access_token="t" * 5_000, expires_in=900)
    with pytest.raises(ConfigurationError, match="5000 characters"):
        set_login(rf.post("/", headers=FORM), HttpResponse(), login)


@pytest.mark.parametrize("change", [lambda *a: set_login(*a, LOGIN), clear_login])
def test_without_the_section_pages_there_is_no_cookie(rf, change):
    """It says what to write where."""
    with pytest.raises(ConfigurationError, match=r"settings\.TOKENWARD"):
        change(rf.post("/", headers=FORM), HttpResponse())


def test_a_request_without_sessions_signs_in_and_out(make, rf):
    """Who has no sessions needs none."""
    make()
    request = rf.post("/", headers={**FORM, "Cookie": f"{NAME}=the.token"})
    assert "the.token" == set_login(request, HttpResponse(), LOGIN).cookies[NAME].value
    assert "" == clear_login(request, HttpResponse()).cookies[NAME].value


def test_signing_out_empties_the_cookie_and_ends_the_token(browser):
    """It is good nowhere any more, a copy of it included; and an empty one is none."""
    token = browser.token()
    response = browser.post("/sign-out", token)
    assert (
        "",
        {"path": "/", "secure": True, "httponly": True, "samesite": "Lax", "max-age": 1},
    ) == set_by(response)
    assert "no-store" == response["Cache-Control"]
    answer = browser.get("/profile", headers={"Authorization": f"Bearer {token}"})
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]
    assert "not_authenticated" == browser.get("/profile", "", {}).json()["error"]


def test_signing_out_twice_is_signing_out(browser):
    """A token that has ended, or no cookie at all, is no reason to say no."""
    token = browser.token()
    for sent in (token, token, None):
        response = browser.post("/sign-out", sent)
        assert (302, "") == (response.status_code, set_by(response)[0])


@pytest.mark.parametrize("error", [AuthServiceUnavailable(), TokenRevoked()])
def test_an_outage_keeps_nobody_signed_in(make, rf, error):
    """The cookie goes, whatever the auth service says or does not say."""

    def end(token):
        ended.append(token)
        raise error

    make()
    ended = []
    request = rf.post("/", headers={**FORM, "Cookie": f"{NAME}=the.token"})
    assert "" == clear_login(request, HttpResponse(), end=end).cookies[NAME].value
    assert ["the.token"] == ended


@pytest.mark.parametrize(
    ("target", "back"),
    [
        ("/profile", "/profile"),
        ("/profile?tab=a%26b&q=%C3%A9", "/profile?tab=a%26b&q=%C3%A9"),
        ("/orders/caf%C3%A9/what%3F", "/orders/caf%C3%A9/what%3F"),
        ("/orders/50%25", "/orders/50%25"),
    ],
)
def test_a_person_is_sent_to_sign_in_and_comes_back(browser, target, back):
    """Where they wanted to go is written as their browser wrote it, and taken when they return."""
    response = browser.get(target)
    assert 302 == response.status_code
    assert "no-store" == response["Cache-Control"]
    assert {"Authorization", "Cookie"} == set(response["Vary"].split(", "))
    assert NAME not in response.cookies
    there = urlsplit(response["Location"])
    assert "/sign-in" == there.path
    assert {"next": [back]} == parse_qs(there.query)
    assert back == browser.post(response["Location"])["Location"]


def test_a_mounted_project_comes_back_to_where_it_is_mounted(browser, settings):
    """The way back starts at the root of the host, not of the project."""
    settings.FORCE_SCRIPT_NAME = "/shop"
    # What the WSGI handler does, and the test client's does not.
    with override_script_prefix("/shop/"):
        response = browser.get("/profile?a=b")
    assert "/shop/sign-in?next=/shop/profile%3Fa%3Db" == response["Location"]


@pytest.mark.parametrize(
    "headers", [{}, {"Accept": "application/json"}, {"Sec-Fetch-Mode": "cors"}, {"Accept": "*/*"}]
)
def test_a_program_gets_the_answer_of_a_program(browser, headers):
    """401, JSON and a challenge, whether or not there is a sign-in page."""
    answer = browser.get("/profile", headers=headers)
    assert (401, "not_authenticated") == (answer.status_code, answer.json()["error"])
    assert 'Bearer realm="api"' == answer["WWW-Authenticate"]


def test_a_form_that_comes_too_late_is_answered_401(browser):
    """Its content would be lost on the way to the sign-in page and back."""
    assert 401 == browser.post("/profile").status_code


def test_without_a_sign_in_page_everybody_gets_the_same_answer(make):
    """The cookie works without one too."""
    browser = make({"login_view": None})
    assert 401 == browser.get("/profile").status_code
    assert 200 == browser.get("/profile", browser.token()).status_code


def test_a_sign_in_page_that_is_not_there_is_none(make, caplog):
    """A name that no pattern has is said in the log; the refusal is answered all the same."""
    browser = make({"login_view": "sign-inn"})
    answers = [browser.get("/profile"), browser.get("/profile", headers={})]
    assert [401, 401] == [answer.status_code for answer in answers]
    assert "not_authenticated" == answers[0].json()["error"]
    assert "pages.login_view: no URL can be built for 'sign-inn'" in caplog.text


def test_a_cookie_that_is_refused_is_taken_back(browser):
    """So that the next try is not refused for it; the sign-in page is opened without a loop."""
    token = browser.token()
    browser.post("/sign-out", token)
    response = browser.get("/profile", token)
    assert "/sign-in?next=/profile" == response["Location"]
    assert "" == set_by(response)[0]
    answer = browser.get("/profile", token, {"Sec-Fetch-Mode": "cors"})
    assert (401, "") == (answer.status_code, set_by(answer)[0])
    assert 302 == browser.post("/sign-in", token).status_code


def test_an_outage_takes_no_cookie_back_and_sends_nobody_to_sign_in(browser):
    """503, as for everybody: nothing is known about the cookie, and signing in would not help."""
    down = Credential(cookie(NAME), StubVerifier({"t": AuthServiceUnavailable()}))
    with override_authenticator(Authenticator(down)):
        response = browser.get("/profile", "t")
    assert 503 == response.status_code
    assert NAME not in response.cookies
    assert "Retry-After" in response


class TestDenyByDefault:
    """Where everything is closed that does not say that it is open."""

    def test_the_sign_in_page_opens_with_an_old_cookie(self, make):
        """On a public view credentials are not looked at."""
        browser = make(default_access="deny")
        assert 302 == browser.post("/sign-in", "old").status_code
        assert 302 == browser.post("/sign-out", "old").status_code

    def test_a_sign_in_page_that_is_not_public_sends_nobody_in_circles(self, make):
        """401 shows what is wrong; a redirect to itself would not."""
        browser = make({"login_view": "closed"}, default_access="deny")
        response = browser.get("/closed")
        assert 401 == response.status_code
        assert "Location" not in response
        assert 302 == browser.get("/profile").status_code


@pytest.mark.django_db
class TestSessions:
    """Beside the cookie there may be a session of Django's own."""

    @pytest.fixture(autouse=True)
    def carol(self):
        """A user of Django's."""
        get_user_model().objects.create_user("carol", password="of no use here")

    def test_signing_in_makes_the_session_another(self, browser):
        """What it holds stays; its id is a new one, of no use to whoever planted the old one."""
        browser.get("/cart", headers={})
        before = browser.client.cookies["sessionid"].value
        browser.token()
        after = browser.client.cookies["sessionid"].value
        assert before != after
        assert "apples" == browser.client.session["cart"]

    def test_signing_in_needs_no_session(self, browser):
        """And makes none."""
        browser.token()
        assert "sessionid" not in browser.client.cookies

    def test_signing_in_ends_the_session_of_somebody_else(self, browser):
        """Nobody becomes them again when the cookie ends."""
        browser.post("/session", data={"do": "login"})
        assert SESSION_KEY in browser.client.session
        browser.token()
        assert b"nobody" == browser.get("/whoever").content

    def test_signing_out_ends_the_session_too(self, browser):
        """What it holds is of whoever was signed in."""
        token = browser.token()
        browser.get("/cart", token)
        browser.post("/sign-out", token)
        assert "cart" not in browser.client.session

    @pytest.mark.parametrize(("do", "who"), [("login", b"carol"), ("logout", b"nobody")])
    def test_a_session_that_begins_or_ends_ends_the_cookie(self, browser, do, who):
        """It would decide before the session: nobody could change who they are, or leave."""
        token = browser.token()
        assert b"alice" == browser.get("/whoever", token).content
        response = browser.post("/session", token, data={"do": do})
        assert "" == set_by(response)[0]
        assert who == browser.get("/whoever").content

    def test_without_the_cookie_a_session_changes_nothing_about_it(self, browser):
        """Nobody is sent a cookie for nothing."""
        response = browser.post("/session", data={"do": "login"})
        assert NAME not in response.cookies

    def test_a_view_that_does_both_has_the_last_word(self, make, rf, settings):
        """A cookie that was just set stays."""

        def both(request):
            user = get_user_model().objects.get(username="carol")
            auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            return set_login(request, HttpResponseRedirect("/"), LOGIN)

        browser = make()
        settings.ROOT_URLCONF = type("Both", (), {"urlpatterns": [path("both", both)]})
        assert "the.token" == set_by(browser.post("/both", "old"))[0]
