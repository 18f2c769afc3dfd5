"""The command line: arguments in, lines and an exit status out.

=====  ============================================================================================
0      done; the token is accepted
1      refused: the token, the name that is taken, a check that failed
2      wrong usage or configuration; the message says what to change
3      unavailable: a server or a store that cannot be reached right now
130    interrupted (as a shell has it: 128 and the number of the signal)
141    whoever read the output has gone away
=====  ============================================================================================
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenward.cli.actions import REFUSED, UNAVAILABLE, USAGE
from tokenward.cli.arguments import parse
from tokenward.cli.terminal import Terminal
from tokenward.errors import AuthError, AuthServiceUnavailable, ConfigurationError, InvalidRequest

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["main"]

INTERRUPTED, BROKEN_PIPE = 130, 141

_store_init = re.compile(r"`(tokenward store init)`")


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
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    arguments = parse(argv)
    terminal = Terminal()
    try:
        status: int = arguments.run(arguments, terminal)
    except ConfigurationError as error:
        terminal.note(f"tokenward: {_with_config(str(error), arguments)}")
        return USAGE
    except AuthError as error:
        terminal.note(f"tokenward: {_sentence(error)}")
        return UNAVAILABLE if isinstance(error, AuthServiceUnavailable) else REFUSED
    return status


def _sentence(error: AuthError) -> str:
    fields = error.fields if isinstance(error, InvalidRequest) else {}
    if fields:
        return "; ".join(f"{name}: {text}" for name, text in fields.items())
    return f"{error.hint or error.description} [{error.reason}]"


def _with_config(message: str, arguments: Namespace) -> str:
    """Complete the command that a message advises with the configuration that was named."""
    config: str | None = getattr(arguments, "config", None)
    return _store_init.sub(rf"`\1 --config {config}`", message) if config else message
