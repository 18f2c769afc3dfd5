"""What an endpoint answers: what it gives, and the one body of every refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.endpoints.openapi._schemas import Schema, ref
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    InvalidClient,
    InvalidCredentials,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    InvalidToken,
    NotAuthenticated,
    PayloadTooLarge,
    RegistrationClosed,
    TooManyAttempts,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedMediaType,
    UserAlreadyExists,
)

if TYPE_CHECKING:
    from tokenward.endpoints.table import Endpoint

_ALWAYS: dict[int, tuple[type[AuthError], ...]] = {
    403: (RegistrationClosed,),
    409: (UserAlreadyExists,),
    413: (PayloadTooLarge,),
    415: (UnsupportedMediaType,),
    429: (TooManyAttempts,),
    503: (AuthServiceUnavailable,),
}
_GRANTS = (InvalidGrant, InvalidScope, InvalidTarget, UnauthorizedClient, UnsupportedGrantType)
_MALFORMED: dict[str, tuple[type[AuthError], ...]] = {
    "refresh": (InvalidRequest, InvalidGrant),
    "token": (InvalidRequest, *_GRANTS),
}
_UNAUTHORIZED: dict[str, tuple[type[AuthError], ...]] = {
    "none": (),
    "bearer": (NotAuthenticated, InvalidToken),
    "client": (InvalidClient,),
    "client_if_presented": (InvalidClient,),
}
_OF_PASSWORDS = ("login", "password")

_MEANINGS = {
    400: "The request cannot be understood, or what it asks for is not there.",
    401: "Whoever asks is not authenticated.",
    500: "A mistake of the service; nothing is said of it.",
    503: "The store cannot be used right now, or too many passwords are being checked.",
}

COMPONENTS: dict[str, Schema] = {
    "headers": {
        "WWW-Authenticate": {
            "description": "The challenge (RFC 9110, section 11.6.1; RFC 6750, section 3).",
            "required": True,
            "schema": {"type": "string", "pattern": '^(Basic|Bearer) realm="'},
        },
        "Retry-After": {
            "description": "Seconds after which asking again makes sense.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        },
    },
    "schemas": {
        "Error": {
            "type": "object",
            "description": "Every refusal.",
            "required": ["error", "error_description"],
            "properties": {
                "error": {"type": "string", "description": "What programs branch on."},
                "error_description": {"type": "string", "description": "For people."},
                "fields": {
                    "type": "object",
                    "description": "What is wrong, by member; `_` is the whole.",
                    "additionalProperties": {"type": "string"},
                },
            },
        },
        "ServerError": {
            "type": "object",
            "description": "A mistake of the service.",
            "required": ["error"],
            "properties": {"error": {"const": "server_error"}},
        },
        "JWKSet": {
            "type": "object",
            "description": "Public keys (RFC 7517, section 5).",
            "required": ["keys"],
            "properties": {
                "keys": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["kty", "kid", "alg", "use"],
                        "properties": {
                            name: {"type": "string"} for name in ("kty", "kid", "alg", "use")
                        },
                        # A private member of any kind of key (RFC 7518, section 6).
                        "not": {"anyOf": [{"required": [name]} for name in ("d", "k", "p", "q")]},
                    },
                }
            },
        },
        "Metadata": {
            "type": "object",
            "description": "What there is to know of an issuer (RFC 8414, section 2).",
            "required": ["issuer", "jwks_uri", "token_endpoint", "grant_types_supported"],
            "properties": {
                **{
                    name: {"type": "string", "format": "uri"}
                    for name in (
                        *("issuer", "jwks_uri", "token_endpoint"),
                        *("introspection_endpoint", "revocation_endpoint"),
                    )
                },
                "grant_types_supported": {"type": "array", "items": {"type": "string"}},
            },
        },
        "Health": {
            "type": "object",
            "description": "How the service is.",
            "required": ["status"],
            "properties": {"status": {"enum": ["live", "ready"]}},
        },
        "OpenAPI": {
            "type": "object",
            "description": "This description (OpenAPI Specification 3.1).",
            "required": ["openapi", "info", "paths"],
        },
    },
}

_GIVEN = {
    "jwks": "JWKSet",
    "oauth_metadata": "Metadata",
    "openid_metadata": "Metadata",
    "openapi": "OpenAPI",
    "live": "Health",
    "ready": "Health",
}
"""The answers of endpoints that have no model, by the endpoint's name."""


def answers(endpoint: Endpoint) -> dict[str, Any]:
    """Return the answers of an endpoint, by status."""
    found = {endpoint.status: _success(endpoint)}
    found |= {status: _refusal(endpoint, status) for status in (*endpoint.refusals, 500, 503)}
    return {str(status): found[status] for status in sorted(found)}


def _success(endpoint: Endpoint) -> Schema:
    if not endpoint.media:
        return {"description": "Done; the body is empty."}
    if endpoint.media == "text/html":
        return {"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}
    name = _GIVEN[endpoint.name] if endpoint.gives is None else endpoint.gives.__name__
    return {"description": "Done.", "content": {endpoint.media: {"schema": ref(name)}}}


def _refusal(endpoint: Endpoint, status: int) -> Schema:
    errors = _errors(endpoint, status)
    described: Schema = {
        "description": " ".join(
            [_MEANINGS[status]]
            if status in _MEANINGS
            else list(dict.fromkeys(error.description for error in errors))
        )
    }
    if status == 401:
        described["headers"] = _header("WWW-Authenticate")
    elif status in (429, 503):
        described["headers"] = _header("Retry-After")
    schema = ref("ServerError")
    if errors:
        codes = [error.error for error in errors]
        schema = {**ref("Error"), "properties": {"error": {"enum": codes}}}
        example = {"error": codes[0], "error_description": errors[0].description}
        described["content"] = {"application/json": {"schema": schema, "example": example}}
    else:
        described["content"] = {"application/json": {"schema": schema}}
    return described


def _errors(endpoint: Endpoint, status: int) -> tuple[type[AuthError], ...]:
    if status == 400:
        return _MALFORMED.get(endpoint.name, (InvalidRequest,))
    if status == 401:
        wrong = (InvalidCredentials,) if endpoint.name in _OF_PASSWORDS else ()
        return (*wrong, *_UNAUTHORIZED[endpoint.authentication])
    return _ALWAYS.get(status, ())


def _header(name: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"}}
