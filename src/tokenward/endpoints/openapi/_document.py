"""The OpenAPI document, from the table of endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenward.endpoints import well_known_at_root
from tokenward.endpoints.incoming import FORM, JSON, MAX_BODY_BYTES, MAX_FORM_FIELDS
from tokenward.endpoints.openapi._answers import COMPONENTS, answers
from tokenward.endpoints.openapi._schemas import (
    Schema,
    example_of,
    form_schema,
    model_schemas,
    ref,
)
from tokenward.endpoints.table import ENDPOINTS, Endpoint

if TYPE_CHECKING:
    from tokenward.service import AuthService

# Of this description; it says nothing of the software that answers.
_VERSION = "1"

_ABOUT = f"""\
Accounts and sessions for people, tokens for programs (RFC 6749), and what others need to check \
them: introspection (RFC 7662), revocation (RFC 7009), and public keys. A client finds all of it \
by the metadata at `/.well-known/oauth-authorization-server` (RFC 8414).

Endpoints that take JSON take `{JSON}` alone, one object in which nothing is unknown or comes \
twice. The endpoints for clients take a form (`{FORM}`) of at most {MAX_FORM_FIELDS} fields, each \
once; fields that they do not know are ignored. A body has at most {MAX_BODY_BYTES:,} bytes.

A token is sent in the `Authorization` header and nowhere else. What answers `GET` answers `HEAD`.

Every refusal has the same body: `error`, for programs, and `error_description`, for people; \
beside them `fields` where members of the request are wrong."""

_TAGS = {
    "people": "Accounts, logins and sessions.",
    "clients": "For programs that authenticate themselves.",
    "published": "For everybody.",
    "health": "For whoever watches over the service.",
}

_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of a user (RFC 6750, section 2.1).",
    },
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": (
            "A client's id and secret, each form-urlencoded first (RFC 6749, section 2.3.1: "
            "`client_secret_basic`). Instead, a form may hold `client_id` and `client_secret` "
            "(`client_secret_post`), or `client_assertion_type` and `client_assertion`, a JWT that "
            "the client signed with its private key (RFC 7523: `private_key_jwt`): its `iss` and "
            "`sub` are the client's id, its `aud` is this issuer or the endpoint, its `exp` is at "
            "most 300 seconds away, and its `jti` is used once. One way at a time."
        ),
    },
}

_SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "none": [],
    "bearer": [{"bearer": []}],
    # `{}`: with nothing in the header, the form authenticates the client.
    "client": [{"client": []}, {}],
    "client_if_presented": [{}, {"client": []}],
}
_EXTRA = {"token": ("scope",), "introspect": ("token_type_hint",), "logout": ("refresh_token",)}
"""Members of an example that are not required, by the endpoint's name."""


def make_document(service: AuthService) -> dict[str, Any]:
    """Return the OpenAPI document of a service."""
    url = urlsplit(service.issuer)
    schemas = model_schemas(ENDPOINTS, password_min_length=service.password_min_length)
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        item = paths.setdefault(endpoint.path, {})
        item[endpoint.method.lower()] = _operation(endpoint, schemas)
    for path, endpoint in well_known_at_root(service.issuer).items():
        operation = _operation(endpoint, schemas)
        operation["operationId"] += "_at_root"
        servers = [{"url": f"{url.scheme}://{url.netloc}"}]
        paths[path] = {"servers": servers, endpoint.method.lower(): operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Auth service", "version": _VERSION, "description": _ABOUT},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": service.issuer.removesuffix("/")}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**schemas, **COMPONENTS["schemas"]},
            "headers": COMPONENTS["headers"],
            "securitySchemes": _SCHEMES,
        },
    }


def _operation(endpoint: Endpoint, schemas: Schema) -> Schema:
    operation: Schema = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "security": _SECURITY[endpoint.authentication],
    }
    if endpoint.takes is not None:
        operation["requestBody"] = _body(endpoint, schemas)
    operation["responses"] = answers(endpoint)
    return operation


def _body(endpoint: Endpoint, schemas: Schema) -> Schema:
    if isinstance(endpoint.takes, type):
        name = endpoint.takes.__name__
        media, schema, sent = JSON, schemas[name], ref(name)
    else:
        media = FORM
        schema = sent = form_schema(endpoint)
    example = example_of(schema, _EXTRA.get(endpoint.name, ()))
    return {
        "required": bool(schema.get("required")),
        "content": {media: {"schema": sent, "example": example}},
    }
