"""The audit trail of a command that runs in a program whose log goes nowhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenward.commands.line.terminal import Terminal

_logger = logging.getLogger("tokenward.audit")
_FORMAT = logging.Formatter("%(levelname)s %(name)s: %(message)s")


@contextmanager
def audited(terminal: Terminal) -> Iterator[None]:
    """Have the lines of the audit trail written to standard error for as long as this lasts.

    Who was given a role, or had an account closed, is to be found wherever it was done. A program
    that has log handlers of its own has said where its lines go.

    Args:
        terminal: Whose standard error.
    """
    if _logger.hasHandlers():
        yield
        return
    handler, level = _Notes(terminal), _logger.level
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)


class _Notes(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.note(_FORMAT.format(record))
