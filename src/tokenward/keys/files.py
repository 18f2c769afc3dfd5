"""Signing keys in PEM files, for whoever keeps them elsewhere than in the store."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from tokenward import _jose
from tokenward._log import shown
from tokenward.errors import ConfigurationError
from tokenward.keys.rotation import check_algorithm
from tokenward.repositories.base import StoredKey

if TYPE_CHECKING:
    from tokenward._jose import Key

_MAX_BYTES: Final = 65_536
# A next or a retired key may be of another algorithm than the current one: so one moves to it.
_USUAL: Final = ("ES256", "EdDSA", "RS256")


def keys_in_files(
    current: str | os.PathLike[str],
    *,
    next: str | os.PathLike[str] | None = None,  # noqa: A002 - the state's name
    retired: Sequence[str | os.PathLike[str]] = (),
    algorithm: str = "ES256",
) -> list[tuple[Key, StoredKey]]:
    """Read the keys, the current one first.

    Args:
        current: The path of the key that signs; unencrypted PEM.
        next: That of the key that will.
        retired: Those of keys that did.
        algorithm: What the current key signs with, and the others if it fits them; else ``ES256``,
            ``EdDSA`` or ``RS256``.

    Raises:
        ConfigurationError: A file is missing, open to other users, no private key or one for
            another algorithm; or two files hold the same key.
    """
    check_algorithm(algorithm)
    read = [_read(current, "current", algorithm)]
    if next is not None:
        read.append(_read(next, "next", algorithm, *_USUAL))
    read += [_read(path, "retired", algorithm, *_USUAL) for path in retired]
    if len({key.kid for key, _ in read}) != len(read):
        raise ConfigurationError(
            "Two files hold the same signing key; name each key once, as current, next or retired."
        )
    return read


def _read(
    path: str | os.PathLike[str], state: Literal["next", "current", "retired"], *algorithms: str
) -> tuple[Key, StoredKey]:
    name = f"The {state} key file {shown(os.fspath(path))}"
    data, changed_at = _bytes_of(path, name)
    try:
        key = _jose.from_pem(data, *dict.fromkeys(algorithms))
    except ConfigurationError as error:
        raise ConfigurationError(f"{name} is of no use. {error}") from None
    # The material stays in the file.
    return key, StoredKey(key.kid or "", key.algorithm or "", state, b"", changed_at)


def _bytes_of(path: str | os.PathLike[str], name: str) -> tuple[bytes, int]:
    try:
        # Asked about what is open: a file that is exchanged meanwhile is another.
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigurationError(
                    f"{name} is open to other users; run: chmod 600 {shown(os.fspath(path))}"
                )
            return file.read(_MAX_BYTES), int(status.st_mtime)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        why = getattr(error, "strerror", None) or "no path"
        raise ConfigurationError(
            f"{name} cannot be read ({why}); put it there, readable by this user."
        ) from None
