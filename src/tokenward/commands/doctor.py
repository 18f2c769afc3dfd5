"""Whether everything that the configuration names is there and works.

Each finding is about one setting, by its dotted path, and one that is not good says what to write.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

from tokenward._http import RequestsTransport, is_loopback
from tokenward.commands.homes import written_secrets
from tokenward.commands.setup import check
from tokenward.config import build_verifier
from tokenward.config.build import open_store, sealer_of
from tokenward.config.settings import IntrospectionEntry
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.introspection import IntrospectionVerifier
from tokenward.keys import KeyRing
from tokenward.protocols import Request
from tokenward.service_client import AuthServiceClient

if TYPE_CHECKING:
    from tokenward.commands.homes import Home
    from tokenward.config import Settings
    from tokenward.config.settings import LoginSection, ServiceSection
    from tokenward.repositories import UserRepository

Level = Literal["ok", "warn", "FAIL"]

MAX_SKEW = 10.0
"""Seconds by which another machine's clock may differ before that is worth a word."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOW_COST = 10

HOW_TO_BEGIN = """\
There is no configuration: name a TOML file with --config, or in TOKENWARD_CONFIG.

To verify tokens that another server issues, write:

    [[credentials]]
    type = "introspection"
    introspection_endpoint = "https://auth.example.com/introspect"
    audience = "my-api"
    client_auth = { method = "client_secret_basic", client_id = "my-api", client_secret = { file = "client.secret" } }

To issue tokens, write:

    [service]
    issuer = "https://auth.example.com"
    audience = "my-api"
    store = "sqlite:///tokenward.db"

and then run: tokenward store init --config FILE"""  # noqa: E501 - TOML's inline tables stay on one line


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one setting.

    Attributes:
        level: ``ok``, ``warn`` (works, and could be better) or ``FAIL``.
        setting: The dotted path of the setting.
        text: What was found, and what to write where it is not good.
        outage: Whether it failed because something cannot be reached, which may pass.
    """

    level: Level
    setting: str
    text: str
    outage: bool = False


def examine(home: Home) -> Iterator[Finding]:
    """Reach for everything that the configuration names.

    Nothing is changed: a store is opened, never made; an authorization server is asked about a
    token that nobody has.

    Args:
        home: Where the configuration is written.
    """
    try:
        settings = home.settings()
        check(settings)
    except ConfigurationError as error:
        yield Finding("FAIL", home.name, str(error))
        return
    yield Finding("ok", home.name, "can be read, and every part of it can be built")
    yield from _secrets(settings, home)
    if settings.service is not None:
        yield from _service(settings.service, home.users(settings))
    if not settings.credentials and settings.service is None:
        yield Finding("warn", "credentials", "none, so every request is one of nobody; add one")
    for at, entry in enumerate(settings.credentials):
        if isinstance(entry, IntrospectionEntry):
            yield from _introspection(entry, f"credentials[{at}]")
        else:
            yield Finding("ok", f"credentials[{at}]", "the service's own tokens, checked in place")
    if settings.django is not None and settings.django.login is not None:
        yield _login(settings.django.login)


def _secrets(settings: Settings, home: Home) -> Iterator[Finding]:
    literal = False
    for setting, written in written_secrets(settings, home):
        if isinstance(written, str):
            literal = True
            where = "the file" if home.file else home.name
            yield Finding("warn", setting, f"stands in {where}; write {home.elsewhere} instead")
        elif "file" in written and _open_to_others(written["file"]):
            advice = f"other users can reach its file; run: chmod 600 {written['file']}"
            yield Finding("warn", setting, advice)
    if literal and home.file and _open_to_others(home.file):
        advice = f"holds secrets, and others can read it; chmod 600 {home.file}"
        yield Finding("warn", home.file, advice)


def _open_to_others(path: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(os.stat(path).st_mode & _OTHERS)  # noqa: PTH116 - a mode, of what a path names
    return False


def _service(section: ServiceSection, people: UserRepository | None) -> Iterator[Finding]:
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


def _introspection(entry: IntrospectionEntry, path: str) -> Iterator[Finding]:
    if entry.audience is None:
        advice = "tokens meant for anybody are accepted; write the name that this API has"
        yield Finding("warn", f"{path}.audience", advice)
    if entry.verify_tls is False:
        yield Finding("warn", f"{path}.verify_tls", "nobody checks who answers; write true")
    reached = yield from _asked(entry, path)
    if reached:
        yield from _clock(entry, path)


def _asked(entry: IntrospectionEntry, path: str) -> Generator[Finding, None, bool]:
    endpoint = f"{path}.introspection_endpoint"
    verifier = build_verifier(entry)
    if not isinstance(verifier, IntrospectionVerifier):
        return False
    try:
        active = verifier.client.introspect(secrets.token_urlsafe(32))["active"]
    except AuthServiceUnavailable as error:
        if error.reason == "client_refused":
            advice = (
                f"{error.hint}; make {path}.client_auth.client_id and .client_secret what the "
                "server knows us by, and .method one that it takes"
            )
            yield Finding("FAIL", f"{path}.client_auth", advice)
            return True
        if error.reason == "bad_response":
            advice = f"{error.hint}; write the server's introspection endpoint (RFC 7662)"
            yield Finding("FAIL", endpoint, advice)
            return True
        advice = f"cannot be reached ({error.reason}): {error.hint}"
        yield Finding("FAIL", endpoint, advice, outage=True)
        return False
    except InvalidToken as error:
        yield Finding("ok", endpoint, f"answers, and takes our credentials: {error.hint}")
        return True
    finally:
        verifier.close()
    if active:
        advice = "calls a token active that was made up just now; write another endpoint"
        yield Finding("FAIL", endpoint, advice)
    else:
        yield Finding("ok", endpoint, "answers, takes our credentials, knows no made-up token")
    return True


def _login(section: LoginSection) -> Finding:
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


def _clock(entry: IntrospectionEntry, path: str) -> Iterator[Finding]:
    transport = RequestsTransport(verify_tls=entry.verify_tls, proxies=entry.proxies)
    try:
        request = Request("GET", entry.introspection_endpoint)
        response = transport.send(request, deadline=time.monotonic() + entry.timeout)
        date = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (AuthServiceUnavailable, ValueError):
        # Most servers say what time it is; one that does not is none the worse.
        return
    finally:
        transport.close()
    skew = time.time() - date
    if abs(skew) > MAX_SKEW:
        which = "ahead of" if skew > 0 else "behind"
        advice = (
            f"this clock is {abs(skew):.0f} s {which} the server's; set the one "
            "that is wrong, or write a larger leeway"
        )
        yield Finding("warn", f"{path}.leeway", advice)
    else:
        yield Finding("ok", f"{path}.leeway", "the server's clock and this one agree")
