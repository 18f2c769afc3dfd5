"""Where a configuration is written: one mapping, three homes.

A TOML file, ``app.config["TOKENWARD"]``, ``settings.TOKENWARD``: the commands do the same for each
of them, and tell a person what to write in the words of the one they were given.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tokenward.commands.setup import config_file, load
from tokenward.config.settings import as_settings
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.config import Settings
    from tokenward.repositories import UserRepository

_STORE_INIT = "`tokenward store init`"


class Home(Protocol):
    """Where a configuration is written."""

    @property
    def name(self) -> str:
        """What messages call it.

        Raises:
            ConfigurationError: It is a file, and nobody named one.
        """
        ...

    @property
    def file(self) -> str | None:
        """The path of the file that it is, if it is one."""
        ...

    @property
    def elsewhere(self) -> str:
        """How a secret is written here that is kept elsewhere."""
        ...

    def settings(self) -> Settings:
        """Return the configuration, parsed.

        Raises:
            ConfigurationError: There is none, or it says something wrong.
        """
        ...

    def written(self) -> Mapping[str, Any]:
        """Return the configuration as it is written; nothing where that is not known any more."""
        ...

    def users(self, settings: Settings, /) -> UserRepository | None:
        """Return where this home keeps the service's users; ``None``: in the service's store."""
        ...

    def in_its_words(self, message: str, /) -> str:
        """Return ``message`` with the commands that it advises as they are typed here."""
        ...


@dataclass(frozen=True, slots=True)
class FileHome:
    """A TOML file.

    Attributes:
        given: Its path; ``None``: the environment names it.
    """

    given: str | None = None
    elsewhere = '{ file = "PATH" } or { env = "NAME" }'

    @property
    def name(self) -> str:
        """Its path."""
        return config_file(self.given)

    @property
    def file(self) -> str | None:
        """Its path."""
        return self.name

    def settings(self) -> Settings:
        """Return the configuration, parsed."""
        return load(self.given)

    def written(self) -> Mapping[str, Any]:
        """Return what stands in the file."""
        return tomllib.loads(Path(self.name).read_text("utf-8"))

    def users(self, _settings: Settings, /) -> UserRepository | None:
        """Return nothing: a file knows no users but the store's."""
        return None

    def in_its_words(self, message: str, /) -> str:
        """Complete a command with the file that was named."""
        if self.given is None:
            return message
        return message.replace(_STORE_INIT, f"{_STORE_INIT[:-1]} --config {self.given}`")


@dataclass(frozen=True, slots=True)
class MappingHome:
    """A setting of a framework that holds the mapping itself.

    Attributes:
        name: What messages call it.
        mapping: The mapping, or the settings made of it; ``None``: it is not there.
        store_init: The command that makes the store.
    """

    name: str
    mapping: Settings | Mapping[str, Any] | None = field(repr=False)
    store_init: str
    file: str | None = None
    elsewhere = '{"file": "PATH"} or {"env": "NAME"}'

    def settings(self) -> Settings:
        """Return the configuration, parsed."""
        if self.mapping is None:
            raise ConfigurationError(
                f"{self.name} is missing; write the mapping that says whose tokens are taken."
            )
        return as_settings(self.mapping)

    def written(self) -> Mapping[str, Any]:
        """Return the mapping."""
        return self.mapping if isinstance(self.mapping, Mapping) else {}

    def users(self, _settings: Settings, /) -> UserRepository | None:
        """Return nothing: the users are the store's."""
        return None

    def in_its_words(self, message: str, /) -> str:
        """Name the framework's own command."""
        return message.replace(_STORE_INIT, f"`{self.store_init}`")


def written_secrets(settings: Settings, home: Home) -> Iterator[tuple[str, Any]]:
    """Yield the dotted path of each secret, and what is written there: a string, or a mapping.

    What is parsed knows which settings are secrets; what is written knows where each came from.
    """
    yield from _written_secrets(settings, home.written(), "")


def _written_secrets(parsed: Any, raw: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(parsed, "get_secret_value"):
        # A URL without a password may stand anywhere. Where a `SecretStr` came from is not known.
        is_written_out = isinstance(raw, str) and getattr(parsed, "hides_something", True)
        if is_written_out or isinstance(raw, Mapping):
            yield path, raw
    elif isinstance(raw, Mapping) and not isinstance(parsed, Mapping):
        for name, value in raw.items():
            inner = getattr(parsed, name, None)
            yield from _written_secrets(inner, value, f"{path}.{name}" if path else name)
    elif isinstance(raw, list | tuple) and isinstance(parsed, tuple):
        for at, value in enumerate(raw):
            yield from _written_secrets(parsed[at], value, f"{path}[{at}]")
