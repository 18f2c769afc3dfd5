"""What the auth service stands on: its store, and the keys in it.

What they need is imported where they are opened: whoever only verifies tokens has neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward._seal import Sealer
    from tokenward.config.settings import ServiceSection, Settings
    from tokenward.keys import KeyRing
    from tokenward.repositories import Repositories

_SEAL_PURPOSE = "signing keys"


def open_keys(section: ServiceSection, repositories: Repositories) -> KeyRing:
    """Return the ring of the section's signing keys.

    Where the store is down they are opened as soon as it answers; see `KeyRing.load`.

    Raises:
        ConfigurationError: There are none, or one cannot be opened.
    """
    from tokenward.keys import KeyRing  # noqa: PLC0415 - see above

    files = section.keys.files
    if files is not None:
        return KeyRing.from_files(
            files.current, next=files.next, retired=files.retired, algorithm=section.keys.algorithm
        )
    sealer = sealer_of(section)
    if section.in_memory:
        KeyRing.create(repositories.keys, section.keys.algorithm, sealer=sealer)
    return KeyRing.load(
        repositories.keys,
        sealer=sealer,
        algorithm=section.keys.algorithm,
        rotate_every=section.keys.rotate_every,
        longest_lifetime=section.longest_lifetime,
    )


def initialize_store(settings: Settings) -> bool:
    """Make the store and its first signing keys; tell whether anything had to be made.

    Raises:
        ConfigurationError: There is no ``service`` section, or the store cannot be made.
        AuthServiceUnavailable: It is busy or down.
    """
    from tokenward.keys import KeyRing  # noqa: PLC0415 - see above

    section = required_section(settings)
    if section.keys.files is not None:
        return _initialize_without_keys(section)
    repositories = open_store(section, create=True)
    try:
        _version, stored = repositories.keys.load()
        if stored:
            KeyRing.load(repositories.keys, sealer=sealer_of(section))
            return False
        KeyRing.create(repositories.keys, section.keys.algorithm, sealer=sealer_of(section))
        return True
    finally:
        repositories.close()


def _initialize_without_keys(section: ServiceSection) -> bool:
    try:
        repositories, made = open_store(section, create=False), False
    except ConfigurationError:
        repositories, made = open_store(section, create=True), True
    try:
        open_keys(section, repositories)
    finally:
        repositories.close()
    return made


def open_store(section: ServiceSection, *, create: bool) -> Repositories:
    """Open the store that the section names."""
    from tokenward.repositories import open_repositories  # noqa: PLC0415 - see above

    return open_repositories(
        section.store.get_secret_value(), create=create, bcrypt_cost=section.password.bcrypt_cost
    )


def sealer_of(section: ServiceSection) -> Sealer | None:
    """Return what seals the section's keys at rest, or ``None`` where no secret is configured."""
    if not section.keys.secrets:
        return None
    from tokenward._seal import Sealer  # noqa: PLC0415 - see above

    return Sealer([s.get_secret_value() for s in section.keys.secrets], _SEAL_PURPOSE)


def required_section(settings: Settings) -> ServiceSection:
    """Return the section ``service``.

    Raises:
        ConfigurationError: There is none.
    """
    if settings.service is None:
        msg = "The configuration has no section 'service'; it names issuer, audience and store."
        raise ConfigurationError(msg)
    return settings.service
