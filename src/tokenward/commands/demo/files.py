"""What the demo writes: a configuration, two secrets, a store."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tokenward.errors import ConfigurationError

CLIENT_ID = "example-flask"
AUDIENCE = "example"

_MIN_SECRET = 32

_CONFIG = """\
# Written by `tokenward demo` at every start. For this machine only.

[service]
issuer = {issuer}
audience = "{audience}"
store = {store}
registration = "open"  # the demo's choice, so that you can register; the default is "closed"
keys = {{ secrets = [{{ file = {keys_secret} }}] }}

[[service.clients]]
client_id = "{client_id}"
client_secret = {{ file = {client_secret} }}
"""


@dataclass(frozen=True, slots=True)
class Files:
    """Where things are."""

    folder: Path

    @property
    def config(self) -> Path:
        """The auth service's configuration."""
        return self.folder / "tokenward.toml"

    @property
    def client_secret(self) -> Path:
        """What the protected application authenticates itself with."""
        return self.folder / "client.secret"

    @property
    def keys_secret(self) -> Path:
        """What seals the signing keys in the store."""
        return self.folder / "keys.secret"

    @property
    def store(self) -> Path:
        """The users, revocations and keys."""
        return self.folder / "store.db"

    def log(self, name: str) -> Path:
        """Return where a process of that name says what it has to say."""
        return self.folder / f"{name}.log"


def write(folder: Path, issuer: str) -> Files:
    """Write everything but the store; secrets that are there already stay.

    Args:
        folder: Where to; made, for its owner only, where there is none.
        issuer: Where the auth service will be.

    Raises:
        ConfigurationError: A file cannot be written.
    """
    files = Files(folder)
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700)
            _write(folder / ".gitignore", "*\n")
        for secret in (files.client_secret, files.keys_secret):
            _write_secret(secret)
        # JSON's strings are TOML's too.
        config = _CONFIG.format(
            issuer=json.dumps(issuer),
            store=json.dumps(f"sqlite:///{files.store}", ensure_ascii=False),
            keys_secret=json.dumps(str(files.keys_secret), ensure_ascii=False),
            client_secret=json.dumps(str(files.client_secret), ensure_ascii=False),
            audience=AUDIENCE,
            client_id=CLIENT_ID,
        )
        _write(files.config, config)
    except OSError as error:
        raise ConfigurationError(
            f"The demo keeps its files in {files.folder}, and cannot write there: {error.strerror}."
        ) from None
    return files


def _write_secret(path: Path) -> None:
    if not path.exists() or path.stat().st_size < _MIN_SECRET:
        _write(path, secrets.token_urlsafe(32) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
