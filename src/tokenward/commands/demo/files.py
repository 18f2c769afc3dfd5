"""What the demo writes: a configuration, secrets, a store."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tokenward.commands.demo.mail import DELIVER
from tokenward.errors import ConfigurationError

FLASK_CLIENT = "example-flask"
DJANGO_CLIENT = "example-django"
AUDIENCE = "example"

_MIN_SECRET = 32

_CONFIG = """\
# Written by `tokenward demo` at every start. For this machine only.

[service]
issuer = {issuer}
audience = "{audience}"
store = {store}
registration = "open"  # the demo's choice, so that you can register; the default is "closed"
deliver = "{deliver}"  # prints what would be sent by mail
keys = {{ secrets = [{{ file = {keys_secret} }}] }}

[[service.clients]]
client_id = "{flask_client}"
client_secret = {{ file = {flask_secret} }}

[[service.clients]]
client_id = "{django_client}"
client_secret = {{ file = {django_secret} }}
# Somebody who works in the admin is signed in for as long as the token is good: a working day.
# Whoever is deactivated, or loses a role, is out earlier.
access_token_lifetime = 28_800  # 8 hours; otherwise 15 minutes
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
    def keys_secret(self) -> Path:
        """What seals the signing keys in the store."""
        return self.folder / "keys.secret"

    @property
    def store(self) -> Path:
        """The users, revocations and keys."""
        return self.folder / "store.db"

    @property
    def django_key(self) -> Path:
        """What Django signs and seals with: its ``SECRET_KEY``."""
        return self.folder / "django.secret"

    def client_secret(self, client_id: str) -> Path:
        """Return what the application with that ``client_id`` authenticates itself with."""
        return self.folder / f"{client_id}.secret"

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
        flask_secret, django_secret = map(files.client_secret, (FLASK_CLIENT, DJANGO_CLIENT))
        for secret in (flask_secret, django_secret, files.django_key, files.keys_secret):
            _write_secret(secret)
        config = _CONFIG.format(
            issuer=_quoted(issuer),
            store=_quoted(f"sqlite:///{files.store}"),
            keys_secret=_quoted(files.keys_secret),
            audience=AUDIENCE,
            deliver=DELIVER,
            flask_client=FLASK_CLIENT,
            flask_secret=_quoted(flask_secret),
            django_client=DJANGO_CLIENT,
            django_secret=_quoted(django_secret),
        )
        _write(files.config, config)
    except OSError as error:
        raise ConfigurationError(
            f"The demo keeps its files in {files.folder}, and cannot write there: {error.strerror}."
        ) from None
    return files


def _quoted(text: object) -> str:
    # JSON's strings are TOML's too.
    return json.dumps(str(text), ensure_ascii=False)


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
