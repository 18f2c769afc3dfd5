"""``manage.py tokenward_check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tokenward.commands.line.actions import doctor
from tokenward.commands.line.arguments import EXIT_OF_CHECKS
from tokenward.django.management.line import LineCommand

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(LineCommand):
    """Reach for everything that settings.TOKENWARD names, and say what to change."""

    help = __doc__ or ""
    exits: ClassVar[str] = EXIT_OF_CHECKS

    def add_arguments(self, parser: CommandParser) -> None:
        """See `BaseCommand.add_arguments`."""
        parser.set_defaults(run=doctor)
