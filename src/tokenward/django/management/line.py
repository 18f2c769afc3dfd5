"""``manage.py tokenward_…``: the commands of ``tokenward …`` over ``settings.TOKENWARD``."""

from __future__ import annotations

import argparse
from typing import Any, ClassVar, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tokenward.commands.line.arguments import EXIT, Parser, members
from tokenward.commands.line.ending import perform
from tokenward.commands.line.terminal import Terminal
from tokenward.django._state import home


class LineParser(Parser, CommandParser):
    """A command's own arguments; called from a program it raises `CommandError`."""


class LineCommand(BaseCommand):
    """A command whose exit status says how it ended; see `tokenward.commands.line.ending`.

    Django's own options may stand before and behind the name of what is to be done.
    """

    exits: ClassVar[str] = EXIT
    """What the exit statuses mean."""

    # What is wrong with the configuration is said by the command itself.
    requires_system_checks: ClassVar[list[str]] = []  # type: ignore[misc] # Django's is no ClassVar

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        """See `BaseCommand.create_parser`."""
        self._options: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        parser = super().create_parser(prog_name, subcommand, epilog=self.exits, **options)
        # Django lets nobody choose the class; its own repeats what it does not understand, and that
        # may be a password.
        parser.__class__ = LineParser
        return parser

    def add_base_argument(self, parser: CommandParser, *names: str, **options: Any) -> None:
        """See `BaseCommand.add_base_argument`."""
        super().add_base_argument(parser, *names, **options)
        self._options.append((names, options))

    def members(self, parser: CommandParser) -> Any:
        """Return what the things that can be done are added to."""
        return members(parser, parser_class=LineParser)

    def configured(self, parser: argparse.ArgumentParser) -> None:
        """Have ``parser`` take Django's options, too."""
        for names, options in self._options:
            # Left out behind the name, an option is what it was before the name.
            unless_said = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
            parser.add_argument(*names, **{**options, **unless_said})

    def handle(self, *_args: object, **options: Any) -> None:
        """Do what the arguments ask for.

        Raises:
            CommandError: It did not go well; with the exit status.
        """
        terminal = Terminal(cast("Any", self.stdout), cast("Any", self.stderr))
        ending = perform(argparse.Namespace(**options), terminal, home())
        if ending.status:
            sentence = ending.sentence or "Not everything is as it should be; see above."
            raise CommandError(sentence, returncode=ending.status)
