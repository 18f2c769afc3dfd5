"""What each endpoint does with a request. An error is raised; `call` makes it an answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenward.bearer import read_bearer, refuse_query_token
from tokenward.endpoints.incoming import (
    FORM,
    Request,
    Response,
    media_type,
    parse_form,
    read_body,
    read_form,
    read_json,
)
from tokenward.errors import (
    AuthServiceUnavailable,
    InvalidAuthorizationHeader,
    InvalidRequest,
    NotAuthenticated,
    UnsupportedMediaType,
)
from tokenward.schemas import LoginRequest, LogoutRequest, RegisterRequest

if TYPE_CHECKING:
    from tokenward.service import AuthService

PUBLIC_MAX_AGE = 300
"""Seconds for which keys and metadata may be kept; a next key is published at least this long."""

_NO_STORE = ("Cache-Control", "no-store")
# An answer about a token holds no token, and whoever asked may remember it for a while (RFC 7662,
# section 4): `no-store` would have every verifier ask every time.
_FOR_THE_ASKER = ("Cache-Control", "private, no-cache")
_PUBLIC = ("Cache-Control", f"public, max-age={PUBLIC_MAX_AGE}")
_VARY = ("Vary", "Authorization")


def register(service: AuthService, request: Request) -> Response:
    """Add an account: 201 and the user as others may see them."""
    user = service.register_user(read_json(request, RegisterRequest), peer=request.peer)
    return _answer(user.model_dump(mode="json"), _NO_STORE, status=201)


def login(service: AuthService, request: Request) -> Response:
    """Trade a password for an access token; Basic client authentication, if sent, must be right."""
    client = service.clients.authenticate_if_presented(request.headers, peer=request.peer)
    credentials = read_json(request, LoginRequest)
    granted = service.login_user(credentials, client=client, peer=request.peer)
    members = granted.model_dump(mode="json")
    return _answer({k: v for k, v in members.items() if v is not None}, _NO_STORE)


def logout(service: AuthService, request: Request) -> Response:
    """End the access token that authenticates the request."""
    token = _bearer(request)
    sent = read_json(request, LogoutRequest, optional=True)
    done = service.logout_user(token, refresh_token=sent.refresh_token, peer=request.peer)
    return _answer(done.model_dump(mode="json"), _NO_STORE, _VARY)


def me(service: AuthService, request: Request) -> Response:
    """Return the user that the access token speaks for."""
    user = service.get_logged_in_user(_bearer(request))
    return _answer(user.model_dump(mode="json"), _NO_STORE, _VARY)


def introspect(service: AuthService, request: Request) -> Response:
    """RFC 7662, section 2; without client authentication nothing is said (section 2.1)."""
    form = read_form(request)
    client = service.clients.authenticate(request.headers, form, peer=request.peer)
    token = form.get("token")
    if token is None:
        raise InvalidRequest({"token": "is required"}, reason="token_missing")
    return _answer(
        service.introspect_token(token, client=client).model_dump(mode="json"), _FOR_THE_ASKER
    )


def jwks(service: AuthService, _request: Request) -> Response:
    """Return the JWK Set (RFC 7517, section 5)."""
    return _answer(service.public_jwks(), _PUBLIC)


def metadata(service: AuthService, _request: Request) -> Response:
    """Return the metadata (RFC 8414, section 3.2)."""
    return _answer(service.metadata(), _PUBLIC)


def live(_service: AuthService, _request: Request) -> Response:
    """Say that the process answers."""
    return _answer({"status": "live"}, _NO_STORE)


def ready(service: AuthService, _request: Request) -> Response:
    """Say whether the stores and keys can be used: 200, or 503."""
    if not service.ready():
        raise AuthServiceUnavailable("the store or the keys cannot be used", reason="not_ready")
    return _answer({"status": "ready"}, _NO_STORE)


def _bearer(request: Request) -> str:
    """Return the one token of the ``Authorization`` header (RFC 6750, sections 2 and 2.1)."""
    token = read_bearer(request.headers.get("Authorization"))
    if token is None:
        raise NotAuthenticated("no bearer token in the Authorization header")
    refuse_query_token(request.query)
    if media_type(request) == FORM and (body := read_body(request)):
        if "access_token" in parse_form(body):
            raise InvalidAuthorizationHeader(
                hint="a token came in the Authorization header and in the form; send it once",
                reason="token_in_form",
            )
        raise UnsupportedMediaType("expected no body, or JSON; got a form")
    return token


def _answer(members: dict[str, Any], *headers: tuple[str, str], status: int = 200) -> Response:
    body = json.dumps(members, separators=(",", ":")).encode()
    return Response(status, (("Content-Type", "application/json"), *headers), body)
