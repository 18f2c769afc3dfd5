"""The section ``client_auth``: how we authenticate to an authorization server."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenward.config.settings.fields import (
    OwnKeyFile,
    OwnSecret,
    PositiveSeconds,
    Seconds,
    Secret,
    Section,
    says,
)


class BasicAuthSection(Section):
    """``client_secret_basic`` (RFC 6749, section 2.3.1)."""

    method: Literal["client_secret_basic"]
    client_id: str
    client_secret: Secret
    encoding: Literal["form", "raw"] = "form"


class PostAuthSection(Section):
    """``client_secret_post`` (RFC 6749, section 2.3.1)."""

    method: Literal["client_secret_post"]
    client_id: str
    client_secret: Secret


class PrivateKeyJWTSection(Section):
    """``private_key_jwt`` (RFC 7523, section 2.2); the key is a PEM text without a passphrase."""

    method: Literal["private_key_jwt"]
    client_id: str
    private_key: OwnSecret
    algorithm: str = "ES256"
    audience: str | None = None
    kid: str | None = None


class MutualTLSSection(Section):
    """A client certificate (RFC 8705): paths of PEM files, the key without a passphrase.

    The file that holds the key is its owner's alone.
    """

    method: Literal["tls_client_auth", "self_signed_tls_client_auth"]
    client_id: str
    cert: str
    key: OwnKeyFile


class BearerAuthSection(Section):
    """A bearer token of our own (RFC 7662, section 2.1)."""

    method: Literal["bearer"]
    token: Secret


TokenEndpointAuthSection = Annotated[
    BasicAuthSection | PostAuthSection | PrivateKeyJWTSection | MutualTLSSection,
    Field(discriminator="method"),
    says("method"),
]
"""How we say at a token endpoint which client we are."""


class ClientCredentialsSection(Section):
    """A bearer token of our own that is fetched, and again before it ends (RFC 6749, 4.4)."""

    method: Literal["client_credentials"]
    token_endpoint: str | None = None
    issuer: str | None = None
    client_auth: TokenEndpointAuthSection
    scope: str | None = None
    audience: str | None = None
    resource: str | None = None
    early: Seconds = 30
    timeout: PositiveSeconds = 5

    @model_validator(mode="after")
    def _says_whom_to_ask(self) -> Self:
        if (self.token_endpoint is None) == (self.issuer is None):
            msg = "write one of 'issuer', whose token endpoint is discovered, and 'token_endpoint'"
            raise ValueError(msg)
        return self


ClientAuthSection = Annotated[
    BasicAuthSection
    | PostAuthSection
    | PrivateKeyJWTSection
    | MutualTLSSection
    | BearerAuthSection
    | ClientCredentialsSection,
    Field(discriminator="method"),
    says("method"),
]
"""How we authenticate at an introspection endpoint."""
