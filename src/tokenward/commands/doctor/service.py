"""The auth services: the one in this process, and the one that logins are checked at."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenward._http import is_loopback
from tokenward.commands.doctor.finding import Finding
from tokenward.commands.doctor.store import of_store
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.service_client import AuthServiceClient

if TYPE_CHECKING:
    from tokenward.config.settings import LoginSection, ServiceSection
    from tokenward.repositories import UserRepository

_LOW_COST = 10
_LONG = 3_600
"""Seconds from which on an access token outlives what was decided about its user."""


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
    yield from _of_sessions(section)
    yield from _of_clients(section)
    yield from _of_proxies(section)
    yield from of_store(section, people)


def _of_sessions(section: ServiceSection) -> Iterator[Finding]:
    if (
        section.refresh_token_lifetime
        and 0 < section.session_lifetime < section.access_token_lifetime
    ):
        advice = "shorter than access_token_lifetime: a session ends before its first token"
        yield Finding("warn", "service.session_lifetime", advice)
    if section.access_token_lifetime > _LONG:
        advice = (
            f"{section.access_token_lifetime} s: a server that checks signatures takes a token for "
            "as long, whatever happens to the user; write 900, and let clients refresh"
        )
        yield Finding("warn", "service.access_token_lifetime", advice)
    if section.deliver is None and section.registration == "open":
        advice = (
            "nobody can prove an address or reset a password; write MODULE:NAME of a function of "
            "(purpose, user, token) that sends mail"
        )
        yield Finding("warn", "service.deliver", advice)


def _of_clients(section: ServiceSection) -> Iterator[Finding]:
    if not section.clients:
        advice = "none, so nobody can introspect; add a client for each program that verifies"
        yield Finding("warn", "service.clients", advice)
    for at, client in enumerate(section.clients):
        setting = f"service.clients[{at}]"
        own_tokens = "client_credentials" in client.grants
        useless = [name for name in ("scopes", "token_audiences") if getattr(client, name)]
        if useless and not own_tokens:
            advice = 'it gets no tokens of its own; write grants = "client_credentials", or none'
            yield Finding("warn", f"{setting}.{useless[0]}", advice)
        if "refresh_token" in client.grants and not section.refresh_token_lifetime:
            advice = "no refresh token is handed out: service.refresh_token_lifetime is 0"
            yield Finding("warn", f"{setting}.grants", advice)


def _of_proxies(section: ServiceSection) -> Iterator[Finding]:
    setting = "service.trusted_proxies"
    if any(proxy.endswith("/0") for proxy in section.trusted_proxies):
        advice = "is everybody, who may then say what their address is; write the proxy's address"
        yield Finding("FAIL", setting, advice)
    elif section.throttle and not section.trusted_proxies and not is_loopback(section.issuer):
        advice = (
            "none: behind a proxy that speaks TLS every login comes from the proxy's address, and "
            "one crowd is throttled for another; write that address"
        )
        yield Finding("warn", setting, advice)


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
