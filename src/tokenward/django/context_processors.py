"""For ``TEMPLATES``: what every template knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.principal import ANONYMOUS

if TYPE_CHECKING:
    from django.http import HttpRequest


def tokenward(request: HttpRequest) -> dict[str, Any]:
    """Return ``principal``; nothing is verified unless the template looks at it."""
    return {"principal": getattr(request, "principal", ANONYMOUS)}
