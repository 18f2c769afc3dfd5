"""The auth service's endpoints as Django urls.

.. code-block:: python

    from tokenward.django.urls import well_known_urlpatterns

    urlpatterns = [
        path("auth/", include("tokenward.django.urls")),   # the path of the issuer
        *well_known_urlpatterns,
    ]

For an issuer without a path include them at ``""``; the second list is then not needed. Each has
the name of its endpoint: ``reverse("tokenward:login")``.
"""

from __future__ import annotations

import contextlib
from typing import Any

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - its name
from django.urls import Resolver404, URLPattern, path, resolve

from tokenward.django._endpoint_views import NO_SERVICE, root_view_of, view_of
from tokenward.django._state import home
from tokenward.endpoints import ENDPOINTS, Endpoint, well_known_at_root
from tokenward.errors import ConfigurationError

__all__ = ["app_name", "urlpatterns", "well_known_urlpatterns"]

app_name = "tokenward"


class _FirstPattern(URLPattern):
    """The pattern that ``manage.py check`` asks whether there is something to answer for."""

    def check(self) -> list[CheckMessage]:
        """Return what is wrong with the pattern, or with the service behind all of them."""
        found: list[Any] = list(super().check())
        with contextlib.suppress(ConfigurationError):  # that is tokenward.E001
            service = home().settings().service
            if service is None:
                found.append(Error(NO_SERVICE, id="tokenward.E011"))
            elif missing := [p for p in well_known_at_root(service.issuer) if not _is_ours(p)]:
                found.append(
                    Warning(
                        f"The metadata of {service.issuer} is not at the root of the host, where "
                        f"it is looked for first (RFC 8414, section 3.1): {missing[0]}",
                        hint="Add *well_known_urlpatterns of tokenward.django.urls to the "
                        "urlpatterns of the ROOT_URLCONF, before what catches every path.",
                        id="tokenward.W011",
                    )
                )
        return found


def _is_ours(path_at_root: str) -> bool:
    """Tell whether one of `well_known_urlpatterns` answers there."""
    try:
        name = resolve(path_at_root).url_name
    except Resolver404:
        return False
    return name in {pattern.name for pattern in well_known_urlpatterns}


def _pattern(endpoint: Endpoint) -> URLPattern:
    made = path(endpoint.path.removeprefix("/"), view_of(endpoint), name=endpoint.name)
    if endpoint is not ENDPOINTS[0]:
        return made
    return _FirstPattern(made.pattern, made.callback, made.default_args, made.name)


urlpatterns = [_pattern(endpoint) for endpoint in ENDPOINTS]

well_known_urlpatterns = [
    # For which issuer is known when somebody asks: an import reads no settings.
    path(
        f"{endpoint.path.removeprefix('/')}/<path:issuer_path>",
        root_view_of(endpoint),
        name=f"tokenward_{endpoint.name}_at_root",
    )
    for endpoint in well_known_at_root("https://issuer.example/path").values()
]
"""The metadata of an issuer with a path, for the root of the host (RFC 8414, section 3.1)."""
