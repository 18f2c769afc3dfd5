"""`ENDPOINTS`: what the service answers to; adapters and the OpenAPI document loop over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tokenward.endpoints import handlers
from tokenward.endpoints.incoming import Request, Response
from tokenward.schemas import (
    ChangePasswordRequest,
    EndSessionRequest,
    ForgotPasswordRequest,
    IntrospectResponse,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    PublicUser,
    RefreshRequest,
    RegisterRequest,
    ResetPasswordRequest,
    SessionsResponse,
    TokenResponse,
    VerifyEmailRequest,
)
from tokenward.service.metadata import (
    DOCS_PATH,
    INTROSPECTION_PATH,
    JWKS_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
)

if TYPE_CHECKING:
    from tokenward.service import AuthService

Handler = Callable[["AuthService", Request], Response]

Authentication = Literal["none", "bearer", "client", "client_if_presented"]


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form that an endpoint reads.

    Attributes:
        name: As the RFC has it.
        description: One sentence.
        required: Whether the request is refused without it.
    """

    name: str
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table.

    Attributes:
        name: For a framework's reverse look-up.
        method: ``GET`` answers HEAD too.
        path: Below the place where the service is mounted.
        handler: Does it, or raises.
        summary: One sentence, for people.
        tag: The group that it belongs to.
        takes: The model of its JSON body, or the fields of its form; ``None``: no body.
        gives: The model of what it answers; ``None``: see ``media``.
        status: Of success.
        media: Of what it answers; ``""``: nothing.
        authentication: Who may ask.
        refusals: The statuses that it may refuse with, beside those that any endpoint may.
    """

    name: str
    method: str
    path: str
    handler: Handler
    summary: str = ""
    tag: str = ""
    takes: type[Any] | tuple[FormField, ...] | None = None
    gives: type[Any] | None = None
    status: int = 200
    media: str = "application/json"
    authentication: Authentication = "none"
    refusals: tuple[int, ...] = ()


_TOKEN = FormField("token", "The token.", required=True)
_HINT = FormField("token_type_hint", "access_token or refresh_token (RFC 7009, section 2.1).")
_CLIENT = (
    FormField("client_id", "With client_secret_post, and with private_key_jwt if sent."),
    FormField("client_secret", "With client_secret_post."),
    FormField("client_assertion_type", "With private_key_jwt (RFC 7523, section 2.2)."),
    FormField("client_assertion", "With private_key_jwt."),
)
_GRANT = (
    FormField("grant_type", "client_credentials or refresh_token.", required=True),
    FormField("scope", "Less than what could be granted, separated by spaces."),
    FormField("resource", "Whom the token is for (RFC 8707), one of the client's audiences."),
    FormField("audience", "The same, by another name."),
    FormField("refresh_token", "With the grant type refresh_token."),
)

ENDPOINTS = (
    Endpoint(
        "register",
        "POST",
        "/register",
        handlers.register,
        summary="Open an account.",
        tag="people",
        takes=RegisterRequest,
        gives=PublicUser,
        status=201,
        refusals=(400, 403, 409, 413, 415, 429),
    ),
    Endpoint(
        "login",
        "POST",
        "/login",
        handlers.login,
        summary="Trade a password for tokens.",
        tag="people",
        takes=LoginRequest,
        gives=LoginResponse,
        authentication="client_if_presented",
        refusals=(400, 401, 413, 415, 429),
    ),
    Endpoint(
        "refresh",
        "POST",
        "/refresh",
        handlers.refresh,
        summary="Trade a refresh token for the next tokens.",
        tag="people",
        takes=RefreshRequest,
        gives=LoginResponse,
        authentication="client_if_presented",
        refusals=(400, 401, 413, 415),
    ),
    Endpoint(
        "logout",
        "POST",
        "/logout",
        handlers.logout,
        summary="End the session that the token belongs to.",
        tag="people",
        takes=LogoutRequest,
        gives=LogoutResponse,
        authentication="bearer",
        refusals=(400, 401, 413, 415),
    ),
    Endpoint(
        "me",
        "GET",
        "/me",
        handlers.me,
        summary="Say whom the token speaks for.",
        tag="people",
        gives=PublicUser,
        authentication="bearer",
        refusals=(400, 401, 413, 415),
    ),
    Endpoint(
        "password",
        "POST",
        "/password",
        handlers.change_password,
        summary="Change one's own password; every session ends.",
        tag="people",
        takes=ChangePasswordRequest,
        status=204,
        media="",
        authentication="bearer",
        refusals=(400, 401, 413, 415, 429),
    ),
    Endpoint(
        "password_forgot",
        "POST",
        "/password/forgot",
        handlers.forgot_password,
        summary="Have the way to a new password sent to an e-mail address.",
        tag="people",
        takes=ForgotPasswordRequest,
        status=204,
        media="",
        refusals=(400, 413, 415, 429),
    ),
    Endpoint(
        "password_reset",
        "POST",
        "/password/reset",
        handlers.reset_password,
        summary="Set a new password with the one-time token that was sent.",
        tag="people",
        takes=ResetPasswordRequest,
        status=204,
        media="",
        refusals=(400, 413, 415, 429),
    ),
    Endpoint(
        "email_verify",
        "POST",
        "/email/verify",
        handlers.verify_email,
        summary="Show with the one-time token that an e-mail address is one's own.",
        tag="people",
        takes=VerifyEmailRequest,
        status=204,
        media="",
        refusals=(400, 413, 415, 429),
    ),
    Endpoint(
        "sessions",
        "GET",
        "/sessions",
        handlers.sessions,
        summary="List one's own sessions.",
        tag="people",
        gives=SessionsResponse,
        authentication="bearer",
        refusals=(400, 401, 413, 415),
    ),
    Endpoint(
        "sessions_end",
        "POST",
        "/sessions/end",
        handlers.end_session,
        summary="End one of one's own sessions.",
        tag="people",
        takes=EndSessionRequest,
        status=204,
        media="",
        authentication="bearer",
        refusals=(400, 401, 413, 415),
    ),
    Endpoint(
        "token",
        "POST",
        TOKEN_PATH,
        handlers.token,
        summary="The token endpoint (RFC 6749, section 3.2).",
        tag="clients",
        takes=(*_GRANT, *_CLIENT),
        gives=TokenResponse,
        authentication="client",
        refusals=(400, 401, 413, 415),
    ),
    Endpoint(
        "introspect",
        "POST",
        INTROSPECTION_PATH,
        handlers.introspect,
        summary="Say what a token is good for (RFC 7662).",
        tag="clients",
        takes=(_TOKEN, _HINT, *_CLIENT),
        gives=IntrospectResponse,
        authentication="client",
        refusals=(400, 401, 413, 415),
    ),
    Endpoint(
        "revoke",
        "POST",
        REVOCATION_PATH,
        handlers.revoke,
        summary="End a token (RFC 7009).",
        tag="clients",
        takes=(_TOKEN, _HINT, *_CLIENT),
        media="",
        authentication="client",
        refusals=(400, 401, 413, 415),
    ),
    Endpoint(
        "jwks",
        "GET",
        JWKS_PATH,
        handlers.jwks,
        summary="The keys that verify our tokens (RFC 7517).",
        tag="published",
    ),
    Endpoint(
        "oauth_metadata",
        "GET",
        "/.well-known/oauth-authorization-server",
        handlers.metadata,
        summary="What there is to know of this issuer (RFC 8414).",
        tag="published",
    ),
    Endpoint(
        "openid_metadata",
        "GET",
        "/.well-known/openid-configuration",
        handlers.metadata,
        summary="The same, where OpenID Connect Discovery looks for it.",
        tag="published",
    ),
    Endpoint(
        "openapi",
        "GET",
        "/openapi.json",
        handlers.openapi,
        summary="This description.",
        tag="published",
    ),
    Endpoint(
        "docs",
        "GET",
        DOCS_PATH,
        handlers.docs,
        summary="This description, to be read.",
        tag="published",
        media="text/html",
    ),
    Endpoint(
        "live",
        "GET",
        "/health/live",
        handlers.live,
        summary="Say that the process answers.",
        tag="health",
    ),
    Endpoint(
        "ready",
        "GET",
        "/health/ready",
        handlers.ready,
        summary="Say whether the store and the keys can be used.",
        tag="health",
    ),
)
