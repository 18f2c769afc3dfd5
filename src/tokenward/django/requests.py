"""`TokenwardRequest`: what the middleware adds to a request, for whoever checks types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from tokenward.principal import Principal

__all__ = ["TokenwardRequest"]


class TokenwardRequest(HttpRequest):
    """The annotation of a view's ``request``; no request is of this class.

    .. code-block:: python

        @scopes_required("orders:read")
        def orders(request: TokenwardRequest) -> JsonResponse:
            return JsonResponse({"for": request.principal.subject})

    Attributes:
        principal: Who sends the request, or `ANONYMOUS`. Reading from it raises an `AuthError`
            where what is presented is refused, or cannot be checked.
        aprincipal: Returns the same, without ever blocking the event loop.
    """

    principal: Principal
    aprincipal: Callable[[], Awaitable[Principal]]
