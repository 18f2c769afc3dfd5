"""Django's error reports, without what authenticates anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.views.debug import SafeExceptionReporterFilter, get_exception_reporter_filter

from tokenward.django._guard.decision import authenticator_in_force

if TYPE_CHECKING:
    from django.http import HttpRequest


def hide_credentials(request: HttpRequest) -> None:
    """Keep cookies and headers that hold a token out of the report about ``request``.

    Django hides what it knows by name, such as ``Authorization``; it cannot know the names that
    are configured here. The report goes to a page, or into a mail to the administrators.
    """
    before = get_exception_reporter_filter(request)
    if isinstance(before, SafeExceptionReporterFilter):
        hiding: Any = type("HidingFilter", (_Hiding, type(before)), {})
        cast("Any", request).exception_reporter_filter = hiding()


class _Hiding(SafeExceptionReporterFilter):
    def get_safe_request_meta(self, request: HttpRequest | None) -> dict[str, Any]:
        found: dict[str, Any] = dict(super().get_safe_request_meta(cast("HttpRequest", request)))
        return self._hidden(found, {"HTTP_COOKIE", *_headers()})

    def get_safe_cookies(self, request: HttpRequest | None) -> dict[str, Any]:
        found: dict[str, Any] = dict(super().get_safe_cookies(cast("HttpRequest", request)))
        return self._hidden(found, _cookies())

    def _hidden(self, found: dict[str, Any], names: set[str]) -> dict[str, Any]:
        return {
            name: self.cleansed_substitute if name in names else value
            for name, value in found.items()
        }


def _headers() -> set[str]:
    sources = (credential.source for credential in authenticator_in_force().credentials)
    return {"HTTP_" + source.reads.upper().replace("-", "_") for source in sources}


def _cookies() -> set[str]:
    places = (credential.source.place for credential in authenticator_in_force().credentials)
    return {place.removeprefix("cookie:") for place in places if place.startswith("cookie:")}
