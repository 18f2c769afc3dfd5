"""The store of the service in this process: what is in it, the keys, what counts attempts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenward.commands.doctor.finding import Finding
from tokenward.commands.doctor.throttle import of_throttle
from tokenward.config.build import open_keys, open_store
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from tokenward.config.settings import ServiceSection
    from tokenward.repositories import Repositories, StoredKey, UserRepository

_STORE, _KEYS = "service.store", "service.keys"
_LATE = 3_600
"""Seconds by which a rotation may be late: every process looks once a minute, if it is used."""


def of_store(section: ServiceSection, people: UserRepository | None) -> Iterator[Finding]:
    """Open the store, which is never made, and the keys in it.

    Args:
        section: The service.
        people: Where its users are, if that is not the store.
    """
    if section.in_memory:
        advice = "users and keys end with the process; write sqlite:///FILE to keep them"
        yield Finding("warn", _STORE, advice)
        return
    try:
        repositories = open_store(section, create=False)
    except ConfigurationError as error:
        yield Finding("FAIL", _STORE, str(error))
        return
    except AuthServiceUnavailable as error:
        yield Finding("FAIL", _STORE, error.hint, outage=True)
        return
    try:
        repositories.ping()
        users = (repositories.users if people is None else people).count()
        yield Finding("ok", _STORE, f"{_described(section, repositories)}; users: {users}")
        yield from _of_keys(section, repositories)
        yield of_throttle(section, repositories)
    except ConfigurationError as error:
        yield Finding("FAIL", _KEYS, str(error))
    except AuthServiceUnavailable as error:
        yield Finding("FAIL", _STORE, error.hint, outage=True)
    finally:
        repositories.close()


def _described(section: ServiceSection, repositories: Repositories) -> str:
    if section.store.startswith("sqlite:"):
        return "opens, and only its owner can"
    version = getattr(repositories.store, "server_version", None)
    server = f", MongoDB {version()}" if callable(version) else ""
    return f"opens, with every index that it needs{server}"


def _of_keys(section: ServiceSection, repositories: Repositories) -> Iterator[Finding]:
    keys = open_keys(section, repositories)
    kid = keys.current.kid or ""
    found = f"signs as {kid}, {len(keys.kids())} published"
    if section.keys.files is not None:
        yield Finding("ok", _KEYS, f"{found}, in files for their owner only")
        if section.keys.files.next is None:
            advice = (
                "none, so a new key signs before others know it; write the file of the next one"
            )
            yield Finding("warn", f"{_KEYS}.files.next", advice)
        return
    stored = repositories.keys.load()[1]
    plain = not all(key.is_sealed for key in stored)
    unsealed = "unsealed"
    if section.store.startswith("sqlite:"):
        unsealed += ", in a file for its owner only"
    found = f"{found}, {unsealed if plain else 'sealed'}"
    if plain and section.keys.secrets:
        advice = f"{found}; the secrets seal the keys that are made from now on"
        yield Finding("warn", f"{_KEYS}.secrets", advice)
    elif plain and not section.store.startswith("sqlite:"):
        advice = f"{found}: whoever reads the database signs tokens; write secrets"
        yield Finding("warn", f"{_KEYS}.secrets", advice)
    else:
        yield Finding("ok", _KEYS, found)
    yield from of_rotation(section, stored, now=time.time())


def of_rotation(
    section: ServiceSection, stored: list[StoredKey], *, now: float
) -> Iterator[Finding]:
    """Say whether the next rotation can be made, and whether it should have been.

    Args:
        section: The service.
        stored: The keys in the store.
        now: Epoch seconds.
    """
    made = [key.created_at for key in stored if key.state == "next"]
    if not made:
        advice = "no next key is published, so nobody knows the one that signs after this; run: "
        yield Finding("FAIL", _KEYS, f"{advice}`tokenward keys prune`, which makes it")
        return
    # The next key is made when the current one takes over.
    due = max(made) + section.keys.rotate_every
    if section.keys.rotate_every and due + _LATE < now:
        days = (now - due) / 86_400
        advice = (
            f"a rotation is {days:.1f} days late: it is made by a service that is asked for tokens "
            "or keys; start one, or run: `tokenward keys rotate`"
        )
        yield Finding("warn", f"{_KEYS}.rotate_every", advice)
