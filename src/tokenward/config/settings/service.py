"""The section ``service``: the auth service in this process.

What a service is made of is imported where there is one: an application that only verifies tokens
has no use for stores and password hashing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tokenward._secrets import check_secret
from tokenward.config.settings.fields import (
    LIST_OF_ONE,
    Count,
    CountOrNone,
    Dotted,
    Flag,
    Names,
    OwnKeyFile,
    SealingSecrets,
    Secret,
    SecretURL,
    SecretURLStr,
    Section,
    none_in_toml,
    plain,
)
from tokenward.config.settings.throttle import Proxies, ThrottleSection
from tokenward.errors import ConfigurationError

Grant = Literal["client_credentials", "refresh_token"]


class KeyFilesSection(Section):
    """Signing keys in PEM files instead of the store; rotated by exchanging the files."""

    current: OwnKeyFile
    next: OwnKeyFile | None = None
    retired: Names = ()


class KeysSection(Section):
    """The signing keys; with ``secrets``, newest first, they are sealed in the store.

    ``rotate_every``: seconds after which the next key takes over by itself; 0: by command only.
    """

    algorithm: Literal["ES256", "RS256", "PS256", "EdDSA"] = "ES256"
    secrets: SealingSecrets = ()
    rotate_every: CountOrNone = 0
    files: KeyFilesSection | None = None

    @model_validator(mode="after")
    def _are_in_one_place(self) -> KeysSection:
        if self.files is not None and (self.secrets or self.rotate_every):
            msg = "keys in files are neither sealed nor rotated: leave out secrets and rotate_every"
            raise ValueError(msg)
        return self


class PasswordSection(Section):
    """The password policy, and the cost of a hash (each step doubles it).

    ``common``: whether a new password may be one of the most common ones.
    """

    min_length: Annotated[int, Field(ge=6, le=1024, strict=True)] = 6
    bcrypt_cost: Annotated[int, Field(ge=4, le=16, strict=True)] = 12
    common: Flag = False


def _zero(seconds: Any) -> Any:
    # None in Python and false in TOML: there are none.
    return 0 if seconds is None or seconds is False else seconds


def _detached(jwks: Any) -> Any:
    # Settings do not change with the mapping that they were read from.
    return plain(jwks) if isinstance(jwks, Mapping) else jwks


class ClientSection(Section):
    """A client of the service; audiences and lifetime default to the service's own.

    ``audiences`` are those whose tokens it may ask about, ``token_audiences`` those that its own
    tokens are for. ``jwks``: the public keys of ``private_key_jwt``, instead of a secret.
    """

    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Secret | None = None
    jwks: Annotated[dict[str, Any], BeforeValidator(_detached)] | None = Field(
        default=None, repr=False
    )
    scopes: Names = ()
    grants: Annotated[tuple[Grant, ...], LIST_OF_ONE] = ()
    audiences: Names = ()
    token_audiences: Names = ()
    access_token_lifetime: Count | None = None

    @field_validator("client_secret")
    @classmethod
    def _is_a_secret(cls, secret: Any) -> Any:
        if secret is not None:
            check_secret(secret.get_secret_value(), what="the client_secret")
        return secret

    @model_validator(mode="after")
    def _can_authenticate(self) -> ClientSection:
        if self.client_secret is None and self.jwks is None:
            msg = "has nothing to authenticate with; write its 'client_secret' or its 'jwks'"
            raise ValueError(msg)
        return self


class ServiceSection(Section):
    """The auth service; see `AuthService`. Lifetimes in seconds.

    ``refresh_token_lifetime``: 0 or ``None`` hands out none. ``session_lifetime``: the longest that
    a session goes on however often it is refreshed; 0: no end. ``throttle``: false turns it off.
    ``deliver`` and ``claims`` are ``module:name`` of functions.
    """

    issuer: str
    audience: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), LIST_OF_ONE
    ]
    store: SecretURL
    registration: Literal["closed", "open"] = "closed"
    keys: KeysSection = Field(default_factory=KeysSection)
    password: PasswordSection = Field(default_factory=PasswordSection)
    clients: tuple[ClientSection, ...] = ()
    access_token_lifetime: Count = 900
    refresh_token_lifetime: Annotated[CountOrNone, BeforeValidator(_zero)] = 2_592_000
    session_lifetime: CountOrNone = 0
    throttle: Annotated[ThrottleSection | None, BeforeValidator(none_in_toml)] = Field(
        default_factory=ThrottleSection
    )
    trusted_proxies: Proxies = ()
    deliver: Dotted | None = None
    claims: Dotted | None = None

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, issuer: str) -> str:
        from tokenward.service.metadata import check_issuer  # noqa: PLC0415 - see above

        return check_issuer(issuer)

    @field_validator("store")
    @classmethod
    def _is_a_store(cls, store: SecretURLStr) -> SecretURLStr:
        from tokenward.repositories import check_store_url  # noqa: PLC0415 - see above

        check_store_url(store.get_secret_value())
        return store

    @field_validator("clients")
    @classmethod
    def _are_different(cls, clients: tuple[ClientSection, ...]) -> tuple[ClientSection, ...]:
        if len({c.client_id for c in clients}) != len(clients):
            msg = "two clients have the same client_id"
            raise ValueError(msg)
        return clients

    @model_validator(mode="after")
    def _rotations_leave_time(self) -> ServiceSection:
        from tokenward.keys.rotation import Terms  # noqa: PLC0415 - see above

        try:
            Terms(rotate_every=self.keys.rotate_every, longest_lifetime=self.longest_lifetime)
        except ConfigurationError as error:
            msg = f"keys.{error}"
            raise ValueError(msg) from None
        return self

    @property
    def longest_lifetime(self) -> int:
        """For how many seconds a token may be good that the service signs."""
        own = (client.access_token_lifetime or 0 for client in self.clients)
        return max(self.access_token_lifetime, *own, 0)

    @property
    def in_memory(self) -> bool:
        """Whether what the store holds ends with the process."""
        return self.store.startswith("memory:")
