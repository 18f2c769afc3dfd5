"""`Settings`: the configuration mapping, parsed once and frozen."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tokenward._seal import check_secret
from tokenward.config._fields import Audience, Names, OwnSecret, Secret, Section, one_line, says
from tokenward.errors import ConfigurationError
from tokenward.repositories import check_store_url
from tokenward.service.metadata import check_issuer

CONFIG_VARIABLE = "TOKENWARD_CONFIG"

# Strict: True is no number of seconds, and "60" one that was quoted by mistake.
PositiveSeconds = Annotated[float, Field(gt=0, strict=True)]
Seconds = Annotated[float, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
CountOrNone = Annotated[int, Field(ge=0, strict=True)]


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


class BearerAuthSection(Section):
    """A bearer token of our own (RFC 7662, section 2.1)."""

    method: Literal["bearer"]
    token: Secret


ClientAuthSection = Annotated[
    BasicAuthSection | PostAuthSection | BearerAuthSection,
    Field(discriminator="method"),
    says("method"),
]


class _Credential(Section):
    source: Annotated[str, Field(pattern=r"^(authorization|header:[!-9;-~]+|cookie:[!-~]+)$")] = (
        "authorization"
    )
    leeway: Seconds = 30
    roles_claim: Names = ("roles",)


class IntrospectionEntry(_Credential):
    """Tokens that an RFC 7662 endpoint is asked about; see `IntrospectionVerifier`."""

    type: Literal["introspection"]
    introspection_endpoint: str
    client_auth: ClientAuthSection
    audience: Audience
    issuer: str | None = None
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


class LocalEntry(_Credential):
    """Tokens of the ``service`` section, checked in the same process and store."""

    type: Literal["local"]


CredentialEntry = Annotated[
    IntrospectionEntry | LocalEntry, Field(discriminator="type"), says("type")
]


class KeysSection(Section):
    """The signing keys; with ``secrets``, newest first, they are sealed in the store."""

    algorithm: Literal["ES256", "RS256", "PS256", "EdDSA"] = "ES256"
    secrets: tuple[OwnSecret, ...] = ()

    @field_validator("secrets")
    @classmethod
    def _are_secrets(cls, secrets: Any) -> Any:
        for position, secret in enumerate(secrets, 1):
            check_secret(secret.get_secret_value(), what=f"secret {position}")
        return secrets


class PasswordSection(Section):
    """The password policy, and the cost of a hash (each step doubles it)."""

    min_length: Annotated[int, Field(ge=6, le=1024, strict=True)] = 6
    bcrypt_cost: Annotated[int, Field(ge=4, le=16, strict=True)] = 12


class ClientSection(Section):
    """A client that may introspect; ``audiences`` default to the service's own."""

    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Secret
    scopes: Names = ()
    grants: Names = ()
    audiences: Names = ()

    @field_validator("client_secret")
    @classmethod
    def _is_a_secret(cls, secret: Any) -> Any:
        check_secret(secret.get_secret_value(), what="the client_secret")
        return secret


class ServiceSection(Section):
    """The auth service; see `AuthService`. Lifetimes in seconds."""

    issuer: str
    audience: Annotated[str, Field(min_length=1)]
    store: str = Field(repr=False)
    registration: Literal["closed", "open"] = "closed"
    keys: KeysSection = KeysSection()
    password: PasswordSection = PasswordSection()
    clients: tuple[ClientSection, ...] = ()
    access_token_lifetime: Count = 900

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, issuer: str) -> str:
        return check_issuer(issuer)

    @field_validator("store")
    @classmethod
    def _is_a_store(cls, store: str) -> str:
        check_store_url(store)
        return store

    @field_validator("clients")
    @classmethod
    def _are_different(cls, clients: tuple[ClientSection, ...]) -> tuple[ClientSection, ...]:
        if len({c.client_id for c in clients}) != len(clients):
            msg = "two clients have the same client_id"
            raise ValueError(msg)
        return clients


class Settings(Section):
    """The whole configuration, the same mapping in Flask, in Django and in a TOML file.

    Secrets are read with it and are in no ``repr``. Sequences may be lists or tuples.
    """

    realm: str = "api"
    default_access: Literal["allow", "deny"] = "allow"
    public: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    credentials: tuple[CredentialEntry, ...] = ()
    service: ServiceSection | None = None

    @model_validator(mode="after")
    def _local_has_a_service(self) -> Self:
        if self.service is None and any(isinstance(c, LocalEntry) for c in self.credentials):
            msg = "a credential of type 'local' needs the section 'service'"
            raise ValueError(msg)
        return self

    @classmethod
    def model_validate(cls, obj: Any, **kwargs: Any) -> Self:
        """Parse a mapping.

        Raises:
            ConfigurationError: One sentence a problem, each with the path of the setting.
        """
        try:
            return super().model_validate(obj, **kwargs)
        except ValidationError as error:
            msg = "; ".join(_sentence(e) for e in error.errors(include_url=False))
        # Raised here and not above: as its context, pydantic's error would carry the secrets.
        raise ConfigurationError(msg)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a TOML file.

        Raises:
            ConfigurationError: The file cannot be read, is not TOML, or says something wrong.
        """
        try:
            mapping = tomllib.loads(Path(path).read_text("utf-8"))
        except FileNotFoundError:
            msg = f"There is no configuration file {path}."
            raise ConfigurationError(msg) from None
        except (OSError, ValueError) as error:
            # A TOMLDecodeError names the line; it shows none of the text.
            msg = f"The configuration file {path} cannot be read: {error}"
            raise ConfigurationError(msg) from None
        try:
            return cls.model_validate(mapping)
        except ConfigurationError as error:
            msg = f"{path}: {error}"
            raise ConfigurationError(msg) from None

    @classmethod
    def from_env(cls) -> Self:
        """Read the TOML file that the environment variable ``TOKENWARD_CONFIG`` names.

        Raises:
            ConfigurationError: The variable is not set; or as in `from_file`.
        """
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            msg = (
                "tokenward is not configured: call tokenward.configure({...}), or set "
                f"{CONFIG_VARIABLE} to the path of a TOML file."
            )
            raise ConfigurationError(msg)
        return cls.from_file(path)


def as_settings(settings: Settings | Mapping[str, Any] | None) -> Settings:
    """Return settings from settings, a mapping, or (``None``) the environment."""
    if settings is None:
        return Settings.from_env()
    return settings if isinstance(settings, Settings) else Settings.model_validate(settings)


_DISCRIMINATORS = frozenset(
    {"introspection", "local", "client_secret_basic", "client_secret_post", "bearer"}
)
_NONE_ADVICE = "write None (in TOML: false) to accept a token for any audience"


def _sentence(error: Any) -> str:
    # Part of a location that is the tag of a union is no part of what the user wrote.
    path = [part for part in error["loc"] if part not in _DISCRIMINATORS]
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "union_tag_invalid":
        named = error["ctx"]
        message = (
            f"{named['tag']!r} is no {named['discriminator']}; known: {named['expected_tags']}"
        )
    if error["type"] == "missing":
        message = "is missing"
        if path and path[-1] == "audience" and path[0] == "credentials":
            message += f"; {_NONE_ADVICE}"
        if path and path[-1] == "introspection_endpoint":
            message += "; it is not discovered from an issuer"
    return one_line(path, message)
