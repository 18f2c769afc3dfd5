"""The command line: arguments in, lines and an exit status out.

=====  ============================================================================================
0..3   as in `tokenward.commands.line.ending`
130    interrupted (as a shell has it: 128 and the number of the signal)
141    whoever read the output has gone away
=====  ============================================================================================
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tokenward.cli.arguments import parse
from tokenward.commands.homes import FileHome
from tokenward.commands.line.ending import perform
from tokenward.commands.line.terminal import Terminal

__all__ = ["main"]

INTERRUPTED, BROKEN_PIPE = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments; ``None``: those of this process.

    Returns:
        The exit status.

    Raises:
        SystemExit: The arguments are wrong (2), or help was asked for (0).
    """
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _run(argv: Sequence[str] | None) -> int:
    _log_to_stderr()
    arguments = parse(argv)
    _find_modules_here()
    terminal = Terminal()
    home = FileHome(getattr(arguments, "config", None))
    ending = perform(arguments, terminal, home)
    if ending.sentence:
        terminal.note(f"tokenward: {ending.sentence}")
    return ending.status


def _log_to_stderr() -> None:
    if logging.getLogger().handlers:
        return  # within a program that has its own
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    # Who was given a role, or had an account closed, is to be found wherever it was done.
    logging.getLogger("tokenward.audit").setLevel(logging.INFO)


def _find_modules_here() -> None:
    # What a configuration names, such as ``on_event``, is found where the application's own server
    # finds it. Last, so that a file in the folder stands in for nothing that is installed.
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path:
        sys.path.append(here)
