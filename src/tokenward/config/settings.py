"""`Settings`: the configuration mapping, parsed once and frozen."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tokenward._seal import check_secret
from tokenward.bearer import check_scopes
from tokenward.config._fields import Audience, Names, OwnSecret, Secret, Section, one_line, says
from tokenward.errors import ConfigurationError
from tokenward.pages import SignInCookie
from tokenward.repositories import check_store_url
from tokenward.service.metadata import check_issuer

CONFIG_VARIABLE = "TOKENWARD_CONFIG"

# Strict: True is no number of seconds, and "60" one that was quoted by mistake.
PositiveSeconds = Annotated[float, Field(gt=0, strict=True)]
Seconds = Annotated[float, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
CountOrNone = Annotated[int, Field(ge=0, strict=True)]

_MAX_GROUP_CHARACTERS = 150  # of Django's own column
_permission = re.compile(r"[^.\s]+\.[^.\s]+").fullmatch


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
    ambient: Annotated[bool, Field(strict=True)] | None = None
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


class PagesSection(Section):
    """Signing in with a browser; see `SignInCookie`.

    The cookie becomes one more place where a token may be, the last one, verified as the tokens of
    the ``Authorization`` header are.
    """

    cookie: str
    login_view: str | None = None
    samesite: Literal["Lax", "Strict"] = "Lax"
    secure: Annotated[bool, Field(strict=True)] = True

    @model_validator(mode="after")
    def _is_a_cookie(self) -> Self:
        self.sign_in_cookie()
        return self

    def sign_in_cookie(self) -> SignInCookie:
        """Return the cookie that this section describes."""
        return SignInCookie(
            self.cookie,
            secure=self.secure,
            samesite=self.samesite,
            login_view=self.login_view,
        )


class RolesSection(Section):
    """What the roles that one issuer asserts become in Django's database.

    Each list is exact. A column or a group that no list names is never touched.
    """

    staff_roles: Names = ()
    superuser_roles: Names = ()
    groups: dict[str, Names] = Field(default_factory=dict)

    @field_validator("groups")
    @classmethod
    def _are_groups(cls, groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name in (name for names in groups.values() for name in names):
            if not 1 <= len(name) <= _MAX_GROUP_CHARACTERS:
                msg = f"a group's name has 1 to {_MAX_GROUP_CHARACTERS} characters, not {len(name)}"
                raise ValueError(msg)
        return groups

    @property
    def maps_nothing(self) -> bool:
        """Whether no role becomes anything."""
        return not (self.staff_roles or self.superuser_roles or self.groups)


class LoginSection(Section):
    """The auth service that `PasswordBackend` asks; without one, that of this process."""

    issuer: str
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Secret
    timeout: PositiveSeconds = 5
    connect_timeout: PositiveSeconds = 2
    verify_tls: bool | str = True

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, issuer: str) -> str:
        return check_issuer(issuer)


class DjangoSection(RolesSection):
    """How principals become Django's users; see `tokenward.django`."""

    user: Literal["model", "stateless"] = "model"
    service_users: Literal["store", "model"] = "store"
    create: Annotated[bool, Field(strict=True)] = True
    link_verified_email: Annotated[bool, Field(strict=True)] = False
    username_from: Annotated[str, Field(min_length=1)] = "username"
    permissions: dict[str, Names] = Field(default_factory=dict)
    on_user: str | None = None
    login: LoginSection | None = None
    session_recheck: PositiveSeconds = 300
    issuers: dict[str, RolesSection] = Field(default_factory=dict)

    @field_validator("permissions")
    @classmethod
    def _are_permissions(cls, mapping: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        check_scopes(mapping)
        for name in (name for names in mapping.values() for name in names):
            if _permission(name) is None:
                msg = f"{name!r} is no permission; write 'app_label.codename'"
                raise ValueError(msg)
        return mapping

    @model_validator(mode="after")
    def _sessions_have_a_row(self) -> Self:
        if self.user == "stateless" and self.login is not None:
            msg = "'login' makes sessions, and a session is of a row: write 'user': 'model'"
            raise ValueError(msg)
        return self


class Settings(Section):
    """The whole configuration, the same mapping in Flask, in Django and in a TOML file.

    Secrets are read with it and are in no ``repr``. Sequences may be lists or tuples.
    """

    realm: str = "api"
    default_access: Literal["allow", "deny"] = "allow"
    public: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    credentials: tuple[CredentialEntry, ...] = ()
    pages: PagesSection | None = None
    service: ServiceSection | None = None
    django: DjangoSection | None = None

    @model_validator(mode="after")
    def _local_has_a_service(self) -> Self:
        if self.service is None and any(isinstance(c, LocalEntry) for c in self.credentials):
            msg = "a credential of type 'local' needs the section 'service'"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _roles_are_of_somebody(self) -> Self:
        # A role is worth what its issuer is: none may speak for another, and none that is unnamed.
        section = self.django
        if section is None or (section.maps_nothing and not section.issuers):
            return self
        known = self.issuers
        if None in known:
            msg = (
                "django: roles become rights in the database, so every credential must say whose "
                "they are: write the 'issuer' of each"
            )
            raise ValueError(msg)
        if not section.maps_nothing and len(known) > 1:
            msg = (
                f"django: tokens of several issuers are verified ({', '.join(map(str, known))}); "
                "write the roles under django.issuers, by the issuer that asserts them"
            )
            raise ValueError(msg)
        if unknown := [issuer for issuer in section.issuers if issuer not in known]:
            msg = f"django.issuers: nothing here verifies tokens of {', '.join(unknown)}"
            raise ValueError(msg)
        return self

    @property
    def issuers(self) -> tuple[str | None, ...]:
        """Whose tokens and logins are trusted, each once; ``None``: somebody who is not named."""
        service = None if self.service is None else self.service.issuer
        named = [
            service if isinstance(entry, LocalEntry) else entry.issuer for entry in self.credentials
        ]
        login = None if self.django is None else self.django.login
        if login is not None:
            named.append(login.issuer)
        elif service is not None:
            # It checks passwords, whether or not its tokens are taken here.
            named.append(service)
        return tuple(dict.fromkeys(named))

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
_NONE_ADVICE = (
    "write the name that this API has at the issuer; None (in TOML: false) takes a token that is "
    "meant for anybody"
)


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
