"""Telling an observer what happened, so that it can change nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tokenward.protocols import Event

if TYPE_CHECKING:
    from tokenward.errors import AuthError
    from tokenward.protocols import OnEvent


def emit(
    on_event: OnEvent | None, kind: str, verifier: str, outcome: str, *, seconds: float = 0.0
) -> None:
    """Hand one `Event` to ``on_event``, if there is one; whatever it raises is dropped.

    Call it where no lock is held.
    """
    if on_event is not None:
        with contextlib.suppress(Exception):
            on_event(Event(kind, verifier, seconds, outcome))


def outcome_of(error: AuthError) -> str:
    """Return a refusal's reason; ``unavailable`` where nobody could decide."""
    return "unavailable" if error.status_code == 503 else error.reason
