"""Entries of type ``cloudflare``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tokenward.config.settings.credentials.placed import Place, PlacedEntry
from tokenward.config.settings.credentials.signed import FetchingSection
from tokenward.config.settings.fields import Audience, Flag, Seconds, Section, SomeNames


def _an_address(value: Any) -> Any:
    return {"email": value} if isinstance(value, str) else value


class DevUserSection(Section):
    """Who a request is from that no Cloudflare stands before, on a developer's machine."""

    email: Annotated[str, Field(min_length=1)]
    sub: Annotated[str, Field(min_length=1)] | None = None
    country: str | None = None


class CloudflareEntry(PlacedEntry, FetchingSection):
    """People and service tokens that Cloudflare Access lets through; see `CloudflareAccess`."""

    type: Literal["cloudflare"]
    source: Place = "header:Cf-Access-Jwt-Assertion"
    cookie: Flag = False
    team: Annotated[str, Field(min_length=1)]
    domain: str | None = None
    audience: Audience
    algorithms: SomeNames = ("RS256", "ES256")
    leeway: Seconds = 30
    groups_as_roles: Flag = False
    dev_user: Annotated[DevUserSection, BeforeValidator(_an_address)] | None = None

    @model_validator(mode="after")
    def _names_a_team(self) -> Self:
        _ = self.issuer
        return self

    @property
    def issuer(self) -> str:
        """Whose tokens are taken.

        Raises:
            ConfigurationError: That is no team, or no domain.
        """
        # Only who has such an entry loads what knows Cloudflare.
        from tokenward.cloudflare import issuer_of  # noqa: PLC0415

        return issuer_of(self.team, self.domain)
