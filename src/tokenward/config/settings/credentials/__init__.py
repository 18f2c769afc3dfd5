"""The entries of ``credentials``: whose tokens are taken, and from where."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tokenward.config.settings.credentials.asked import (
    AskingSection,
    IntrospectionEntry,
    LiveSection,
)
from tokenward.config.settings.credentials.cloudflare import CloudflareEntry, DevUserSection
from tokenward.config.settings.credentials.custom import CustomEntry, LocalEntry
from tokenward.config.settings.credentials.signed import JWKSEntry, SharedSecretEntry
from tokenward.config.settings.fields import says

__all__ = [
    "AskingSection",
    "CloudflareEntry",
    "CredentialEntry",
    "CustomEntry",
    "DevUserSection",
    "IntrospectionEntry",
    "JWKSEntry",
    "LiveSection",
    "LocalEntry",
    "SharedSecretEntry",
]

CredentialEntry = Annotated[
    JWKSEntry | IntrospectionEntry | CloudflareEntry | LocalEntry | SharedSecretEntry | CustomEntry,
    Field(discriminator="type"),
    says("type"),
]
"""One of them, by its ``type``."""
