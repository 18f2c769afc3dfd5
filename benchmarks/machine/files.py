"""The files that the machine's programs read: secrets, and the auth service's configuration."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

CLIENTS = {"flask": "example-flask", "django": "example-django"}
"""Who each application is to the auth service."""

BRIEF = "brief"
"""A client whose tokens end after a second."""

AUDIENCE = "example"


def write(folder: Path, *, issuer: str, store: str, redis: str, service: Mapping[str, int]) -> Path:
    """Write everything.

    Args:
        folder: Where to.
        issuer: The auth service's URL.
        store: Its store's.
        redis: Of the shared cache.
        service: Numbers of the section ``service``.

    Returns:
        Where the configuration is.
    """
    for name in (*CLIENTS.values(), BRIEF, "redis", "keys", "django"):
        secret = path(folder, name)
        secret.touch(0o600)
        secret.write_text(secrets.token_urlsafe(32), "ascii")
    numbers = "".join(f"{name} = {number}\n" for name, number in service.items())
    clients = "".join(
        f'\n[[service.clients]]\nclient_id = "{client}"\n'
        f'client_secret = {{ file = "{path(folder, client)}" }}\n'
        'grants = "refresh_token"\n'
        for client in (*CLIENTS.values(), BRIEF)
    )
    config = folder / "tokenward.toml"
    config.write_text(
        f"""\
[shared_cache]
url = "{redis}"
secrets = [{{ file = "{path(folder, "redis")}" }}]

[service]
issuer = "{issuer}"
audience = "{AUDIENCE}"
store = "{store}"
registration = "open"
throttle = false
password = {{ bcrypt_cost = 4 }}
keys = {{ secrets = [{{ file = "{path(folder, "keys")}" }}] }}
{numbers}{clients}access_token_lifetime = 1
""",
        "utf-8",
    )
    return config


def client_secrets(folder: Path) -> dict[str, str]:
    """Return the secret of each client."""
    return {name: path(folder, name).read_text("ascii") for name in (*CLIENTS.values(), BRIEF)}


def path(folder: Path, name: str) -> Path:
    """Return where a secret is: a client's, ``redis``, ``keys`` or ``django``."""
    return folder / f"{name}.secret"
