"""What is seen while benchmarks run: a bar on a terminal, elsewhere one line a benchmark."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bar


class Progress(Protocol):
    """Is told of each benchmark."""

    def begin(self, name: str, /) -> None:
        """One begins."""

    def end(self, said: str, /) -> None:
        """It ended; what there is to say of it."""


class _OnTerminal:
    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def begin(self, name: str) -> None:
        self._bar.update(self._task, description=name)

    def end(self, said: str) -> None:
        self._bar.console.print(said, markup=False, highlight=False)
        self._bar.advance(self._task)


class _Lines:
    def __init__(self, console: Console, of: int) -> None:
        self._console = console
        self._of = of
        self._number = 0

    def begin(self, name: str) -> None:
        self._number += 1
        self._say(f"[{self._number}/{self._of}] {name} ...")

    def end(self, said: str) -> None:
        self._say(f"      {said}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress(of: int, *, console: Console | None = None) -> Iterator[Progress]:
    """Show how far it is; what is printed to standard error meanwhile appears above the bar.

    Args:
        of: How many benchmarks there are to run.
        console: Where; default standard error.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console, of)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        yield _OnTerminal(bar, bar.add_task("", total=of))
