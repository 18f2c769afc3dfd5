"""The auth service as a WSGI application.

What it needs is imported where one is made: a protected application has no use for stores, keys and
password hashing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from tokenward.config import Settings
    from tokenward.service import AuthService


def service_app(settings: Settings | Mapping[str, Any] | None = None) -> WSGIApplication:
    """Return the auth service as an application: ``gunicorn "tokenward.wsgi:service_app()"``.

    Args:
        settings: The configuration, parsed or as a mapping; ``None``: the TOML file that
            ``TOKENWARD_CONFIG`` names.

    Raises:
        ConfigurationError: The settings have no ``service`` section or are wrong, or the store is
            missing or cannot be used.
    """
    from tokenward.config import build_service  # noqa: PLC0415 - see above
    from tokenward.config.settings import as_settings  # noqa: PLC0415 - see above

    return auth_service_app(build_service(as_settings(settings)))


def auth_service_app(service: AuthService) -> WSGIApplication:
    """Return an application that answers for ``service``, and 404 for every other path.

    For an issuer with a path, such as ``https://example.com/auth``, either mount the application
    there (``SCRIPT_NAME``) or have the proxy pass the whole path on: both are answered. What RFC
    8414, section 3.1, puts at the root of the host, ``/.well-known/…/auth``, is answered too where
    the proxy passes it on. Cookies are never read, and bodies never beyond 64 KiB.
    """
    from tokenward.endpoints import environ  # noqa: PLC0415 - see above

    return environ.auth_service_app(service)
