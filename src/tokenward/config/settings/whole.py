"""`Settings`: the configuration mapping, parsed once and frozen."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError, model_validator

from tokenward.config.settings.credentials import CredentialEntry, LocalEntry
from tokenward.config.settings.django import DjangoSection
from tokenward.config.settings.fields import Section, one_line, setting_at
from tokenward.config.settings.pages import PagesSection
from tokenward.config.settings.service import ServiceSection
from tokenward.config.settings.shared import Observers, SharedCacheSection
from tokenward.errors import ConfigurationError

CONFIG_VARIABLE = "TOKENWARD_CONFIG"


class Settings(Section):
    """The whole configuration, the same mapping in Flask, in Django and in a TOML file.

    Secrets are read with it and are in no ``repr``. Sequences may be lists or tuples.
    """

    realm: str = "api"
    default_access: Literal["allow", "deny"] = "allow"
    public: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    credentials: tuple[CredentialEntry, ...] = ()
    shared_cache: SharedCacheSection | None = None
    on_event: Observers = ()
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


# Behind these a location has the tag of a union, which is no part of what the user wrote.
_UNIONS = frozenset({"client_auth"})
_TAG_OF_AN_ENTRY = 2
_LISTS_OF_ENTRIES = (["credentials"], ["service", "clients"])
_ADVICE = {
    "audience": (
        "write the name that this API has at the issuer; None (in TOML: false) takes a token that "
        "is meant for anybody"
    ),
    "issuer": (
        "write whose tokens are taken, as they name their issuer; None (in TOML: false) takes what "
        "anybody signed with the secret"
    ),
}


def _sentence(error: Any) -> str:
    path = _as_written(error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "union_tag_invalid":
        named = error["ctx"]
        message = (
            f"{named['tag']!r} is no {named['discriminator']}; known: {named['expected_tags']}"
        )
    if error["type"] == "tuple_type":
        message = "write a list"
        if path in _LISTS_OF_ENTRIES:
            message += f" of entries, even of one: [{{...}}] (in TOML: [[{setting_at(path)}]])"
    if error["type"] == "missing":
        message = "is missing"
        if path and path[0] == "credentials" and path[-1] in _ADVICE:
            message += f"; {_ADVICE[path[-1]]}"
    return one_line(path, message)


def _as_written(location: Sequence[Any]) -> list[Any]:
    return [
        part
        for at, part in enumerate(location)
        if not (at and location[at - 1] in _UNIONS)
        and not (at == _TAG_OF_AN_ENTRY and location[0] == "credentials")
    ]
