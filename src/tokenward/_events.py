"""Telling an observer what happened, so that it can change nothing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenward.errors import AuthError
from tokenward.protocols import Event

if TYPE_CHECKING:
    from tokenward.protocols import OnEvent


def emit(
    on_event: OnEvent | None, kind: str, verifier: str, outcome: str, *, seconds: float = 0.0
) -> None:
    """Hand one `Event` to ``on_event``, if there is one; whatever it raises is dropped.

    Call it where no lock is held. A `BaseException` that is no `Exception` passes: it is an order
    to this thread (an interrupt, an exit, gevent's timeout) and not a failure of the observer.
    """
    if on_event is not None:
        with contextlib.suppress(Exception):
            on_event(Event(kind, verifier, seconds, outcome))


class Events:
    """The events of one verifier; thread-safe.

    Args:
        on_event: Who receives them; ``None``: nobody.
        verifier: Their ``verifier``: a configured name.
    """

    def __init__(self, on_event: OnEvent | None, verifier: str) -> None:
        self._on_event = on_event
        self._verifier = verifier
        self._here = threading.local()

    def __bool__(self) -> bool:
        return self._on_event is not None

    def emit(self, kind: str, outcome: str, *, seconds: float = 0.0) -> None:
        """Hand one event to the observer, now or at the end of `held`."""
        if self._on_event is None:
            return
        held: list[tuple[str, str, float]] | None = getattr(self._here, "held", None)
        if held is None:
            emit(self._on_event, kind, self._verifier, outcome, seconds=seconds)
        else:
            held.append((kind, outcome, seconds))

    @contextlib.contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Tell how the block ended, and how long it took.

        ``ok``, what `outcome_of` says of an `AuthError`, or ``interrupted`` for anything else.
        """
        started = time.perf_counter()
        outcome = "interrupted"
        try:
            yield
            outcome = "ok"
        except AuthError as error:
            outcome = outcome_of(error)
            raise
        finally:
            self.emit(kind, outcome, seconds=time.perf_counter() - started)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep this thread's events back until the block ends.

        For where other threads wait for this one: an observer that blocks would make them wait for
        it, beyond their deadlines.
        """
        if self._on_event is None or getattr(self._here, "held", None) is not None:
            yield
            return
        held: list[tuple[str, str, float]] = []
        self._here.held = held
        try:
            yield
        finally:
            self._here.held = None
            for kind, outcome, seconds in held:
                emit(self._on_event, kind, self._verifier, outcome, seconds=seconds)


def outcome_of(error: AuthError) -> str:
    """Return a refusal's reason; ``unavailable`` where nobody could decide."""
    return "unavailable" if error.status_code == 503 else error.reason
