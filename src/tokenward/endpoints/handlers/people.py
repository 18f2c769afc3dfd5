"""Accounts: registered, logged in, their passwords and addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.endpoints.handlers.answers import NO_STORE, answer_of, done, granted
from tokenward.endpoints.handlers.presented import bearer, client_if_presented
from tokenward.endpoints.incoming import Request, Response, read_json
from tokenward.schemas import (
    ChangePasswordRequest,
    ForgotPasswordRequest,
    LoginRequest,
    RegisterRequest,
    ResetPasswordRequest,
    VerifyEmailRequest,
)

if TYPE_CHECKING:
    from tokenward.service import AuthService


def register(service: AuthService, request: Request) -> Response:
    """Add an account: 201 and the user as others may see them."""
    user = service.register_user(read_json(request, RegisterRequest), peer=request.peer)
    return answer_of(user, NO_STORE, status=201)


def login(service: AuthService, request: Request) -> Response:
    """Trade a password for tokens; Basic client authentication, if sent, must be right."""
    client = client_if_presented(service, request)
    credentials = read_json(request, LoginRequest)
    return granted(service.login_user(credentials, client=client, peer=request.peer))


def me(service: AuthService, request: Request) -> Response:
    """Return the user that the access token speaks for."""
    return answer_of(service.get_logged_in_user(bearer(request)), NO_STORE)


def change_password(service: AuthService, request: Request) -> Response:
    """Exchange one's own password for another; the tokens of until now end."""
    token = bearer(request)
    sent = read_json(request, ChangePasswordRequest)
    service.change_password(token, sent.current_password, sent.new_password, peer=request.peer)
    return done()


def verify_email(service: AuthService, request: Request) -> Response:
    """Use up a one-time token that was sent to the address."""
    service.verify_email(read_json(request, VerifyEmailRequest).token, peer=request.peer)
    return done()


def forgot_password(service: AuthService, request: Request) -> Response:
    """Have a one-time token sent; the answer is the same whether anybody has the address."""
    service.forgot_password(read_json(request, ForgotPasswordRequest).email, peer=request.peer)
    return done()


def reset_password(service: AuthService, request: Request) -> Response:
    """Use up a one-time token that was sent to the address, and set a new password."""
    sent = read_json(request, ResetPasswordRequest)
    service.reset_password(sent.token, sent.new_password, peer=request.peer)
    return done()
