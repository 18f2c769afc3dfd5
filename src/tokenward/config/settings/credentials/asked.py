"""Entries of type ``introspection``, and ``live`` of those that verify by themselves."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tokenward.config.settings.client_auth import ClientAuthSection
from tokenward.config.settings.credentials.placed import PlacedEntry, VerifyingSection
from tokenward.config.settings.fields import (
    Audience,
    Count,
    CountOrNone,
    Names,
    PositiveSeconds,
    Seconds,
    SomeNames,
    VerifyTLS,
    WrittenIssuer,
)

_NOBODY = (
    "says nobody to ask; write 'issuer', whose endpoint is discovered and whom each answer must "
    "name, or 'introspection_endpoint'"
)


class AskingSection(VerifyingSection):
    """Whom to ask about a token, and how (RFC 7662); see `IntrospectionVerifier`."""

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
    # No longer one is sent anywhere (RULES 19).
    max_token_bytes: Annotated[Count, Field(le=16_384)] = 16_384
    token_type_hint: str | None = "access_token"  # noqa: S105 - a kind of token, not a secret
    timeout: PositiveSeconds = 5
    connect_timeout: PositiveSeconds = 2
    retries: CountOrNone = 1
    verify_tls: VerifyTLS = True
    proxies: dict[str, str] | None = Field(default=None, repr=False)
    max_response_bytes: Count = 65_536
    pool_size: Count = 10
    breaker_failures: Count = 5
    breaker_seconds: PositiveSeconds = 2

    @model_validator(mode="after")
    def _says_whom_to_ask(self) -> Self:
        if self.introspection_endpoint is None and self.issuer is None:
            raise ValueError(_NOBODY)
        return self


class IntrospectionEntry(PlacedEntry, AskingSection):
    """Tokens that an RFC 7662 endpoint is asked about; see `IntrospectionVerifier`.

    With ``issuer`` alone the endpoint is discovered (RFC 8414). A written ``issuer`` is also whose
    tokens are taken: each answer must name it.
    """

    type: Literal["introspection"]


class LiveSection(AskingSection):
    """Who is asked where a view wants a ``live`` decision; the rest is as in the entry around it.

    Attributes:
        INHERITED: What is the entry's where it is not written here.
    """

    INHERITED: ClassVar = (
        "audience",
        "issuer",
        "leeway",
        "roles_claim",
        "timeout",
        "connect_timeout",
        "retries",
        "verify_tls",
        "proxies",
    )

    # Unlike an entry's, it may be taken back: servers answer without one.
    issuer: WrittenIssuer = None
