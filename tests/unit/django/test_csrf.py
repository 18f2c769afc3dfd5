"""Django's CSRF protection beside ours (RULES 29): who needs which proof."""

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.test import Client
from django.urls import path
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from tokenward.authenticator import Authenticator, Credential, authorization, cookie, header
from tokenward.django.decorators import login_required, public
from tokenward.django.drf import TokenwardAuthentication
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, override_authenticator

ORIGIN = "https://shop.example"
BY_MODEL = "django.contrib.auth.backends.ModelBackend"
BY_COOKIE = {"Cookie": "token=alice"}
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
FORM = "application/x-www-form-urlencoded"


def who(request):
    return HttpResponse(request.principal.subject or "nobody")


def name(request):
    return HttpResponse(request.user.get_username() or "nobody")


@public
def opened(request):
    return name(request)


def form(request):
    return HttpResponse(get_token(request))


@pytest.fixture
def shop(site):
    """Return the site, with a guarded view and a form that hands out Django's own token."""
    site(
        path("", login_required(who)),
        path("name", name),
        path("public", opened),
        path("exempt", csrf_exempt(login_required(who))),
        path("protected", csrf_protect(login_required(who))),
        path("form", form),
        origins=[ORIGIN],
    )
    return site


@pytest.fixture
def carol(db):
    return get_user_model().objects.create_user("carol", password="a long one")


def csrf_of(client):
    """Return what a form of Django's has to send along."""
    return {"X-CSRFToken": client.get("/form").content.decode()}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("target", ["/", "/protected", "/exempt"])
def test_a_bearer_needs_neither_cookie_nor_form_field(shop, method, target):
    """No other site can make a browser send the header without asking first."""
    answer = shop.ask(target, "alice", method=method, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.content) == (200, b"alice")
    assert not answer.cookies


@pytest.mark.parametrize(
    ("token", "status"), [("old", 401), ("unknown", 401), ("down", 503), ("a b", 400), ("", 400)]
)
def test_a_bearer_that_is_refused_is_refused_as_such(shop, token, status):
    """Not for a missing form field; what is malformed was sent on purpose too."""
    answer = shop.ask("/", token, method="POST")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")


@pytest.mark.parametrize("value", ["", "Basic YTpi", "Bearers alice", "alice"])
def test_other_authorization_opens_nothing(shop, carol, value):
    """What is no bearer token leaves Django's protection as it is: browsers send Basic alone."""
    shop.client.force_login(carol, BY_MODEL)
    answer = shop.ask("/name", method="POST", headers={"Authorization": value})
    assert answer.status_code == 403
    assert b"CSRF" in answer.content


def test_a_session_needs_djangos_token_as_ever(shop, carol):
    """And gets in with it."""
    shop.client.force_login(carol, BY_MODEL)
    assert shop.ask("/name", method="POST").status_code == 403
    proof = csrf_of(shop.client)
    assert shop.ask("/name", method="POST", headers=proof).content == b"carol"


@pytest.mark.parametrize(
    ("target", "token", "body"),
    [
        ("/name", "alice", b"alice"),
        ("/name", "old", b"invalid_token"),
        ("/name", "a b", b"invalid_request"),
        ("/public", "alice", b"nobody"),
        ("/public", "old", b"nobody"),
        ("/public", "a b", b"nobody"),
    ],
)
def test_with_a_token_presented_nobody_is_the_user_of_the_session(shop, carol, target, token, body):
    """Protection is off for it, so the session must not count, not even where nobody looks."""
    shop.client.force_login(carol, BY_MODEL)
    assert body in shop.ask(target, token, method="POST").content


def test_a_public_view_keeps_the_session_of_whoever_presents_nothing(shop, carol):
    """As without us."""
    shop.client.force_login(carol, BY_MODEL)
    assert shop.ask("/public").content == b"carol"
    assert shop.ask("/public", "alice").content == b"carol"
    assert shop.ask("/public", method="POST", headers=csrf_of(shop.client)).content == b"carol"


