"""The commands that only this command line has; the others are `tokenward.commands.line.actions`.

The docstring of an action is its help.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from tokenward.commands import demo as demos
from tokenward.commands.line.ending import DONE, REFUSED
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.commands.homes import Home
    from tokenward.commands.line.terminal import Terminal


def demo(arguments: Namespace, terminal: Terminal, _home: Home) -> int:
    """Run the example applications on this machine."""
    passed = demos.run(terminal, check=arguments.check, folder=arguments.folder)
    return DONE if passed else REFUSED


def serve(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Run the auth service."""
    try:
        from tokenward.cli import serve as server  # noqa: PLC0415 - waitress is an extra
    except ModuleNotFoundError as error:
        if error.name != "waitress":
            raise
        raise ConfigurationError(
            "`tokenward serve` needs waitress; run: pip install 'tokenward[serve]'"
        ) from None
    settings = home.settings()
    server.serve(settings, bind=arguments.bind, threads=arguments.threads, output=terminal)
    return DONE
