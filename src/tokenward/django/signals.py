"""What happens to requests, for whoever wants to know; see `django.dispatch`.

A receiver learns of a decision and takes no part in it: whatever it raises is logged, and the
request goes on as decided. Who wants to refuse does that in a decorator, in ``on_user`` or in the
view. From Django 5.0 on, receivers may be async.

None is called on an event loop where it would block that: what comes up there without an ``await``,
in ``request.user`` for one, the middleware sends once the response is made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import django
from asgiref.sync import sync_to_async
from django.dispatch import Signal

if TYPE_CHECKING:
    from django.http import HttpRequest

_logger = logging.getLogger("tokenward.django.signals")

user_authenticated = Signal()
"""Sent once a request with ``request`` and ``principal``; the sender is the request's class."""

token_refused = Signal()
"""Sent with ``request`` and ``error`` when what was presented is refused; the same sender."""


def tell(signal: Signal, request: HttpRequest, **named: Any) -> None:
    """Send ``signal``; whatever becomes of that changes nothing."""
    if signal.receivers:
        with _changing_nothing():
            signal.send_robust(type(request), request=request, **named)


async def atell(signal: Signal, request: HttpRequest, **named: Any) -> None:
    """Do what `tell` does, without ever blocking the event loop."""
    if not signal.receivers:
        return
    if django.VERSION < (5, 0):
        await sync_to_async(tell)(signal, request, **named)
        return
    with _changing_nothing():
        await signal.asend_robust(type(request), request=request, **named)


@contextmanager
def _changing_nothing() -> Iterator[None]:
    # Django logs what a receiver raises. What comes here is a log handler that failed, or a
    # receiver without a name to be logged by.
    try:
        yield
    except Exception:
        with suppress(Exception):
            _logger.exception("a receiver of a signal failed")
