"""What every entry of ``credentials`` has: a place in the request."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tokenward.config.settings.fields import Names, Seconds, Section

Place = Annotated[str, Field(pattern=r"^(authorization|header:[!-9;-~]+|cookie:[!-~]+)$")]
"""Where tokens are: the ``Authorization`` header, another one, or a cookie."""


class PlacedEntry(Section):
    """An entry of ``credentials``."""

    source: Place = "authorization"
    ambient: Annotated[bool, Field(strict=True)] | None = None


class VerifyingSection(Section):
    """What is said of the tokens themselves, whoever decides about them."""

    leeway: Seconds = 30
    roles_claim: Names = ("roles",)
