"""The store: made, cleaned up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokenward.commands.setup import lasting_section
from tokenward.config.build import initialize_store, open_store

if TYPE_CHECKING:
    from tokenward.config import Settings
    from tokenward.repositories import Repositories


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


def init(settings: Settings) -> bool:
    """Make the store and its first signing keys; what is there already is left as it is.

    Returns:
        Whether anything had to be made.

    Raises:
        ConfigurationError: The store cannot be made, or what is there cannot be used.
        AuthServiceUnavailable: It is busy or down.
    """
    lasting_section(settings)
    return initialize_store(settings)


def cleanup(settings: Settings) -> int:
    """Forget revocations of tokens that nobody takes any more; return how many there were.

    Raises:
        ConfigurationError: There is no store, or it cannot be used as it is.
        AuthServiceUnavailable: It is busy or down.
    """
    with opened(settings) as repositories:
        return repositories.tokens.purge_expired(time.time())
