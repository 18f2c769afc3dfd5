"""The section ``service``: the auth service in this process."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tokenward._seal import check_secret
from tokenward.config.settings.fields import Count, Names, SealingSecrets, Secret, Section
from tokenward.repositories import check_store_url
from tokenward.service.metadata import check_issuer


class KeysSection(Section):
    """The signing keys; with ``secrets``, newest first, they are sealed in the store."""

    algorithm: Literal["ES256", "RS256", "PS256", "EdDSA"] = "ES256"
    secrets: SealingSecrets = ()


class PasswordSection(Section):
    """The password policy, and the cost of a hash (each step doubles it)."""

    min_length: Annotated[int, Field(ge=6, le=1024, strict=True)] = 6
    bcrypt_cost: Annotated[int, Field(ge=4, le=16, strict=True)] = 12


class ClientSection(Section):
    """A client that may introspect; audiences and lifetime default to the service's own."""

    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Secret
    scopes: Names = ()
    grants: Names = ()
    audiences: Names = ()
    access_token_lifetime: Count | None = None

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
