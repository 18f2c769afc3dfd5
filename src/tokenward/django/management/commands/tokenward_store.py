"""``manage.py tokenward_store``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.commands.line.arguments import store
from tokenward.django.management.line import LineCommand

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(LineCommand):
    """Where the auth service keeps sessions, signing keys and, if you like, users."""

    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        """See `BaseCommand.add_arguments`."""
        store(self.members(parser), configured=self.configured)
