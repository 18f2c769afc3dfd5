"""How a command ends, whichever program it was typed into.

=====  ============================================================================================
0      done; the token is accepted
1      refused: the token, the name that is taken, a check that failed
2      wrong usage or configuration; the message says what to change
3      unavailable: a server or a store that cannot be reached right now
=====  ============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenward.commands.line.trail import audited
from tokenward.errors import AuthError, AuthServiceUnavailable, ConfigurationError, InvalidRequest

if TYPE_CHECKING:
    from argparse import Namespace

    from tokenward.commands.homes import Home
    from tokenward.commands.line.terminal import Terminal

DONE, REFUSED, USAGE, UNAVAILABLE = range(4)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended.

    Attributes:
        status: The exit status.
        sentence: What was wrong and is not said yet, if anything.
    """

    status: int
    sentence: str = ""


def perform(arguments: Namespace, terminal: Terminal, home: Home) -> Ending:
    """Do what the arguments ask for.

    Args:
        arguments: With the action as ``run``.
        terminal: Where it says what came of it.
        home: Where the configuration is written.
    """
    try:
        with audited(terminal):
            return Ending(arguments.run(arguments, terminal, home))
    except ConfigurationError as error:
        return Ending(USAGE, home.in_its_words(str(error)))
    except AuthError as error:
        is_outage = isinstance(error, AuthServiceUnavailable)
        return Ending(UNAVAILABLE if is_outage else REFUSED, _sentence(error))


def _sentence(error: AuthError) -> str:
    fields = error.fields if isinstance(error, InvalidRequest) else {}
    if fields:
        return "; ".join(f"{name}: {text}" for name, text in fields.items())
    return f"{error.hint or error.description} [{error.reason}]"
