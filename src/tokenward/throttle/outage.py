"""Counters outside of this process, as long as they answer."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, TypeVar

from tokenward import _fork
from tokenward._log import OncePerMinute
from tokenward.errors import AuthError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenward.protocols import Clock
    from tokenward.throttle.counting import Counted, FixedWindows, Window

PAUSE = 2.0
"""Seconds for which counters that did not answer are left alone."""

_logger = logging.getLogger("tokenward.throttle")
seldom = OncePerMinute(_logger)
_Answer = TypeVar("_Answer")


class Elsewhere:
    """Counters outside of this process; every answer of ``None`` says that there was none.

    Whatever they raise stays here. While they are down one thread asks them now and then, and the
    others do not wait for it.

    Args:
        make: Returns them, for one process; connects to nothing.
        clock: Returns epoch seconds.
    """

    def __init__(self, make: Callable[[], FixedWindows], *, clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Use nothing of the parent's: its connections carry its calls."""
        self._lock = threading.Lock()
        self._windows: FixedWindows | None = None
        self._ask_at: float | None = None

    def hit_all(self, what: Sequence[Counted], *, cost: int = 1) -> list[Window] | None:
        """See `FixedWindows.hit_all`."""
        return self._asked(lambda windows: windows.hit_all(what, cost=cost))

    def clear_all(self, what: Sequence[Counted]) -> None:
        """See `FixedWindows.clear_all`."""
        self._asked(lambda windows: windows.clear_all(what))

    def close(self) -> None:
        """Close what is open; counting again opens it anew."""
        windows = self._windows
        if windows is not None:
            self._windows = None
            windows.storage.close()

    def _asked(self, ask: Callable[[FixedWindows], _Answer]) -> _Answer | None:
        if not self._may_ask():
            return None
        try:
            windows = self._windows
            if windows is None:
                # Two threads may make one each; the one that is forgotten closes itself.
                self._windows = windows = self._make()
            answer = ask(windows)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, logins go on
            self._failed(error)
            return None
        if self._ask_at is not None:
            self._ask_at = None
            _logger.info("The counters of the throttle answer again.")
        return answer

    def _may_ask(self) -> bool:
        with self._lock:
            if self._ask_at is None:
                return True
            now = self._clock()
            # The second comparison: a clock that jumped back must not make this a long pause.
            if now < self._ask_at <= now + PAUSE:
                return False
            self._ask_at = now + PAUSE
            return True

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._ask_at = self._clock() + PAUSE
        # A driver's text may hold what its server says, and that may be the password.
        why = (isinstance(error, AuthError) and error.hint) or type(error).__name__
        seldom.log(
            logging.ERROR,
            ("elsewhere",),
            "The counters of the throttle do not answer (%s): until they do, each process"
            " counts login attempts by itself.",
            why,
        )
