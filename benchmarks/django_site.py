"""A Django project of one process, for the rows that need one.

The middleware is what ``startproject`` writes, without what a session or a form would need, so that
what is measured over the plain view is tokenward's share and not hidden under theirs. The database
is in memory and stays open: a query costs less here than it does anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.test import override_settings

from benchmarks.parts import canned_authenticator

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

OURS = "tokenward.django.middleware.TokenwardMiddleware"

_MIDDLEWARE = (
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)

# Threads that write take turns, as with a server; from Django 5.1 on it can be told so.
_TURNS = {"transaction_mode": "IMMEDIATE"} if django.VERSION >= (5, 1) else {}
_DATABASE = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {**_TURNS, "timeout": 20}}

# By the authenticator below, before there is a request: nobody asks for keys.
_REPLACED = {"type": "jwks", "issuer": "https://issuer.example", "audience": "bench"}


def set_up(
    urls: str = "benchmarks.django_urls",
    *,
    apps: tuple[str, ...] = (),
    database: str = ":memory:",
    **more: Mapping[str, Any],
) -> None:
    """Configure Django, once a process, with a verifier that has its answers at hand.

    Args:
        urls: The module of the URLs.
        apps: More applications.
        database: Where it is; threads share one only if it is a file.
        more: Their settings.
    """
    if settings.configured:
        return
    settings.configure(
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="of the benchmarks, and of no use elsewhere: 8Qz2" * 2,
        ROOT_URLCONF=urls,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "tokenward.django",
            *apps,
        ],
        DATABASES={"default": _DATABASE | {"NAME": database}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        TOKENWARD={"credentials": [_REPLACED], "django": {"user": "stateless"}},
        USE_TZ=True,
        LOGGING_CONFIG=None,
        **more,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    _parts().authenticator = canned_authenticator()


@cache
def site(*middleware: str) -> WSGIApplication:
    """Return the project's WSGI application, with more middleware behind what it has."""
    set_up()
    with override_settings(MIDDLEWARE=[*_MIDDLEWARE, *middleware]):
        return WSGIHandler()


def map_users(how: str) -> None:
    """Have principals become users as ``django.user`` says: ``stateless`` or ``model``."""
    parts = _parts()
    parts.django = parts.django.model_copy(update={"user": how})


def _parts() -> Any:
    from tokenward.django._state import parts  # noqa: PLC0415 - needs Django's settings

    return parts()
