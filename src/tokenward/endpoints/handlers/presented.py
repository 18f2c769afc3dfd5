"""Who asks: the bearer of an access token, or a client in its own name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.bearer import read_bearer, refuse_query_token
from tokenward.endpoints.incoming import FORM, Request, media_type, parse_form, read_body
from tokenward.errors import InvalidAuthorizationHeader, NotAuthenticated, UnsupportedMediaType
from tokenward.service.metadata import TOKEN_PATH, url_of

if TYPE_CHECKING:
    from tokenward.clients import Client
    from tokenward.service import AuthService


def bearer(request: Request) -> str:
    """Return the one token of the ``Authorization`` header (RFC 6750, sections 2 and 2.1).

    Raises:
        NotAuthenticated: There is none.
        InvalidAuthorizationHeader: It is malformed, or came in the query or a form too.
        UnsupportedMediaType: The body is a form.
    """
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


def client_of(
    service: AuthService, request: Request, form: dict[str, str], *, endpoint: str
) -> Client:
    """Return the client that authenticated itself with a request.

    Args:
        service: Whose client it is.
        request: The request.
        form: The fields of its body.
        endpoint: The path of the endpoint that was asked.

    Raises:
        InvalidRequest: It authenticated itself in two ways, or is called by two names.
        InvalidClient: It did not authenticate itself, or not as it should.
        AuthServiceUnavailable: The store is down.
    """
    issuer = service.issuer
    return service.clients.authenticate(
        request.headers,
        form,
        peer=request.peer,
        audiences=(issuer, url_of(issuer, TOKEN_PATH), url_of(issuer, endpoint)),
        use_once=service.tokens.use_once,
    )


def client_if_presented(service: AuthService, request: Request) -> Client | None:
    """Return the client that the ``Authorization`` header names by Basic, if it does.

    Raises:
        InvalidAuthorizationHeader: More than one ``Authorization`` header.
        InvalidClient: It is not one of the clients, or the secret is wrong.
    """
    return service.clients.authenticate_if_presented(request.headers, peer=request.peer)
