"""Logging that is safe to point at values from outside."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from tokenward import _fork

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

MAX_SHOWN = 200
"""Characters of an outside value that a log line or a hint shows."""

_REPEAT_SECONDS = 60.0
_MAX_REMEMBERED = 1_000


def shown(value: object, *, limit: int = MAX_SHOWN) -> str:
    """Return ``value`` escaped to printable ASCII and cut, so that it cannot forge a log line."""
    text = value if isinstance(value, str) else _repr(value)
    cut = text[:limit]
    escaped = cut.encode("ascii", "backslashreplace").decode("ascii")
    escaped = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in escaped)
    return escaped + ("…" if len(text) > limit else "")


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - an integer of 5,000 digits, say: no reason to fail a refusal
        return f"<{type(value).__name__}>"


class OncePerMinute:
    """Lets one log line through per key and minute, so that an outage cannot fill a disk."""

    def __init__(
        self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._last: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace a lock that another thread may hold in the parent."""
        self._lock = threading.Lock()

    def log(self, level: int, key: tuple[str, ...], message: str, *args: object) -> None:
        """Log ``message`` unless the same ``key`` was logged during the last minute."""
        now = self._clock()
        with self._lock:
            last = self._last.get(key)
            if last is not None and now - last < _REPEAT_SECONDS:
                return
            if len(self._last) >= _MAX_REMEMBERED:
                self._last.clear()
            self._last[key] = now
        # A handler of the application's that raises must not change what happens to the request.
        with contextlib.suppress(Exception):
            self._logger.log(level, message, *args)
