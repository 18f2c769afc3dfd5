"""What ``manage.py check --deploy`` says: right for a desk, and wrong where strangers come by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from django.core.checks import CheckMessage, Warning  # noqa: A004 - Django's name for it

from tokenward.commands.homes import written_secrets
from tokenward.config.settings import CloudflareEntry
from tokenward.django._state import SettingsHome, home
from tokenward.django.checks.listed import index_in
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.config import Settings

CSRF = "django.middleware.csrf.CsrfViewMiddleware"

_URLS = ("issuer", "introspection_endpoint", "discovery_url", "jwks_uri", "domain")


def check_deployment(**_kwargs: object) -> list[CheckMessage]:
    """Check what must not be so in production."""
    here = home()
    try:
        settings = here.settings()
    except ConfigurationError:
        # `check_settings` says it.
        return []
    return [
        *_tokens_for_anybody(settings),
        *_plain_http(settings),
        *_cookies(settings),
        *_literal_secrets(settings, here),
        *_service(settings),
        *_unverified_tls(settings),
    ]


def _tokens_for_anybody(settings: Settings) -> Iterator[CheckMessage]:
    for at, entry in enumerate(settings.credentials):
        if getattr(entry, "audience", "") is None:
            yield _warning(
                "W003",
                f"credentials[{at}].audience",
                "is None: tokens that were meant for another API are taken.",
                "Write the name that this API has at the authorization server.",
            )


def _plain_http(settings: Settings) -> Iterator[CheckMessage]:
    told = set()
    for path, section in _sections(settings):
        for name in _URLS:
            url = None if _follows(section, name) else getattr(section, name, None)
            # What 'live' does not say is as in the entry around it: once is enough.
            place = path.removesuffix(".live"), url
            if isinstance(url, str) and url.lower().startswith("http:") and place not in told:
                told.add(place)
                yield _warning(
                    "W004",
                    f"{path}.{name}",
                    "is http: tokens and secrets travel in the clear, or it names this machine "
                    "only.",
                    "Write the https URL.",
                )


def _follows(section: object, name: str) -> bool:
    """Tell whether an issuer is what another setting makes it."""
    if name != "issuer":
        return False
    return isinstance(section, CloudflareEntry) or bool(getattr(section, "discovery_url", None))


def _cookies(settings: Settings) -> Iterator[CheckMessage]:
    cookies = [
        f"credentials[{at}].{'source' if entry.source.startswith('cookie:') else 'cookie'}"
        for at, entry in enumerate(settings.credentials)
        if entry.source.startswith("cookie:") or getattr(entry, "cookie", False)
    ]
    if settings.pages is not None:
        cookies.append("pages.cookie")
        if not settings.pages.secure:
            yield _warning(
                "W006",
                "pages.secure",
                "is False: the sign-in cookie travels over http too, and any host of the domain "
                "can set it.",
                "Leave it out.",
            )
    if cookies and index_in("MIDDLEWARE", CSRF) is None:
        yield _warning(
            "W005",
            cookies[0],
            "names a cookie, which browsers attach to what other sites have them send, and "
            "CsrfViewMiddleware is not installed.",
            f'Add "{CSRF}" to MIDDLEWARE.',
        )


def _literal_secrets(settings: Settings, here: SettingsHome) -> Iterator[CheckMessage]:
    for path, written in written_secrets(settings, here):
        if isinstance(written, str):
            yield _warning(
                "W007",
                path,
                f"is a plain string in {here.name}, for whoever reads the settings to read.",
                f"Write {here.elsewhere} instead of the string.",
            )


def _service(settings: Settings) -> Iterator[CheckMessage]:
    if settings.service is None:
        return
    if settings.service.in_memory:
        yield _warning(
            "W008",
            "service.store",
            "is memory://: every process has keys and users of its own, and they end with it.",
            "Write sqlite:///FILE, and run `manage.py tokenward_store init`.",
        )
    if settings.service.registration == "open":
        yield _warning(
            "W009",
            "service.registration",
            'is "open": anybody may make an account.',
            'Write "closed", unless that is wanted; then silence this check.',
        )


def _unverified_tls(settings: Settings) -> Iterator[CheckMessage]:
    told = set()
    for path, section in _sections(settings):
        place = path.removesuffix(".live")
        if getattr(section, "verify_tls", True) is False and place not in told:
            told.add(place)
            yield _warning(
                "W010",
                f"{path}.verify_tls",
                "is False: nobody checks who answers.",
                "Leave it out, or write the path of a CA bundle.",
            )


def _sections(settings: Settings) -> Iterator[tuple[str, object]]:
    """Yield what may name a server, by its path."""
    for at, entry in enumerate(settings.credentials):
        yield f"credentials[{at}]", entry
        yield f"credentials[{at}].live", getattr(entry, "live", None)
    yield "service", settings.service
    if settings.django is not None:
        yield "django.login", settings.django.login


def _warning(check: str, path: str, text: str, hint: str) -> CheckMessage:
    return Warning(f"settings.TOKENWARD: {path} {text}", hint=hint, id=f"tokenward.{check}")