@pytest.mark.parametrize(
    ("has_djangos", "site_says", "status"),
    [
        (True, SAME_SITE, 200),
        (True, {"Sec-Fetch-Site": "none"}, 200),
        (True, {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, 403),
        (True, {}, 403),
        (True, {"Sec-Fetch-Site": "cross-site"}, 403),
        (False, SAME_SITE, 403),
        (False, {}, 403),
    ],
)
def test_a_cookie_needs_both_proofs(shop, has_djangos, site_says, status):
    """Django's token, because the middleware is there, and ours.

    An origin that is configured here alone is not enough where Django checks it too: it has to be
    in CSRF_TRUSTED_ORIGINS as well.
    """
    headers = dict(site_says)
    cookies = "token=alice"
    if has_djangos:
        headers |= csrf_of(shop.client)
        cookies += f"; csrftoken={shop.client.cookies['csrftoken'].value}"
    answer = shop.ask("/", method="POST", headers=headers | {"Cookie": cookies}, client=bare(shop))
    assert answer.status_code == status


def bare(site):
    """Return a client that sends the Cookie header it is given, and none of its own."""
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.cookies.clear()
    return client


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        (SAME_SITE, 200, b""),
        ({"Origin": ORIGIN}, 200, b""),
        ({}, 403, b"cross_site_request"),
        ({"Sec-Fetch-Site": "same-site"}, 403, b"cross_site_request"),
        ({"Origin": "https://evil.example"}, 403, b"cross_site_request"),
        ({"Origin": "null"}, 403, b"cross_site_request"),
    ],
)
def test_where_djangos_protection_is_off_ours_stays(shop, headers, status, error):
    """A view may be exempt from the one; nothing is from the other."""
    answer = shop.ask("/exempt", method="POST", headers=BY_COOKIE | headers)
    assert (answer.status_code, error in answer.content) == (status, True)


def test_under_deny_ours_is_asked_first(site):
    """Another site learns nothing of Django's."""
    site(path("", who), default_access="deny")
    answer = site.ask("/", method="POST", headers=BY_COOKIE)
    assert b"cross_site_request" in answer.content
    assert b"CSRF" in site.ask("/", method="POST", headers=BY_COOKIE | SAME_SITE).content


@pytest.mark.parametrize("ambient", [True, False])
def test_another_header_is_what_its_credential_says_it_is(site, ambient):
    """A proxy may attach it by itself; unless it is declared that none does."""
    site(path("", login_required(who)))
    verifier = StubVerifier({"alice": Principal("alice")})
    place = Credential(header("X-Token"), verifier, ambient=ambient)
    with override_authenticator(Authenticator(place)):
        answer = site.ask("/", method="POST", headers={"X-Token": "alice"})
    assert answer.status_code == (403 if ambient else 200)


def test_the_first_place_that_is_present_says_who_is_protected(site, verifier):
    """A cookie tried before the header makes the request an ambient one."""
    site(path("", login_required(who)))
    places = (Credential(cookie("token"), verifier), Credential(authorization(), verifier))
    with override_authenticator(Authenticator(*places)):
        both = site.ask("/", "alice", method="POST", headers=BY_COOKIE)
        alone = site.ask("/", "alice", method="POST")
    assert (both.status_code, alone.status_code) == (403, 200)
    assert b"CSRF" in both.content


def test_rest_framework_sessions_keep_their_protection(site, carol):
    """Its own check is not turned off for whoever presents nothing of ours."""

    class Orders(APIView):
        authentication_classes = (TokenwardAuthentication, SessionAuthentication)
        permission_classes = (IsAuthenticated,)

        def post(self, request):
            return Response(request.user.get_username())

    site(path("", Orders.as_view()), path("form", form))
    site.client.force_login(carol, BY_MODEL)
    assert site.ask("/", method="POST").status_code == 403
    assert site.ask("/", method="POST", headers=csrf_of(site.client)).content == b'"carol"'
    assert site.ask("/", "alice", method="POST").content == b'"alice"'
    assert site.ask("/", "old", method="POST").status_code == 401


def test_a_form_in_the_body_is_never_read_for_a_token(shop):
    """RULES 26: the body is the view's."""
    answer = shop.ask("/", "alice", method="POST", data="access_token=bob", content_type=FORM)
    assert answer.content == b"alice"
    assert (
        shop.ask("/exempt", method="POST", data="access_token=bob", content_type=FORM).status_code
        == 401
    )
