"""What the pages do. They keep no passwords; the auth service beside this site does."""

import math
from datetime import UTC, datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from tokenward.client_auth import ClientSecretBasic
from tokenward.django.decorators import login_required, roles_required
from tokenward.django.pages import clear_login, safe_next, set_login
from tokenward.django.requests import TokenwardRequest
from tokenward.errors import (
    AuthServiceUnavailable,
    InvalidCredentials,
    InvalidRequest,
    TooManyAttempts,
)
from tokenward.schemas import LoginRequest, read_members
from tokenward.service_client import AuthServiceClient

# Passwords go from the sign-in page to the auth service, and nowhere else.
auth_service = AuthServiceClient(
    settings.AUTH_URL,
    client_auth=ClientSecretBasic(
        settings.AUTH_CLIENT["client_id"], settings.AUTH_SECRET_FILE.read_text("utf-8").strip()
    ),
)


def home(request: HttpRequest) -> HttpResponse:
    """Open to everybody: nothing here asks who comes."""
    return render(request, "accounts/home.html")


@login_required
def profile(request: TokenwardRequest) -> HttpResponse:
    """Open to who is signed in; everybody else is sent to the sign-in page, and then back here."""
    until = datetime.fromtimestamp(request.principal.expires_at or 0, UTC)
    known = {"principal": request.principal, "roles": sorted(request.principal.roles)}
    return render(request, "accounts/profile.html", {**known, "until": until})


# No password stands in Django's report of an error.
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for a name and a password, and have the auth service check them."""
    if request.method != "POST":
        return sign_in_page(request)
    asked = {name: request.POST.get(name, "") for name in ("username", "password")}
    try:
        login = auth_service.login_user(read_members(LoginRequest, asked))
    except (InvalidCredentials, InvalidRequest):
        # Not a 401, which would have to name a scheme to authenticate with (RFC 9110, 15.5.2).
        return sign_in_page(request, "The name or the password is wrong.", 403)
    except TooManyAttempts as error:
        wait = math.ceil(error.retry_after)
        return sign_in_page(request, f"Too many attempts. Wait {wait} seconds.", 429, wait=wait)
    except AuthServiceUnavailable:
        # Nobody knows whether the password is right, so nobody says that it is wrong.
        problem = "Signing in is not possible right now. Try again in a minute."
        return sign_in_page(request, problem, 503, wait=60)
    # `next` came with the request, and anybody may have written it: to another site it never leads.
    target = safe_next(request.GET.get("next"), default=resolve_url("profile"))
    # Whoever is let in has the token in a cookie from now on.
    return set_login(request, redirect(target), login)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the token and take the cookie back; by POST alone, as a link could be anybody's."""
    return clear_login(request, redirect("home"), end=auth_service.logout_user)


@login_required
def api_profile(request: TokenwardRequest) -> HttpResponse:
    """Open to whoever bears a good token; everybody else is told how to get in (401)."""
    who = request.principal
    return JsonResponse({"username": who.username, "roles": sorted(who.roles)})


@roles_required("admin")
def api_admin(request: TokenwardRequest) -> HttpResponse:
    """Open to administrators; others, though known, are refused (403)."""
    return JsonResponse({"message": f"Welcome, {request.principal.username}."})


def health(_request: HttpRequest) -> HttpResponse:
    """Open to whoever watches over this site."""
    return JsonResponse({"status": "up"})


def sign_in_page(
    request: HttpRequest, problem: str = "", status: int = 200, *, wait: int = 0
) -> HttpResponse:
    """Return the form; after a problem with the name still in it, and the password never."""
    said = {"problem": problem, "username": request.POST.get("username", "")}
    page = render(request, "accounts/sign_in.html", said, status=status)
    if wait:
        page["Retry-After"] = str(wait)
    return page
