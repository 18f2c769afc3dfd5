"""``manage.py tokenward_cleanup``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.commands.line.actions import store_cleanup
from tokenward.django.management.line import LineCommand

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(LineCommand):
    """Forget what has expired: revocations, sessions, counters; run it once a day."""

    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        """See `BaseCommand.add_arguments`."""
        parser.set_defaults(run=store_cleanup)
