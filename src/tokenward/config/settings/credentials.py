"""The entries of ``credentials``: whose tokens are taken, and from where."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenward.config.settings.client_auth import ClientAuthSection
from tokenward.config.settings.fields import (
    Audience,
    Count,
    CountOrNone,
    Names,
    PositiveSeconds,
    Seconds,
    Section,
    SomeNames,
    says,
)


class _Credential(Section):
    source: Annotated[str, Field(pattern=r"^(authorization|header:[!-9;-~]+|cookie:[!-~]+)$")] = (
        "authorization"
    )
    ambient: Annotated[bool, Field(strict=True)] | None = None
    leeway: Seconds = 30
    roles_claim: Names = ("roles",)


class IntrospectionEntry(_Credential):
    """Tokens that an RFC 7662 endpoint is asked about; see `IntrospectionVerifier`.

    With ``issuer`` alone the endpoint is discovered (RFC 8414). A written ``issuer`` is also whose
    tokens are taken: each answer must name it.
    """

    type: Literal["introspection"]
    introspection_endpoint: str | None = None
    client_auth: ClientAuthSection
    audience: Audience
    issuer: str | None = None
    signed_response_alg: SomeNames | None = None
    jwks_uri: str | None = None
    required: Names = ()
    ttl: Seconds = 60
    negative_ttl: Seconds = 15
    max_entries: CountOrNone = 10_000
    stale_if_error: Seconds = 0
    max_token_bytes: Count = 16_384
    token_type_hint: str | None = "access_token"  # noqa: S105 - a kind of token, not a secret
    timeout: PositiveSeconds = 5
    connect_timeout: PositiveSeconds = 2
    retries: CountOrNone = 1
    verify_tls: bool | str = True
    proxies: dict[str, str] | None = Field(default=None, repr=False)
    max_response_bytes: Count = 65_536
    pool_size: Count = 10
    breaker_failures: Count = 5
    breaker_seconds: PositiveSeconds = 2

    @model_validator(mode="after")
    def _says_whom_to_ask(self) -> Self:
        if self.introspection_endpoint is None and self.issuer is None:
            msg = (
                "says nobody to ask; write 'issuer', whose endpoint is discovered and whom each "
                "answer must name, or 'introspection_endpoint'"
            )
            raise ValueError(msg)
        return self


class LocalEntry(_Credential):
    """Tokens of the ``service`` section, checked in the same process and store."""

    type: Literal["local"]


CredentialEntry = Annotated[
    IntrospectionEntry | LocalEntry, Field(discriminator="type"), says("type")
]
