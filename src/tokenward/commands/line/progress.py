"""A bar that says how far something is, for who looks on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tokenward.commands.line.terminal import Terminal

_WIDTH = 24
_ERASE = "\r\x1b[K"


class Bar:
    """One line on the terminal that is gone in the end; nothing where there is no terminal.

    Args:
        terminal: Where it is drawn.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._drawn = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._terminal.draw(_ERASE)

    def show(self, what: str, done: int, total: int) -> None:
        """Say how much of it is done."""
        full = _WIDTH * done // total if total else _WIDTH
        line = f"{'#' * full}{'.' * (_WIDTH - full)} {what} {done}/{total}"
        if line != self._drawn and self._terminal.is_looked_at:
            self._terminal.draw(_ERASE + line)
            self._drawn = line
