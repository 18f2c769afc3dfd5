"""The examination of a whole configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenward.commands.doctor.cloudflare import of_cloudflare
from tokenward.commands.doctor.files import open_to_others
from tokenward.commands.doctor.finding import Finding
from tokenward.commands.doctor.introspection import of_introspection
from tokenward.commands.doctor.service import of_login, of_service
from tokenward.commands.doctor.shared_cache import of_shared_cache
from tokenward.commands.doctor.signed import of_custom, of_jwks, of_shared_secret
from tokenward.commands.homes import written_secrets
from tokenward.commands.setup import check
from tokenward.config.build import NOBODY
from tokenward.config.settings import (
    CloudflareEntry,
    CustomEntry,
    IntrospectionEntry,
    JWKSEntry,
    SharedSecretEntry,
)
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.commands.homes import Home
    from tokenward.config import Settings
    from tokenward.config.settings import CredentialEntry

HOW_TO_BEGIN = """\
There is no configuration: name a TOML file with --config, or in TOKENWARD_CONFIG.

To verify tokens that another server issues, write what `tokenward doctor ISSUER` finds, or, with
the keys that it publishes:

    [[credentials]]
    type = "jwks"
    issuer = "https://auth.example.com"
    audience = "my-api"

or, by asking it about each:

    [[credentials]]
    type = "introspection"
    issuer = "https://auth.example.com"
    audience = "my-api"
    client_auth = { method = "client_secret_basic", client_id = "my-api", client_secret = { file = "client.secret" } }

To issue tokens, write:

    [service]
    issuer = "https://auth.example.com"
    audience = "my-api"
    store = "sqlite:///tokenward.db"

and then run: tokenward store init --config FILE"""  # noqa: E501 - TOML's inline tables stay on one line


def examine(home: Home) -> Iterator[Finding]:
    """Reach for everything that the configuration names.

    Nothing is changed: a store is opened, never made; an authorization server is asked about a
    token that nobody has; what is put into the shared cache is taken out again.

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
    if settings.shared_cache is not None:
        yield from of_shared_cache(settings.shared_cache)
    if settings.service is not None:
        yield from of_service(settings.service, home.users(settings))
    if not settings.issuers:
        yield Finding("warn", "credentials", f"none, {NOBODY}")
    for at, entry in enumerate(settings.credentials):
        yield from _of_credential(entry, f"credentials[{at}]")
    if settings.django is not None and settings.django.login is not None:
        yield of_login(settings.django.login)


def _of_credential(entry: CredentialEntry, path: str) -> Iterator[Finding]:
    match entry:
        case JWKSEntry():
            yield from of_jwks(entry, path)
        case IntrospectionEntry():
            yield from of_introspection(entry, path)
        case CloudflareEntry():
            yield from of_cloudflare(entry, path)
        case SharedSecretEntry():
            yield from of_shared_secret(entry, path)
        case CustomEntry():
            yield of_custom(entry, path)
        case _:
            yield Finding("ok", path, "the service's own tokens, checked in place")


def _secrets(settings: Settings, home: Home) -> Iterator[Finding]:
    literal = False
    for setting, written in written_secrets(settings, home):
        if isinstance(written, str):
            literal = True
            where = "the file" if home.file else home.name
            yield Finding("warn", setting, f"stands in {where}; write {home.elsewhere} instead")
        elif "file" in written and open_to_others(written["file"]):
            advice = f"other users can reach its file; run: chmod 600 {written['file']}"
            yield Finding("warn", setting, advice)
    if literal and home.file and open_to_others(home.file):
        advice = f"holds secrets, and others can read it; chmod 600 {home.file}"
        yield Finding("warn", home.file, advice)
