"""The store: made, backed up, cleaned up, and the service on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokenward.commands.setup import lasting_section, service_section
from tokenward.config.build import initialize_store, open_store, service_on
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.config import Settings
    from tokenward.config.settings import ServiceSection
    from tokenward.repositories import Repositories, UserRepository
    from tokenward.service import AuthService

_logger = logging.getLogger("tokenward.keys")


@contextmanager
def opened(settings: Settings) -> Iterator[Repositories]:
    """Open the configured store for as long as the context lasts; never make one.

    Raises:
        ConfigurationError: There is no store, or it cannot be used as it is.
        AuthServiceUnavailable: It is busy or down.
    """
    repositories = open_store(lasting_section(settings), create=False)
    try:
        yield repositories
    finally:
        repositories.close()


@contextmanager
def serving(settings: Settings, *, people: UserRepository | None = None) -> Iterator[AuthService]:
    """Open the configured store, with the service on it, for as long as the context lasts.

    Args:
        settings: The configuration, with a ``service`` section.
        people: Where the users are, if that is not the store.

    Raises:
        ConfigurationError: The store or its keys are missing or unusable.
        AuthServiceUnavailable: The store is busy or down.
    """
    section = lasting_section(settings) if people is None else service_section(settings)
    repositories = open_store(section, create=False)
    try:
        service = service_on(repositories, settings, users=people)
        try:
            yield service
        finally:
            if service.throttle is not None:
                service.throttle.close()
    finally:
        repositories.close()


def init(settings: Settings) -> bool:
    """Make the store and its first signing keys; what is there already is left as it is.

    What `of_plain_keys` says is logged.

    Returns:
        Whether anything had to be made.

    Raises:
        ConfigurationError: The store cannot be made, or what is there cannot be used.
        AuthServiceUnavailable: It is busy or down.
    """
    section = lasting_section(settings)
    made = initialize_store(settings)
    if advice := of_plain_keys(section):
        _logger.warning("%s", advice)
    return made


def of_plain_keys(section: ServiceSection) -> str | None:
    """Return what to say of keys that a database keeps as they are; ``None``: there are none.

    In SQLite the file is for its owner only.
    """
    if section.keys.secrets or section.keys.files is not None:
        return None
    if not section.store.startswith("mongodb"):
        return None
    return (
        "service.keys: the signing keys are in the database unsealed, and whoever reads it signs "
        "tokens; write secrets, and then run `tokenward keys prune`, or write files."
    )


def cleanup(settings: Settings) -> int:
    """Forget what has expired; return how many things that were.

    Revocations, sessions, one-time tokens, what was good for one use, counters of attempts: of
    none of them anything depends any more.

    Raises:
        ConfigurationError: There is no store, or it cannot be used as it is.
        AuthServiceUnavailable: It is busy or down.
    """
    now = time.time()
    with opened(settings) as repositories:
        forgotten = repositories.tokens.purge_expired(now)
        if repositories.counters is not None:
            forgotten += repositories.counters.purge_expired(now)
        return forgotten


def backup(settings: Settings, path: str) -> None:
    """Write a copy of the store to a new file, while the service goes on.

    Args:
        settings: The configuration, with a ``service`` section.
        path: Of the file; for its owner only.

    Raises:
        ConfigurationError: There is no store, it cannot be backed up so, or the file cannot be
            written or is there already.
        AuthServiceUnavailable: The store is busy or down.
    """
    with opened(settings) as repositories:
        back_up = getattr(repositories.store, "backup", None)
        if back_up is None:
            raise ConfigurationError(
                "service.store: a MongoDB is backed up by its own mongodump; or stop the service, "
                "and run `tokenward store copy FROM sqlite:///FILE`."
            )
        back_up(path)
