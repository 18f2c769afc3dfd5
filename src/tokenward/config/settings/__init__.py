"""The configuration mapping, parsed once and frozen.

`Settings` is the whole; each of its sections stands in a module of its own.
"""

from __future__ import annotations

from tokenward.config.settings.client_auth import (
    BasicAuthSection,
    BearerAuthSection,
    ClientAuthSection,
    ClientCredentialsSection,
    MutualTLSSection,
    PostAuthSection,
    PrivateKeyJWTSection,
)
from tokenward.config.settings.credentials import (
    AskingSection,
    CloudflareEntry,
    CredentialEntry,
    CustomEntry,
    DevUserSection,
    IntrospectionEntry,
    JWKSEntry,
    LiveSection,
    LocalEntry,
    SharedSecretEntry,
)
from tokenward.config.settings.django import DjangoSection, LoginSection, RolesSection
from tokenward.config.settings.pages import PagesSection
from tokenward.config.settings.service import ServiceSection
from tokenward.config.settings.shared import SharedCacheSection
from tokenward.config.settings.whole import CONFIG_VARIABLE, Settings, as_settings

__all__ = [
    "CONFIG_VARIABLE",
    "AskingSection",
    "BasicAuthSection",
    "BearerAuthSection",
    "ClientAuthSection",
    "ClientCredentialsSection",
    "CloudflareEntry",
    "CredentialEntry",
    "CustomEntry",
    "DevUserSection",
    "DjangoSection",
    "IntrospectionEntry",
    "JWKSEntry",
    "LiveSection",
    "LocalEntry",
    "LoginSection",
    "MutualTLSSection",
    "PagesSection",
    "PostAuthSection",
    "PrivateKeyJWTSection",
    "RolesSection",
    "ServiceSection",
    "Settings",
    "SharedCacheSection",
    "SharedSecretEntry",
    "as_settings",
]
