"""The two stores of a copy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.errors import ConfigurationError
from tokenward.repositories import check_store_url, open_repositories
from tokenward.repositories.base import Portable

if TYPE_CHECKING:
    from tokenward.repositories import KeyRepository, Repositories

_ENV = "env:"
# What a shell can set (POSIX.1-2017, XBD 3.235).
_is_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch


@dataclass(frozen=True, slots=True)
class Place:
    """A store, open: what is carried, and the signing keys."""

    contents: Portable
    keys: KeyRepository


def url_of(argument: str, what: str) -> str:
    """Return the URL of a store: the argument itself, or what its ``env:NAME`` names.

    Args:
        argument: What was typed.
        what: What messages call it.

    Raises:
        ConfigurationError: It is no URL of a store that lasts.
    """
    url = argument
    if argument.startswith(_ENV):
        name = argument.removeprefix(_ENV)
        url = os.environ.get(name, "")
        if not url and not _is_name(name):
            # Not repeated: it may be a URL, with its password.
            raise ConfigurationError(
                f"{what}: behind env: stands the name of an environment variable, and this is "
                "none; write env:NAME, or the URL of the store without env:."
            )
        if not url:
            raise ConfigurationError(
                f"{what}: the environment variable {name} is not set, or empty; set it to the URL "
                "of a store."
            )
    try:
        scheme, _ = check_store_url(url)
    except ConfigurationError as error:
        msg = f"{what}: {error}"
    else:
        if scheme != "memory":
            return url
        msg = f"{what}: what is in memory:// ends with this command; name a file or a database."
    raise ConfigurationError(msg)


def is_same(url: str, other: str) -> bool:
    """Tell whether two URLs name one store.

    A file is known by whatever spelling or link. What is on a server is only known where both are
    written alike: who answers at another address cannot be told from here.

    Args:
        url: As `url_of` returns it.
        other: Likewise.
    """
    (scheme, path), (other_scheme, other_path) = check_store_url(url), check_store_url(other)
    if scheme == other_scheme == "sqlite":
        # Where there is none yet, it is not the other.
        with suppress(OSError, ValueError):
            return Path(path).samefile(other_path)
    return url == other


@contextmanager
def place(url: str, what: str, *, create: bool) -> Iterator[Place]:
    """Open a store for as long as the context lasts.

    Args:
        url: Where it is.
        what: What messages call it.
        create: Whether it is made where there is none.

    Raises:
        ConfigurationError: There is none, or it cannot be used as it is.
        AuthServiceUnavailable: It is busy or down.
    """
    repositories = _opened(url, what, create=create)
    try:
        store: object = repositories.store
        if not isinstance(store, Portable):
            raise ConfigurationError(f"{what}: what is in this store cannot be carried away.")
        yield Place(store, repositories.keys)
    finally:
        repositories.close()


def _opened(url: str, what: str, *, create: bool) -> Repositories:
    try:
        return open_repositories(url, create=create)
    except ConfigurationError as error:
        msg = f"{what}: {error}"
    raise ConfigurationError(msg)
