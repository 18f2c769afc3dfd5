"""``flask tokenward …``: the commands of ``tokenward …`` over ``app.config["TOKENWARD"]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click
from flask import current_app
from flask.cli import FlaskGroup, with_appcontext

from tokenward.commands.homes import MappingHome
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask

CONFIG_KEY = "TOKENWARD"

_HELP = "Check the configuration, look after users, keys and the store."


# The arguments are defined once, for every program: click hands them on as they are.
@click.command(
    "tokenward",
    help=_HELP,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def tokenward_command(arguments: tuple[str, ...]) -> None:
    """Run one of the commands."""
    # What a request never needs.
    from tokenward.commands.line.actions import doctor  # noqa: PLC0415
    from tokenward.commands.line.arguments import (  # noqa: PLC0415
        EXIT,
        Parser,
        command,
        groups,
        members,
    )
    from tokenward.commands.line.ending import perform  # noqa: PLC0415
    from tokenward.commands.line.terminal import Terminal  # noqa: PLC0415

    context = click.get_current_context()
    parser = Parser(prog=context.command_path, description=_HELP, epilog=EXIT)
    commands = members(parser)
    command(commands, "check", doctor)
    groups(commands, configured=lambda _parser: None)
    parsed = parser.parse_args(arguments)
    terminal = Terminal()
    ending = perform(parsed, terminal, home_of(current_app))
    if ending.sentence:
        terminal.note(f"{context.command_path}: {ending.sentence}")
    context.exit(ending.status)


def home_of(app: Flask) -> MappingHome:
    """Return where the configuration of ``app`` is written."""
    name = f'app.config["{CONFIG_KEY}"]'
    return MappingHome(name, app.config.get(CONFIG_KEY), "flask tokenward store init")


def only_commands_are_wanted() -> bool:
    """Tell whether the ``flask`` program loads the application to see which commands it has.

    It does before it runs one of them; for ``flask run`` and its other own commands it does not.
    """
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.command, FlaskGroup)


class Unbuilt:
    """Stands for what an application would have if its configuration were right.

    ``flask tokenward store init`` makes what is missing and ``flask tokenward check`` says what is
    wrong, so that the application must come up for them. Whatever else asks is told the reason.

    Args:
        why: The reason.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, _name: str) -> NoReturn:
        raise ConfigurationError(self._why)
