"""``manage.py tokenward_keys``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.commands.line.arguments import keys
from tokenward.django.management.line import LineCommand

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(LineCommand):
    """The keys that sign the auth service's tokens."""

    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        """See `BaseCommand.add_arguments`."""
        keys(self.members(parser), configured=self.configured)
