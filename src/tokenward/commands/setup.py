"""Finding and checking the configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tokenward.config import Settings, build_authenticator, build_service, build_shared
from tokenward.config.settings import CONFIG_VARIABLE
from tokenward.config.settings.fields import SecretURLStr
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.authenticator import Authenticator
    from tokenward.config.settings import ServiceSection

HOW_TO_CONFIGURE = (
    f"There is no configuration: name a TOML file with --config, or in {CONFIG_VARIABLE}."
)


def config_file(path: str | None) -> str:
    """Return the path of the configuration: the one given, or the one in the environment.

    Raises:
        ConfigurationError: Neither is there.
    """
    found = path or os.environ.get(CONFIG_VARIABLE)
    if not found:
        raise ConfigurationError(HOW_TO_CONFIGURE)
    return found


def load(path: str | None) -> Settings:
    """Return the settings in the file at ``path``, or in the one that the environment names.

    Raises:
        ConfigurationError: There is none, or it says something wrong.
    """
    return Settings.from_file(config_file(path))


def check(settings: Settings) -> Authenticator:
    """Build everything that ``settings`` describe, without reaching for any of it.

    No store is opened and no server asked: `doctor` does that.

    Returns:
        What would decide about requests.

    Raises:
        ConfigurationError: A part cannot be built.
    """
    shared = build_shared(settings)
    service = None
    if settings.service is not None:
        service = build_service(_in_memory(settings, settings.service), shared=shared)
    return build_authenticator(settings, service=service, shared=shared)


def service_section(settings: Settings) -> ServiceSection:
    """Return the section ``service``.

    Raises:
        ConfigurationError: There is none.
    """
    if settings.service is None:
        raise ConfigurationError(
            "The configuration has no section 'service', and this command is about one; "
            "it names issuer, audience and store."
        )
    return settings.service


def lasting_section(settings: Settings) -> ServiceSection:
    """Return the section ``service`` if what is done to its store outlives this process.

    Raises:
        ConfigurationError: There is none, or it keeps everything in memory.
    """
    section = service_section(settings)
    if section.in_memory:
        raise ConfigurationError(
            "service.store: what is in memory:// ends with this command; name a file, such as "
            "sqlite:///tokenward.db."
        )
    return section


def _in_memory(settings: Settings, section: ServiceSection) -> Settings:
    elsewhere = section.model_copy(update={"store": SecretURLStr("memory://")})
    return settings.model_copy(update={"service": elsewhere})
