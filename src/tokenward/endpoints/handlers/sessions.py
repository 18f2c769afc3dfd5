"""What a login has led to: listed, refreshed and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.endpoints.handlers.answers import NO_STORE, answer_of, done, granted
from tokenward.endpoints.handlers.presented import bearer, client_if_presented
from tokenward.endpoints.incoming import Request, Response, read_json
from tokenward.schemas import EndSessionRequest, LogoutRequest, RefreshRequest

if TYPE_CHECKING:
    from tokenward.service import AuthService


def refresh(service: AuthService, request: Request) -> Response:
    """Trade a refresh token for the next tokens; Basic, if sent, must be right."""
    client = client_if_presented(service, request)
    sent = read_json(request, RefreshRequest)
    return granted(service.refresh(sent.refresh_token, client=client, peer=request.peer))


def logout(service: AuthService, request: Request) -> Response:
    """End the access token that authenticates the request, and the session it belongs to."""
    token = bearer(request)
    sent = read_json(request, LogoutRequest, optional=True)
    ended = service.logout_user(token, refresh_token=sent.refresh_token, peer=request.peer)
    return answer_of(ended, NO_STORE)


def sessions(service: AuthService, request: Request) -> Response:
    """List one's own sessions."""
    return answer_of(service.sessions(bearer(request)), NO_STORE)


def end_session(service: AuthService, request: Request) -> Response:
    """End one of one's own sessions."""
    token = bearer(request)
    sent = read_json(request, EndSessionRequest)
    service.end_session(token, sent.sid, peer=request.peer)
    return done()
