"""Ways around a closed door that do not lead in."""

import logging

import pytest
from django.contrib import auth
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path
from django.views import View
from django.views.debug import ExceptionReporter
from django.views.generic import RedirectView
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.response import Response

from tokenward.config import Settings
from tokenward.django import _state
from tokenward.django.decorators import login_required, public
from tokenward.django.drf import HasScopes, TokenwardAuthentication
from tokenward.django.users import user_for
from tokenward.errors import ConfigurationError
from tokenward.principal import Principal

OURS = "tokenward.django.middleware.TokenwardMiddleware"
PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}
SECRET = b"only for who is let in"


def secret(_request):
    return HttpResponse(SECRET)


@public
class Opened(View):
    def get(self, _request):
        return HttpResponse(b"for everybody")


class Derived(Opened):
    def get(self, _request):
        return HttpResponse(SECRET)


class Overriding:
    """Middleware as some projects have it: a header says what the method is meant to be."""

    def __init__(self, get_response):
        self._get_response = get_response

    def __call__(self, request):
        request.method = request.headers.get("X-HTTP-Method-Override", request.method)
        return self._get_response(request)


class Answering:
    """Middleware that has an answer before the view is known, as a cache does."""

    def __init__(self, get_response):
        self._get_response = get_response

    def __call__(self, request):
        return HttpResponse(SECRET)


@api_view(["GET", "OPTIONS"])
@authentication_classes([TokenwardAuthentication])
@permission_classes([HasScopes.of("read")])
def scoped(_request):
    return Response(SECRET.decode())


def test_who_derives_from_an_open_view_is_closed(site):
    """Only the class that says so is open."""
    site(path("open", Opened.as_view()), path("", Derived.as_view()), default_access="deny")
    assert site.ask("/open").status_code == 200
    assert site.ask("/").status_code == 401


def test_a_rule_for_one_method_opens_no_other(site):
    """Neither the method that was sent nor the one that runs may be closed."""
    middleware = [f"{__name__}.Overriding", OURS]
    options = {"default_access": "deny", "public": ["POST /"], "middleware": middleware}
    site(path("", secret), **options)
    assert site.ask("/", method="POST").status_code == 200
    overridden = {"X-HTTP-Method-Override": "DELETE"}
    assert site.ask("/", method="POST", headers=overridden).status_code == 401


def test_what_answers_behind_us_does_so_only_for_who_is_let_in(site):
    """The view is looked up first, so that a cache is no way in."""
    site(path("", secret), default_access="deny", middleware=[OURS, f"{__name__}.Answering"])
    assert site.ask("/").status_code == 401
    assert site.ask("/", "alice").content == SECRET


@pytest.mark.parametrize(
    "view",
    [
        login_required(secret),
        login_required(RedirectView.as_view(url="/?signature=secret")),
        login_required(scoped),
    ],
    ids=["function", "redirect", "api_view"],
)
def test_a_preflight_gets_nothing_of_a_view_that_is_the_same_for_every_method(site, view):
    """It is not refused, and not let in."""
    site(path("", view))
    response = site.ask("/", method="OPTIONS", headers=PREFLIGHT)
    assert (response.status_code, response.content) == (204, b"")
    assert "Location" not in response.headers


@pytest.mark.django_db
def test_no_backend_that_is_named_makes_a_session_of_a_token(settings, client, caplog):
    """Whatever `login()` is told, the user of a token is not signed in."""
    get_user_model().objects.create_user("local")
    settings.TOKENWARD = {"credentials": [], "django": {"user": "model"}}
    request = RequestFactory().get("/")
    request.session = client.session
    user = user_for(Principal("alice", issuer="https://login.example"))
    with caplog.at_level(logging.WARNING):
        auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    assert auth.SESSION_KEY not in request.session


def test_a_report_of_an_error_shows_no_credential(site, settings):
    """Neither in the mail to the administrators nor on the page for developers."""
    seen = []

    def fails(request):
        seen.append(request)
        raise LookupError

    settings.LOGGING_CONFIG = None
    site(path("", fails))
    token = "eyJ-of-the-cookie"
    assert site.ask("/", headers={"Cookie": f"token={token}; other=1"}).status_code == 500
    (request,) = seen
    reporter = ExceptionReporter(request, LookupError, LookupError(), None)
    for report in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert "other" in report
        assert token not in report


def test_accounts_take_a_user_model_that_can_close_a_row(settings, monkeypatch):
    """Else whoever the service deactivates would go on signing in by ModelBackend."""

    class Endless(AbstractBaseUser):
        name = models.CharField(max_length=50, unique=True)
        USERNAME_FIELD = "name"

        class Meta:
            app_label = "closed"

    monkeypatch.setattr(_state, "get_user_model", lambda: Endless)
    parsed = Settings.model_validate(
        {
            "service": {"issuer": "https://a.example", "audience": "a", "store": "memory://"},
            "django": {"service_users": "model"},
        }
    )
    with pytest.raises(ConfigurationError, match="'is_active'"):
        _state.home().users(parsed)
