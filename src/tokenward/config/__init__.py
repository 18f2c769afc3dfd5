"""Configuration: one mapping, read once, validated whole, turned into parts.

`Settings` is the mapping, parsed and frozen. The ``build_…`` functions are the only place that
picks implementations.
"""

from tokenward.config.build import (
    Shared,
    build_authenticator,
    build_service,
    build_shared,
    build_verifier,
)
from tokenward.config.settings import Settings

__all__ = [
    "Settings",
    "Shared",
    "build_authenticator",
    "build_service",
    "build_shared",
    "build_verifier",
]
