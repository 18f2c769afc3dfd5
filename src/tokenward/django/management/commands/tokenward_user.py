"""``manage.py tokenward_user``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward._log import shown
from tokenward.commands.line.arguments import command, users
from tokenward.commands.line.ending import DONE
from tokenward.django.accounts import adopt_existing
from tokenward.django.management.line import LineCommand
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

    from django.core.management.base import CommandParser

    from tokenward.commands.homes import Home
    from tokenward.commands.line.terminal import Terminal


def adopt(_arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Make the accounts of the project's users that have none."""
    if home.users(home.settings()) is None:
        raise ConfigurationError(
            f"{home.name}: the service's users are its store's, and not the project's; write "
            '"service_users": "model" in the section "django".'
        )
    done = adopt_existing()
    terminal.say(f"Accounts made: {done.adopted}")
    for name in done.without_account:
        terminal.note(f"No account for {shown(name)}: the name is another user's, or none.")
    for name in done.without_email:
        terminal.note(f"No address for {shown(name)}: another user has it.")
    return DONE


class Command(LineCommand):
    """The people of the auth service: in its store, or among the project's users."""

    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        """See `BaseCommand.add_arguments`."""
        members = self.members(parser)
        users(members, configured=self.configured)
        self.configured(command(members, "adopt", adopt))
