"""The auth services: the one in this process, and the one that logins are checked at."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenward._http import is_loopback
from tokenward.commands.doctor.finding import Finding
from tokenward.config.build import open_store, sealer_of
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.keys import KeyRing
from tokenward.service_client import AuthServiceClient

if TYPE_CHECKING:
    from tokenward.config.settings import LoginSection, ServiceSection
    from tokenward.repositories import UserRepository

_LOW_COST = 10


def of_service(section: ServiceSection, people: UserRepository | None) -> Iterator[Finding]:
    """Look at the service in this process, its store and its keys."""
    if is_loopback(section.issuer):
        advice = "names this machine only; write the https URL that others reach it by"
        yield Finding("warn", "service.issuer", advice)
    else:
        yield Finding("ok", "service.issuer", section.issuer)
    if section.registration == "open":
        advice = 'anybody may make an account; unless that is wanted, write "closed"'
        yield Finding("warn", "service.registration", advice)
    if section.password.bcrypt_cost < _LOW_COST:
        advice = f"{section.password.bcrypt_cost} is quick to guess through; write 12, or more"
        yield Finding("warn", "service.password.bcrypt_cost", advice)
    if not section.clients:
        advice = "none, so nobody can introspect; add a client for each program that verifies"
        yield Finding("warn", "service.clients", advice)
    yield from _store(section, people)


def _store(section: ServiceSection, people: UserRepository | None) -> Iterator[Finding]:
    setting = "service.store"
    if section.store.startswith("memory:"):
        advice = "users and keys end with the process; write sqlite:///FILE to keep them"
        yield Finding("warn", setting, advice)
        return
    try:
        repositories = open_store(section, create=False)
    except ConfigurationError as error:
        yield Finding("FAIL", setting, str(error))
        return
    except AuthServiceUnavailable as error:
        yield Finding("FAIL", setting, error.hint, outage=True)
        return
    try:
        repositories.ping()
        users = (repositories.users if people is None else people).count()
        yield Finding("ok", setting, f"opens, and only its owner can; users: {users}")
        keys = KeyRing.load(repositories.keys, sealer=sealer_of(section))
        kid = keys.current.kid or ""
        plain = not all(stored.is_sealed for stored in repositories.keys.load()[1])
        sealed = "unsealed, in a file for its owner only" if plain else "sealed"
        found = f"signs as {kid}, {len(keys.kids())} published, {sealed}"
        if plain and section.keys.secrets:
            advice = f"{found}; the secrets seal the keys that are made from now on"
            yield Finding("warn", "service.keys.secrets", advice)
        else:
            yield Finding("ok", "service.keys", found)
    except ConfigurationError as error:
        yield Finding("FAIL", "service.keys", str(error))
    except AuthServiceUnavailable as error:
        yield Finding("FAIL", setting, error.hint, outage=True)
    finally:
        repositories.close()


def of_login(section: LoginSection) -> Finding:
    """Ask about a token that nobody has; a login would be one more for the service to count."""
    setting = "django.login.issuer"
    client = AuthServiceClient(
        section.issuer,
        timeout=section.timeout,
        connect_timeout=section.connect_timeout,
        verify_tls=section.verify_tls,
    )
    try:
        client.get_logged_in_user(secrets.token_urlsafe(32))
    except InvalidToken:
        found = "answers; whether it takes our client credentials is seen at the first login"
        return Finding("ok", setting, found)
    except AuthServiceUnavailable as error:
        if error.reason == "bad_response":
            return Finding("FAIL", setting, error.hint)
        advice = f"cannot be reached ({error.reason}): {error.hint}"
        return Finding("FAIL", setting, advice, outage=True)
    finally:
        client.close()
    advice = "takes a token that was made up just now for a user's; write another issuer"
    return Finding("FAIL", setting, advice)
